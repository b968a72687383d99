"""How published numbers came about, and which of our methods each is of: `protocols.toml`."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench.registry import unknown

FILE = Path(__file__).with_name("protocols.toml")
ANY = "*"
NOT_TOLD = "not told"
Value = str | int | float | bool
Key = tuple[str, str, str, str]  # paper, table, method, parameters as printed


class Strict(BaseModel):
    """Refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Protocol(Strict):
    """How a number came about. See the head of protocols.toml."""

    source: str
    statistic: Literal["one run", "mean", "median", "not told"]
    runs: int = 0  # 0: not told
    selection: Literal["last", "best", "dev", "not told"]
    rows: Literal["all"] = "all"
    scoring: str = ""
    decoding: dict[str, Value] = {}
    metrics: dict[str, str] = {}
    settings: dict[str, dict[str, Value]] = {}
    unlike: dict[str, str] = {}

    @model_validator(mode="after")
    def _counted(self) -> "Protocol":
        least = {"one run": 1, "not told": 0}.get(self.statistic, 2)
        if self.runs < least or (least < 2 and self.runs != least):
            raise ValueError(f"expected runs that make a {self.statistic!r}, got {self.runs}")
        return self

    @property
    def printed(self) -> str:
        """What is printed: "one run", "mean of 3", "not told"."""
        return f"{self.statistic} of {self.runs}" if self.runs > 1 else self.statistic

    def options(self, task: str) -> dict[str, Value]:
        """What is known of the recipe on `task`."""
        return {**self.settings.get(ANY, {}), **self.settings.get(task, {})}

    def departs(self, task: str) -> str:
        """What the number on `task` rests on that no run of ours does; empty where nothing."""
        return self.unlike.get(task, self.unlike.get(ANY, ""))


class Line(Strict):
    """A row of a paper's table: whose it is, and of which of our methods."""

    method: str
    params: str
    ours: list[str] = []
    protocol: str = ""
    note: str = ""


class Printed(Strict):
    """A table of a paper."""

    paper: str
    table: str
    told: str
    protocol: str
    average: dict[str, str] = {}
    rows: list[Line]


class Elsewhere(Strict):
    """A count that stands outside those tables."""

    paper: str
    table: str
    model: str
    method: str
    params: str
    ours: list[str]
    note: str = ""


class File(Strict):
    """The file as it is written."""

    protocols: dict[str, Protocol]
    tables: list[Printed]
    counts: list[Elsewhere] = []


class Known(NamedTuple):
    """What is known of one published row."""

    protocol: Protocol
    ours: tuple[str, ...]  # texts of methods, any of which it is of; none where we have none
    note: str  # why the printed count is not what we count
    average: dict[str, str]  # the metric that enters the average, where a task has two


class Protocols(NamedTuple):
    """What is known of every published row, what is told of tables, and counts that stand apart."""

    rows: dict[Key, Known]
    told: dict[tuple[str, str], str]  # by paper and table
    counts: list[Elsewhere]


def read(text: str, published: Iterable[Key]) -> Protocols:
    """The file's text, which has one entry for each of the `published` rows and no other.

    Raises ValueError, one line, naming where the file is wrong and what was expected.
    """
    try:
        file = File.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ValueError(f"protocols.toml, {_complaint(error)}") from error
    except ValueError as error:
        raise ValueError(f"protocols.toml: {error}") from error
    lines = [((t.paper, t.table, r.method, r.params), t, r) for t in file.tables for r in t.rows]
    _one_each([key for key, _, _ in lines], published)
    return Protocols(
        {key: _known(file, table, line) for key, table, line in lines},
        {(table.paper, table.table): table.told for table in file.tables},
        file.counts,
    )


@cache
def shipped(published: tuple[Key, ...]) -> Protocols:
    """The file that comes with the project, checked against the `published` rows."""
    return read(FILE.read_text(encoding="utf-8"), published)


def _known(file: File, table: Printed, line: Line) -> Known:
    name = line.protocol or table.protocol
    if name not in file.protocols:
        raise ValueError(f"protocols.toml: {unknown('protocol', name, file.protocols)}")
    return Known(file.protocols[name], tuple(line.ours), line.note, table.average)


def _one_each(entries: Sequence[Key], published: Iterable[Key]) -> None:
    count, rows = Counter(entries), dict.fromkeys(published)
    for key in [*rows, *entries]:
        expected = 1 if key in rows else 0
        if count[key] != expected:
            paper, table, method, params = key
            raise ValueError(
                f"protocols.toml: expected entries for {method!r} ({params or 'no count'}) of "
                f"{table!r}, {paper}: {expected}, got {count[key]}"
            )


def _complaint(error: ValidationError) -> str:
    """The first thing that is wrong: where in the file, and what."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        *within, key = map(str, first["loc"])
        return f"{place}: {unknown('key', key, _level(within).model_fields)}"
    told = first.get("ctx", {}).get("error", first["msg"])
    return f"{place}: {str(told)[:1].lower()}{str(told)[1:]}"


def _level(within: Sequence[str]) -> type[Strict]:
    """What stands at that place of the file."""
    inner: dict[str, type[Strict]] = {
        "protocols": Protocol,
        "tables": Printed,
        "rows": Line,
        "counts": Elsewhere,
    }
    found = (inner[key] for key in reversed(within) if key in inner)
    return next(found, File)
