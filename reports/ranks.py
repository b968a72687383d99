"""How a score without training ranks candidates, beside how they do once they are tuned.

A record with `where.logme` has the evidence of a candidate; an ok record with `where.candidate` has
the score of the same candidate, tuned by what `where.tuned` says.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.record import Record
from reports.measures import measure

Array = NDArray[np.float64]
Rows = tuple[str, str]  # a task with its options, and the stamp of its data
Found = Mapping[tuple[str, int], list[float]]  # by candidate and seed
Table = defaultdict[tuple[str, int], list[float]]
FEWEST = 3  # candidates of a ranking
DRAWS, LEVEL = 1_999, 0.95


class Pair(NamedTuple):
    """One candidate: means over seeds."""

    candidate: str  # "cut[layers=6,pool=mean]"; of several models with the model in front
    evidence: float  # in nats per row
    score: float  # the primary metric, unrounded


@dataclass(frozen=True)
class Ranking:
    """How far evidence and tuned scores agree on one task.

    `tau`: Kendall's tau-b, 1 where both rank alike; the score's direction is accounted for. `low`,
    `high`: its 95 % interval; NaN where a side is constant.
    """

    task: str  # without options where that is one ranking; of a mean "mean of 3 tasks"
    pairs: list[Pair]  # by falling evidence; none of a mean
    tau: float
    low: float
    high: float
    tuned: str = ""  # the method that tuned the candidates
    seeds: int = 0  # the most that a candidate has


@dataclass(frozen=True)
class Scored:
    """The candidates of one task, seed by seed; NaN where there is no record."""

    task: str
    tuned: str
    names: tuple[str, ...]
    evidence: Array  # (candidates, seeds)
    scores: Array  # (candidates, seeds)
    falls: bool  # lower scores are better

    @property
    def pairs(self) -> list[Pair]:
        """Means over seeds, by falling evidence."""
        means = zip(self.names, self.evidence, self.scores, strict=True)
        found = [Pair(name, *map(float, map(np.nanmean, both))) for name, *both in means]
        return sorted(found, key=lambda pair: (-pair.evidence, pair.candidate))

    def tau(self) -> float:
        """Kendall's tau-b of the means over seeds."""
        everyone, every = np.arange(len(self.names)), np.arange(self.scores.shape[1])
        return float(self.taus(everyone[None], every[None])[0])

    def taus(self, candidates: NDArray, seeds: NDArray) -> Array:
        """Those of resamples: (draws, candidates), (draws, seeds) -> (draws,)."""
        sign = -1.0 if self.falls else 1.0
        return sign * kendall(*(_means(x, candidates, seeds) for x in (self.evidence, self.scores)))


def ranked(records: Iterable[Record]) -> list[Ranking]:
    """A ranking for each task, and each method that tuned, of at least three candidates.

    The interval is that of a percentile bootstrap over candidates and, with more than one, over
    seeds (Efron and Tibshirani 1993, section 13.3): a candidate that is drawn twice is a tie with
    itself, which tau-b leaves out.
    """
    return [
        Ranking(one.task, one.pairs, one.tau(), *_interval([one]), one.tuned, one.scores.shape[1])
        for one in scored(records)
    ]


def averaged(records: Iterable[Record]) -> list[Ranking]:
    """The mean of tau over tasks, for each method that tuned the candidates of at least two.

    The interval is of the same tasks: in each draw all of them see the same candidates.
    """
    by: dict[str, list[Scored]] = defaultdict(list)
    for one in scored(records):
        by[one.tuned].append(one)
    found = []
    for tuned, some in sorted(by.items()):
        if len(some) > 1:
            mean = float(np.mean([one.tau() for one in some]))
            seeds = max(one.scores.shape[1] for one in some)
            title = f"mean of {len(some)} tasks"
            found.append(Ranking(title, [], mean, *_interval(some), tuned, seeds))
    return found


def scored(records: Iterable[Record]) -> list[Scored]:
    """The candidates that have both an evidence and a tuned score, by task and what tuned them.

    Several results of one candidate at one seed, as under several recipes, count by their mean.
    """
    once = {record.cell.key: record for record in records if record.status == "ok"}
    known = [record for _, record in sorted(once.items()) if _candidate(record)]
    several = len({record.cell.model for record in known}) > 1
    evidence: dict[Rows, Table] = defaultdict(_table)
    scores: dict[tuple[Rows, str, bool], Table] = defaultdict(_table)
    for record in known:
        rows = (record.cell.task, record.cell.data)
        name = f"{record.cell.model} {_candidate(record)}" if several else _candidate(record)
        if "logme" in record.where:
            table, value = evidence[rows], _number(_logme(record).get("evidence"))
        else:
            tuned, falls = str(record.where.get("tuned", "")), measure(record.primary).falls
            table = scores[rows, tuned, falls]
            value = _number(record.metrics.get(record.primary))
        if value is not None:
            table[name, record.cell.seed].append(value)
    titles = _titles(rows for rows, _, _ in scores)
    found = [
        _scored(titles[rows], tuned, falls, evidence.get(rows, {}), some)
        for (rows, tuned, falls), some in sorted(scores.items())
    ]
    return [one for one in found if len(one.names) >= FEWEST]


def kendall(x: Array, y: Array) -> Array:
    """Kendall's tau-b along the last axis: (..., n), (..., n) -> (...); NaN entries are left out.

    NaN where a side is constant. Source: Kendall 1945, doi:10.1093/biomet/33.3.239.
    """
    above, right = (
        np.sign(x[..., :, None] - x[..., None, :]),
        np.sign(y[..., :, None] - y[..., None, :]),
    )
    known = np.isfinite(above) & np.isfinite(right)
    above, right = np.where(known, above, 0.0), np.where(known, right, 0.0)
    scale = np.sqrt((above**2).sum((-1, -2)) * (right**2).sum((-1, -2)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale > 0, (above * right).sum((-1, -2)) / scale, np.nan)


def _scored(title: str, tuned: str, falls: bool, evidence: Found, scores: Found) -> Scored:
    """What both sides have."""
    names = sorted({name for name, _ in evidence} & {name for name, _ in scores})
    seeds = sorted({seed for name, seed in (*evidence, *scores) if name in names})

    def table(found: Found) -> Array:
        return np.array([[_mean(found.get((name, seed))) for seed in seeds] for name in names])

    return Scored(title, tuned, tuple(names), table(evidence), table(scores), falls)


def _table() -> Table:
    return defaultdict(list)


def _titles(asked: Iterable[Rows]) -> dict[Rows, str]:
    """The task without its options, where it is among the rows in one form alone."""
    distinct = {*asked}
    plain = {rows: rows[0].partition("[")[0] for rows in distinct}
    names = [*plain.values()]
    return {rows: name if names.count(name) == 1 else rows[0] for rows, name in plain.items()}


def _interval(tasks: Sequence[Scored]) -> tuple[float, float]:
    """Of the mean over tasks of tau; draws in which a side is constant are left out."""
    generator = np.random.default_rng(0)
    names = sorted({name for one in tasks for name in one.names})
    drawn = generator.integers(len(names), size=(DRAWS, len(names)))
    means = np.zeros(DRAWS)
    for one in tasks:
        where = np.array([one.names.index(n) if n in one.names else -1 for n in names])
        count = one.scores.shape[1]
        means += one.taus(where[drawn], generator.integers(count, size=(DRAWS, count)))
    means = means[np.isfinite(means)] / len(tasks)
    if not len(means):
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def _means(table: Array, candidates: NDArray, seeds: NDArray) -> Array:
    """Means over the drawn seeds of the drawn candidates, (draws, candidates); -1 is nobody."""
    found = table[candidates[:, :, None], seeds[:, None, :]]
    found = np.where(candidates[:, :, None] < 0, np.nan, found)
    known = np.isfinite(found)
    with np.errstate(invalid="ignore"):
        return np.where(known, found, 0.0).sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan)


def _mean(values: Sequence[float] | None) -> float:
    return float(np.mean(values)) if values else math.nan


def _logme(record: Record) -> Mapping[str, Any]:
    found = record.where.get("logme")
    return found if isinstance(found, dict) else {}


def _candidate(record: Record) -> str:
    """What the record is about; "" where it is about no candidate."""
    found = _logme(record).get("candidate") or record.where.get("candidate")
    return found if isinstance(found, str) else ""


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
