"""Simple averaging: the mean of the weights of several runs."""

from __future__ import annotations

from dataclasses import dataclass

from methods import method
from methods.merge import Merge, Space, checked, joined, only


@method("average", source="Wortsman et al. 2022, arXiv:2203.05482; Choshen et al. 2022, 2204.03044")
@dataclass(frozen=True)
class Average(Merge):
    """The mean of the runs on each part of a composite task; a head of each part's own stays."""

    of: str = "full"
    space: Space = "delta"  # the paper merges whole weights

    def __post_init__(self) -> None:
        checked(self.of)

    def made(self, model, run, states):
        from methods.merging.algebra import mean

        return joined(states, lambda some, names: mean([only(state, names) for state in some]))
