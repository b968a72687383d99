"""Subj and MPQA whole, as LM-BFF cut them (Gao et al. 2021, arXiv:2012.15723).

The same rows as those that the few-shot tasks draw from, and the same 2,000 reported rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tasks import sample, task
from tasks.corpus import letters
from tasks.few_shot import FewMPQA, FewPhrases, FewSubj
from tasks.labelled import Found, Labelled
from tasks.sources import Source
from tasks.splits import Read

CUT = "cut: Gao et al. 2021, arXiv:2012.15723"


@dataclass(frozen=True)
class Opinions(Labelled):
    """Single phrases with all training rows.

    Rows whose texts have the same letters are trained or selected on together.
    """

    few: ClassVar[type[FewPhrases]]  # the same task with few rows, which knows the places

    reported: ClassVar = "test"
    generated: ClassVar = sample.VERSION

    def _found(self, source):
        read = {"files": self._files, "hub": self.few()._hub, "sample": self._sample}[source.kind](
            source
        )
        return Found(read, [letters(row.text[0]) for row in read.splits["train"]])

    def _names(self, root):
        few = self.few()
        return [few._whole(root), few._reported(root)]

    def _files(self, source: Source) -> Read:
        few, root = self.few(), source.path or Path()
        read = Read(reason=few.unusable)
        for split, name in zip(("train", self.reported), self._names(root), strict=True):
            read.add(split, few._rows(root, name))
        return read

    def _sample(self, source: Source) -> Read:
        return Read(sample.generate(self.name))


@task("subj", source=f"Pang and Lee 2004, arXiv:cs/0409058; {CUT}")
@dataclass(frozen=True)
class Subj(Opinions):
    """Is the sentence from a film review, or does it tell a plot?"""

    title: ClassVar = "Subj"
    few: ClassVar = FewSubj
    labels: ClassVar = FewSubj.labels
    doubt: ClassVar = FewSubj.doubt
    official: ClassVar = FewSubj.official


@task("mpqa", source=f"Wiebe et al. 2005, doi:10.1007/s10579-005-7880-9; {CUT}")
@dataclass(frozen=True)
class MPQA(Opinions):
    """Is the phrase from the news a positive opinion?

    The corpus repeats phrases, some with both labels: they stay as published, in the reported rows
    too, and the record says how many of those stand among the training rows.
    """

    title: ClassVar = "MPQA"
    few: ClassVar = FewMPQA
    labels: ClassVar = FewMPQA.labels
    official: ClassVar = FewMPQA.official
