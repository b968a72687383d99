"""What stands beside a record, read in part: a file of any length costs a few kilobytes."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from bench.record import Record
from reports.files import Files
from reports.page.safe import plain, value

LINE = 16 * 1024  # bytes of one line
ALL = 32 * 1024  # bytes of a log that is read whole
REFERENCES = 3  # of one row
TRACED = re.compile(r'File "[^"\n]*?((?:[^/"\n]+/){0,2}[^/"\n]+)"')  # the rest names a machine


@dataclass(frozen=True)
class Limits:
    """How much of the files beside a record the page keeps."""

    predictions: int  # the first
    lines: int  # of the log, the last
    points: int  # of the loss
    chars: int  # of one text


def limits(runs: int) -> Limits:
    """Less of each the more runs a page has, so that it stays small enough to open."""
    if runs <= 300:
        return Limits(predictions=8, lines=10, points=80, chars=2_000)
    if runs <= 2_000:
        return Limits(predictions=4, lines=5, points=40, chars=400)
    if runs <= 10_000:
        return Limits(predictions=1, lines=2, points=16, chars=160)
    return Limits(predictions=0, lines=0, points=0, chars=160)


class Beside:
    """The files of one run; what is not there is empty."""

    def __init__(self, files: Files, record: Record, most: Limits):
        self._folder = files.store.folder(record.cell) if files.store else None
        self._most = most

    def predictions(self) -> list[dict[str, Any]]:
        """The first rows that were predicted, their texts cut."""
        path = self._path("predictions.jsonl")
        if path is None or not self._most.predictions:
            return []
        with path.open("rb") as file:
            lines = [file.readline(LINE) for _ in range(self._most.predictions)]
        return [value(_fewer(row), self._most.chars) for row in _objects(lines)]

    def log(self) -> list[dict[str, Any]]:
        """The last lines of the log, numbers to six digits."""
        path = self._path("log.txt")
        if path is None or not self._most.lines:
            return []
        with path.open("rb") as file:
            lines = _end(file, LINE).splitlines()[-self._most.lines :]
        return [{plain(k, 40): _short(v, 6) for k, v in line.items()} for line in _objects(lines)]

    def losses(self) -> tuple[list[float], list[float]]:
        """Steps and losses to draw, evenly over the log, to four digits.

        A log of more than `ALL` bytes is read at as many places as there are points.
        """
        path, points = self._path("log.txt"), self._most.points
        if path is None or not points:
            return [], []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            lines = file.readlines() if size <= ALL else _spread(file, size, points)
        told = [line for line in _objects(_evenly(lines, points)) if _drawn(line)]
        return [line["step"] for line in told], [_short(line["loss"], 4) for line in told]

    def error(self) -> str:
        """The end of the traceback of a run that failed; a file in it goes by its last folders."""
        path = self._path("error.txt")
        if path is None:
            return ""
        most = 4 * self._most.chars
        with path.open("rb") as file:
            text = _end(file, most).decode("utf-8", "replace")
        return plain(TRACED.sub(r'File "\1"', text), most)

    def _path(self, name: str) -> Path | None:
        path = self._folder / name if self._folder else None
        return path if path and path.is_file() else None


def _end(file: BufferedReader, most: int) -> bytes:
    """The last bytes, from the start of a line where there is one."""
    size = file.seek(0, 2)
    file.seek(max(0, size - most))
    text = file.read()
    if size <= most:
        return text
    return text.partition(b"\n")[2] or text


def _spread(file: BufferedReader, size: int, places: int) -> list[bytes]:
    """The first whole line after each of so many places, and the last line."""
    lines = []
    for place in range(places - 1):
        file.seek(place * size // (places - 1))
        if place:
            file.readline(LINE)
        lines.append(file.readline(LINE))
    return [*lines, *_end(file, LINE).splitlines()[-1:]]


def _evenly(lines: list[bytes], most: int) -> list[bytes]:
    """So many of the lines, the first and the last among them."""
    if len(lines) <= most:
        return lines
    return [lines[round(i * (len(lines) - 1) / (most - 1))] for i in range(most)]


def _objects(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The lines that are whole JSON objects."""
    found = []
    for line in lines:
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            found.append(read)
    return found


def _drawn(line: dict[str, Any]) -> bool:
    """Whether step and loss are numbers that a picture has a place for."""
    return all(
        isinstance(number, int | float) and math.isfinite(number) and abs(number) < 1e12
        for number in (line.get("step"), line.get("loss"))
    )


def _fewer(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its first references."""
    label = row.get("label")
    if not isinstance(label, list) or len(label) <= REFERENCES:
        return row
    return row | {"label": [*label[:REFERENCES], f"… {len(label) - REFERENCES} more"]}


def _short(found: Any, digits: int) -> Any:
    if isinstance(found, float) and math.isfinite(found):
        return float(f"{found:.{digits}g}")
    return value(found, 200)
