"""What the runs of a row print: scores over seeds, their average, counts of parameters."""

from collections.abc import Iterable, Mapping, Sequence

from bench.record import Record
from reports.blocks import Slot, lack
from reports.layout import NO_VALUE, NOT_RUN, UNDEFINED, Entry, Row, averaged
from reports.measures import PERCENT, parted
from reports.stats import mean, spread

Unit = tuple[float, int]  # factor, decimals


def row(slots: Sequence[Slot], seeds: Sequence[int]) -> Row:
    """Label, parameters, a score a task and, over several tasks, their average.

    `seeds`: those of the whole table; an entry over fewer says so.
    """
    average = [_average(slots, seeds)] if averaged([slot.column for slot in slots]) else []
    scores = [_score(slot, seeds) for slot in slots]
    return (Entry(slots[0].label), _parameters(slots), *scores, *average)


def _parameters(slots: Iterable[Slot]) -> Entry:
    """ "1.99M / 0.81M", with ranges where the tasks differ."""
    costs = [record.cost for slot in slots for record in slot.records if record.cost]
    if not costs:
        return Entry(NO_VALUE)
    return Entry(" / ".join(_span(costs, name) for name in ("trained_params", "served_params")))


def _span(costs: Iterable[Mapping[str, int]], name: str) -> str:
    counts = sorted({cost[name] for cost in costs if name in cost})
    ends = dict.fromkeys(map(_count, counts[:1] + counts[-1:]))
    return "\N{EN DASH}".join(ends) or NO_VALUE


def _count(parameters: int) -> str:
    """ "0.81M" for 811,392, "48.2K" for 48,200."""
    if parameters < 1_000:
        return str(parameters)
    if parameters < 100_000:
        return f"{parameters / 1_000:.1f}K"
    return f"{parameters / 1_000_000:.{2 if parameters < 10_000_000 else 1}f}M"


def _score(slot: Slot, seeds: Sequence[int]) -> Entry:
    """The metrics of one place, each the mean over the runs that finished."""
    if not slot.records:
        return Entry(NOT_RUN)
    lost = [record for record in slot.records if record.status != "ok"]
    remarks = [f"{r.status}: {' '.join(r.reason.split()) or 'no reason given'}" for r in lost]
    if not slot.scored:
        failed = any(record.status == "failed" for record in lost)
        return Entry("failed" if failed else "skipped", remarks=tuple(remarks))
    values = {metric: slot.values(metric) for metric in slot.column.shown}
    primary = values[slot.column.primary]
    remarks += _fewer(primary, seeds)
    for metric in values:
        remarks += _missing(slot, metric)
    unit = slot.column.unit
    return Entry(
        text="/".join(text([*scores.values()], unit(m)) for m, scores in values.items()),
        value=_printed([*primary.values()], unit(slot.column.primary)),
        remarks=tuple(remarks),
    )


def _average(slots: Sequence[Slot], seeds: Sequence[int]) -> Entry:
    """The mean over tasks of the primaries, over the seeds that have every task."""
    values = [slot.values(slot.column.primary) for slot in slots]
    averages = {}
    for seed in seeds:
        defined = [value for by_seed in values if (value := by_seed.get(seed)) is not None]
        if len(defined) == len(slots):
            averages[seed] = mean(defined)
    if not averages:
        return Entry(NO_VALUE)
    scores = [*averages.values()]
    return Entry(text(scores), _printed(scores), remarks=tuple(_fewer(averages, seeds)))


def _printed(values: Sequence[float | None], unit: Unit = PERCENT) -> float | None:
    """The mean in the unit that is printed, rounded; None when a run's metric is undefined."""
    factor, decimals = unit
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return None
    return round(factor * mean(defined), decimals) + 0.0  # never -0.0


def text(values: Sequence[float | None], unit: Unit = PERCENT) -> str:
    """The mean of scores in the unit that is printed, and from two on their spread."""
    factor, decimals = unit
    centre = _printed(values, unit)
    if centre is None:
        return UNDEFINED
    if len(values) == 1:
        return f"{centre:.{decimals}f}"
    around = factor * spread([v for v in values if v is not None])
    return f"{centre:.{decimals}f}±{around:.{decimals}f}"


def _fewer(finished: Iterable[int], seeds: Sequence[int]) -> list[str]:
    here = sorted(finished)
    if here == [*seeds]:
        return []
    return [f"{len(here)} of {len(seeds)} seeds: {', '.join(map(str, here))}"]


def _missing(slot: Slot, metric: str) -> list[str]:
    """Why a metric has no value: what the machine lacked, or at which seeds it is undefined."""
    empty = [record for record in slot.scored if record.metrics[metric] is None]
    undefined = [str(record.cell.seed) for record in empty if not lack(record, metric)]
    remarks = [*dict.fromkeys(_lacking(r, metric) for r in empty if lack(r, metric))]
    if undefined:
        where = f" at seed {', '.join(undefined)}" if len(slot.scored) > 1 else ""
        remarks.append(f"{UNDEFINED}: {metric} is undefined{where}")
    return remarks


def _lacking(record: Record, metric: str) -> str:
    """ "CIDEr and METEOR n/a (no Java)": all that the machine lacked the same thing for."""
    reason = lack(record, metric)
    alike = {parted(m)[0] for m in record.where["lacks"] if lack(record, m) == reason}
    *most, last = sorted(name.replace("_", "-") for name in alike)
    names = f"{', '.join(most)} and {last}" if most else last
    return f"{names} {UNDEFINED} ({reason})"
