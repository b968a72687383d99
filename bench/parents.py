"""A finished run that another one builds on: what it trained, and statistics kept beside it."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.kept import finished
from bench.record import WEIGHTS
from bench.text import Batch, Rows
from methods import resolve
from methods.base import Method, Part

ROWS = 16  # a batch for statistics


class Parent:
    """What a method is given of a run in its needs.

    `part`: which of the task's parts it is of. `rows`: its training
    rows, as they are read in this run.
    """

    def __init__(self, folder: Path, part: Part, rows: Rows):
        self.folder, self.part, self.rows = folder, part, rows
        _, self.record = finished(folder)

    @property
    def told(self) -> str:
        """The row's name and its task: "full on sst2"."""
        cell = self.record.cell
        return f"{cell.label or cell.method} on {cell.task.partition('[')[0]}"

    @property
    def method(self) -> Method:
        """The method of the run."""
        return resolve(self.record.cell.method, self.record.cell.model)

    @property
    def base(self) -> str:
        """The digest of the weights that it started from."""
        return self.record.where.get("weights_sha256", "")

    @property
    def head_init(self) -> str:
        """The digest of the head that it started from."""
        return self.record.where.get("head_init", "")

    @property
    def score(self) -> float | None:
        """Its primary metric on the reported rows: for the record, never to choose by."""
        return self.record.metrics.get(self.record.primary)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """What it trained, by name."""
        return load_file(self.folder / WEIGHTS)

    def batches(self, rows: int) -> Iterator[Batch]:
        """At most so many of its training rows, the first ones, in batches of like length."""
        chosen = np.arange(min(rows, len(self.rows)))
        order = chosen[np.argsort(-self.rows.lengths[chosen], kind="stable")]
        for start in range(0, len(order), ROWS):
            yield self.rows.batch(order[start : start + ROWS])

    def statistic(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors that follow from this run alone: computed once, and kept in its folder.

        Where the folder cannot be written they are computed each time.
        """
        path = self.folder / f"{name}.safetensors"
        kept = _read(path)
        if kept is None:
            with self._alone():
                kept = _read(path)  # another merge may have made it meanwhile
                if kept is None:
                    kept = {key: tensor.contiguous() for key, tensor in make().items()}
                    with contextlib.suppress(OSError, SafetensorError):
                        _write(kept, path)
        return kept

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """In the block no other process is in it for this run, where files can be locked."""
        with (self.folder / WEIGHTS).open("rb") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    """The whole file or none of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, name)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
