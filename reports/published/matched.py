"""Rows of papers that are rows of ours: the numbers side by side, and what is alike in them."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reports.blocks import Block, Slot
from reports.layout import AVERAGE, Column
from reports.published import PublishedRow, Score
from reports.published.likeness import Check, checks
from reports.published.papers import AVERAGED
from reports.published.prediction import FEWEST, Statistic, centre, interval

Resolve = Callable[
    [str, str], str
]  # a method as it may be typed, a model -> every option spelled out
AGREES, HIGHER, LOWER = "agrees", "ours is higher", "ours is lower"
COPIED = "copied from "  # the note of a number that says nothing against comparing it
NUMBER = "number"  # the check of the number itself


@dataclass(frozen=True)
class Line:
    """A published number and the runs that it is set beside."""

    label: str
    title: str  # of the column, or "Avg."
    row: PublishedRow
    score: Score
    values: tuple[float, ...]  # (seeds,), in the printed unit
    found: tuple[Check, ...]

    @property
    def differing(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.found if check.differs]

    @property
    def decimals(self) -> int:
        """Digits printed behind the point."""
        return len(self.score.value.partition(".")[2])

    @property
    def statistic(self) -> Statistic:
        """What ours is: the median where theirs is one, else the mean."""
        return "median" if self.row.known.protocol.statistic == "median" else "mean"

    @property
    def ours(self) -> float | None:
        """Our number, unrounded."""
        return centre(self.values, self.statistic) if self.values else None

    @property
    def gap(self) -> float | None:
        """Ours minus theirs; None where there is none of ours."""
        return None if self.ours is None else self.ours - float(self.score.value)

    @property
    def foretold(self) -> tuple[float, float] | None:
        """Where theirs would lie, to the printed digit; None where nothing may be concluded."""
        if self.differing or len(self.values) < FEWEST:
            return None
        runs = self.row.known.protocol.runs
        low, high = interval(self.values, runs, self.statistic)
        half = 0.5 * 10**-self.decimals
        return low - half, high + half

    @property
    def verdict(self) -> str:
        """What may be concluded; empty where nothing may."""
        if self.foretold is None:
            return ""
        low, high = self.foretold
        theirs = float(self.score.value)
        return HIGHER if theirs < low else LOWER if theirs > high else AGREES


def lines(block: Block, about: Sequence[PublishedRow], resolve: Resolve) -> list[Line]:
    """Every number of the rows `about` that has runs of the block beside it, row by row of ours."""
    return [line for slots in block.rows for line in _lines(slots, block.model, about, resolve)]


def _lines(
    slots: Sequence[Slot], model: str, about: Sequence[PublishedRow], resolve: Resolve
) -> Iterator[Line]:
    """The lines of one row of ours, task by task; those of the average last."""
    of = {slot.column.task: slot for slot in slots}
    for task, slot in of.items():
        for row in about:
            if _same(slot, row, model, resolve):
                yield from (_line(slot, row, score) for score in row.of(task).values())
    if of.keys() >= AVERAGED:
        for row in about:
            every = [of[task] for task in sorted(AVERAGED)]
            if all(_same(slot, row, model, resolve) for slot in every):
                yield from (_average(every, row, s) for s in row.of("average").values())


def _same(slot: Slot, row: PublishedRow, model: str, resolve: Resolve) -> bool:
    """Whether every run of the slot, and there are some, is of the row's method."""
    methods = {record.cell.method for record in slot.records}
    return len(methods) == 1 and methods <= {resolve(text, model) for text in row.known.ours}


def _line(slot: Slot, row: PublishedRow, score: Score) -> Line:
    protocol = row.known.protocol
    metric, doubt = _metric(slot, protocol.metrics.get(score.metric, score.metric))
    doubts = [d for d in (doubt, _doubt(score)) if d]
    scored = slot.scored
    values = (
        [value for value in slot.values(metric).values() if value is not None] if metric else []
    )
    factor, _ = slot.column.unit(score.metric)
    found = checks(scored, protocol, slot.column.task)
    return Line(
        label=slot.label,
        title=_task_title(slot.column, row),
        row=row,
        score=score,
        values=tuple(factor * value for value in values),
        found=(Check(NUMBER, tuple(doubts)), *found),
    )


def _average(slots: Sequence[Slot], row: PublishedRow, score: Score) -> Line:
    """The printed mean over tasks beside ours, at the seeds that have every task."""
    chosen = row.known.average
    lines = [
        next((line for line in each if line.score.metric == chosen.get(slot.column.task)), each[0])
        for slot in slots
        if (each := [_line(slot, row, s) for s in row.of(slot.column.task).values()])
    ]
    merged: dict[str, list[str]] = {NUMBER: [d] if (d := _doubt(score)) else []}
    for line in lines:
        for check in line.found:
            merged.setdefault(check.name, []).extend(check.differs)
    by_seed = [_by_seed(slot, row, line.score) for slot, line in zip(slots, lines, strict=True)]
    common = sorted(set.intersection(*map(set, by_seed)))
    return Line(
        label=slots[0].label,
        title=AVERAGE,
        row=row,
        score=score,
        values=tuple(statistics.fmean(values[seed] for values in by_seed) for seed in common),
        found=tuple(Check(name, tuple(dict.fromkeys(d))) for name, d in merged.items()),
    )


def _by_seed(slot: Slot, row: PublishedRow, score: Score) -> dict[int, float]:
    metric, _ = _metric(slot, row.known.protocol.metrics.get(score.metric, score.metric))
    factor, _ = slot.column.unit(score.metric)
    found = slot.values(metric) if metric else {}
    return {seed: factor * value for seed, value in found.items() if value is not None}


def _metric(slot: Slot, name: str) -> tuple[str, str]:
    """Our metric of that name, or the nearest that the runs have and what is to be said of it."""
    have = {metric for record in slot.scored for metric in record.metrics}
    if not have or all(name in record.metrics for record in slot.scored):
        return (name if have else "", "")
    primary = slot.column.primary
    if primary.startswith(f"{name}_") and primary in have:
        return primary, f"ours is {primary}"
    base = next((m for m in sorted(have) if name.startswith(f"{m}_")), "")
    return base, f"theirs is {name}, ours {base}" if base else f"our records have no {name}"


def _doubt(score: Score) -> str:
    return "" if score.note.startswith(COPIED) else score.note


def _task_title(column: Column, row: PublishedRow) -> str:
    """ "E2E" of a column that is headed by its metric alone."""
    return column.task if column.spread else column.title
