"""Texts with classes, outside GLUE: what such tasks share, however their files are laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from tasks.base import Data, Row, Task
from tasks.measured import scored
from tasks.pairs import cut
from tasks.sources import Source, digest
from tasks.splits import Read, fingerprint, subset


class Found(NamedTuple):
    """The rows of one source, and a group for each training row.

    Rows of one group, such as those with the same text, are either trained or selected on.
    """

    read: Read
    groups: Sequence[str]
    left_out: Mapping[str, Mapping[str, int]] = {}  # texts by split and reason, where told apart


@dataclass(frozen=True)
class Labelled(Task):
    """A training split, of which a tenth is set aside for selection, and one reported split.

    The selection rows are at most 1000, cut by whole groups, and all seeds report on the same rows.
    """

    rows: int | None = None  # training rows, at most
    dev_rows: int | None = None  # reported rows, at most: the same for all seeds

    reported: ClassVar[str]  # the split
    doubt: ClassVar[str] = ""  # what is not known of the hub's rows
    generated: ClassVar[int]  # the version of the generated sample
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    primary: ClassVar = "accuracy"
    shown: ClassVar = ("accuracy",)

    def __post_init__(self):
        for option in ("rows", "dev_rows"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f"expected {option} to be at least 1, got {value}")

    def stamp(self, source):
        if source.kind == "sample":
            return f"sample@{self.generated}"
        if source.kind == "hub":
            return "hub"
        root = source.path or Path()
        return f"files@{digest(root, self._names(root))}"

    def load(self, source, seed):
        read, groups, left_out = self._found(source)
        for split, rows in read.splits.items():
            if len(rows) < 2:
                what = f"{self.title} {split}"
                raise ValueError(f"{what}: expected at least 2 usable rows, got {len(rows)}")
        train, selection = self._cut(read.splits["train"], groups, seed)
        every = read.splits[self.reported]
        test = subset(every, self.dev_rows)
        used = {"train": train, "selection": selection, self.reported: test}
        facts = self._facts(source, read) | {
            "left_out": {split: dict(why) for split, why in left_out.items() if why},
            "used": {name: len(used[name]) for name in used},
        }
        return Data(train, selection, {self.reported: test}, facts)

    def score(self, predictions, references):
        return scored(self, (self.reported,), predictions, references)

    def _cut(
        self, rows: Sequence[Row], groups: Sequence[str], seed: int
    ) -> tuple[list[Row], list[Row]]:
        """Training rows and selection rows, no group in both."""
        grouped = [Row((group,), row) for group, row in zip(groups, rows, strict=True)]
        try:
            train, selection = cut(grouped, seed, self.rows)
        except ValueError as error:
            raise ValueError(f"{self.title} train: {error}") from None
        return [each.label for each in train], [each.label for each in selection]

    def _facts(self, source: Source, read: Read) -> dict[str, Any]:
        trained = {row.text for row in read.splits["train"]}
        shared = sum(row.text in trained for row in read.splits[self.reported])
        return {
            "source": source.kind,
            "fingerprint": {split: fingerprint(rows) for split, rows in read.splits.items()},
            "rows": {split: len(rows) for split, rows in read.splits.items()},
            "official": dict(self.official),
            "skipped": {split: count for split, count in read.skipped.items() if count},
            "shared": {"reported": shared},
            "partial": self._partial(source, read, shared),
            "caps": {"rows": self.rows, "dev_rows": self.dev_rows},
        }

    def _partial(self, source: Source, read: Read, shared: int) -> list[str]:
        """What a reader of the scores must know of the rows, in sentences."""
        if source.kind == "sample":
            return [f"{self.title} rows are a generated sample, not {self.title}"]
        said = read.departures(self.official, {s: f"{self.title} {s}" for s in self.official})
        if source.kind == "hub" and self.doubt:
            said.append(f"{self.title}: {self.doubt}")
        if shared:
            of = f"{shared:,} of {len(read.splits[self.reported]):,} {self.reported} rows"
            said.append(f"{self.title}: the texts of {of} stand in train too")
        return said

    def _found(self, source: Source) -> Found:
        """The rows of both splits.

        Raises FileNotFoundError where files are absent, ValueError where they are not as published.
        """
        raise NotImplementedError

    def _names(self, root: Path) -> list[str]:
        """The files that are read, relative to `root`, there or not."""
        raise NotImplementedError
