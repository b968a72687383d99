"""PAINT: a model patched on new tasks by interpolation between it and one tuned on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from methods import method
from methods.base import Need, Unsuited
from methods.merge import Merge, Space, checked, given
from methods.sweep import grid, swept
from methods.trained import hold

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone
    from methods.sweep import Scores

    Tensors = Mapping[str, Tensor]


@method("paint", source="Ilharco et al. 2022, arXiv:2208.05592, sections 2 and 4")
@dataclass(frozen=True)
class Paint(Merge):
    """The pretrained model patched on the first `patches` parts of a composite task.

    The weights lie between the pretrained ones and those tuned by `of`, at the place `alpha` where
    the mean of patched and of supported tasks, each a mean of its own, is highest on selection
    rows, of equals the nearest to the pretrained. The other parts are supported: what the model can
    do already. With several patches, `by`:
    - "joint": tuned on the rows of all patches together;
    - "sequential": patched on the first, then from there tuned and patched on the second;
    - "parallel": a run for each, its change added with an alpha of its own, one after another.

    Heads are given, not trained. Departs from the source: parallel patches choose their alphas in
    turn, where the source searches over all together.
    """

    of: str = "full"
    patches: int = 1
    by: Literal["joint", "sequential", "parallel"] = "joint"
    space: Space = "delta"  # the paper merges whole weights
    step: float = 0.05  # section 2: alpha from 0 to 1 by 0.05
    alpha: float | None = None  # none: chosen; else this one, nothing looked at

    asks_given: ClassVar = True

    def __post_init__(self) -> None:
        checked(self.of)
        if self.patches < 1 or (self.by == "sequential" and self.patches > 2):
            most = "1 or 2 patches one after another" if self.by == "sequential" else "at least 1"
            raise ValueError(f"expected patches: {most}, got {self.patches}")
        if not 0 < self.step <= 1:
            raise ValueError(f"expected step above 0 and at most 1, got {self.step}")
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise ValueError(f"expected alpha from 0 to 1, got {self.alpha}")

    def needs(self):
        if self.by == "joint":
            patches = tuple(range(self.patches))
            return (Need(self.of, part=patches if self.patches > 1 else 0),)
        runs = self.patches if self.by == "parallel" else 1
        return tuple(Need(self.of, part=part) for part in range(runs))

    def prepare(self, model, run):
        given(model)
        if self.by == "sequential" and self.of != "full":
            raise Unsuited(f"tunes on from patched weights, which of=full does, not of={self.of}")
        return super().prepare(model, run)

    def fit(self, model, run):
        from methods.merging.algebra import between, delta, moved

        if len(run.parts or (run.primary,)) < self.patches:
            raise ValueError(f"expected a task of {self.patches} parts, got {len(run.parts)}")

        states = self.states(model, run)
        base = self._now(model, states[0].tensors)
        if self.by == "parallel":
            for number, state in enumerate(states):
                vector, start = delta(state.tensors, base), self._now(model, base)
                self._patched(model, run, number + 1, partial(moved, start, [vector]))
        else:
            first = self.patches if self.by == "joint" else 1
            tuned = states[0].tensors
            self._patched(model, run, first, partial(between, base, tuned))
            if self.by == "sequential" and self.patches > 1:
                start = self._now(model, base)
                run.train(model, self.inner.loss, parts=[1])
                self._patched(model, run, 2, partial(between, start, self._now(model, base)))
        self.tell(model, [state.run for state in states])

    def _patched(self, model, run, patches: int, made) -> None:
        """Leaves the model at the best alpha with so many patches, the last of them new."""
        if self.alpha is not None:
            hold(model, made(self.alpha))
            return
        parts = list(run.parts or (run.primary,))
        rule = best_of_both(parts[:patches], parts[self.patches :])
        both = (parts[:patches], parts[self.patches :])
        means = " and of ".join(", ".join(names) for names in both if names)
        told = f"highest mean of {means} on selection rows"
        swept(model, run, "alpha", grid(1.0, self.step), made, rule, told)
        model.facts["alphas"] = [*model.facts.get("alphas", ()), model.facts["sweep"]["chosen"]]

    @staticmethod
    def _now(model: Backbone, names: Tensors) -> dict[str, Tensor]:
        own = dict(model.named_parameters())
        return {name: own[name].detach().clone() for name in names}


def best_of_both(patched: Sequence[str], supported: Sequence[str]):
    """The place with the highest mean of both means, of equals the first."""

    def mean(scores: Scores, names: Sequence[str]) -> float:
        return sum(scores[name] or 0.0 for name in names) / len(names)

    def rule(every: Sequence[Scores]) -> int:
        groups = [names for names in (patched, supported) if names]
        both = [sum(mean(scores, names) for names in groups) for scores in every]
        return max(range(len(both)), key=lambda i: (both[i], -i))

    return rule
