"""What was asked for (Cell) and what came out of it (Record)."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

SCHEMA = 1
WEIGHTS = "weights.safetensors"  # beside the record: what trained

Status = Literal["ok", "skipped", "failed"]


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
        """Reads `to_json`'s text. Raises ValueError for another schema or a damaged text."""
        fields = json.loads(text)
        schema = fields.get("schema") if isinstance(fields, dict) else None
        if schema != SCHEMA:
            raise ValueError(f"expected a record of schema {SCHEMA}, got {schema!r}")
        try:
            cell = fields.pop("cell")
            return cls(cell=Cell(**{**cell, "parents": tuple(cell["parents"])}), **fields)
        except KeyError as error:
            raise ValueError(f"expected a key {error}, got none") from error
        except TypeError as error:
            raise ValueError(str(error)) from error
