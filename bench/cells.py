"""The cells of one task on one model: a row's own, those it builds on, and trials."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache, lru_cache, partial
from itertools import chain
from typing import Any

from bench import spec
from bench.job import Job
from bench.named import NOTHING, Names, Options, among
from bench.recipe import AdamW, recipe
from bench.record import Cell
from bench.store import Store
from bench.suite import Ranges, Request
from bench.tune import SETTLED, Search, Trial, search
from bench.weights import Weights
from methods.base import Method, Need, spread
from tasks import task as tasks
from tasks.sources import Source

TRIAL: Options = {"report": "selection"}  # in the recipe of a cell that no table shows


class Ground:
    """What all cells of a request have in common."""

    def __init__(self, request: Request, source: Source, store: Store):
        self.request, self.source, self.store = request, source, store
        self.stamp = cache(lambda text: spec.build(tasks, text).stamp(source))


class Cells:
    """The cells of one task, as it was typed, on one model, by the names of rows.

    `made`: the key of the cell that makes the model, if one does.
    """

    def __init__(self, ground: Ground, weights: Weights, task: str, made: tuple[str, ...] = ()):
        self.ground, self.weights, self.task, self.made = ground, weights, task, made
        self.names = Names(ground.request, task, weights.name, self._found)
        self.parts = [Cells(ground, weights, part, made) for part in parts(task)]
        self.search = cache(self._search)
        self.known: dict[tuple[str, str], Cell] = {}  # of seed 0, by name and options

    def trials(self, name: str) -> list[Job]:
        """The trials that the row's settings come from, its own or those of the rows it needs."""
        return [trial.job for search in self._searches(name) for trial in search.trials]

    def waits(self, name: str) -> bool:
        """Whether the row's settings are not known before trials have ended."""
        return any(search.waits for search in self._searches(name))

    def _searches(self, name: str) -> list[Search]:
        """Those that settle the row, on this task and on the parts that it needs runs of."""
        _, needs = self.names.read(name)
        if not needs:
            return [self.search(name)]
        self.names.leaves(name)  # raises where a row builds on itself
        below = spread(needs, len(self.parts))
        asked = dict.fromkeys((need.part, need.method) for need in below)
        return [s for part, of in asked for s in self._on(part)._searches(of)]

    def _on(self, part: Any) -> "Cells":
        """The cells of a part of a composite task, of some parts together, or these."""
        if isinstance(part, tuple):
            stem, typed = spec.parse(self.task)
            some = "+".join(self.parts[number].task for number in part)
            together = spec.joined(stem, typed | {"of": some})
            return Cells(self.ground, self.weights, together, self.made)
        return self.parts[part] if isinstance(part, int) else self

    def jobs(self, name: str, seed: int, extra: Options = NOTHING) -> list[Job]:
        """The cell of that name, last, after those it builds on.

        `extra`: what differs from the recipe that the suite has for the name. A cell that builds
        on others has the recipe of the first of them, and where that is of a part of its task the
        recipe that the suite has for the first one's method on all of it.
        """
        method, needs = self.names.read(name)
        if not needs:
            return [self._trained(name, seed, extra)]
        needs = spread(needs, len(self.parts))
        below = [
            self._on(need.part).jobs(need.method, seed, {**extra, **need.recipe}) for need in needs
        ]
        like = self._like(needs[0], seed, extra)
        return [*chain(*below), self._built(name, method, like, [some[-1] for some in below])]

    def _like(self, need: Need, seed: int, extra: Options) -> Job:
        """The cell that `need` would be on this task, by the suite's recipe."""
        if need.part is None:
            return self.jobs(need.method, seed, extra)[-1]
        on = self.names.leaves(need.method)[0]
        return self._job(self._cell(on, seed, NOTHING, extra))

    def _trained(self, name: str, seed: int, extra: Options) -> Job:
        found = self.search(name)
        cell = self._cell(name, seed, found.chosen or NOTHING, extra)
        return self._job(cell, tuning=found.account, lost=found.lost)

    def _built(self, name: str, method: Method, like: Job, on: Sequence[Job]) -> Job:
        """A cell that trains nothing, on the runs `on`; `like` is the first by the suite's recipe.

        Where one of the runs can have no result, it has none.
        """
        cell = replace(
            like.cell,
            method=spec.text(method),
            parents=(*self.made, *(job.cell.key for job in on)),
            version=versions(method, self.task),
            label=name,
        )
        return self._job(
            cell,
            built_on=tuple(self.ground.store.folder(job.cell) for job in on),
            tuning=like.tuning,
            lost=next((job.lost for job in on if job.lost), ""),
        )

    def _job(self, cell: Cell, **more: Any) -> Job:
        part = self.ground.store.part(cell)
        return Job(cell, self.ground.source, self.weights, part, **more)

    def _cell(self, name: str, seed: int, chosen: Options, extra: Options) -> Cell:
        """A cell that trains. Seeds have everything else in common, which is worked out once."""
        options = repr((chosen, extra))  # 1 and 1.0 are equal, but not one text
        if (name, options) not in self.known:
            self.known[name, options] = self._seedless(name, chosen, extra)
        return replace(self.known[name, options], seed=seed)

    def _seedless(self, name: str, chosen: Options, extra: Options) -> Cell:
        """What the suite says, `--set`, what was chosen, and what differs; of seed 0."""
        settings, sets = self.names.settings(name), self.ground.request.sets
        ranges = self.names.ranges(name)
        method = self.names.method(name, among(ranges.method_options, chosen))
        usual = settings.recipe | among(options(AdamW), sets) | among(ranges.recipe, chosen)
        asked, trained = self.asked(name), _recipe({**usual, **extra})
        return Cell(
            method=spec.text(method),
            task=asked,
            model=self.weights.name,
            recipe=trained,
            seed=0,
            data=self.ground.stamp(asked),
            parents=self.made,
            version=versions(method, self.task),
            label=f"{name}, {_told(extra)}" if extra and trained != _recipe(usual) else name,
        )

    def asked(self, name: str) -> str:
        """The task with the options of the rules for a row, those typed with it, and `--set`.

        The parts of a composite task have those that they would have alone.
        """
        stem, typed = spec.parse(self.task)
        known, ruled = options(tasks[stem]), self.names.settings(name).options
        sets = among(known, self.ground.request.sets)
        if self.parts:
            ruled = among(known, ruled)
            typed = typed | {"of": "+".join(part.asked(name) for part in self.parts)}
        return spec.text(spec.construct(tasks[stem], {**ruled, **typed, **sets}))

    def _found(self, name: str) -> Options:
        return among(self.names.ranges(name).method_options, self.search(name).chosen or NOTHING)

    def _search(self, name: str) -> Search:
        """The search for the settings of a row that trains."""
        profile, ranges = self.ground.request.profile, self.names.ranges(name)
        if profile.tune is None:
            return SETTLED
        seed = profile.seeds[0] if profile.tune.seed is None else profile.tune.seed
        every = ranges.recipe | ranges.method_options
        try:
            self._check(name, ranges)
            return search(profile.tune, seed, every, partial(self._trial, name, seed))
        except ValueError as error:
            raise ValueError(f"tune, {name!r} on {self.task!r}: {error}") from error

    def _trial(self, name: str, seed: int, point: Options) -> Trial:
        cell = self._cell(name, seed, point, TRIAL)
        if recipe(cell.recipe).select == "dev":
            raise ValueError("trials see selection rows alone, but select=dev the reported split")
        cell = replace(cell, label=f"{name}, trial {_told(point)}")
        return Trial(point, self._job(cell, role="trial"), self.ground.store.get(cell))

    def _check(self, name: str, ranges: Ranges) -> None:
        """That what is searched over is not fixed elsewhere, and is one thing."""
        for option in among(self.ground.request.sets, ranges.recipe):
            raise ValueError(f"--set {option} fixes what is searched over; leave one of them out")
        for option in among(self.names.typed(name), ranges.method_options):
            raise ValueError(f"{option!r} is typed with the method and searched over")
        for option in among(ranges.recipe, ranges.method_options):
            raise ValueError(f"{option!r} is searched over in the recipe and in the method")


def parts(task: str) -> list[str]:
    """The tasks that a composite one is composed of, as they were typed; of a plain one none."""
    stem, typed = spec.parse(task)
    if not tasks[stem].composed:
        return []
    return spec.split(typed["of"], "+") if "of" in typed else list(spec.build(tasks, task).of)


def versions(method: Method, task: str) -> str:
    """Those of the plug-ins that a cell is made of: of the method, the task and its parts."""
    every = [tasks[spec.parse(text)[0]].version for text in (task, *parts(task))]
    return ".".join(map(str, (method.version, *every)))


def options(cls: type) -> list[str]:
    """The names of the options of a task or recipe."""
    return [field.name for field in fields(cls)]


def _recipe(settings: Options) -> str:
    return _recipe_of(tuple((name, type(value), value) for name, value in settings.items()))


@lru_cache(maxsize=1024)
def _recipe_of(settings: tuple[tuple[str, type, Any], ...]) -> str:
    """The recipe of options; the types tell 1 from 1.0 and from true."""
    return spec.text(spec.construct(AdamW, {name: value for name, _, value in settings}))


def _told(settings: Options) -> str:
    """ "lr=0.001, order=2"."""
    return ", ".join(f"{name}={spec.word(value)}" for name, value in settings.items())
