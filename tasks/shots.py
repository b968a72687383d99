"""Few rows out of many: folders that hold a draw, and draws by a seed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.base import Row

FOLDER = "fewshot/k-shot"  # in it <TASK>/<k>-<seed>/<split>, as LM-BFF writes them


class Draw(NamedTuple):
    """Rows to train on, rows to select on, and how often was drawn until every class was there."""

    train: list[Row]
    selection: list[Row]
    tries: int = 1


def folder(task: str, k: int, seed: int) -> str:
    """Where the draw of a seed stands in the data directory."""
    return f"{FOLDER}/{task}/{k}-{seed}"


def seeds(root: Path, task: str, k: int) -> list[int]:
    """The seeds whose draws of `k` rows a class the data directory holds."""
    found = (path.name.removeprefix(f"{k}-") for path in (root / FOLDER / task).glob(f"{k}-*"))
    return sorted(int(seed) for seed in found if seed.isdecimal())


def every(root: Path, task: str, name: str) -> list[str]:
    """The files `name`, which may be a pattern, of all draws of a task that are there."""
    found = (root / FOLDER / task).glob(f"*/{name}")
    return sorted(path.relative_to(root).as_posix() for path in found)


def per_class(rows: Sequence[Row], k: int, seed: int, classes: int) -> Draw:
    """`k` rows of every class to train on and as many to select on, no text twice.

    Source: Gao et al. 2021, arXiv:2012.15723, section 3: both sets have K rows a class.
    Raises ValueError where a class has too few rows.
    """
    import numpy as np

    rows = list({row.text: row for row in rows}.values())
    parts: tuple[list[Row], list[Row]] = ([], [])
    met = Counter[int]()
    for i in np.random.default_rng(seed).permutation(len(rows)).tolist():
        label = rows[i].label
        if met[label] < 2 * k:
            parts[met[label] // k].append(rows[i])
        met[label] += 1
    least = min(met[label] for label in range(classes))
    if least < 2 * k:
        raise ValueError(f"expected {2 * k} rows of every class to draw from, got {least}")
    return Draw(*parts)


def in_total(rows: Sequence[Row], k: int, seed: int, classes: int) -> Draw:
    """`k` rows drawn uniformly, whatever their classes, and none to select on.

    Drawn again from the seed's next stream until every class is there.
    Source: the files of Wang et al. 2021, arXiv:2110.06274, which are such draws.
    Raises ValueError where there are fewer rows, or a class has none.
    """
    import numpy as np

    held = len({row.label for row in rows})
    if k > len(rows) or held < classes:
        expected = f"expected {k} rows of {classes} classes to draw from"
        raise ValueError(f"{expected}, got {len(rows)} of {held}")
    tries = 0
    while True:
        tries += 1
        order = np.random.default_rng((seed, tries)).permutation(len(rows))[:k].tolist()
        train = [rows[i] for i in order]
        if len({row.label for row in train}) == classes:
            return Draw(train, [], tries)
