"""What a merged run keeps of the runs that it is made of, each of them on its own part.

The row that is compared with is that of the method `single`, in tables of composite tasks.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bench.record import Record
from reports.blocks import Block, Slot
from reports.checks import option
from reports.entries import text
from reports.layout import NO_VALUE, NOT_RUN, Entry, Fact
from reports.measures import MEAN
from reports.stats import mean
from reports.told import number

SINGLE = "single"  # the method whose runs are those of the parts, each on its own
HEADING = f"% of {SINGLE}"
TOLD = (
    f"{HEADING}: the mean in percent of that of {SINGLE} at the same seed; {NO_VALUE} where one "
    "of them has none."
)

Singles = Mapping[str, Mapping[int, Record]]  # by the method that they are of, then by seed


def column(block: Block) -> list[Entry]:
    """A place a row: its mean in percent of the single runs' at the same seed; [] without them.

    Of composite tasks alone.
    """
    singles = _singles(block)
    judged = _mean_of(block)
    if not singles or judged is None:
        return []
    return [_share(row[judged], singles) for row in block.rows]


def told(facts: Iterable[Fact], block: Block) -> list[Fact]:
    """The facts; those of a composite task have the share of the single run's same metric."""
    singles = _singles(block)
    known = {record.cell.key: record for record in block.records} if singles else {}
    return [
        replace(found, of_single=_of_single(known[found.key], found.metric, singles))
        if found.key in known
        else found
        for found in facts
    ]


def _mean_of(block: Block) -> int | None:
    """Which column is the mean over parts."""
    found = [n for n, column in enumerate(block.columns) if column.primary == MEAN]
    return found[0] if found and block.columns[0].composed else None


def _singles(block: Block) -> Singles:
    """The single runs by what they are of, then by seed; of composite tasks."""
    found: dict[str, dict[int, Record]] = {}
    for record in block.records if block.columns[0].composed else ():
        if record.status == "ok" and record.cell.method.partition("[")[0] == SINGLE:
            of = option(record.cell.method, "of")
            found.setdefault(of, {}).setdefault(record.cell.seed, record)
    return found


def _of_single(record: Record, metric: str, singles: Singles) -> float | None:
    """The share of the metric that the single run of the same method and seed has.

    Where but one method was run singly, that one stands for all. None without such a run, or where
    either score is undefined or that of the single run is not above 0.
    """
    of = singles.get(option(record.cell.method, "of"))
    beside = of or (next(iter(singles.values())) if len(singles) == 1 else {})
    single = beside.get(record.cell.seed)
    if single is None or record.status != "ok":
        return None
    ours, theirs = (number(r.metrics.get(metric)) for r in (record, single))
    share = ours / theirs if theirs > 0 else math.nan
    return share if math.isfinite(share) else None


def _share(slot: Slot, singles: Singles) -> Entry:
    if not slot.records:
        return Entry(NOT_RUN)
    found = [_of_single(record, MEAN, singles) for record in slot.scored]
    values = [value for value in found if value is not None]
    if not values or len(values) < len(found):
        return Entry(NO_VALUE)
    return Entry(text(values), round(100 * mean(values), 1))
