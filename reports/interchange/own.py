"""The record inside a file that this project wrote in another format."""

import json
from collections.abc import Mapping
from typing import Any

from bench.record import Record
from reports.interchange.parts import is_number

OWN = "peftbench"  # the key that is ours
TEXTS = ("method", "task", "model", "recipe", "data", "version", "label")


def own_record(made: Mapping[str, Any]) -> Record | None:
    """The record under our key, unchanged; None where there is no such key.

    Raises ValueError where what stands there is not a whole record.
    """
    if OWN not in made:
        return None
    inside = made[OWN].get("record") if isinstance(made[OWN], dict) else None
    if not isinstance(inside, dict) or not isinstance(inside.get("cell"), dict):
        raise ValueError(f"expected a record under {OWN!r}, got {type(inside).__name__}")
    record = Record.from_json(json.dumps(inside))
    _check(record)
    return record


def _check(record: Record) -> None:
    """Raises ValueError for a part of another type than records have."""
    cell = record.cell
    for name in TEXTS:
        _expect(isinstance(getattr(cell, name), str), f"a text {name!r}", getattr(cell, name))
    whole = isinstance(cell.seed, int) and not isinstance(cell.seed, bool)
    _expect(whole, "a whole number 'seed'", cell.seed)
    _expect(all(isinstance(key, str) for key in cell.parents), "keys as 'parents'", cell.parents)
    status = record.status in ("ok", "skipped", "failed")
    _expect(status, "ok, skipped or failed as 'status'", record.status)
    for name in ("reason", "primary"):
        _expect(isinstance(getattr(record, name), str), f"a text {name!r}", getattr(record, name))
    for name in ("metrics", "cost", "where"):
        value = getattr(record, name)
        _expect(isinstance(value, dict), f"an object {name!r}", value)
    for name, value in record.metrics.items():
        _expect(value is None or is_number(value), f"a number as metric {name!r}", value)


def _expect(met: bool, what: str, value: object) -> None:
    if not met:
        raise ValueError(f"expected {what} in the record, got {str(value)[:60]!r}")
