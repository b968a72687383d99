"""Records of a whole store: those that may share a table, under names that tell them apart."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bench.record import Record
from reports.checks import label, source, task


def apart(records: Sequence[Record]) -> list[list[Record]]:
    """Groups of records of one data source, and of the same rows for every task.

    In each, runs of one method on one task that differ in options go by labels that name them:
    "adapter (lr=0.001)".
    """
    stamps: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.cell.key):
        known = stamps[source(record), task(record)]
        number = known.setdefault(record.cell.data, len(known))
        groups[source(record), number].append(record)
    return [_told_apart(groups[name]) for name in sorted(groups)]


def _told_apart(records: Sequence[Record]) -> list[Record]:
    places: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        places[label(record), record.cell.model, task(record)].append(record)
    return [record for here in places.values() for record in _named(here)]


def _named(records: Sequence[Record]) -> list[Record]:
    """The records of one place; each names the options that not all of them have."""
    pieces = [_pieces(record) for record in records]
    common = set.intersection(*map(set, pieces))
    found, taken = [], set()
    for record, own in zip(records, pieces, strict=True):
        told = ", ".join(piece for piece in own if piece not in common)
        if (told, record.cell.seed) in taken:  # they differ in what they build on
            told = f"{told}, {record.cell.key}" if told else record.cell.key
        taken.add((told, record.cell.seed))
        name = f"{label(record)} ({told})" if told else record.cell.label
        found.append(replace(record, cell=replace(record.cell, label=name)))
    return found


def _pieces(record: Record) -> list[str]:
    """Every option of method, task and recipe, without the names of what they are of."""
    texts = (record.cell.method, record.cell.task, record.cell.recipe)
    return [piece for text in texts for piece in re.split(r"[\[\],]+", text)[1:] if piece]
