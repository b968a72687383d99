"""RegMean: linear layers merged by least squares on what each of them was given to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods import method
from methods.merge import Merge, Space, State, batches, checked, joined, only
from methods.sweep import highest, swept

if TYPE_CHECKING:
    from bench.backbone import Backbone


@method("regmean", source="Jin et al. 2023, arXiv:2212.09849, section 3 and algorithm 1")
@dataclass(frozen=True)
class RegMean(Merge):
    """Every linear map becomes the one nearest to what each run's map makes of its own inputs.

    `alpha` scales what is off the diagonal of each Gram matrix; of several values the one is taken
    that is best on selection rows. `rows`: sentences of each run's training rows that its Gram
    matrices are of. Everything but linear maps is averaged.

    Departs from the source: padding is no input; the system is solved in float64 with a ridge of a
    millionth of the mean diagonal, where the release inverts.
    """

    of: str = "full"
    space: Space = "delta"  # the paper merges whole weights
    alpha: tuple[float, ...] = (0.9,)  # section 4.2; released settings: 0.1, 0.9 and 1
    normalise: Literal["rows", "none"] = "rows"  # as the release: every run weighs the same
    rows: int = 256  # fusion_bench; the release says 1,000 and reads as many batches

    def __post_init__(self) -> None:
        checked(self.of)
        for alpha in self.alpha or (-1.0,):
            if not 0 <= alpha <= 1:
                raise ValueError(f"expected alpha from 0 to 1, got {self.alpha or 'none'}")
        if self.rows < 1:
            raise ValueError(f"expected rows of at least 1, got {self.rows}")

    def made(self, model, run, states):
        from methods.merging.grams import merged

        grams = [self._grams(model, state) for state in states]
        of = {id(state): gram for state, gram in zip(states, grams, strict=True)}

        def at(alpha: float):
            def join(some: Sequence[State], names: Sequence[str]):
                return merged(
                    [only(state, names) for state in some],
                    [{n: g for n, g in of[id(state)].items() if n in names} for state in some],
                    alpha=alpha,
                    normalise=self.normalise,
                )

            return joined(states, join)

        if len(self.alpha) == 1:
            return at(self.alpha[0])
        told = f"highest {run.primary} on selection rows"
        chosen = swept(model, run, "alpha", self.alpha, at, highest(run.primary), told)
        return at(chosen)

    def _grams(self, model: Backbone, state: State):
        """The Gram matrix of each linear map of the run, and the rows it is of, by weight."""
        from torch import tensor

        from methods.merging.statistics import grams

        def make():
            found = grams(model, batches(model, state, self.rows), state.tensors)
            every = {name: gram for name, (gram, _) in found.items()}
            return every | {f"{name}#": tensor(count) for name, (_, count) in found.items()}

        kept = state.statistic(f"gram-{self.space}-{self.rows}", make)
        return {n: (g, int(kept[f"{n}#"])) for n, g in kept.items() if not n.endswith("#")}
