"""A record's cell once more, compared bit by bit."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bench import spec
from bench.job import Job
from bench.kept import built_on, finished, model_of
from bench.record import WEIGHTS, Record
from bench.run import attempt
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
    folder, record = finished(path)
    _same_rows(record, source)
    maker, needed = built_on(record.cell, folder.parent)
    weights = model_of(record.cell, maker, model)
    job = Job(record.cell, source, weights, built_on=needed)
    with tempfile.TemporaryDirectory() as place, _threads(record.where["threads"]):
        fresh = attempt(job, Path(place))
        lines = _metrics(record, fresh) + [
            f"{name} differs"
            for name in FILES
            if _digest(folder / name) != _digest(Path(place, name))
        ]
    return lines + _circumstances(record, fresh) if lines else []


def _same_rows(record: Record, source: Source) -> None:
    stamp = spec.build(task, record.cell.task).stamp(source)
    if stamp != record.cell.data:
        raise ValueError(f"expected the rows {record.cell.data!r} of the record, got {stamp!r}")


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
