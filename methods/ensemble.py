"""The mean of the outputs of several runs, which costs as many passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods import method
from methods.base import Need, Unsuited
from methods.merge import checked
from methods.side import SideBySide


@method("ensemble", source="Wortsman et al. 2022, arXiv:2203.05482, section 3.1 (logit ensemble)")
@dataclass(frozen=True)
class Ensemble(SideBySide):
    """The mean of the logits of the runs that a merge would be made of.

    On a composite task a run on each part, which need one space of labels; on a plain one, runs of
    `of` for each of the learning rates `lr`, `count` times in other orders.
    """

    of: str = "full"
    count: int = 1
    lr: tuple[float, ...] = ()

    together: ClassVar = True

    def __post_init__(self) -> None:
        checked(self.of)
        if self.count < 1:
            raise ValueError(f"expected count of at least 1, got {self.count}")

    def needs(self):
        points = [{"lr": rate} for rate in self.lr] or [{}]
        recipes = [{**point, "order": n} for point in points for n in range(self.count)]
        return tuple(Need(self.of, recipe, "each") for recipe in recipes)

    def prepare(self, model, run):
        if len(getattr(model.head, "of", ())) > 1:
            raise Unsuited("outputs of different spaces of labels have no mean: one head for all")
        return super().prepare(model, run)

    def _count(self, model):
        return super()._count(model) * len(self.needs())
