"""Scores of labels, split by split."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.registry import unknown
from tasks.base import Task
from tasks.metrics import metric


def scored(
    of: Task,
    reported: Sequence[str],
    predictions: Mapping[str, Sequence[Any]],
    references: Mapping[str, Sequence[Any]],
) -> dict[str, float | None]:
    """The metrics of a task: "f1" of its first reported split, "f1_matched" of that split.

    Raises Unknown for a split that is not reported.
    """
    for split in references:
        if split not in reported:
            raise unknown(f"reported split of {of.name}", split, reported)
    scores = {}
    for name in of.metrics:
        measure, _, split = name.partition("_")
        split = split or reported[0]
        if split in references:
            scores[name] = metric[measure](predictions.get(split, ()), references[split])
    return scores
