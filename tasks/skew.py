"""The training rows of a task split among several that hold its classes in unlike portions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from bench import spec
from tasks import glue, task
from tasks.base import Data, Row, Task
from tasks.splits import fingerprint

DRAWS = 1000  # at most, until every share has a row
# What a table asks of a task, and a model of its rows: those of the task that is split.
SAME = ("labels", "formulation", "protocol", "metrics", "primary", "shown", "spread", "units")


@task(
    "skew",
    source="Jin et al. 2023, arXiv:2212.09849, non-iid splits; "
    "Yurochkin et al. 2019, arXiv:1905.12022, section 4, Dirichlet draw",
)
@dataclass(frozen=True)
class Skew(Task):
    """One of `shares` disjoint parts of the training rows of the task `of`, skewed by label.

    The rows of every class are divided by a draw from Dirichlet(`alpha`) over the shares: the
    smaller alpha is, the fewer shares hold most of a class. The cell's seed draws, so the shares of
    a seed are all rows of that seed, each once. All shares select and report on the same rows.

    Departs from Jin et al.: their code gives a share 80% of one class and little of the others,
    from 2000 rows for two shares; here portions are drawn, and of all rows.
    """

    of: str = "sst2"  # a task with classes
    share: int = 0  # from 0
    shares: int = 3
    alpha: float = 0.8  # the number that Jin et al. call niid_label_alpha, there a portion
    rows: int | None = None  # training rows of the share, at most
    dev_rows: int | None = None  # reported rows, at most: the same for all seeds

    title: ClassVar[str] = "Skewed share"
    labels: ClassVar = glue.SST2.labels  # of the default, like those below
    metrics: ClassVar = glue.SST2.metrics
    primary: ClassVar = glue.SST2.primary
    shown: ClassVar = glue.SST2.shown
    official: ClassVar = glue.SST2.official

    def __post_init__(self) -> None:
        if self.shares < 2:
            raise ValueError(f"expected shares to be at least 2, got {self.shares}")
        if not 0 <= self.share < self.shares:
            raise ValueError(f"expected share to be from 0 to {self.shares - 1}, got {self.share}")
        if self.alpha <= 0:
            raise ValueError(f"expected alpha above 0, got {self.alpha:g}")
        if self.rows is not None and self.rows < 1:
            raise ValueError(f"expected rows to be at least 1, got {self.rows}")
        object.__setattr__(self, "of", spec.text(self._checked(spec.build(task, self.of))))
        whole = self._whole
        for fact in (*SAME, "official"):
            object.__setattr__(self, fact, getattr(whole, fact))
        object.__setattr__(self, "title", f"{whole.title}, share {self.share} of {self.shares}")

    def _checked(self, whole: Task) -> Task:
        """The task that is split. Raises ValueError where its rows have no classes."""
        if isinstance(whole, Skew):
            raise ValueError("expected a task that is whole, got skew in skew")
        if whole.formulation != "classification" or not whole.labels:
            raise ValueError(f"expected a task with classes for a head, got of={self.of}")
        return whole

    @cached_property
    def _whole(self) -> Any:
        whole: Any = spec.build(task, self.of)
        return whole if self.dev_rows is None else replace(whole, dev_rows=self.dev_rows)

    @property
    def heads(self):
        return self._whole.heads

    def lacks(self):
        return self._whole.lacks()

    def stamp(self, source):
        return self._whole.stamp(source)

    def load(self, source, seed):
        data = self._whole.load(source, seed)
        try:
            drawn = divided([row.label for row in data.train], self.shares, self.alpha, seed)
        except ValueError as error:
            raise ValueError(f"{self.title}: {error}") from None
        own = [row for row, share in zip(data.train, drawn, strict=True) if share == self.share]
        train = own[: self.rows]
        facts = data.facts | {
            "rows": data.facts["rows"] | {"train": len(own) + len(data.selection)},
            "share": self._share(own, drawn),
            "partial": [*data.facts["partial"], self._said()],
            "caps": data.facts["caps"] | {"rows": self.rows},
            "used": data.facts["used"] | {"train": len(train)},
        }
        return Data(train, data.selection, data.test, facts)

    def score(self, predictions, references):
        return self._whole.score(predictions, references)

    def _share(self, own: Sequence[Row], drawn: Sequence[int]) -> dict[str, Any]:
        """What the share is of, and what it holds."""
        sizes, met = Counter(drawn), Counter(row.label for row in own)
        return {
            "number": self.share,
            "sizes": [sizes[share] for share in range(self.shares)],
            "classes": {name: met[label] for label, name in enumerate(self.labels)},
            "fingerprint": fingerprint(own),
        }

    def _said(self) -> str:
        """The same for all shares and seeds, so that a table says it once."""
        name = self._whole.title
        return f"{name} train: one of {self.shares} shares skewed by Dirichlet({self.alpha:g})"


def divided(labels: Sequence[int], shares: int, alpha: float, seed: int) -> list[int]:
    """The share of each row: for every class a draw of portions from Dirichlet(alpha).

    Drawn again from the seed's next stream until no share is empty.
    Raises ValueError where there are fewer rows than shares, or no draw gives each a row.
    """
    import numpy as np

    if len(labels) < shares:
        raise ValueError(f"expected at least {shares} training rows to share, got {len(labels)}")
    known = np.asarray(labels)
    for draw in range(DRAWS):
        source = np.random.default_rng((seed, draw))
        found = np.empty(len(known), dtype=int)
        for label in np.unique(known):
            rows = source.permutation(np.flatnonzero(known == label))
            ends = np.cumsum(source.dirichlet(np.full(shares, alpha)))[:-1] * len(rows)
            found[rows] = np.searchsorted(ends.round(), np.arange(len(rows)), side="right")
        if len(np.unique(found)) == shares:
            return found.tolist()
    raise ValueError(
        f"expected rows in all of {shares} shares, got an empty one in each of {DRAWS:,} draws; "
        f"raise alpha above {alpha:g} or take fewer shares"
    )
