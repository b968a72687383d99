"""Training: Trainer padded, Trainer at its best, a bare loop, and a cell of ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from bench.cost import Peak
from bench.device import Precision
from bench.predict import predict
from bench.speed import loops, trainers
from bench.speed.ground import Ground, part
from bench.speed.opponent import Reading, opponent
from bench.speed.rows import Goal, beside, row, spread
from bench.speed.timing import in_turn
from bench.text import Encoded

KERNELS = ("eager", "sdpa")  # of attention, as transformers calls them
FEW = 4  # batches on which two ways are compared before the rounds
OURS = "ours"
ABOUT = {
    "padded": "Trainer, as run_glue.py: padded, fp32",
    "best": "Trainer at its best: grouped by length",
    "bare": "bare loop over our batches",
    OURS: "ours, as a cell runs it",
}
GOALS = {
    "padded": Goal("at least", 4),
    "best": Goal("at least", 1.3),
    "bare": Goal("at least", 0.971),  # ours at most 1.03 of its time
}


@dataclass(frozen=True)
class Outcome:
    """One training run: how long, how many steps, how well."""

    seconds: float
    steps: int
    score: float | None


class Training:
    """The four contestants; the model that each trained last stands in `models`."""

    def __init__(self, ground: Ground):
        self.ground, self.models = ground, dict[str, nn.Module]()
        self.kernels = {"padded": "sdpa"}  # what transformers takes unless told otherwise

    def rows(self) -> list[dict[str, Any]]:
        """A flat row a contestant, of as many rounds as were asked for.

        Raises RuntimeError where one took other steps than the rest.
        """
        peaks = {name: self._rehearsed(name) for name in ABOUT}
        for name in ("best", "bare"):
            self.kernels[name] = fastest(partial(self._tried, name), KERNELS)
        found = in_turn({name: partial(self._round, name) for name in ABOUT}, self._repeats)
        same_steps({name: [one.steps for one in runs] for name, runs in found.items()})
        seconds = {name: [one.seconds for one in runs] for name, runs in found.items()}
        return [
            row(
                "training",
                name,
                ABOUT[name],
                seconds[name],
                beside(seconds[name], seconds[OURS]),
                {
                    **spread("score", [one.score for one in runs]),
                    "steps": runs[0].steps,
                    "precision": self.precision(name),
                    "attention": self._kernel(name),
                    **peaks[name],
                },
                GOALS.get(name),
            )
            for name, runs in found.items()
        ]

    def precision(self, name: str) -> Precision:
        """What it computes in."""
        return "fp32" if name == "padded" else self.ground.precision

    def train(self, name: str, rows: Encoded, order: int) -> tuple[float, int]:
        """Trains that contestant from the first weights: seconds and steps."""
        ground, kernel = self.ground, self.kernels.get(name, KERNELS[0])
        if name == OURS:
            method, model, run = ground.begun(ground.asked.method, order, rows)
            self.models[name] = model
            return loops.ours(ground, method, model, run)
        theirs = opponent(ground, kernel)
        self.models[name] = theirs
        if name == "bare":
            return loops.bare(ground, rows, theirs, order)
        trainer = (trainers.padded if name == "padded" else trainers.best)(
            ground, rows, theirs, order
        )
        return trainers.trained(trainer, ground.device)

    def answers(self, name: str) -> list[float]:
        """What the contestant's model answers on the rows for scoring, read by one loop for all."""
        ground, model = self.ground, self.models[name]
        read: Any = model if name == OURS else Reading(model, ground.task.outputs == 1)
        return predict(read, ground.dev, ground.device, self.precision(name))

    @property
    def _repeats(self) -> int:
        return self.ground.asked.repeats

    def _round(self, name: str, number: int) -> Outcome:
        seconds, steps = self.train(name, self.ground.train, number)
        return Outcome(seconds, steps, self.ground.score(self.answers(name)))

    def _kernel(self, name: str) -> str:
        own = self.ground.start.settings._attn_implementation
        return str(own if name == OURS else self.kernels[name])

    def _rehearsed(self, name: str) -> dict[str, Any]:
        """Warms up; the most memory that training on the longest rows takes, the model included."""
        self.train(name, self.ground.longest, 0)
        self.models.pop(name)
        peak = Peak(self.ground.device)
        self.train(name, self.ground.longest, 0)
        return {"peak_memory_bytes": peak.read(), "memory_source": peak.source}

    def _tried(self, name: str, kernel: str) -> float:
        self.kernels[name] = kernel
        few = part(self.ground.train, np.arange(len(self.ground.train))[: FEW * self.batch])
        return self.train(name, few, 0)[0]

    @property
    def batch(self) -> int:
        """Rows a step."""
        return self.ground.recipe.batch


def fastest(seconds: Callable[[Any], float], ways: Sequence[Any]) -> Any:
    """The way that took the least time in two goes, after one that is not counted."""
    for way in ways:
        seconds(way)
    taken = in_turn({str(i): partial(_one, seconds, way) for i, way in enumerate(ways)}, 2)
    return min(enumerate(ways), key=lambda numbered: min(taken[str(numbered[0])]))[1]


def _one(seconds: Callable[[Any], float], way: Any, number: int) -> float:
    return seconds(way)


def same_steps(steps: dict[str, list[int]]) -> None:
    """Raises RuntimeError where the contestants' runs differ in optimizer steps."""
    if len({count for counts in steps.values() for count in counts}) != 1:
        raise RuntimeError(f"expected the same number of steps from everybody, got {steps}")
