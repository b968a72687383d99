"""Few-shot tasks: six tasks with a handful of training rows, put as a prompt or to a head.

LM-BFF is Gao et al. 2021, arXiv:2012.15723: 16 rows of every class, five draws published as
files. LiST is Wang et al. 2021, arXiv:2110.06274: 30 rows in total, whatever their classes;
AdaMix, arXiv:2205.12410, trains on the very rows of LiST. Those are not at hand: the draws
here are of the same kind, not the same rows. Templates and label words are LM-BFF's, which
LiST took over.
"""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from tasks import glue, phrases, shots, task, tsv
from tasks.base import Row
from tasks.few import FewShot
from tasks.sources import find
from tasks.splits import Read

FEW = "few rows: Gao et al. 2021, arXiv:2012.15723; Wang et al. 2021, arXiv:2110.06274"
NLI = "{0} ? {mask} , {1}"
OPINION = "{0} It was {mask} ."


@dataclass(frozen=True)
class FewGlue(FewShot):
    """A task of GLUE with few rows, reported on GLUE's development split."""

    of: ClassVar[type[glue.Glue]]

    ending: ClassVar = "tsv"

    def _whole(self, root):
        return self.of().file(root, "train")

    def _reported(self, root):
        """LM-BFF's own copy where there is one."""
        copy = f"{self.aside.replace('dev', 'test')}.tsv"
        return next(iter(shots.every(root, self.folder, copy)), self.of().file(root, self.reported))

    def _rows(self, root, name):
        return self.of().parse(tsv.read(root, name, self.of.header))

    def _hub(self, source):
        read, wanted = self.of().hub(source), ("train", self.reported)
        splits = {split: read.splits[split] for split in wanted}
        return Read(splits, {split: read.skipped[split] for split in wanted}, read.reason)


@dataclass(frozen=True)
class FewPhrases(FewShot):
    """Single phrases with few rows, reported on LM-BFF's test split of 2,000."""

    place: ClassVar[str]  # on the hub
    columns: ClassVar[tuple[str, str]]  # of text and label there
    written: ClassVar[tuple[str | int, ...]]  # labels there, in index order

    ending: ClassVar = "csv"
    reported: ClassVar = "test"
    unusable: ClassVar = "rows without a text"

    def _whole(self, root):
        return phrases.file(self.folder, "train")

    def _reported(self, root):
        """The file that has the right letters, else LM-BFF's own copy."""
        copies = shots.every(root, self.folder, "test.csv")
        return find(root, phrases.file(self.folder, "test"), *copies)

    def _rows(self, root, name):
        return phrases.read(root, name, len(self.labels))

    def _hub(self, source):
        import datasets

        tables, read = datasets.load_dataset(self.place), Read(reason=self.unusable)
        for split in ("train", self.reported):
            columns = tables[split][:]
            found = zip(columns[self.columns[0]], columns[self.columns[1]], strict=True)
            rows = [Row((text,), self._class(label)) for text, label in found]
            read.add(split, [row if row.text[0].strip() else None for row in rows])
        return read

    def _class(self, label: str | int) -> int:
        """The index of a label as the hub writes it."""
        if label not in self.written:
            expected = " or ".join(map(str, self.written))
            raise ValueError(f"{self.place}: expected the labels {expected}, got {label}")
        return self.written.index(label)


@task("few-mnli", source=f"{glue.MNLI.source}; {FEW}")
@dataclass(frozen=True)
class FewMNLI(FewGlue):
    """MNLI from few rows, reported on the matched split."""

    title: ClassVar = "few MNLI"
    of: ClassVar = glue.MNLI
    labels: ClassVar = glue.MNLI.labels
    folder: ClassVar = "MNLI"
    aside: ClassVar = "dev_matched"
    reported: ClassVar = "matched"
    template: ClassVar = NLI
    usual: ClassVar = ("Yes", "Maybe", "No")
    unusable: ClassVar = glue.MNLI.unusable
    official: ClassVar = {"train": 392702, "matched": 9815}


@task("few-rte", source=f"{glue.RTE.source}; {FEW}")
@dataclass(frozen=True)
class FewRTE(FewGlue):
    """RTE from few rows."""

    title: ClassVar = "few RTE"
    of: ClassVar = glue.RTE
    labels: ClassVar = glue.RTE.labels
    folder: ClassVar = "RTE"
    template: ClassVar = NLI
    usual: ClassVar = ("Yes", "No")
    official: ClassVar = glue.RTE.official


@task("few-qqp", source=f"{glue.QQP.source}; {FEW}")
@dataclass(frozen=True)
class FewQQP(FewGlue):
    """QQP from few rows; tables show its accuracy, as LiST's, records its F1 too, as LM-BFF's."""

    title: ClassVar = "few QQP"
    of: ClassVar = glue.QQP
    labels: ClassVar = glue.QQP.labels
    folder: ClassVar = "QQP"
    template: ClassVar = "{0} {mask} , {1}"
    usual: ClassVar = ("No", "Yes")
    unusable: ClassVar = glue.QQP.unusable
    metrics: ClassVar = ("accuracy", "f1")
    official: ClassVar = glue.QQP.official


@task("few-sst2", source=f"{glue.SST2.source}; {FEW}")
@dataclass(frozen=True)
class FewSST2(FewGlue):
    """SST-2 from few rows."""

    title: ClassVar = "few SST-2"
    of: ClassVar = glue.SST2
    labels: ClassVar = glue.SST2.labels
    folder: ClassVar = "SST-2"
    template: ClassVar = OPINION
    usual: ClassVar = ("terrible", "great")
    official: ClassVar = glue.SST2.official


@task("few-subj", source=f"Pang and Lee 2004, arXiv:cs/0409058; {FEW}")
@dataclass(frozen=True)
class FewSubj(FewPhrases):
    """Is the sentence from a film review, or does it tell a plot?"""

    title: ClassVar = "few Subj"
    labels: ClassVar = ("subjective", "objective")
    folder: ClassVar = "subj"
    template: ClassVar = "{0} This is {mask} ."
    usual: ClassVar = labels
    place: ClassVar = "SetFit/subj"
    columns: ClassVar = ("text", "label_text")  # its numbers run the other way
    written: ClassVar = labels
    doubt: ClassVar = "the hub's copy may be cut otherwise than LM-BFF's"
    official: ClassVar = {"train": 8000, "test": 2000}


@task("few-mpqa", source=f"Wiebe et al. 2005, doi:10.1007/s10579-005-7880-9; {FEW}")
@dataclass(frozen=True)
class FewMPQA(FewPhrases):
    """Is the phrase from the news a positive opinion? The corpus repeats phrases.

    The hub's copy does not name its labels: they are told by their numbers, as most training
    rows are negative.
    """

    title: ClassVar = "few MPQA"
    labels: ClassVar = ("negative", "positive")
    folder: ClassVar = "mpqa"
    template: ClassVar = OPINION
    usual: ClassVar = ("terrible", "great")
    place: ClassVar = "jxm/mpqa"
    columns: ClassVar = ("sentence", "label")
    written: ClassVar = (0, 1)
    official: ClassVar = {"train": 8603, "test": 2000}  # three more have no text

    def _hub(self, source):
        read = super()._hub(source)
        met = Counter(row.label for row in read.splits["train"])
        if met[0] <= met[1]:
            raise ValueError(f"{self.place}: expected mostly negative training rows (label 0)")
        return read
