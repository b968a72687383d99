"""Fisher merging: a mean in which each run weighs by how much its outputs hang on a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import method
from methods.base import Unsuited
from methods.merge import Merge, Space, State, batches, checked, joined, only
from methods.sweep import highest, swept

if TYPE_CHECKING:
    from bench.backbone import Backbone


@method("fisher", source="Matena and Raffel 2022, arXiv:2111.09832, sections 3 and 4")
@dataclass(frozen=True)
class Fisher(Merge):
    """The mean over runs weighted, parameter by parameter, by their diagonal Fisher information.

    The Fisher is exact: single rows, the expectation over classes. `rows`: training rows of each
    run that it is of. `normalise`: each run's Fishers are divided by their norm over all
    parameters. `draws`: mixtures of the runs drawn from a flat Dirichlet distribution, of which,
    and of the equal one, the one is taken that is best on selection rows.

    Departs from the source: 256 rows instead of 4,096, and no run is the target whose weights are
    kept where no Fisher is above a floor.
    """

    of: str = "full"
    space: Space = "delta"  # the paper merges whole weights
    rows: int = 256
    normalise: bool = True  # as the release
    floor: float = 0.0  # of the first run's; the release's 1e-6 hides Fishers of small encoders
    draws: int = 0  # ours: the release tries 51 mixtures of two runs, random ones of more

    def __post_init__(self) -> None:
        checked(self.of)
        if self.rows < 1 or self.draws < 0:
            raise ValueError(f"expected rows of at least 1, got {self.rows}, draws {self.draws}")

    def prepare(self, model, run):
        if model.writes:
            raise Unsuited(f"a Fisher is of models that classify; {model.name!r} writes text")
        return super().prepare(model, run)

    def made(self, model, run, states):
        from methods.merging.fishers import merged

        of = {id(state): self._fisher(model, state) for state in states}
        place = {id(state): number for number, state in enumerate(states)}

        def at(weights):
            def join(some, names):
                return merged(
                    [only(state, names) for state in some],
                    [{name: of[id(state)][name] for name in names} for state in some],
                    coefficients=[weights[place[id(state)]] for state in some],
                    floor=self.floor,
                    normalise=False,  # done below, over all names
                )

            return joined(states, join)

        mixtures = [[1.0] * len(states), *self._drawn(run, len(states))]
        if len(mixtures) == 1:
            return at(mixtures[0])
        told = f"highest {run.primary} on selection rows"
        return at(swept(model, run, "mixture", mixtures, at, highest(run.primary), told))

    def _fisher(self, model: Backbone, state: State):
        from torch import stack

        from methods.merging.statistics import fisher

        def make():
            return fisher(model, batches(model, state, self.rows), state.tensors)

        kept = state.statistic(f"fisher-{self.space}-{self.rows}", make)
        if not self.normalise:
            return kept
        norm = stack([f.double().square().sum() for f in kept.values()]).sum().sqrt()
        return {name: f.double() / norm for name, f in kept.items()}

    def _drawn(self, run, runs: int) -> list[list[float]]:
        import torch

        source = run.generator("fisher")
        flat = -torch.rand(self.draws, runs, generator=source, dtype=torch.float64).log()
        return (runs * flat / flat.sum(1, keepdim=True)).tolist()
