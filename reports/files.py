"""What stands beside the records of a store: predictions and logs."""

import json
from pathlib import Path
from typing import Any

from bench.record import Record
from bench.store import Store
from reports.examples import Examples, read


class Files:
    """The files beside records; without a store there are none."""

    def __init__(self, store: Store | None = None):
        self.store = store
        self._answers: dict[str, Examples | None] = {}

    def answers(self, record: Record) -> Examples | None:
        """What the run of `record` predicted, see reports.examples.read; each file is read once."""
        key = record.cell.key
        if key not in self._answers:
            path = self._path(record, "predictions.jsonl")
            self._answers[key] = read(path) if path and path.exists() else None
        return self._answers[key]

    def log(self, record: Record) -> list[dict[str, Any]]:
        """What the run told: step, steps, loss, rate (rows a second); about two lines a second."""
        path = self._path(record, "log.txt")
        if path is None or not path.is_file():
            return []
        return _objects(path.read_text(encoding="utf-8", errors="replace").splitlines())

    def _path(self, record: Record, name: str) -> Path | None:
        return self.store.folder(record.cell) / name if self.store else None


def _objects(lines: list[str]) -> list[dict[str, Any]]:
    """The lines that are whole JSON objects; a kill may have cut the last."""
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
