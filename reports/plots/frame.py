"""Runs of a block as a data frame: a line a run and column of its table."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.record import Record
from reports.blocks import Block, Slot
from reports.files import Files
from reports.layout import Column
from reports.told import number

PLAIN = (  # costs that are taken as they stand
    "trained_params",
    "head_params",
    "served_params",
    "forward_flops",
    "activation_gradient_flops",
    "weight_gradient_flops",
)
SPENT = ("train_flops", "train_seconds")  # those of the runs that a run builds on are added
COLUMNS = (
    *("method", "column", "task", "panel", "main"),
    *("seed", "key", "status", "score", "device"),
    *(*PLAIN, *SPENT, "peak_memory_bytes", "memory_source", "own_train_flops"),
)


def frame(block: Block, files: Files | None = None) -> pd.DataFrame:
    """A row for every run in every column of the table, in reading order.

    `method` (the row's label), `column` (its number), `task`, `panel` (the column's title), `main`
    (whether the column is the metric that its task is judged by), `seed`, `key`, `status`, `score`
    (the column's metric in the unit that tables print, not rounded) and costs. What is absent,
    undefined, not finite or beyond 1e30 is NaN. `train_flops` and `train_seconds` count the runs
    that a run builds on, found in the block or in the store of `files`; NaN where one of them is in
    neither. `own_train_flops` counts the run alone.
    """
    keys = {id(record): record.cell.key for record in block.records}
    known = Known({keys[id(record)]: record for record in block.records}, files or Files())
    costs = {key: _costs(record, known) for key, record in [*known.records.items()] if record}
    rows = [
        {**_place(slot, record), "key": key, "column": place, **costs[key]}
        for row in block.rows
        for place, slot in enumerate(row)
        for record, key in ((record, keys[id(record)]) for record in slot.records)
    ]
    made = pd.DataFrame(rows, columns=list(COLUMNS))
    return made.astype({"seed": "int64"}) if len(made) else made


class Known:
    """Records by key: those of a block, then those of its store, each read once."""

    def __init__(self, records: Mapping[str, Record], files: Files):
        self.records: dict[str, Record | None] = dict(records)
        self.store = files.store

    def get(self, key: str) -> Record | None:
        """The record, or None where there is none to be read."""
        if key not in self.records:
            try:
                self.records[key] = self.store.at(key) if self.store else None
            except (OSError, ValueError):  # damaged: as good as absent
                self.records[key] = None
        return self.records[key]


def built_on(record: Record) -> list[str]:
    """The keys of the runs that it builds on, those apart that made its model."""
    makers = record.where.get("made_by")
    makers = makers if isinstance(makers, list | tuple) else ()
    return [key for key in record.cell.parents if key not in makers]


def _place(slot: Slot, record: Record) -> dict[str, Any]:
    column, ok = slot.column, record.status == "ok"
    value = number(record.metrics.get(column.primary)) if ok else math.nan
    return {
        "method": slot.label,
        "task": column.task,
        "panel": column.title,
        "main": _main(column, record),
        "seed": record.cell.seed,
        "status": record.status,
        "score": number(column.unit(column.primary)[0] * value),
    }


def _main(column: Column, record: Record) -> bool:
    """Whether the column is the metric that its task is judged by."""
    return not (column.spread and record.primary) or column.primary == record.primary


def _costs(record: Record, known: Known) -> dict[str, Any]:
    cost = record.cost
    return {
        **{name: _cost(cost, name) for name in (*PLAIN, "peak_memory_bytes")},
        **{name: _cost(cost, name) + _needed(record, name, known) for name in SPENT},
        "own_train_flops": _cost(cost, "train_flops"),
        "memory_source": str(cost.get("memory_source") or ""),
        "device": str(record.where.get("device") or ""),
    }


def _needed(record: Record, name: str, known: Known) -> float:
    """What the runs that it builds on have cost, as recorded or else as they recorded."""
    if f"needed_{name}" in record.cost:
        return _cost(record.cost, f"needed_{name}")
    return sum(_spent(known.get(key), name) for key in built_on(record))


def _spent(parent: Record | None, name: str) -> float:
    return _cost(parent.cost, name) if parent else math.nan


def _cost(cost: Mapping[str, Any], name: str) -> float:
    value = number(cost.get(name))
    return value if value >= 0 else math.nan
