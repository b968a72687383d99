"""What a mixture of adapters costs beside one: a step, serving, memory."""

from functools import partial
from typing import Any

from torch import nn

from bench.cost import Account, Peak, account
from bench.predict import predict
from bench.speed.ground import Ground
from bench.speed.loops import ours
from bench.speed.rows import Goal, row, spread
from bench.speed.timing import in_turn, ratio, timed
from bench.speed.training import same_steps
from bench.text import Encoded, Shape
from methods import resolve

STEP, TIME = Goal("at most", 1.85), Goal("at most", 1.02)


class Mixtures:
    """A mixture with its consistency term, and the single module that it mixes, in the same loop.

    Ratios are to the single module's, round by round.
    """

    def __init__(self, ground: Ground):
        self.ground, mixture = ground, resolve(ground.asked.mixture, ground.weights.name)
        inner = getattr(mixture, "inner", None)
        if not isinstance(inner, str):
            raise ValueError(f"expected a mixture such as adamix-adapter, got {mixture.name!r}")
        self.single, self.mixed = resolve(inner, "").name, ground.asked.mixture
        self.methods = {self.single: inner, self.mixed: self.mixed}
        self.models: dict[str, nn.Module] = {}

    def rows(self) -> list[dict[str, Any]]:
        """Two rows of training and two of serving."""
        return [*self._training(), *self._serving()]

    def _training(self) -> list[dict[str, Any]]:
        peaks = {name: self._rehearsed(name) for name in self.methods}
        found = in_turn({name: partial(self._round, name) for name in self.methods}, self._repeats)
        same_steps({name: [steps for _, steps, _ in runs] for name, runs in found.items()})
        seconds = {name: [taken for taken, _, _ in runs] for name, runs in found.items()}
        whole = {name: self._account(name).step.of(*self._shape) for name in found}
        return [
            row(
                "adamix, training",
                name,
                f"{name}, a cell's training",
                seconds[name],
                ratio(seconds[name], seconds[self.single]),
                {
                    **spread("score", [score for _, _, score in runs]),
                    "steps": runs[0][1],
                    "precision": self.ground.precision,
                    "flops_ratio": whole[name] / whole[self.single],
                    **peaks[name],
                },
                STEP if name == self.mixed else None,
            )
            for name, runs in found.items()
        ]

    def _serving(self) -> list[dict[str, Any]]:
        for name, model in self.models.items():
            resolve(self.methods[name], self.ground.weights.name).finalize(model)  # type: ignore[arg-type]
            self._predicted(name, 0)
        found = in_turn(
            {name: partial(self._predicted, name) for name in self.methods}, self._repeats
        )
        peaks = {name: self._served_peak(name) for name in self.methods}
        whole = {name: self._account(name).serve.of(*self._shape) for name in found}
        return [
            row(
                "adamix, serving",
                name,
                f"{name}, finished",
                found[name],
                ratio(found[name], found[self.single]),
                {
                    "precision": self.ground.precision,
                    "flops_ratio": whole[name] / whole[self.single],
                    **peaks[name],
                },
                TIME if name == self.mixed else None,
            )
            for name in found
        ]

    @property
    def _repeats(self) -> int:
        return self.ground.asked.repeats

    @property
    def _shape(self) -> Shape:
        """One row of the mean length."""
        return Shape(1, round(float(self.ground.train.lengths.mean())))

    def _account(self, name: str) -> Account:
        method = resolve(self.methods[name], self.ground.weights.name)
        return account(method, self.ground.weights, self.ground.task.outputs)

    def _train(self, name: str, rows: Encoded, order: int) -> tuple[float, int]:
        method, self.models[name], run = self.ground.begun(self.methods[name], order, rows)
        return ours(self.ground, method, self.models[name], run)

    def _round(self, name: str, number: int) -> tuple[float, int, float | None]:
        ground, taken = self.ground, self._train(name, self.ground.train, number)
        model: Any = self.models[name]
        return *taken, ground.score(predict(model, ground.dev, ground.device, ground.precision))

    def _rehearsed(self, name: str) -> dict[str, Any]:
        self._train(name, self.ground.longest, 0)
        self.models.pop(name)
        peak = Peak(self.ground.device)
        self._train(name, self.ground.longest, 0)
        return {"peak_memory_bytes": peak.read(), "memory_source": peak.source}

    def _predicted(self, name: str, number: int) -> float:
        ground, model = self.ground, self.models[name]
        with timed(ground.device) as span:
            predict(model, ground.dev, ground.device, ground.precision)  # type: ignore[arg-type]
        return span.seconds

    def _served_peak(self, name: str) -> dict[str, Any]:
        peak = Peak(self.ground.device)
        self._predicted(name, 0)
        return {"peak_memory_bytes": peak.read(), "memory_source": peak.source}
