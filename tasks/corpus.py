"""Documents for a small language model, on machines without a pretrained one."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.registry import unknown
from tasks import sample, sample_text, sources, task, tsv
from tasks.base import Row
from tasks.generation import DataToText
from tasks.language import Language
from tasks.pairs import Pair
from tasks.sources import Source, digest
from tasks.splits import FIXED

PLAIN = ("mnli", "mrpc", "qnli", "qqp", "rte", "sst2")  # whose training texts are documents
WORDS = 200  # of a document read from a text file, at most


@task("corpus", source="the data-to-text tasks and GLUE of this project")
@dataclass(frozen=True)
class Corpus(Language):
    """Pairs of the data-to-text tasks, and plain sentences of GLUE, every text once.

    `without` names tasks that the model is to be tested on: their pairs are left out, so are
    the parts of DART that come from them, and every text that stands in any of their splits,
    letter case, spaces and punctuation aside. Reported are the development splits of the
    tasks that are in. Tasks that the data directory lacks are left out.
    """

    without: tuple[str, ...] | None = None  # tasks
    plain: int = 0  # sentences of GLUE's training splits, without an input

    title: ClassVar = "Corpus"

    def __post_init__(self):
        super().__post_init__()
        if self.plain < 0:
            raise ValueError(f"expected plain to be at least 0, got {self.plain}")
        for name in self.without or ():
            if name not in _tasks():
                raise unknown("data-to-text task", name, _tasks())

    def stamp(self, source):
        if source.kind == "sample":
            return f"sample@{sample_text.VERSION}.{sample.VERSION}"
        if source.kind == "hub":
            return "hub"
        root = source.path or Path()
        splits = ("train", "dev", "test")  # the last for what must not be in
        files = [file for each in _tasks().values() for s in splits for file in each.files(root, s)]
        files += [_glue_file(name) for name in PLAIN] if self.plain else []
        return f"files@{digest(root, files)}"

    def load(self, source, seed):
        barred = {name: self._letters_of(name, source) for name in self.without or ()}
        reported, documents = (Shelf(set[str]().union(*barred.values())) for _ in range(2))
        for name, each in self._included().items():
            if each.trained_on(source) != "dev":
                reported.add(name, self._allowed(_pairs(each, source, "dev")))
        documents.known |= reported.known
        for name, each in self._included().items():
            documents.add(name, self._allowed(_pairs(each, source, each.trained_on(source))))
        if self.plain:
            documents.add("plain", _sentences(source), self.plain)
        if not documents.rows:
            wanted = " or ".join(self._included()) or "GLUE, with plain above 0,"
            raise FileNotFoundError(f"corpus: expected files of {wanted} in the data, got none")
        facts = {
            "source": source.kind,
            "documents": documents.counts,
            "skipped": {"train": documents.skipped, "dev": reported.skipped},
            "partial": self._partial(source, documents.counts, barred),
        }
        return self._data(documents.rows, reported.rows, seed, facts)

    def _included(self) -> dict[str, DataToText]:
        return {name: each for name, each in _tasks().items() if name not in (self.without or ())}

    def _letters_of(self, name: str, source: Source) -> set[str]:
        """What no document may hold: every text of the task, of whatever split."""
        splits = ("train", "dev", "test")
        pairs = [pair for split in splits for pair in _pairs(_tasks()[name], source, split)]
        return {letters(pair.text) for pair in pairs}

    def _allowed(self, pairs: Iterable[Pair]) -> list[Pair]:
        return [pair for pair in pairs if pair.good and pair.origin not in (self.without or ())]

    def _partial(self, source: Source, counts: dict[str, int], barred: dict) -> list[str]:
        if source.kind == "sample":
            return ["Corpus rows are a generated sample"]
        said = [f"Corpus holds nothing of {name}" for name, count in counts.items() if not count]
        unseen = [name for name, letters in barred.items() if not letters]
        return said + [f"Corpus is not compared with {name}, which is absent" for name in unseen]


class Shelf:
    """Documents under way: each text once, none whose letters are known already."""

    def __init__(self, known: AbstractSet[str]):
        self.known = {"", *known}  # an empty text is no document
        self.rows: list[Row] = []
        self.counts: dict[str, int] = {}
        self.skipped = 0

    def add(self, name: str, pairs: Iterable[Pair], most: int | None = None) -> None:
        """Takes the pairs in turn, at most `most` of them, as `name`."""
        taken: list[Row] = []
        for pair in pairs:
            if len(taken) == most:
                break
            if (known := letters(pair.text)) in self.known:
                self.skipped += 1
                continue
            self.known.add(known)
            taken.append(Row((pair.source,), pair.text))
        self.rows += taken
        self.counts[name] = len(taken)


@task("texts", source="text files of the user's own")
@dataclass(frozen=True)
class Texts(Language):
    """Plain text files, one document a line; longer lines are cut every 200 words.

    One document in fifty is reported on, the same ones for every seed. Without a data
    directory the documents are the texts of the generated sample.
    """

    files: tuple[str, ...] | None = None  # in the data directory; none: every *.txt in it

    title: ClassVar = "Texts"

    def stamp(self, source):
        if source.kind == "sample":
            return f"sample@{sample_text.VERSION}"
        root = self._root(source)
        return f"files@{digest(root, self._names(root))}"

    def load(self, source, seed):
        lines = _sample_texts() if source.kind == "sample" else self._lines(self._root(source))
        pieces = dict.fromkeys(piece for line in lines for piece in _pieces(line))
        said = ["Texts rows are a generated sample"] if source.kind == "sample" else []
        facts = {"source": source.kind, "skipped": {}, "partial": said}
        return self._data([Row(("",), piece) for piece in pieces], [], seed, facts)

    def _root(self, source: Source) -> Path:
        if source.path is None:
            raise ValueError("texts: expected a data directory with text files, got the hub")
        return source.path

    def _names(self, root: Path) -> list[str]:
        names = list(self.files or ()) or sorted(path.name for path in root.glob("*.txt"))
        if not names:
            raise FileNotFoundError("texts: expected *.txt in the data directory, got none")
        return names

    def _lines(self, root: Path) -> Iterator[str]:
        for name in self._names(root):
            yield from sources.read(root, name).split("\n")


def _tasks() -> dict[str, DataToText]:
    """Every data-to-text task, by name."""
    return {n: task[n]() for n in task.names() if issubclass(task[n], DataToText)}


def _pairs(each: DataToText, source: Source, split: str) -> list[Pair]:
    """The pairs of a split; none where a data directory lacks it."""
    try:
        return each.pairs(source, split)
    except FileNotFoundError:
        if source.kind == "files":
            return []
        raise


def _sentences(source: Source) -> Iterator[Pair]:
    """The texts of GLUE's training splits, those that are there, in one order for all seeds."""
    import numpy as np

    if source.kind == "hub":
        raise ValueError("corpus, plain: expected a data directory or the sample, got the hub")
    found: list[str] = []
    for name in PLAIN:
        if source.kind == "sample":
            found += (text for row in sample.generate(name)["train"] for text in row.text)
        elif source.path and (source.path / _glue_file(name)).is_file():
            found += _glue_texts(source.path, name)
    for i in np.random.default_rng(FIXED).permutation(len(found)).tolist():
        yield Pair("", found[i])


def _glue_file(name: str) -> str:
    return f"glue/{task[name].title}/train.tsv"


def _glue_texts(root: Path, name: str) -> Iterator[str]:
    table = tsv.read(root, _glue_file(name))
    at = [table.position(column) for column in task[name].columns]
    for _, cells in table.lines:
        if len(cells) == len(table.columns):
            yield from (cells[i].strip() for i in at)


def _sample_texts() -> Iterator[str]:
    for name in sample_text.TOPICS:
        yield from (pair.text for pair in sample_text.generate(name)["train"])


def _pieces(line: str) -> Iterator[str]:
    """A line's words, at most 200 at a time; nothing of a blank line."""
    words = line.split()
    for start in range(0, len(words), WORDS):
        yield " ".join(words[start : start + WORDS])


def letters(text: str) -> str:
    """Letters and digits alone, in lower case: what two tellings of one text have in common."""
    return re.sub(r"[\W_]+", "", text.lower())
