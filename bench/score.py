"""Texts scored under a named protocol: of two files, or once more of a record."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from bench.kept import finished
from bench.record import Record
from bench.registry import unknown
from tasks import scoring

Groups = list[tuple[str, ...]]
Parts = tuple[dict[str, list[str]], dict[str, Groups]]  # outputs and references, by split


def of_files(task: str, hypotheses: Path, references: Path, protocol: str = "") -> dict[str, Any]:
    """Scores of a file with one output a line, as one flat row.

    `references`: groups of lines parted by blank ones, as e2e-metrics reads them; a file without
    a blank line has one reference for each output.
    Raises Unknown for a task or a protocol, FileNotFoundError, and ValueError naming the file and
    what is wrong with it.
    """
    chosen = _protocol(task, protocol)
    groups = _groups(_lines(references))
    if not groups:
        raise ValueError(f"{references}: expected references, got blank lines only")
    outputs = _lines(hypotheses)
    if len(groups) == 1 < len(outputs):
        groups = [(text,) for text in groups[0]]
    while len(outputs) > len(groups) and not outputs[-1].strip():
        outputs.pop()  # blank lines at the end; an empty output in its place is one
    if len(outputs) != len(groups):
        counts = f"{len(groups)} groups in {references}, {len(outputs)} lines in {hypotheses}"
        raise ValueError(f"expected an output for each group of references, got {counts}")
    return _row(task, chosen, {"": outputs}, {"": groups})


def of_record(path: Path, protocol: str = "", update: bool = False) -> dict[str, Any]:
    """Scores of a record's stored outputs, as one flat row; nothing is decoded again.

    `path`: a record.json or its folder. `update`: the record gets the scores, all at once.
    Raises ValueError where the record holds no texts, or where another protocol than its own is
    to replace its scores.
    """
    folder, record = finished(path)
    task = record.cell.task.partition("[")[0]
    chosen = _protocol(task, protocol)
    if update and chosen != _protocol(task, ""):
        own = next(iter(scoring.OF_TASK[task]))
        raise ValueError(f"expected the record's own protocol {own!r} to update it, got {chosen!r}")
    row = _row(task, chosen, *_predicted(folder / "predictions.jsonl"))
    if update:
        _replace(folder / "record.json", _updated(record, row))
    return row


def shown(row: dict[str, Any]) -> str:
    """The row for a person: a line a score, in the scale and the digits of the papers."""
    facts = ("task", "protocol", "hypotheses", "lacks")
    scores = {name: value for name, value in row.items() if name not in facts}
    width = max(map(len, scores))
    head = f"{row['task']}, {row['hypotheses']} outputs, protocol {row['protocol']}"
    return "\n".join(
        [head, *(f"{name:{width}}  {_printed(value)}" for name, value in scores.items())]
    )


def _printed(value: float | None) -> str:
    return "     n/a (no Java)" if value is None else f"{value:8.4f}"


def _protocol(task: str, protocol: str) -> str:
    """The name a person typed, or the task's first."""
    if task not in scoring.OF_TASK:
        raise unknown("task with texts to score", task, scoring.OF_TASK)
    names = scoring.OF_TASK[task]
    if protocol and protocol not in names:
        raise unknown(f"protocol of {task}", protocol, names)
    return protocol or next(iter(names))


def _row(
    task: str, protocol: str, outputs: dict[str, list[str]], references: dict[str, Groups]
) -> dict[str, Any]:
    name = scoring.OF_TASK[task][protocol]
    row: dict[str, Any] = {"task": task, "protocol": protocol}
    row["hypotheses"] = sum(map(len, outputs.values()))
    row |= scoring.score_parts(name, outputs, references)
    lacks = scoring.lacks(name)
    if lacks:
        row["lacks"] = ", ".join(f"{metric}: {why}" for metric, why in lacks.items())
    return row


def _lines(path: Path) -> list[str]:
    """The lines of a file in UTF-8; only a line feed, or one after a return, ends a line."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"line {line} (byte {error.start})"
        raise ValueError(f"{path}, {where}: expected text in UTF-8") from error
    if not text:
        raise ValueError(f"{path}: expected a text on each line, got an empty file")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _groups(lines: list[str]) -> Groups:
    groups: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    return [tuple(group) for group in groups if group]


def _predicted(path: Path) -> Parts:
    """Outputs and references of the record's splits, in the order of the rows."""
    outputs: dict[str, list[str]] = {}
    references: dict[str, Groups] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line:
            continue
        row = _json(path, number, line)
        outputs.setdefault(row["split"], []).append(row["prediction"])
        references.setdefault(row["split"], []).append(tuple(row["label"]))
    if not outputs:
        raise ValueError(f"{path}: expected stored outputs, got an empty file")
    return outputs, references


def _json(path: Path, number: int, line: str) -> dict[str, Any]:
    wish = f"{path}, line {number}: expected split, prediction (a text) and label (texts)"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{wish}, got no JSON") from error
    kinds = {"split": str, "prediction": str, "label": list}
    if not isinstance(row, dict) or not all(isinstance(row.get(k), t) for k, t in kinds.items()):
        raise ValueError(f"{wish}, got {line[:60]}")
    return row


def _updated(record: Record, row: dict[str, Any]) -> Record:
    """The record with the scores that this machine can compute; what it lacks stays as it was."""
    scores = {name: value for name, value in row.items() if name in record.metrics}
    metrics = record.metrics | {name: v for name, v in scores.items() if v is not None}
    lacks = {n: why for n, why in record.where.get("lacks", {}).items() if metrics.get(n) is None}
    return dataclasses.replace(record, metrics=metrics, where=record.where | {"lacks": lacks})


def _replace(path: Path, record: Record) -> None:
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(record.to_json())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
