"""A record's cell once more, compared bit by bit."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bench import spec
from bench.job import Job
from bench.made import MODEL, placed
from bench.record import WEIGHTS, Cell, Record
from bench.run import attempt
from bench.weights import Weights, find
from methods import resolve
from tasks import task
from tasks.sources import Source

FILES = (WEIGHTS, "predictions.jsonl", "model/model.safetensors")
CIRCUMSTANCES = ("device", "precision", "versions", "weights_sha256", "head_init")


def again(path: Path, source: Source, model: str = "") -> list[str]:
    """A line for each difference between the record and a new run of its cell; none if identical.

    `model`: the directory of a model that the record knows by its name and digest only.
    Raises ValueError where the record cannot be read or has no result, or where its rows or its
    model are not the ones at hand.
    """
    folder = path if path.is_dir() else path.parent
    record = _finished(folder / "record.json")
    _same_rows(record, source)
    maker, needed = _parents(record.cell, folder.parent)
    weights = _same_model(record, model, maker)
    job = Job(record.cell, source, weights, built_on=needed)
    with tempfile.TemporaryDirectory() as place, _threads(record.where["threads"]):
        fresh = attempt(job, Path(place))
        lines = _metrics(record, fresh) + [
            f"{name} differs"
            for name in FILES
            if _digest(folder / name) != _digest(Path(place, name))
        ]
    return lines + _circumstances(record, fresh) if lines else []


def _finished(path: Path) -> Record:
    try:
        record = Record.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        expected = f"expected a {path.name} or its folder"
        raise ValueError(f"{expected}, got {str(path.parent)!r}") from error
    if record.status != "ok":
        raise ValueError(f"expected a run with a result, got one that {record.status}")
    return record


def _same_rows(record: Record, source: Source) -> None:
    stamp = spec.build(task, record.cell.task).stamp(source)
    if stamp != record.cell.data:
        raise ValueError(f"expected the rows {record.cell.data!r} of the record, got {stamp!r}")


def _parents(cell: Cell, store: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """The folder of the run that made the model, if one did, and those of the runs needed."""
    folders = [store / key for key in cell.parents]
    needs = len(resolve(cell.method, cell.model).needs())
    makers, needed = folders[: len(folders) - needs], folders[len(folders) - needs :]
    for folder in (folder for folder in needed if not (folder / WEIGHTS).is_file()):
        raise ValueError(f"expected the run {folder.name} beside the record, which builds on it")
    return (makers[0] if makers else None), tuple(needed)


def _same_model(record: Record, model: str, maker: Path | None) -> Weights:
    if "@" in record.cell.model and not model:
        raise ValueError(f"expected the directory of the model {record.cell.model!r}, got none")
    weights = find(model or record.cell.model)
    if weights.name != record.cell.model:
        raise ValueError(f"expected the model {record.cell.model!r}, got {weights.name!r}")
    return _made(weights, maker) if maker else weights


def _made(weights: Weights, parent: Path) -> Weights:
    """The model that stands in the folder of the cell that made it."""
    if not (parent / MODEL).is_dir():
        expected = f"expected the model {weights.name!r} in the folder of its own run"
        raise ValueError(f"{expected}, got no {parent.name}/{MODEL} beside the record")
    return placed(parent, weights)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads as the record had: sums are taken in another order by more or fewer."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _metrics(a: Record, b: Record) -> list[str]:
    names = sorted({*a.metrics, *b.metrics})
    lines = [
        f"{name}: {a.metrics.get(name)} in the record, {b.metrics.get(name)} now"
        for name in names
        if a.metrics.get(name) != b.metrics.get(name)
    ]
    if a.status != b.status:
        lines.append(f"status: {a.status} in the record, {b.status} now: {b.reason}")
    return lines


def _circumstances(a: Record, b: Record) -> list[str]:
    """What may be why: a line for each circumstance that is another one."""
    return [
        f"{name}: {a.where.get(name)} in the record, {b.where.get(name)} now"
        for name in CIRCUMSTANCES
        if a.where.get(name) != b.where.get(name)
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
