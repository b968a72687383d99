"""Soups: the weights of several runs, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import method, resolve
from methods.base import Need
from methods.trained import OnRuns, check, put

if TYPE_CHECKING:
    from torch import Tensor


@method("soup", source="Wortsman et al. 2022, arXiv:2203.05482, uniform soup")
@dataclass(frozen=True)
class Soup(OnRuns):
    """The mean of what `count` runs of the method `of` have trained, the head included.

    The runs start from the same head and modules and see the same rows; they differ in the order of
    the rows, in dropout and in routing. The first is the run of `of` by itself.

    Departs from the source: all hyper-parameters are the same (there they differ from run to run),
    and only what the method trains is averaged.
    """

    of: str = "adapter"
    count: int = 4  # as many as the experts of AdaMix, which it stands beside

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected count of at least 1, got {self.count}")
        if resolve(self.of, "").needs():
            raise ValueError(f"expected a method that trains, got of={self.of}")

    def needs(self):
        return tuple(Need(self.of, {"order": order}) for order in range(self.count))

    def prepare(self, model, run):
        return self.inner.prepare(model, run)

    def fit(self, model, run):
        put(model, uniform(run.parents()))

    def finalize(self, model):
        return self.inner.finalize(model)


def uniform(runs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over the runs, tensor by tensor.

    Raises ValueError naming the first tensor that not all of them have in the same shape.
    """
    from torch import stack

    for other in runs[1:]:
        check(other, runs[0], "the first one")
    return {name: stack([run[name] for run in runs]).mean(0) for name in runs[0]}
