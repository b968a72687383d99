"""What must hold before records share a table, and the names they go by in it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from bench.record import Cell, Record

OPTION = re.compile(r"(\w+)=([^,\[\]]*)")  # of a plug-in's text, and of those in it
OPTIONS = ("task", "method", "recipe")  # what the seeds of one run have in common


def label(record: Record) -> str:
    """The row a record belongs to: its method as it was typed, else in full."""
    return record.cell.label or record.cell.method


def task(record: Record) -> str:
    """The record's task without its options: "sst2"; a composite one with what it is made of."""
    name = record.cell.task.partition("[")[0]
    parts = option(record.cell.task, "of")
    return f"{name}[of={'+'.join(map(_bare, _split(parts, '+')))}]" if parts else name


def option(text: str, name: str) -> str:
    """An option of a plug-in's text: "lora[rank=4]" for "of" of "mean[of=lora[rank=4]]"; or ""."""
    if f"{name}=" not in text or not text.endswith("]"):
        return ""
    pairs = (piece.partition("=") for piece in _split(text.partition("[")[2][:-1], ","))
    return next((value for found, _, value in pairs if found.strip() == name), "")


def _bare(text: str) -> str:
    """A plug-in's name without its options."""
    return text.partition("[")[0]


def _split(text: str, sign: str) -> list[str]:
    """The text between signs that stand outside brackets."""
    places, depth = [-1], 0
    for i, c in enumerate(text):
        depth += (c == "[") - (c == "]")
        places += [i] if c == sign and depth == 0 else []
    return [text[a + 1 : b] for a, b in pairwise([*places, len(text)])]


def source(record: Record) -> str:
    """Where the rows came from: "files", "hub" or "sample"."""
    return record.cell.data.partition("@")[0]


def one_source(records: Sequence[Record]) -> None:
    """Raises ValueError when records come from different data: by kind, or by a task's stamp."""
    kinds = Counter(map(source, records))
    if len(kinds) > 1:
        raise ValueError(
            f"expected records of one data source, got {_counted(kinds)}; report them apart"
        )
    stamps: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        stamps[task(record)][record.cell.data] += 1
    for name, found in sorted(stamps.items()):
        if len(found) > 1:
            raise ValueError(
                f"expected the same data for every record of task {name!r}, "
                f"got {_counted(found)}; report them apart"
            )


def one_each(records: Iterable[Record]) -> None:
    """Raises ValueError when ok records of one place (row, model, task) are not seeds of one run.

    They may differ in the seed, and in the parents with it, and in nothing else.
    """
    first: dict[tuple[object, ...], Record] = {}
    for record in records:
        if record.status != "ok":
            continue
        place = (label(record), record.cell.model, task(record))
        for key, fields in ((place, OPTIONS), ((*place, record.cell.seed), (*OPTIONS, "parents"))):
            other = first.setdefault(key, record)
            if told := _difference(other.cell, record.cell, fields):
                raise ValueError(
                    f"two results for {place[0]!r} on {place[2]!r} ({place[1]}) differ in {told}; "
                    f"narrow the report to one of them"
                )


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{count} from {name}" for name, count in sorted(found.items()))


def _difference(one: Cell, other: Cell, fields: Iterable[str]) -> str:
    """ "recipe (lr=0.1 or lr=0.2)": the fields that differ, and only what differs in them."""
    told = []
    for field in fields:
        if getattr(one, field) != getattr(other, field):
            a, b = _pieces(getattr(one, field)), _pieces(getattr(other, field))
            mine = ",".join(piece for piece in a if piece not in b) or "less"
            theirs = ",".join(piece for piece in b if piece not in a) or "less"
            told.append(f"{field} ({mine} or {theirs})")
    return " and ".join(told)


def _pieces(value: str | tuple[str, ...]) -> list[str]:
    """The options of a text, the items of a tuple."""
    return [*value] if isinstance(value, tuple) else re.split(r"[\[\],]+", value.rstrip("]"))
