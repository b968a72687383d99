"""What all contestants share: the rows as tokens, the recipe, the device, the first weights."""

import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bench import spec
from bench.backbone import Backbone
from bench.cellrun import EVERY, STATE, CellRun, derived
from bench.checkpoint import Checkpoint
from bench.job import Job
from bench.record import Cell
from bench.run import ready
from bench.speed.asked import Asked
from bench.text import Encoded
from bench.train import Trace
from bench.weights import find
from bench.work import Work
from methods import resolve
from methods.base import Method


class Ground:
    """A comparison under way, of one task and one model.

    `folder`: for what trainers write. Raises ValueError where model or task do not fit.
    """

    def __init__(self, asked: Asked, folder: Path):
        self.asked, self.folder, self.recipe = asked, folder, asked.recipe
        self.weights, self.task = find(asked.model), asked.rows_of
        self.run = CellRun(self.job(asked.method), folder, lambda **_: None)
        self.run.energy.close()  # it would run beside all contestants
        if self.run.writes:
            raise ValueError(f"expected an encoder, got model {asked.model!r}, which writes text")
        self.device, self.precision = self.run.device, self.run.precision

    def job(self, method: str) -> Job:
        """The cell that a suite would make of it."""
        chosen = resolve(method, self.weights.name)
        cell = Cell(
            method=spec.text(chosen),
            task=spec.text(self.task),
            model=self.weights.name,
            recipe=spec.text(self.recipe),
            seed=0,
            data=self.task.stamp(self.asked.source),
            label=method,
        )
        return Job(cell, self.asked.source, self.weights)

    def begun(
        self, method: str, order: int, rows: Encoded | None = None
    ) -> tuple[Method, Backbone, CellRun]:
        """A cell as it stands when training starts, with the checkpoint that a cell has.

        `order`: of rows and dropout; the head and the modules are the same in all. `rows`: other
        training rows.
        """
        job, run = self.job(method), copy.copy(self.run)
        run.recipe, run.trace, run.evaluated = replace(self.recipe, order=order), Trace(), Work()
        run.generators, run.splits = {}, {**self.run.splits, "train": rows or self.train}
        run.checkpoint = Checkpoint(self.folder / f"{job.cell.key}-{order}" / STATE, EVERY)
        chosen = resolve(job.cell.method, job.cell.model)
        return chosen, ready(job, chosen, run), run

    def seed(self, order: int) -> int:
        """What a cell of that order seeds its rows and its dropout with."""
        return derived(self.run.seed, f"train{order or ''}")

    @cached_property
    def start(self) -> Backbone:
        """The first weights, which every contestant starts from."""
        return self.begun(self.asked.method, 0)[1]

    @property
    def method(self) -> Method:
        """What is trained."""
        return resolve(self.asked.method, self.weights.name)

    @property
    def train(self) -> Encoded:
        """The training rows."""
        return self.run.splits["train"]  # type: ignore[return-value]

    @property
    def dev(self) -> Encoded:
        """The rows that everybody is scored on: the first reported split."""
        return self.run.splits[next(iter(self.run.data.test))]  # type: ignore[return-value]

    @cached_property
    def longest(self) -> Encoded:
        """Two batches of the longest training rows, in which the most memory is used."""
        return part(
            self.train, np.argsort(-self.train.lengths, kind="stable")[: 2 * self.recipe.batch]
        )

    def score(self, found: list[float]) -> float | None:
        """The task's primary metric of what was answered on `dev`."""
        name = next(iter(self.run.data.test))
        scores = self.task.score({name: found}, {name: self.dev.labels})
        return scores[self.task.primary]


def part(rows: Encoded, chosen: np.ndarray) -> Encoded:
    """Those of the rows, by number."""
    some = copy.copy(rows)
    some.ids = [rows.ids[i] for i in chosen]
    some.kinds = None if rows.kinds is None else [rows.kinds[i] for i in chosen]
    some.labels = [rows.labels[i] for i in chosen]
    some.lengths = rows.lengths[chosen]
    return some
