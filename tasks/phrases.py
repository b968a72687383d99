"""Files of labelled phrases as LM-BFF lays them out: lines of `label,text`, without a header."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from tasks import sources
from tasks.base import Row


def file(name: str, split: str) -> str:
    """Where "train" or "test" of Subj or MPQA stands in the data directory."""
    return f"fewshot/original/{name}/{split}.csv"


def read(root: Path, name: str, classes: int) -> list[Row | None]:
    """The rows of the file `root/name`, whose labels are indices below `classes`.

    None stands for a row without a text: MPQA has one.

    Raises FileNotFoundError, and ValueError that names file and line.
    """
    rows: list[Row | None] = []
    reader = csv.reader(StringIO(sources.read(root, name), newline=""), strict=True)
    try:
        for cells in reader:
            rows.append(_row(cells, classes))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{name}:{reader.line_num}: {error}") from None
    return rows


def _row(cells: Sequence[str], classes: int) -> Row | None:
    if len(cells) != 2:
        raise ValueError(f"expected label,text, got {len(cells)} cells")
    label, text = cells
    known = [str(index) for index in range(classes)]
    if label not in known:
        raise ValueError(f"expected the label to be {' or '.join(known)}, got {label!r}")
    return Row((text,), int(label)) if text.strip() else None
