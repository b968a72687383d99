"""A record's cell once more, compared bit by bit."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench import spec
from bench.job import Job
from bench.kept import built_on, finished, model_of
from bench.record import WEIGHTS, Record
from bench.run import attempt
from tasks import task
from tasks.sources import Source

FILES = (WEIGHTS, "predictions.jsonl", "model/model.safetensors")
CIRCUMSTANCES = (
    *("versions", "plugins", "commit", "dirty", "platform", "device", "precision", "threads"),
    *("weights_sha256", "head_init"),
)


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
    with tempfile.TemporaryDirectory() as place, _threads(record.where.get("threads")):
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
def _threads(count: object) -> Iterator[None]:
    """As many threads as the record had: sums are taken in another order by more or fewer."""
    before = torch.get_num_threads()
    if isinstance(count, int) and count > 0:
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
    before, now = _flat(a), _flat(b)
    return [
        f"{name}: {before.get(name)} in the record, {now.get(name)} now"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _flat(record: Record) -> dict[str, Any]:
    """The circumstances by name, each package and plug-in for itself, and which rows were used."""
    found: dict[str, Any] = {}
    data = record.where.get("data")
    rows = {"rows": data.get("fingerprint")} if isinstance(data, dict) else {}
    for name, value in [*((name, record.where.get(name)) for name in CIRCUMSTANCES), *rows.items()]:
        inner = value if isinstance(value, dict) else {}
        found |= {f"{name} {key}": one for key, one in inner.items()} or {name: value}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
