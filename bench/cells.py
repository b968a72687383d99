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
from methods.base import Method
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
        self.search = cache(self._search)
        self.known: dict[tuple[str, str], Cell] = {}  # of seed 0, by name and options

    def trials(self, name: str) -> list[Job]:
        """The trials that the row's settings come from, its own or those of the rows it needs."""
        leaves = self.names.leaves(name)
        return [trial.job for leaf in leaves for trial in self.search(leaf).trials]

    def waits(self, name: str) -> bool:
        """Whether the row's settings are not known before trials have ended."""
        return any(self.search(leaf).waits for leaf in self.names.leaves(name))

    def jobs(self, name: str, seed: int, extra: Options = NOTHING) -> list[Job]:
        """The cell of that name, last, after those it builds on.

        `extra`: what differs from the recipe that the suite has for the name. A cell that builds
        on others has the task and the recipe of the first of them.
        """
        method, needs = self.names.read(name)
        if not needs:
            return [self._trained(name, seed, extra)]
        below = [self.jobs(need.method, seed, {**extra, **need.recipe}) for need in needs]
        like = self.jobs(needs[0].method, seed, extra)[-1]
        return [*chain(*below), self._built(name, method, like, [some[-1] for some in below])]

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
            version=self._version(method),
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
        asked, trained = self._asked(settings.options), _recipe({**usual, **extra})
        return Cell(
            method=spec.text(method),
            task=asked,
            model=self.weights.name,
            recipe=trained,
            seed=0,
            data=self.ground.stamp(asked),
            parents=self.made,
            version=self._version(method),
            label=f"{name}, {_told(extra)}" if extra and trained != _recipe(usual) else name,
        )

    def _asked(self, ruled: Options) -> str:
        """The task with the options of the rules, those typed with it, and `--set`."""
        stem, typed = spec.parse(self.task)
        sets = among(options(tasks[stem]), self.ground.request.sets)
        return spec.text(spec.construct(tasks[stem], {**ruled, **typed, **sets}))

    def _version(self, method: Method) -> str:
        return f"{method.version}.{tasks[spec.parse(self.task)[0]].version}"

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
