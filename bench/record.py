"""What was asked for (Cell) and what came out of it (Record)."""

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

SCHEMA = 1
LARGEST = 16 * 2**20  # characters of a record, at most: a long one has thousands
WEIGHTS = "weights.safetensors"  # beside the record: what trained

Status = Literal["ok", "skipped", "failed"]
NAME = re.compile(r"\w+", re.ASCII)  # what a cell's folder may be called: it leads nowhere else


class Later(ValueError):
    """A record whose schema is of a later version."""


@dataclass(frozen=True)
class Cell:
    """One point of a plan: what was asked for. Two equal cells give equal metrics."""

    method: str  # every option spelled out: "lora[alpha=16.0,dropout=0.0,rank=8,targets=q+v]"
    task: str  # likewise: "rte[dev_rows=none,rows=1024]"
    model: str  # "minilm", a hub id, or "local@<digest>"
    recipe: str  # "adamw[batch=64,epochs=20,lr=0.0004,...]"
    seed: int
    data: str  # "hub", "sample@<version>" or "files@<digest of the task's files>"
    parents: tuple[str, ...] = ()  # keys of the runs this one builds on
    version: str = "1.1"  # of the method and of the task, as their plug-ins declare it
    label: str = field(default="", compare=False)  # the method as it was typed: "adamix-adapter"

    @cached_property
    def key(self) -> str:
        """Twelve hex digits, the cell's folder: a hash of what was asked, never when or where."""
        asked = {name: getattr(self, name) for name in _ASKED}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


_ASKED = [field.name for field in dataclasses.fields(Cell) if field.name != "label"]


@dataclass(frozen=True)
class Record:
    """One run of one cell: what came out, what it cost, and the circumstances."""

    cell: Cell
    status: Status
    reason: str = ""  # why it was skipped or failed; empty when ok
    primary: str = ""  # which of `metrics` tables and model selection use
    metrics: dict[str, float | None] = field(
        default_factory=dict
    )  # unrounded; null where undefined
    cost: dict[str, Any] = field(default_factory=dict)  # trained_params, train_seconds, ...
    where: dict[str, Any] = field(default_factory=dict)  # versions, device, data, selection, ...
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The record as indented JSON; numbers keep every digit, NaN is refused."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Reads `to_json`'s text.

        Raises ValueError for a damaged or a foreign text, Later for one of a schema to come.
        """
        fields = _object(text)
        schema = fields.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise Later(f"expected a record of schema {SCHEMA}, got {schema!r}")
        if schema != SCHEMA or isinstance(schema, bool):
            raise ValueError(f"expected a record of schema {SCHEMA}, got {schema!r}")
        try:
            cell = fields.pop("cell")
            record = cls(cell=Cell(**{**cell, "parents": tuple(cell["parents"])}), **fields)
        except KeyError as error:
            raise ValueError(f"expected a key {error}, got none") from error
        except TypeError as error:
            raise ValueError(str(error)) from error
        _check(record)
        return record


def _object(text: str) -> dict[str, Any]:
    """The JSON object of a text; {} for another value."""
    if len(text) > LARGEST:
        raise ValueError(f"expected at most {LARGEST} characters, got more")
    try:
        found = json.loads(text, parse_constant=_refused)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("expected a record, got one nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError("expected texts, got half a character") from None
    return found if isinstance(found, dict) else {}


def _refused(number: str) -> None:
    raise ValueError(f"expected finite numbers, got {number}")


def _check(record: Record) -> None:
    """Raises ValueError for a part of another type than records have."""
    cell = record.cell
    for name in ("method", "task", "model", "recipe", "data", "version", "label"):
        _expect(isinstance(getattr(cell, name), str), f"a text {name!r}", getattr(cell, name))
    whole = isinstance(cell.seed, int) and not isinstance(cell.seed, bool)
    _expect(whole, "a whole number 'seed'", cell.seed)
    keys = all(isinstance(key, str) for key in cell.parents)
    _expect(keys, "keys as 'parents'", cell.parents)
    _expect(record.status in ("ok", "skipped", "failed"), "ok, skipped or failed", record.status)
    for name in ("reason", "primary"):
        _expect(isinstance(getattr(record, name), str), f"a text {name!r}", getattr(record, name))
    for name in ("metrics", "cost", "where"):
        value = getattr(record, name)
        _expect(isinstance(value, dict), f"an object {name!r}", value)
    for name, value in record.metrics.items():
        _expect(value is None or _is_number(value), f"a number as metric {name!r}", value)


def _expect(met: bool, what: str, value: object) -> None:
    if not met:
        raise ValueError(f"expected {what} in the record, got {str(value)[:60]!r}")


def _is_number(value: object) -> bool:
    """A finite number that a float can hold."""
    try:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
    except OverflowError:
        return False
