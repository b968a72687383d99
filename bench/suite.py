"""A suite: a TOML file that says what a table needs, with a quick and a paper profile."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    NonNegativeInt,
    PositiveInt,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench.registry import unknown

FOLDER = Path(__file__).with_name("suites")
LARGEST = 64 * 2**10  # bytes of a suite file: tomllib takes seconds for a long dotted key
RESERVED = set(",[]")  # what a list of methods is split at
Value = str | int | float | bool


class Strict(BaseModel):
    """Refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pattern(Strict):
    """The cells that something is about: names may have `*`; what is left out matches all.

    A name stands for itself with any options: `lora` is also about `lora[rank=4]`.
    """

    method: str = "*"
    task: str = "*"
    model: str = "*"

    def matches(self, method: str, task: str, model: str) -> bool:
        """Whether a cell of those names, as they were typed, falls under this rule."""
        pairs = ((method, self.method), (task, self.task), (model, self.model))
        return all(
            name == pattern or fnmatchcase(name.partition("[")[0], pattern)
            for name, pattern in pairs
        )


class Rule(Pattern):
    """Settings for the cells that match."""

    recipe: dict[str, Value] = {}
    options: dict[str, Value] = {}  # of the task
    method_options: dict[str, Value] = {}  # what is typed with the method goes before them


class Span(Strict):
    """What lies between two numbers; whole numbers if both are."""

    low: int | float
    high: int | float
    log: bool = False  # even on the scale of the logarithm

    @model_validator(mode="after")
    def _ordered(self) -> "Span":
        if not self.low < self.high or (self.log and self.low <= 0):
            least = "0 < low < high for log = true" if self.log else "low < high"
            raise ValueError(f"expected {least}, got low = {self.low}, high = {self.high}")
        return self


def _shape(value: Any) -> str | None:
    kinds = {"<values>": list, "<span>": dict | Span}
    return next((tag for tag, kind in kinds.items() if isinstance(value, kind)), None)


Range = Annotated[
    Annotated[list[Value], Tag("<values>")] | Annotated[Span, Tag("<span>")],
    Discriminator(
        _shape,
        custom_error_type="range",
        custom_error_message="expected a list of values or { low = ..., high = ... }",
    ),
]


class Searched(Pattern):
    """Where to look for the settings of the cells that match, in place of what stands above."""

    recipe: dict[str, Range] = {}
    method_options: dict[str, Range] = {}


class Tune(Strict):
    """A search over options, with as many trials for every method; see bench/tune.py."""

    search: Literal["grid", "random", "tpe"]
    trials: PositiveInt  # for each method, task and model
    seed: NonNegativeInt | None = None  # of the trials; none: the profile's first
    recipe: dict[str, Range] = {}
    method_options: dict[str, Range] = {}
    rules: list[Searched] = []  # later ones override earlier ones


class Pretraining(Strict):
    """How a model that has no files is made, where it departs from bench/pretrain.py."""

    recipe: dict[str, Value] = {}
    options: dict[str, Value] = {}  # of the corpus


class Profile(Strict):
    """One size of a suite."""

    like: str = ""  # a suite whose profile of this name goes before: rules, and what is left out
    models: list[str] = []
    seeds: list[NonNegativeInt] = []
    tasks: list[str] = []  # in place of the suite's, where there are any
    pretrain: Pretraining = Pretraining()
    recipe: dict[str, Value] = {}
    options: dict[str, Value] = {}
    rules: list[Rule] = []  # later ones override earlier ones
    tune: Tune | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Profile":
        for key in ("models", "seeds"):
            if not self.like and not getattr(self, key):
                raise ValueError(f"expected {key}, got none")
        return self

    def over(self, base: "Profile") -> "Profile":
        """This profile on top of another one."""
        own = self.model_fields_set
        left_out = {key: getattr(base, key) for key in Profile.model_fields.keys() - own}
        added = {
            "recipe": {**base.recipe, **self.recipe},
            "options": {**base.options, **self.options},
            "rules": [*base.rules, *self.rules],
        }
        return self.model_copy(update={**left_out, **added, "like": ""})


class PaperTable(Strict):
    """A table of the paper, as what it narrows the suite to: none where nothing is named."""

    of: str  # which one: "Table 7 (merging)"
    title: str
    models: list[str] = []  # of the paper profile
    tasks: list[str] = []
    methods: list[str] = []


class Suite(Strict):
    """What is compared on what."""

    name: str
    title: str
    variants: dict[str, str] = {}  # methods under names of their own, which rules go by
    methods: list[str]
    baseline: str = ""  # the row that tables compare with
    tasks: list[str]
    profiles: dict[Literal["quick", "paper"], Profile]
    tables: dict[str, PaperTable] = {}  # of the paper that the suite is after, by names of ours

    @field_validator("variants")
    @classmethod
    def _plain(cls, variants: dict[str, str]) -> dict[str, str]:
        for name in variants:
            if RESERVED & set(name) or name != name.strip() or not name:
                raise ValueError(f"expected names without commas and brackets, got {name!r}")
        return variants

    @field_validator("baseline")
    @classmethod
    def _row(cls, baseline: str, info: ValidationInfo) -> str:
        rows = [*info.data.get("methods", ()), *info.data.get("variants", ())]
        if baseline and baseline not in rows:
            raise unknown("method or variant of the suite", baseline, rows)
        return baseline

    @field_validator("tables")
    @classmethod
    def _narrower(
        cls, tables: dict[str, PaperTable], info: ValidationInfo
    ) -> dict[str, PaperTable]:
        for table in tables.values():
            for what in ("methods", "tasks"):
                known = info.data.get(what, ())
                for name in getattr(table, what):
                    if name not in known:
                        raise unknown(f"{what[:-1]} of the suite", name, known)
        return tables


class Ranges(NamedTuple):
    """Where a search looks for the options of one cell."""

    recipe: dict[str, Range]
    method_options: dict[str, Range]


class Settings(NamedTuple):
    """The options of one cell, `--set` left out."""

    recipe: dict[str, Any]
    options: dict[str, Any]  # of the task
    method_options: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A suite with what the command line changed."""

    suite: Suite
    profile: Profile
    methods: Sequence[str]
    tasks: Sequence[str]
    models: Sequence[str]
    seeds: Sequence[int]
    sets: dict[str, str] = field(default_factory=dict)

    def settings(self, method: str, task: str, model: str) -> Settings:
        """What the profile says of one cell: its own settings, then those of rules that match."""
        found = Settings(dict(self.profile.recipe), dict(self.profile.options), {})
        for rule in self.profile.rules:
            if rule.matches(method, task, model):
                found.recipe.update(rule.recipe)
                found.options.update(rule.options)
                found.method_options.update(rule.method_options)
        return found

    def ranges(self, method: str, task: str, model: str) -> Ranges:
        """Where the profile's search looks for options of one cell: nowhere without a search."""
        tune = self.profile.tune
        if tune is None:
            return Ranges({}, {})
        found = Ranges(dict(tune.recipe), dict(tune.method_options))
        for rule in tune.rules:
            if rule.matches(method, task, model):
                found.recipe.update(rule.recipe)
                found.method_options.update(rule.method_options)
        return found

    def text(self, method: str) -> str:
        """What a row's name stands for: the text of a variant, or itself."""
        return self.suite.variants.get(method, method)


def names() -> list[str]:
    """The suites that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(text: str, above: tuple[str, ...] = ()) -> Suite:
    """The suite of that name, or in the file of that name.

    `above`: the suites that are like this one. Raises ValueError naming the file and what is wrong
    with it.
    """
    if text in above:
        raise ValueError(f"suite {text!r} is like itself: {' <- '.join((*above, text))}")
    if not text.endswith(".toml"):
        if text not in names():
            raise unknown("suite", text, names())
        path = FOLDER / f"{text}.toml"
    else:
        path = Path(text)
    try:
        suite = Suite.model_validate(_read(path))
    except OSError as error:
        raise ValueError(f"no suite file {text!r}; valid names: {', '.join(names())}") from error
    except ValidationError as error:
        raise ValueError(f"suite {path.name}, {_complaint(error)}") from error
    except ValueError as error:  # neither TOML nor text
        if "\0" in text:
            raise ValueError(f"no suite file {text!r}") from error
        raise ValueError(f"suite {path.name}: {error}") from error
    whole = {name: _whole(name, own, (*above, text)) for name, own in suite.profiles.items()}
    return suite.model_copy(update={"profiles": whole})


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError("expected at most 64 KiB, got more")
    try:
        return tomllib.loads(data.decode("utf-8").replace("\r\n", "\n"))
    except RecursionError:
        raise ValueError("expected TOML, got one nested too deep") from None


def _whole(name: str, profile: Profile, above: tuple[str, ...]) -> Profile:
    """The profile over that of the suite that it is like."""
    if not profile.like:
        return profile
    bases = {str(key): base for key, base in load(profile.like, above).profiles.items()}
    if name not in bases:
        raise unknown(f"profile of suite {profile.like!r}", name, bases)
    return profile.over(bases[name])


def _complaint(error: ValidationError) -> str:
    """The first thing that is wrong: where in the file, and what."""
    first = error.errors()[0]
    *within, key = map(str, first["loc"])
    message = first["msg"].lower()
    if first["type"] == "extra_forbidden":
        message = str(unknown("key", key, _level(within).model_fields))
    elif first["type"] == "value_error":
        message = str(first["ctx"]["error"])
    place = [part for part in (*within, key) if not part.startswith("<")]
    return f"{'.'.join(place)}: {message}"


def _level(within: list[str]) -> type[Strict]:
    """What stands at that place of the file."""
    inner: dict[str, type[Strict]] = {"rules": Rule, "pretrain": Pretraining, "tune": Tune}
    inner["tables"] = PaperTable
    if "tune" in within:
        inner |= {"rules": Searched, "<span>": Span}
    found = (inner[key] for key in reversed(within) if key in inner)
    return next(found, Profile if within else Suite)


def request(
    suite: Suite,
    profile: str = "quick",
    *,
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    models: Sequence[str] = (),
    seeds: Sequence[int] = (),
    sets: dict[str, str] | None = None,
) -> Request:
    """The suite in one profile; whatever is given replaces what the suite says.

    Raises ValueError for a profile that the suite does not have.
    """
    chosen = {str(k): v for k, v in suite.profiles.items()}.get(profile)
    if chosen is None:
        raise unknown("profile", profile, map(str, suite.profiles))
    return Request(
        suite,
        chosen,
        methods or suite.methods,
        tasks or chosen.tasks or suite.tasks,
        models or chosen.models,
        seeds or chosen.seeds,
        sets or {},
    )
