"""GLUE: eight sentence and sentence-pair tasks (Wang et al. 2019, arXiv:1804.07461).

The public test labels are withheld, so papers report the development split.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tasks import sample, task, tsv
from tasks.base import Data, Row, Task
from tasks.measured import scored
from tasks.sources import HUB, Source, digest
from tasks.splits import Read, cut, fingerprint, subset

GLUE = "GLUE: Wang et al. 2019, arXiv:1804.07461"


@dataclass(frozen=True)
class Glue(Task):
    """What the tasks of GLUE share: three sources, one way of cutting, one way of scoring."""

    rows: int | None = None  # training rows, at most
    dev_rows: int | None = None  # rows of each reported split, at most: the same for all seeds

    title: ClassVar[str]  # also the folder in the official layout
    columns: ClassVar[tuple[str, ...]]  # of the texts, in the files
    hub_columns: ClassVar[tuple[str, ...]] = ()  # of the texts, on the hub, where they differ
    label: ClassVar[str] = "label"  # the column of the label, in the files
    words: ClassVar[tuple[str, ...]] = ("0", "1")  # how files write the labels, in index order
    header: ClassVar[tuple[str, ...]] = ()  # the columns, where files do not name them
    splits: ClassVar[tuple[str, ...]] = ("train", "dev")
    optional: ClassVar[tuple[str, ...]] = ()  # splits that may be absent
    unusable: ClassVar[str] = ""  # what makes a row unusable, where the files have such rows
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    primary: ClassVar[str] = "accuracy"  # as in AdaMix, arXiv:2205.12410, table 1
    shown: ClassVar[tuple[str, ...]] = ("accuracy",)

    def __post_init__(self):
        for option in ("rows", "dev_rows"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f"expected {option} to be at least 1, got {value}")

    def stamp(self, source):
        if source.kind == "sample":
            return f"sample@{sample.VERSION}"
        if source.kind == "hub":
            return "hub"
        return f"files@{digest(source.path, [self.file(source.path, s) for s in self.splits])}"

    def load(self, source, seed):
        read = {"files": self._files, "hub": self.hub, "sample": self._sample}[source.kind](source)
        for split, rows in read.splits.items():
            if len(rows) < 2:
                what = f"{self.title} {stem(split)}"
                raise ValueError(f"{what}: expected at least 2 usable rows, got {len(rows)}")
        train, selection = cut(read.splits["train"], seed, self.rows)
        reported = [split for split in read.splits if split != "train"]
        test = {split: subset(read.splits[split], self.dev_rows) for split in reported}
        used = {"train": train, "selection": selection, **test}
        facts = self._facts(source, read) | {"used": {name: len(used[name]) for name in used}}
        return Data(train, selection, test, facts)

    def score(self, predictions, references):
        return scored(self, self.splits[1:], predictions, references)

    def file(self, root: Path, split: str) -> str:
        """Where a split stands, relative to `root`, which may be the folder `glue` itself."""
        layout = "" if (root / self.title).is_dir() else "glue/"
        return f"{layout}{self.title}/{stem(split)}.tsv"

    def _files(self, source: Source) -> Read:
        read, root = Read(reason=self.unusable), source.path or Path()
        for split in self.splits:
            name = self.file(root, split)
            if split in self.optional and not (root / name).exists():
                continue
            read.add(split, self.parse(tsv.read(root, name, self.header)))
        return read

    def parse(self, table: tsv.Table) -> list[Row | None]:
        """A file's lines as rows; None stands for a line that the task knows to be unusable.

        Raises ValueError that names file and line.
        """
        at = [table.position(column) for column in (*self.columns, self.label)]
        rows = []
        for number, cells in table.lines:
            try:
                rows.append(self._row(cells, table.columns, at))
            except ValueError as error:
                raise ValueError(f"{table.name}:{number}: {error}") from None
        return rows

    def _row(self, cells: list[str], columns: tuple[str, ...], at: list[int]) -> Row | None:
        """One line as a row; None where the task knows such lines to be unusable."""
        if self._skips(cells, columns):
            return None
        if len(cells) != len(columns):
            raise ValueError(f"expected {len(columns)} columns, got {len(cells)}")
        *text, word = (cells[i] for i in at)
        return Row(tuple(text), self._read_label(word))

    def _skips(self, cells: list[str], columns: tuple[str, ...]) -> bool:
        return False

    def _read_label(self, word: str) -> int | float:
        if word not in self.words:
            raise ValueError(f"expected {self.label} to be {_or(self.words)}, got {word!r}")
        return self.words.index(word)

    def hub(self, source: Source) -> Read:
        """Every split on the hub. Raises ValueError where its classes stand in another order."""
        import datasets

        tables, read = datasets.load_dataset(HUB, self.name), Read(reason="rows without a label")
        for split in self.splits:
            table = tables[stem(split).replace("dev", "validation")]
            names = getattr(table.features["label"], "names", None)  # None: numbers, not classes
            if names and tuple(names) != self.labels:
                raise ValueError(f"{HUB}: expected the labels {_or(self.labels)}, got {_or(names)}")
            columns = table[:]
            texts = zip(*(columns[name] for name in self.hub_columns or self.columns), strict=True)
            rows = map(Row, texts, columns["label"])
            read.add(split, [None if row.label == -1 else row for row in rows])  # -1: withheld
        return read

    def _sample(self, source: Source) -> Read:
        return Read(sample.generate(self.name))

    def _facts(self, source: Source, read: Read) -> dict[str, Any]:
        names = {split: f"{self.title} {stem(split)}" for split in self.splits}
        partial = read.departures(self.official, names)
        if source.kind == "sample":
            partial = [f"{self.title} rows are a generated sample, not GLUE"]
        return {
            "source": source.kind,
            "fingerprint": {split: fingerprint(rows) for split, rows in read.splits.items()},
            "rows": {split: len(rows) for split, rows in read.splits.items()},
            "official": dict(self.official),
            "skipped": {split: count for split, count in read.skipped.items() if count},
            "partial": partial,
            "caps": {"rows": self.rows, "dev_rows": self.dev_rows},
        }


def stem(split: str) -> str:
    """The file of a split without its ending: "matched" is `dev_matched`."""
    return split if split in ("train", "dev") else f"dev_{split}"


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)


@task("cola", source=f"Warstadt et al. 2019, arXiv:1805.12471; {GLUE}")
@dataclass(frozen=True)
class CoLA(Glue):
    """Is the sentence grammatical?"""

    title: ClassVar = "CoLA"
    labels: ClassVar = ("unacceptable", "acceptable")
    header: ClassVar = ("source", "label", "mark", "sentence")
    columns: ClassVar = ("sentence",)
    metrics: ClassVar = ("matthews",)
    primary: ClassVar = "matthews"
    shown: ClassVar = ("matthews",)
    official: ClassVar = {"train": 8551, "dev": 1043}


@task("sst2", source=f"Socher et al. 2013, aclanthology.org/D13-1170; {GLUE}")
@dataclass(frozen=True)
class SST2(Glue):
    """Is the phrase from a film review positive?"""

    title: ClassVar = "SST-2"
    labels: ClassVar = ("negative", "positive")
    columns: ClassVar = ("sentence",)
    official: ClassVar = {"train": 67349, "dev": 872}


@task("mrpc", source=f"Dolan and Brockett 2005, aclanthology.org/I05-5002; {GLUE}")
@dataclass(frozen=True)
class MRPC(Glue):
    """Do two sentences from the news say the same?"""

    title: ClassVar = "MRPC"
    labels: ClassVar = ("not_equivalent", "equivalent")
    columns: ClassVar = ("#1 String", "#2 String")
    hub_columns: ClassVar = ("sentence1", "sentence2")
    label: ClassVar = "Quality"
    metrics: ClassVar = ("accuracy", "f1")
    shown: ClassVar = ("accuracy", "f1")
    official: ClassVar = {"train": 3668, "dev": 408}


@task("stsb", source=f"Cer et al. 2017, arXiv:1708.00055; {GLUE}")
@dataclass(frozen=True)
class STSB(Glue):
    """How similar are two sentences, from 0 to 5?"""

    title: ClassVar = "STS-B"
    columns: ClassVar = ("sentence1", "sentence2")
    label: ClassVar = "score"
    metrics: ClassVar = ("pearson", "spearman")
    primary: ClassVar = "pearson"
    shown: ClassVar = ("pearson",)
    official: ClassVar = {"train": 5749, "dev": 1500}

    def _read_label(self, word):
        try:
            score = float(word)
        except ValueError:
            score = math.nan
        if not 0 <= score <= 5:
            raise ValueError(f"expected {self.label} to be from 0 to 5, got {word!r}")
        return score


@task("qqp", source=f"Quora Question Pairs, Iyer et al. 2017; {GLUE}")
@dataclass(frozen=True)
class QQP(Glue):
    """Do two questions ask the same?

    Some lines of the official files have too few columns: a question held a line break.
    GLUE's own reader leaves them out.
    """

    title: ClassVar = "QQP"
    labels: ClassVar = ("not_duplicate", "duplicate")
    columns: ClassVar = ("question1", "question2")
    label: ClassVar = "is_duplicate"
    unusable: ClassVar = "malformed lines"
    metrics: ClassVar = ("accuracy", "f1")
    shown: ClassVar = ("accuracy", "f1")
    official: ClassVar = {"train": 363846, "dev": 40430}

    def _skips(self, cells, columns):
        return len(cells) != len(columns)


@task("mnli", source=f"Williams et al. 2018, arXiv:1704.05426; {GLUE}")
@dataclass(frozen=True)
class MNLI(Glue):
    """Does the premise entail the hypothesis, contradict it, or neither?

    A gold label `-` says that the annotators did not agree.
    """

    title: ClassVar = "MNLI"
    labels: ClassVar = ("entailment", "neutral", "contradiction")
    words: ClassVar = labels
    columns: ClassVar = ("sentence1", "sentence2")
    hub_columns: ClassVar = ("premise", "hypothesis")
    label: ClassVar = "gold_label"
    splits: ClassVar = ("train", "matched", "mismatched")
    optional: ClassVar = ("mismatched",)
    unusable: ClassVar = "rows without a gold label"
    metrics: ClassVar = ("accuracy_matched", "accuracy_mismatched")
    primary: ClassVar = "accuracy_matched"
    shown: ClassVar = ("accuracy_matched", "accuracy_mismatched")
    official: ClassVar = {"train": 392702, "matched": 9815, "mismatched": 9832}

    def _skips(self, cells, columns):
        return len(cells) == len(columns) and cells[columns.index(self.label)] == "-"


@task("qnli", source=f"Rajpurkar et al. 2016, arXiv:1606.05250; {GLUE}")
@dataclass(frozen=True)
class QNLI(Glue):
    """Does the sentence answer the question?"""

    title: ClassVar = "QNLI"
    labels: ClassVar = ("entailment", "not_entailment")
    words: ClassVar = labels
    columns: ClassVar = ("question", "sentence")
    official: ClassVar = {"train": 104743, "dev": 5463}


@task("rte", source=f"Bentivogli et al. 2009 and three earlier challenges; {GLUE}")
@dataclass(frozen=True)
class RTE(Glue):
    """Does the first text entail the second?"""

    title: ClassVar = "RTE"
    labels: ClassVar = ("entailment", "not_entailment")
    words: ClassVar = labels
    columns: ClassVar = ("sentence1", "sentence2")
    official: ClassVar = {"train": 2490, "dev": 277}
