"""What a table says of merged runs: of what, in which space, by which coefficient, at what price.

Records tell of a merge as `where.merge` ("space" and "parents") and of a coefficient that was
chosen as `where.sweep` ("of", "values", "chosen", "rule").
"""

import math
from collections.abc import Callable, Sequence

from bench.record import Record
from reports.blocks import Block, Slot
from reports.layout import NO_VALUE
from reports.stats import mean
from reports.told import fact, number, numbers, texts

SPACES = {
    "delta": "in delta space (what training added to the weights)",
    "factor": "in factor space (the trained tensors themselves)",
}
SECONDS = {  # of costs, what they are called
    "train_seconds": "training of its own",
    "merge_seconds": "merging",
    "needed_train_seconds": "training of the runs it needs",
}


def footnotes(block: Block) -> list[str]:
    """What was merged and in which space, the coefficients, the cost; [] where nothing was."""
    rows = {row[0].label: _scored(row) for row in block.rows}
    merges = {name: found for name, found in rows.items() if any(fact(r, "merge") for r in found)}
    sweeps = {name: found for name, found in rows.items() if any(fact(r, "sweep") for r in found)}
    told = [*_grouped(merges, _merge), *_grouped(sweeps, _chosen)]
    if merges:
        told += [_cost(merges)]
    if merges and block.columns[0].composed:
        told.append("A merge serves one encoder for all parts, and a head for each of them.")
    return [line for line in told if line]


def _scored(row: Sequence[Slot]) -> list[Record]:
    """The finished runs of a row, each once."""
    return [*{record.cell.key: record for slot in row for record in slot.scored}.values()]


def _grouped(rows: dict[str, list[Record]], tell: Callable[[Sequence[Record]], str]) -> list[str]:
    """What is told of each row, once: "Merged in delta space, of a and b (fisher, mean)."."""
    said: dict[str, list[str]] = {}
    for label, records in rows.items():
        if sentence := tell(records):
            said.setdefault(sentence, []).append(label)
    return [f"{sentence} ({', '.join(labels)})." for sentence, labels in said.items()]


def _merge(records: Sequence[Record]) -> str:
    told: dict[str, None] = {}
    for record in records:
        merge = fact(record, "merge")
        space = SPACES.get(str(merge.get("space")), "")
        of = texts(merge.get("parents"))
        many = f", of {_listed(_counted(of))}" if of else ""
        told |= {f"{space}{many}": None} if space or many else {}
    return f"Merged {'; '.join(told)}" if told else ""


def _counted(of: Sequence[str]) -> list[str]:
    """Runs that are told alike once: "3 times full on sst2"."""
    counts = {name: of.count(name) for name in of}
    return [name if count == 1 else f"{count} times {name}" for name, count in counts.items()]


def _chosen(records: Sequence[Record]) -> str:
    """ "Chosen on selection rows: scale 0.8, of 21 values from 0 to 2; rule: the mean"."""
    sweeps = [sweep for record in records if (sweep := fact(record, "sweep"))]
    chosen = [number(sweep.get("chosen")) for sweep in sweeps]
    values = [v for sweep in sweeps for v in numbers(sweep.get("values")) if math.isfinite(v)]
    if not values or not all(map(math.isfinite, chosen)):
        return ""
    grid = len(set(values))
    over = f", of {grid} values from {min(values):g} to {max(values):g}"
    names = _listed([*dict.fromkeys(str(sweep.get("of", "value")) for sweep in sweeps)])
    rules = [*dict.fromkeys(_rule(sweep["rule"]) for sweep in sweeps if "rule" in sweep)]
    alike = len(set(chosen)) == 1
    found = f"{chosen[0]:g}" if alike else _listed([f"{value:g}" for value in chosen])
    seeds = "" if alike else " by seed"
    by = f"; rule: {'; '.join(rules)}" if rules else ""
    return f"Chosen on selection rows: {names} {found}{seeds}{over}{by}"


def _rule(told: object) -> str:
    return str(told).rstrip(".").removesuffix(" on selection rows")


def _cost(rows: dict[str, list[Record]]) -> str:
    """Seconds of every merge, means over its runs, and whether any of them trained."""
    records = [record for found in rows.values() for record in found]
    idle = all(record.cost.get("train_flops") == 0 for record in records)
    known = [name for name in SECONDS if any(name in record.cost for record in records)]
    if not known:
        return "A merge has no training of its own." if idle else ""
    names = " / ".join(SECONDS[name] for name in known)
    each = [f"{label} {_seconds(found, known)}" for label, found in rows.items()]
    opening = "A merge has no training of its own; seconds" if idle else "Seconds"
    return f"{opening} of {names}: {', '.join(each)}."


def _seconds(records: Sequence[Record], names: Sequence[str]) -> str:
    """ "0 / 4.2 / 312"."""
    found = []
    for name in names:
        values = [number(record.cost.get(name)) for record in records]
        known = [value for value in values if math.isfinite(value)]
        found.append(_short(mean(known)) if known else NO_VALUE)
    return " / ".join(found)


def _short(seconds: float) -> str:
    return "0" if seconds == 0 else f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
