"""What finished runs predicted, row by row, as it stands beside their records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.record import Record


class Examples(NamedTuple):
    """Predictions and labels of one run, row by row: both (rows,)."""

    predictions: NDArray
    labels: NDArray


Answers = Callable[[Record], Examples | None]  # None where nothing is stored


def read(path: Path) -> Examples | None:
    """The first split of a file of predictions, which is that of the primary metric, by row.

    None where it has no row. Raises ValueError naming the line that is not a prediction, or
    where the rows are not 0, 1, 2 and so on.
    """
    found: dict[int, tuple[Any, Any]] = {}
    first = None
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            split, row, value = line["split"], line["row"], (line["prediction"], line["label"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}:{number}: expected a prediction, got {text[:40]!r}"
            ) from error
        first = split if first is None else first
        if split == first:
            found[row] = value
    if sorted(found) != [*range(len(found))]:
        raise ValueError(f"{path}: expected the rows 0 to {len(found) - 1}, got others")
    if not found:
        return None
    pairs = [found[row] for row in range(len(found))]
    return Examples(np.array([p for p, _ in pairs]), np.array([label for _, label in pairs]))
