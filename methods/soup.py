"""Soups: the weights of several runs of one task, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from methods import method
from methods.base import Need
from methods.merge import Merge, Space, State, checked
from methods.sweep import scored
from methods.trained import check

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32  # rows, where coefficients are learned
SWEPT = ("lr", "epochs", "decay", "smoothing")  # options of the recipe


@method("soup", source="Wortsman et al. 2022, arXiv:2203.05482, sections 2 and 3.1, appendix I")
@dataclass(frozen=True)
class Soup(Merge):
    """A mean of what several runs of the method `of` have trained, the head included.

    The runs start from the same head and modules and see the same rows. There is one for every
    combination of the options of the recipe that are listed, `count` times; those differ in the
    order of the rows, in dropout and in routing. `by`:
    - "uniform": the mean of all;
    - "greedy": from the best on selection rows on, best first, each that makes the mean better
      ("gt") or no worse ("ge") on those rows;
    - "learned": a softmax over the runs for each tensor, and a scale of the logits, learned on
      selection rows (appendix I).

    The paper accepts ties, its release does not; as few rows tie often, the release is followed.
    Departs from the source: with no option listed all hyper-parameters are the same.
    """

    of: str = "adapter"
    count: int = 4  # as many as the experts of AdaMix, which it stands beside
    by: Literal["uniform", "greedy", "learned"] = "uniform"
    accept: Literal["gt", "ge"] = "gt"  # the release
    lr: tuple[float, ...] = ()  # none listed: as the suite has it, and so below
    epochs: tuple[float, ...] = ()  # likewise
    decay: tuple[float, ...] = ()  # likewise
    smoothing: tuple[float, ...] = ()  # likewise
    space: Space = "factor"  # what was trained, as AdaMix merges its modules

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected count of at least 1, got {self.count}")
        checked(self.of)

    def needs(self):
        return tuple(Need(self.of, recipe) for recipe in self.recipes)

    @property
    def recipes(self) -> list[dict[str, Any]]:
        """What differs from run to run."""
        listed = {name: getattr(self, name) for name in SWEPT if getattr(self, name)}
        points = [dict(zip(listed, point, strict=True)) for point in product(*listed.values())]
        return [{**point, "order": order} for point in points for order in range(self.count)]

    def made(self, model, run, states):
        for state in states[1:]:
            check(state.tensors, states[0].tensors, "the first one")
            if state.run.head_init != states[0].run.head_init:
                raise ValueError(
                    f"expected one head to start from, got another of {state.run.told}"
                )
        runs = [state.tensors for state in states]
        alone = [self._alone(model, run, state) for state in states]
        every: Sequence[int] = range(len(runs))
        if self.by == "greedy":
            kept, trace = self._greedy(model, run, runs, alone)
            self._tell(model, states, alone, kept, trace)
            return uniform([runs[i] for i in kept])
        if self.by == "learned":
            from methods.merging.learned import learned

            made, weights = learned(model, runs, lambda: run.batches("selection", BATCH))
            self._tell(model, states, alone, every, [self._score(model, run, made)])
            model.facts["soup"]["weights"] = weights
            return made
        made = uniform(runs)
        self._tell(model, states, alone, every, [self._score(model, run, made)])
        return made

    def _alone(self, model, run, state: State) -> float | None:
        """The score of one run, worked out once for all soups."""
        from torch import float64, nan, tensor

        if model.writes or not run.selects:
            return None

        def make():
            score = self._score(model, run, state.tensors)
            return {run.primary: tensor(nan if score is None else score, dtype=float64)}

        found = float(state.statistic(f"selection-{self.space}", make)[run.primary])
        return None if found != found else found

    def _score(self, model, run, tensors) -> float | None:
        """The primary metric on selection rows, where there are any."""
        if model.writes or not run.selects:
            return None
        return scored(model, run, tensors)[run.primary]

    def _greedy(self, model, run, runs, alone):
        """Which runs are kept, in the order they were taken, and the score after each."""
        if None in alone:
            raise ValueError(f"expected {run.primary} of every run on selection rows, got none")
        best_first = sorted(range(len(runs)), key=lambda i: (-alone[i], i))
        kept, trace = best_first[:1], [alone[best_first[0]]]
        for number in best_first[1:]:
            score = self._score(model, run, uniform([runs[i] for i in [*kept, number]]))
            if score > trace[-1] or (self.accept == "ge" and score == trace[-1]):
                kept.append(number)
                trace.append(score)
        return kept, trace

    def _tell(self, model, states: Sequence[State], alone, kept: Sequence[int], trace) -> None:
        model.facts["soup"] = {
            "runs": [
                {"told": _told(recipe), "selection": score, "test": state.run.score}
                for recipe, score, state in zip(self.recipes, alone, states, strict=True)
            ],
            "kept": sorted(kept),
            "trace": trace,
        }


def uniform(runs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over the runs, tensor by tensor.

    Raises ValueError naming the first tensor that not all of them have in the same shape.
    """
    from methods.merging.algebra import mean

    return mean(runs)


def _told(recipe: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in recipe.items())
