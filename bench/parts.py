"""Rows of a composite task: those of its parts side by side, each batch of one part."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import torch

from bench.text import Batch, Rows


class Nothing(Rows):
    """No rows."""

    def __init__(self) -> None:
        self.lengths, self.labels = np.zeros(0, dtype=np.int64), []


class Parts(Rows):
    """Rows of several parts, numbered one part after another.

    `of`: the rows of each part, none of some. `first`: the number of the first one's part.
    """

    def __init__(self, of: Sequence[Rows], first: int = 0):
        self.of, self.first = of, first
        self.begins = [0, *accumulate(len(rows) for rows in of)]
        self.lengths = np.concatenate([rows.lengths for rows in of])
        self.labels = [label for rows in of for label in rows.labels]

    def batch(self, rows: np.ndarray) -> Batch:
        """The rows of those numbers, which are of one part."""
        part = int(np.searchsorted(self.begins, rows[0], side="right")) - 1
        batch = self.of[part].batch(rows - self.begins[part])
        return replace(batch, rows=torch.from_numpy(rows), part=self.first + part)

    def ordered(self, size: int) -> list[np.ndarray]:
        return self._placed([rows.ordered(size) for rows in self.of])

    def shuffled(self, size: int, source: np.random.Generator) -> list[np.ndarray]:
        """Every row once at random; parts take turns by their numbers of rows."""
        batches = self._placed([rows.shuffled(size, source) for rows in self.of])
        return [batches[i] for i in source.permutation(len(batches))]

    def only(self, parts: Sequence[int]) -> "Parts":
        """The same rows under the same part numbers, but of those parts alone."""
        return Parts([rows if i in parts else Nothing() for i, rows in enumerate(self.of)])

    def alone(self, part: int) -> "Parts":
        """The rows of one part, numbered from 0."""
        return Parts([self.of[part]], self.first + part)

    def split(self, values: Sequence) -> list[Sequence]:
        """One value a row, part by part."""
        return [values[a:b] for a, b in zip(self.begins, self.begins[1:], strict=False)]

    def _placed(self, batches: list[list[np.ndarray]]) -> list[np.ndarray]:
        at = zip(self.begins, batches, strict=False)
        return [begin + rows for begin, some in at for rows in some]
