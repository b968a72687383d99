"""What a plot shows of a method: its mean over tasks and seeds, with an interval over seeds."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import stats
from reports.blocks import Block
from reports.layout import Column
from reports.measures import measure, short

TIMES = "\N{MULTIPLICATION SIGN}"
LEVEL = "95 %"
BARS = (
    f"Bars: {LEVEL} confidence intervals over seeds (Student's, or a studentised bootstrap within "
    "tasks from eight degrees of freedom on)"
)


class Mean(NamedTuple):
    """The mean of a method's scores; low and high are one where there is no interval."""

    method: str
    centre: float
    low: float
    high: float
    seeds: int
    values: tuple[float, ...] = ()  # by seed, the mean over tasks

    @property
    def bar(self) -> bool:
        """Whether there is an interval: from two seeds on."""
        return self.seeds > 1

    @property
    def reach(self) -> list[list[float]]:
        """How far the interval goes below and above, as error bars take it."""
        return [[max(0.0, self.centre - self.low)], [max(0.0, self.high - self.centre)]]


def judged(block: Block, runs: pd.DataFrame) -> list[int]:
    """The numbers of the columns that have a score and are what their tasks are judged by.

    One alone where all are metrics of one task.
    """
    scored = runs[runs["score"].notna()]
    known = {int(number) for number in scored.loc[scored["main"].astype(bool), "column"]}
    chosen = sorted(known) or sorted({int(number) for number in scored["column"]})
    return chosen[:1] if len(block.tasks) == 1 else chosen


def together(columns: Sequence[Column]) -> bool:
    """Whether an average of the columns has a unit and a direction."""
    units = {column.unit(column.primary)[0] for column in columns}
    return len(units) == 1 and len({column.falls for column in columns}) == 1


def means(runs: pd.DataFrame, columns: Sequence[int]) -> list[Mean]:
    """The mean over the columns, a method, by the seeds at which it has a score in each of them.

    Methods without such a seed are left out; the others stand in the order of `runs`.
    """
    here = runs[runs["column"].isin(columns) & runs["score"].notna()]
    found: dict[str, dict[int, dict[int, float]]] = {}
    for method, seed, column, score in zip(
        *(here[name] for name in ("method", "seed", "column", "score")), strict=True
    ):
        found.setdefault(str(method), {}).setdefault(seed, {})[column] = float(score)
    made = []
    for method, seeds in found.items():
        whole = [seeds[seed] for seed in sorted(seeds) if len(seeds[seed]) == len(columns)]
        if whole:
            made.append(_mean(method, np.array([[row[c] for c in columns] for row in whole])))
    return made


def _mean(method: str, scores: NDArray) -> Mean:
    """Of scores (seeds, columns)."""
    by_seed = tuple(float(value) for value in scores.mean(axis=1))
    centre = stats.mean(by_seed)
    low = high = centre
    if len(by_seed) > 1:
        low, high = stats.interval([*scores.T])
    return Mean(method, centre, low, high, len(by_seed), by_seed)


def score_label(columns: Sequence[Column]) -> str:
    """ "SST-2: accuracy x 100", "Mean accuracy x 100 over 6 tasks"; and whether down is better."""
    label = metric_label(columns)
    if len(columns) > 1:
        return f"Mean {label[0].lower()}{label[1:]} over {len(columns)} tasks"
    return label if columns[0].spread else f"{columns[0].title}: {label[0].lower()}{label[1:]}"


def metric_label(columns: Sequence[Column]) -> str:
    """What the columns measure, without their tasks: "Accuracy x 100", "TER (lower is better)"."""
    times, falls = _unit(columns[0])
    names = {metric_name(column) for column in columns}
    name = names.pop() if len(names) == 1 else "primary score"
    return f"{name[0].upper()}{name[1:]}{times}{falls}"


def metric_name(column: Column) -> str:
    """The primary metric in a few words: "accuracy"; as headings do where it is long."""
    if column.spread:
        return column.title.replace("\N{DOWNWARDS ARROW}", "")
    known = measure(column.primary).name
    return known if len(known) < 30 else short(column.primary)


def heard(means: Iterable[Mean]) -> str:
    """What the bars are, and which points have none, as a sentence."""
    counts = {mean.seeds for mean in means}
    if counts <= {1}:
        return "One run a point: no interval can be given."
    alone = " A point of one seed has no bar." if 1 in counts else ""
    return f"{BARS}.{alone}"


def _unit(column: Column) -> tuple[str, str]:
    """What scores are multiplied by, and whether lower is better, as words."""
    factor = column.unit(column.primary)[0]
    times = f" {TIMES} {factor:g}" if factor != 1 else ""
    return times, " (lower is better)" if column.falls else ""
