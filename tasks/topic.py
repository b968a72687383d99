"""Topics of texts: which category of WebNLG a text is about.

Gardent et al. 2017, aclanthology.org/W17-3518.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.registry import unknown
from tasks import sample_topic, task
from tasks.base import Row
from tasks.corpus import letters
from tasks.labelled import Found, Labelled
from tasks.pairs import Pair
from tasks.splits import Read
from tasks.webnlg import SEEN, WebNLG

SPLITS = ("train", "dev")


@task("topic", source="Gardent et al. 2017, aclanthology.org/W17-3518")
@dataclass(frozen=True)
class Topic(Labelled):
    """Of which of ten categories is the thing that a text of WebNLG tells of?

    Trains on the texts of its training split and reports on those of its development split, for
    five of the fifteen categories of its test split have no training texts. Texts of one set of
    triples are trained or selected on together. Only texts that the challenge marked good are used,
    each once, letter case, spaces and punctuation aside: a training text that is reported on too is
    left out, and a text that is told of two categories everywhere; records count them.
    """

    title: ClassVar = "WebNLG topic"
    labels: ClassVar = tuple(sorted(SEEN))
    reported: ClassVar = "dev"
    generated: ClassVar = sample_topic.VERSION
    official: ClassVar = {"train": 17797, "dev": 2230}  # of 18,025 and 2,258 good texts

    def _found(self, source):
        if source.kind == "sample":
            pairs = sample_topic.generate()
        else:
            pairs = {split: WebNLG().pairs(source, split) for split in SPLITS}
        self._check(pairs)
        return _once(pairs, self.labels)

    def _names(self, root):
        return [name for split in SPLITS for name in WebNLG().files(root, split)]

    def _check(self, pairs: Mapping[str, Sequence[Pair]]) -> None:
        for split, found in pairs.items():
            for pair in found:
                if pair.origin not in self.labels:
                    what = f"category of WebNLG {split} (its training has ten)"
                    raise unknown(what, pair.origin, self.labels)


def _once(pairs: Mapping[str, Sequence[Pair]], labels: Sequence[str]) -> Found:
    """Every good text of one category once, reported rows before training rows."""
    both = _of_two(pair for found in pairs.values() for pair in found if pair.good)
    read = Read(reason="texts that are not good, told again, or of two categories")
    seen: dict[str, str] = {}  # the split that has a text, by its letters
    kept: list[Pair] = []
    left_out = {}
    for split in reversed(SPLITS):
        why = [_unusable(pair, both, seen, split) for pair in pairs[split]]
        rows = [Row((pair.text,), labels.index(pair.origin)) for pair in pairs[split]]
        read.add(split, [None if reason else row for row, reason in zip(rows, why, strict=True)])
        kept = [pair for pair, reason in zip(pairs[split], why, strict=True) if not reason]
        left_out[split] = dict(Counter(filter(None, why)))
    return Found(read, [pair.source for pair in kept], left_out)


def _unusable(pair: Pair, both: Container[str], seen: dict[str, str], split: str) -> str:
    """Why a text is left out, empty where it is not: then it is one of those `seen`."""
    text = letters(pair.text)
    if not pair.good:
        return "not marked good"
    if not text or text in both:
        return "of two categories" if text else "empty"
    if text not in seen:
        seen[text] = split
        return ""
    return "told before" if seen[text] == split else "reported on"


def _of_two(pairs: Iterable[Pair]) -> set[str]:
    """The letters of texts that are told of more than one category."""
    origins: dict[str, set[str]] = {}
    for pair in pairs:
        origins.setdefault(letters(pair.text), set()).add(pair.origin)
    return {text for text, found in origins.items() if len(found) > 1}
