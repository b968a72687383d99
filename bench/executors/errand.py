"""A cell sent to another machine: its places are found there, its folder comes back."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import bench
from bench import spec
from bench.executors import room
from bench.executors.agenda import failed, put
from bench.job import Job, Tell
from bench.made import placed
from bench.record import Record
from bench.store import Store
from bench.weights import Weights, find
from tasks import task as tasks
from tasks.sources import Source

Files = dict[str, np.ndarray]  # (bytes,) of each file, by its path inside the folder
Parents = Mapping[str, Callable[[], Files]]  # how to get the folder of the run with that key


@dataclass(frozen=True)
class Errand:
    """What a worker is given."""

    job: Job
    store: Store  # as the sender has it: it knows which records it has read
    token: str  # the name of a file in it that no other folder has
    threads: int
    version: str = bench.__version__


@dataclass(frozen=True)
class Reply:
    """What comes back: a record that is in the store, one with its files, or neither."""

    record: Record | None = None  # None: the folders of the parents have to be sent along
    files: Files | None = None  # None: the worker has put them in the store, which it sees too


def run(errand: Errand, parents: Parents, tell: Tell) -> Reply:
    """Runs the cell in the store itself where this machine sees it, else in a folder of its own.

    Raises ValueError where this machine has another version of this package.
    """
    if errand.version != bench.__version__:
        expected = f"expected peftbench {errand.version} on every machine"
        raise ValueError(f"{expected}, got {bench.__version__} on {_host()}")
    room.limit_threads(errand.threads)
    if (errand.store.root / errand.token).is_file() and os.access(errand.store.root, os.W_OK):
        return Reply(_run(errand.job, errand.store, tell))
    if not parents.keys() >= {*errand.job.cell.parents}:
        return Reply()
    with TemporaryDirectory(prefix="peftbench-") as place:
        store = Store(place)
        for key in errand.job.cell.parents:
            unpack(parents[key](), store.root / key)
        record = _run(errand.job, store, tell)
        return Reply(record, packed(store.folder(errand.job.cell)))


def packed(folder: Path) -> Files:
    """Every file in the folder and in those below it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): np.fromfile(path, np.uint8) for path in files}


def unpack(files: Files, folder: Path) -> None:
    """Writes the files below the folder, which need not exist."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(path)


def located(job: Job, store: Store) -> Job:
    """The job with its rows, its model, its state and the runs it builds on on this machine.

    Raises ValueError where the rows or the model are not here, or are not the same.
    """
    return replace(
        job,
        source=_source(job),
        weights=_weights(job, store),
        part=store.part(job.cell) if job.part else None,
        built_on=tuple(store.root / folder.name for folder in job.built_on),
    )


def _run(job: Job, store: Store, tell: Tell) -> Record:
    from bench.executors.local import work

    try:
        here = located(job, store)
    except ValueError as error:
        return put(failed(job, f"on {_host()}: {error}"), store)
    return work(here, store, tell)


def _source(job: Job) -> Source:
    """Rows in the directory that the sender named, else in this machine's own."""
    if job.source.kind != "files":
        return job.source
    named = [job.source.path, os.environ.get("BENCH_DATA")]
    folders = [Path(one) for one in named if one and Path(one).is_dir()]
    stamps = [_stamp(job.cell.task, folder) for folder in folders]
    if job.cell.data in stamps:
        return replace(job.source, path=folders[stamps.index(job.cell.data)])
    got = ", ".join(dict.fromkeys(stamps)) or "none where the command has it nor in BENCH_DATA"
    raise ValueError(f"expected the data {job.cell.data}, got {got}")


@cache
def _stamp(task: str, folder: Path) -> str:
    return spec.build(tasks, task).stamp(Source("files", folder))


def _weights(job: Job, store: Store) -> Weights:
    """A model of a cell from the store, one of a package or a directory from here, else the hub."""
    weights, maker = job.weights, Path(job.weights.location).parent.name
    if maker in job.made_by:
        return placed(store.root / maker, weights)
    if not os.path.isabs(weights.location):
        return weights
    try:
        here = find(weights.name if weights.known else weights.location)
    except ValueError as error:
        if weights.known:
            raise
        raise ValueError(f"expected the model {weights.name}, got no such directory") from error
    if here.name != weights.name:
        raise ValueError(f"expected the model {weights.name}, got {here.name} in its place")
    return here


def _host() -> str:
    return socket.gethostname()
