"""What stands beside the records of a store: predictions, logs, errors."""

import json
from pathlib import Path
from typing import Any

from bench.record import Record
from bench.store import Store
from reports.examples import Examples, read

START = 64 * 1024  # bytes of a file that are read where its start is asked for


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

    def predictions(self, record: Record, most: int) -> list[dict[str, Any]]:
        """The first lines of what was predicted: split, row, prediction, label."""
        return _objects(self._start(record, "predictions.jsonl").splitlines()[:most])

    def log(self, record: Record) -> list[dict[str, Any]]:
        """What the run told: step, steps, loss, rate (rows a second); about two lines a second."""
        path = self._path(record, "log.txt")
        if path is None or not path.is_file():
            return []
        return _objects(path.read_text(encoding="utf-8", errors="replace").splitlines())

    def error(self, record: Record) -> str:
        """The traceback of a run that failed in a way nobody foresaw; empty where there is none."""
        return self._start(record, "error.txt")

    def _start(self, record: Record, name: str) -> str:
        path = self._path(record, name)
        if path is None or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(START).decode("utf-8", "replace")

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
