"""Every run as the page's script reads it: what repeats is stored once and meant by its number."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.record import Record
from reports.checks import label, task
from reports.material import Material
from reports.page import beside
from reports.page.safe import plain, value

KEY = "%key%"
SHORT = 400  # characters of a name
FIELDS = (  # of one run, in this order
    *("key", "label", "method", "task", "name", "model", "recipe", "seed", "data", "version"),
    *("parents", "status", "reason", "primary", "metrics", "cost", "where", "again"),
    *("log", "losses", "predictions", "error"),
)


class Pool:
    """Values by number, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, found: Any) -> int:
        """The number of a value that JSON has."""
        text = found if isinstance(found, str) else (json.dumps(found),)
        if text not in self._numbers:
            self._numbers[text] = len(self.values)
            self.values.append(found)
        return self._numbers[text]

    def named(self, found: Mapping[str, Any]) -> list[Any]:
        """A mapping as the number of its names, then its values."""
        return [self.number([*found]), *found.values()]

    def rows(self, found: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
        """Mappings with the same names, or few kinds of them."""
        return [self.named(row) for row in found]


def payload(material: Material, records: Sequence[Record]) -> dict[str, Any]:
    """Everything that the script needs, as JSON has it; values of `where` are numbers too."""
    pool = Pool()
    most = beside.limits(len(records))
    cells = [_cell(material, record, pool, most) for record in records]
    return {
        "fields": FIELDS,
        "cells": cells,
        "pool": pool.values,
        "labels": value({name: list(classes) for name, classes in material.labels.items()}),
        "titles": value(_titles(material)),
        "reproduce": f"python -m bench reproduce {shlex.quote(_folder(material))}",
        "limits": vars(most),
    }


def _cell(material: Material, record: Record, pool: Pool, most: beside.Limits) -> list[Any]:
    """One run in the order of `FIELDS`."""
    cell, text = record.cell, lambda found: pool.number(plain(found, SHORT))
    files, long = beside.Beside(material.files, record, most), min(most.chars * 2, 2_000)
    where = {plain(name, SHORT): value(item, long) for name, item in record.where.items()}
    return [
        cell.key,
        text(label(record)),
        pool.number(plain(cell.method, 2_000)),
        pool.number(plain(cell.task, 2_000)),
        text(task(record)),
        text(cell.model),
        pool.number(plain(cell.recipe, 2_000)),
        value(cell.seed),
        text(cell.data),
        text(cell.version),
        pool.number([plain(parent, SHORT) for parent in cell.parents]),
        text(record.status),
        pool.number(plain(record.reason, long)),
        text(record.primary),
        pool.named(value(record.metrics, long)),
        pool.named(value(record.cost, long)),
        pool.named({name: pool.number(item) for name, item in where.items()}),
        text(again) if (again := _again(material, record)) else None,
        pool.rows(files.log()),
        [*files.losses()],
        pool.rows(files.predictions()),
        files.error() if record.status != "ok" else "",
    ]


def _again(material: Material, record: Record) -> str:
    """The command that makes the row of the record, where there is one."""
    if not material.command:
        return ""
    return f"{material.command} --methods {shlex.quote(label(record))}"


def _folder(material: Material) -> str:
    """A record's folder as it was typed; of a path from the root of a machine the end alone."""
    root = material.files.store.root if material.files.store else None
    if root is None:
        return f"results/{KEY}"
    return (root / KEY).as_posix() if not root.is_absolute() else f"{root.name}/{KEY}"


def _titles(material: Material) -> dict[str, str]:
    """What tables call a task: "SST-2" for "sst2"."""
    columns = [column for part in material.parts for column in part.block.columns]
    return {column.task: column.title for column in columns if not column.spread}
