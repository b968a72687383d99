"""A coefficient chosen on selection rows, every value's scores kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from methods.trained import hold

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone
    from methods.base import Run

Scores = Mapping[str, float | None]


def grid(most: float, step: float) -> list[float]:
    """0, step, 2 step, ... up to `most`, each rounded to what it is meant to be."""
    return [round(i * step, 10) for i in range(round(most / step) + 1)]


def scored(model: Backbone, run: Run, tensors: Mapping[str, Tensor]) -> Scores:
    """The metrics on selection rows of the model with those tensors, which stay in it."""
    hold(model, tensors)
    return run.evaluate(model, "selection")


def highest(name: str) -> Callable[[Sequence[Scores]], int]:
    """The place of the highest score of that name, of equals the first; undefined is lowest."""

    def rule(every: Sequence[Scores]) -> int:
        values = [scores[name] for scores in every]
        return max(range(len(values)), key=lambda i: (_number(values[i]), -i))

    return rule


def swept(
    model: Backbone,
    run: Run,
    of: str,
    values: Sequence[Any],
    made: Callable[[Any], Mapping[str, Tensor]],
    rule: Callable[[Sequence[Scores]], int],
    told: str,
) -> Any:
    """The value that `rule` picks by the selection scores of what is `made` of each.

    Leaves the picked tensors in the model, and all scores in its facts. `told`: the rule in words.
    """
    every = [scored(model, run, made(value)) for value in values]
    chosen = values[rule(every)]
    hold(model, made(chosen))
    model.facts["sweep"] = {
        "of": of,
        "values": list(values),
        "selection": {name: [scores[name] for scores in every] for name in every[0]},
        "chosen": chosen,
        "rule": told,
    }
    return chosen


def _number(score: float | None) -> float:
    return float("-inf") if score is None else score
