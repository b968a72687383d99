"""In what our runs are like those behind a published number, and in what they are not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.record import Record
from reports.checks import OPTION, source
from reports.published.protocols import NOT_TOLD, Protocol, Value

SKIPPED = ": skipped "  # unusable lines, which the counts of rows leave out on both sides


class Check(NamedTuple):
    """One thing that must be the same before numbers can be set against each other."""

    name: str  # "selection"
    differs: tuple[str, ...]  # in words; empty where it is the same


def checks(records: Sequence[Record], protocol: Protocol, task: str) -> list[Check]:
    """What is the same and what is not, of finished runs on `task`; what is not known is left out.

    Of the method and of the model, by which a published row is found, nothing is asked here.
    """
    found = [
        Check("data", _each(records, rows)),
        Check("selection", _each(records, lambda record: _selection(record, protocol))),
        Check("seeds", tuple(_seeds(len(records), protocol))),
    ]
    if protocol.scoring:
        found.append(Check("scoring", _each(records, lambda record: _scoring(record, protocol))))
    if protocol.decoding:
        told = _each(records, lambda r: _options(r.cell.task, protocol.decoding))
        found.append(Check("decoding", told))
    if settings := protocol.options(task):
        told = _each(records, lambda record: _options(record.cell.recipe, settings))
        found.append(Check("settings", told))
    if departs := protocol.departs(task):
        found.append(Check("start", (departs,)))
    return found


def kept(record: Record) -> tuple[int, int] | None:
    """How many of the official training rows are kept for selection, and of how many."""
    used, official = _counts(record, "used"), _counts(record, "official")
    if "selection" not in used or "train" not in official:
        return None
    return used["selection"], official["train"]


def _each(records: Sequence[Record], speaks: Any) -> tuple[str, ...]:
    """What is said of any of the records, each sentence once."""
    return tuple(dict.fromkeys(told for record in records for told in speaks(record)))


def rows(record: Record) -> Iterator[str]:
    """How the rows differ from all official ones; those kept for selection count as trained on."""
    kind = source(record)
    if kind not in ("files", "hub"):
        yield f"rows are of {kind!r}, not official"
        return
    used, official = _counts(record, "used"), _counts(record, "official")
    if not used or not official:
        yield "counts of rows are not recorded"
        return
    for split, count in official.items():
        have = used.get(split, 0) + (used.get("selection", 0) if split == "train" else 0)
        if have != count:
            doing = "trains on" if split == "train" else f"{split}: scored on"
            yield f"{doing} {used.get(split, 0):,} of {count:,} rows"
    told = _facts(record).get("partial")
    for sentence in told if isinstance(told, list) else ():
        if SKIPPED not in str(sentence):
            yield str(sentence)


def _selection(record: Record, protocol: Protocol) -> Iterator[str]:
    ours = str(record.where.get("selection") or "").partition(":")[0] or "not recorded"
    if protocol.selection == NOT_TOLD:
        yield "how theirs was selected is not told"
    elif ours != protocol.selection:
        yield f"ours {ours!r}, theirs {protocol.selection!r}"
    if record.where.get("tuning"):
        yield "our settings were searched for"


def _seeds(count: int, protocol: Protocol) -> Iterator[str]:
    if protocol.statistic == NOT_TOLD:
        yield "how many runs theirs are is not told"
    elif count < protocol.runs:
        yield f"{count} of ours, {protocol.runs} of theirs"


def _scoring(record: Record, protocol: Protocol) -> Iterator[str]:
    ours = record.where.get("protocol") or "not recorded"
    if ours != protocol.scoring:
        yield f"ours {ours!r}, theirs {protocol.scoring!r}"


def _options(text: str, theirs: Mapping[str, Value]) -> Iterator[str]:
    """Which options of a recipe or a task are not as `theirs`."""
    ours = dict(OPTION.findall(text))
    for name, value in theirs.items():
        if name not in ours:
            yield f"{name} is not recorded"
        elif not _equal(ours[name], value):
            yield f"{name}: ours {ours[name]}, theirs {_written(value)}"


def _equal(ours: str, theirs: Value) -> bool:
    try:
        return float(ours) == float(theirs)
    except ValueError:
        return ours == _written(theirs)


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _counts(record: Record, name: str) -> dict[str, int]:
    found = _facts(record).get(name)
    counts = found.items() if isinstance(found, Mapping) else ()
    return {split: count for split, count in counts if isinstance(count, int)}


def _facts(record: Record) -> Mapping[str, Any]:
    found = record.where.get("data")
    return found if isinstance(found, Mapping) else {}
