"""Sentences without labels for a small masked language model, where there is no pretrained one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.registry import unknown
from tasks import glue, phrases, sample, shots, task, tsv
from tasks.base import Row
from tasks.corpus import Shelf, letters
from tasks.language import Language
from tasks.pairs import Pair
from tasks.sources import Source, digest
from tasks.splits import FIXED

FEW = ("mnli", "rte", "qqp", "sst2", "subj", "mpqa")
NAMES = ("cola", "mrpc", "qnli", "stsb", *FEW)
PHRASES = ("subj", "mpqa")


@task("sentences", source="GLUE and the few-shot data of this project")
@dataclass(frozen=True)
class Sentences(Language):
    """Texts of training splits of GLUE, Subj and MPQA, every text once; labels are not read.

    `without` names tasks that the model is to be tested on; unless told otherwise, all six that
    have a few-shot form. Their texts are left out, and so is every text that stands in any of
    their splits or in a reported split of another task, letter case, spaces and punctuation
    aside. One text in fifty is reported on. A row's label is the text, its own text is empty.
    Tasks that the data directory lacks are left out.
    """

    without: tuple[str, ...] | None = FEW  # tasks; none: nothing is left out

    formulation: ClassVar = "masked"  # type: ignore[assignment]
    title: ClassVar = "Sentences"

    def __post_init__(self):
        super().__post_init__()
        for name in self.without or ():
            if name not in NAMES:
                raise unknown("task with sentences", name, NAMES)

    def stamp(self, source):
        if source.kind == "sample":
            return f"sample@{sample.VERSION}"
        if source.kind == "hub":
            return "hub"
        root = source.path or Path()
        names = [file for name in NAMES for file in (_train(root, name), *_others(root, name))]
        return f"files@{digest(root, names)}"

    def load(self, source, seed):
        if source.kind == "hub":
            raise ValueError("sentences: expected a data directory or the sample, got the hub")
        barred: set[str] = set()
        unseen = []
        for name in NAMES:
            splits = ("train", "others") if name in self._without else ("others",)
            found = {letters(text) for split in splits for text in _texts(source, name, split)}
            barred |= found
            if name in self._without and not found:
                unseen.append(name)
        shelf = Shelf(barred)
        for name in NAMES:
            if name not in self._without:
                shelf.add(name, (Pair("", text) for text in _texts(source, name, "train")))
        if not shelf.rows:
            wanted = " or ".join(name for name in NAMES if name not in self._without)
            raise FileNotFoundError(f"sentences: expected files of {wanted} in the data, got none")
        facts = {
            "source": source.kind,
            "documents": shelf.counts,
            "skipped": {"train": shelf.skipped},
            "partial": self._partial(source, shelf.counts, unseen),
        }
        return self._data(_shuffled(shelf.rows), [], seed, facts)

    @property
    def _without(self) -> tuple[str, ...]:
        return self.without or ()

    def _partial(self, source: Source, counts: dict[str, int], unseen: list[str]) -> list[str]:
        if source.kind == "sample":
            return ["Sentences are those of a generated sample"]
        said = [f"Sentences hold nothing of {name}" for name, count in counts.items() if not count]
        return said + [
            f"Sentences are not compared with {name}, which is absent" for name in unseen
        ]


def _texts(source: Source, name: str, split: str) -> Iterator[str]:
    """The texts of the training split of a task, or of its other splits; none of absent files."""
    if source.kind == "sample":
        for part, rows in sample.generate(name).items():
            if (part == "train") == (split == "train"):
                yield from (text for row in rows for text in row.text)
        return
    root = source.path or Path()
    for file in [_train(root, name)] if split == "train" else _others(root, name):
        if (root / file).is_file():
            for row in _rows(root, name, file):
                yield from (text.strip() for text in row.text)


def _rows(root: Path, name: str, file: str) -> list[Row]:
    """The rows of a file, the unusable ones left out."""
    if name in PHRASES:
        rows = phrases.read(root, file, classes=2)
    else:
        each = task[name]()
        rows = each.parse(tsv.read(root, file, each.header))
    return [row for row in rows if row]


def _train(root: Path, name: str) -> str:
    return phrases.file(name, "train") if name in PHRASES else task[name]().file(root, "train")


def _others(root: Path, name: str) -> list[str]:
    """The files of the reported splits, there or not, and those of all few-shot draws."""
    if name in PHRASES:
        return [phrases.file(name, "test"), *shots.every(root, name, "*.csv")]
    each: glue.Glue = task[name]()
    reported = [each.file(root, split) for split in each.splits[1:]]
    return reported + shots.every(root, each.title, "*.tsv")


def _shuffled(rows: list[Row]) -> list[Row]:
    """In one order for all seeds, tasks mixed."""
    import numpy as np

    return [rows[i] for i in np.random.default_rng(FIXED).permutation(len(rows)).tolist()]
