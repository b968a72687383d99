"""What a head reads of each row, computed once where nothing below the head changes."""

import os
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.backbone import Backbone
from bench.device import Precision, autocast
from bench.text import Batch, Rows, Shape

VARIABLE = "PEFTBENCH_FEATURES"  # most bytes of features a run may keep on disk; 0: none
BUDGET = 8 * 2**30  # bytes, where the variable is not set
ROWS = 64  # a batch
FILE = "features.bin"


class Featured(Rows):
    """Rows that come with what the head reads of them, from a file mapped into memory.

    The features are those of evaluation, in the precision that the layers gave them in. Batches of
    like length make them, so that they are to rounding those of any other batch.
    """

    def __init__(self, data: Rows, ends: np.ndarray, features: Tensor):
        """`ends`: (rows,), where a row's features end; `features`: (all of them, width)."""
        self.data, self.ends, self.features = data, ends, features
        self.lengths, self.labels = data.lengths, data.labels
        self.seconds, self.shapes = 0.0, Counter[Shape]()

    def batch(self, rows: np.ndarray) -> Batch:
        return replace(self.data.batch(rows), features=self.features[_places(self.ends, rows)])

    def ordered(self, size: int) -> list[np.ndarray]:
        return self.data.ordered(size)

    def shuffled(self, size: int, source: np.random.Generator) -> list[np.ndarray]:
        return self.data.shuffled(size, source)


@torch.no_grad()
def featured(
    model: Backbone, data: Rows, device: torch.device, precision: Precision, folder: Path
) -> Featured | None:
    """The rows with their features, in a file in `folder`; None where they are more than allowed.

    The file may go once they are there: it lives as long as they do.
    Allowed are as many bytes as the environment variable PEFTBENCH_FEATURES says, and half of what
    the disk has left. The model is in eval mode as far as it is `still`.
    """
    began, shapes, ends = time.perf_counter(), Counter[Shape](), _ends(data)
    kept: Tensor | None = None
    file = folder / FILE
    for batch in data.in_order(ROWS):
        with autocast(device, precision):
            found = model.features(batch.to(device)).cpu()
        shapes[batch.shape] += 1
        if kept is None:
            size = int(ends[-1]) * found.shape[1]
            if size * found.element_size() > _allowed(folder):
                return None
            try:
                kept = _file(file, size, found.dtype).view(-1, found.shape[1])
            except OSError:  # somebody else took the room
                file.unlink(missing_ok=True)
                return None
        kept[_places(ends, batch.rows.numpy())] = found
    assert kept is not None, "there are rows"
    rows = Featured(data, ends, kept)
    rows.seconds, rows.shapes = time.perf_counter() - began, shapes
    return rows


def _places(ends: np.ndarray, rows: np.ndarray) -> Tensor:
    """Where the features of those rows stand, row by row."""
    begins = np.concatenate([[0], ends])[rows]
    spans = [np.arange(a, b) for a, b in zip(begins, ends[rows], strict=True)]
    return torch.from_numpy(np.concatenate(spans))


def _ends(data: Rows) -> np.ndarray:
    """Where each row's features end: one a row, or one for each token that is to be told."""
    counts = np.ones(len(data), dtype=np.int64)
    for batch in data.in_order(ROWS):
        if batch.targets is None:
            break
        read = batch.ids if batch.written is None else batch.written
        told = torch.bincount(batch.targets // read.shape[1], minlength=len(read))
        counts[batch.rows.numpy()] = told.numpy()
    return counts.cumsum()


def _allowed(folder: Path) -> int:
    """Bytes. Raises ValueError where the variable is no whole number."""
    asked = os.environ.get(VARIABLE, "")
    if asked and not asked.isdecimal():
        raise ValueError(f"expected {VARIABLE} to be a whole number of bytes, got {asked!r}")
    return min(int(asked) if asked else BUDGET, shutil.disk_usage(folder).free // 2)


def _file(path: Path, size: int, dtype: torch.dtype) -> Tensor:
    """A tensor of so many entries that is a new file. Raises OSError where there is no room."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:  # now: later a full disk would kill the process
        os.posix_fallocate(file.fileno(), 0, max(1, size * dtype.itemsize))
    return torch.from_file(str(path), shared=True, size=size, dtype=dtype)
