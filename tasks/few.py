"""What the few-shot tasks share: draws, prompts, one way to report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from tasks import sample, shots
from tasks.base import Data, Prompt, Row, Task
from tasks.measured import scored
from tasks.shots import Draw
from tasks.sources import Source, digest
from tasks.splits import Read, fingerprint, subset

MANY = {"lm-bff": 16, "list": 30}  # K of LM-BFF (section 3), of every class; of LiST, in total
ENDS = (".", "?", "!", ",", ";", ":")  # what a first text loses in a prompt
TOLD = {  # what shared texts are said to be
    "reported": "some training texts stand among the reported rows too",
    "selection": "some training texts stand among the selection rows too",
}


@dataclass(frozen=True)
class FewShot(Task):
    """What the six tasks share: two ways to draw, two ways to ask, one way to report.

    The draw "lm-bff" reads the folder of the cell's seed; from the hub and the generated
    sample it draws `k` rows of every class. Its selection rows, `k` of every class, are used
    only where a recipe asks for them. The draw "list" takes `k` training rows at random, and
    has no selection rows. All seeds report on the same rows.
    Departs from LM-BFF: in a prompt, the first of two texts loses its last character only if it
    is punctuation; QQP shows accuracy as LiST does, not F1.
    """

    draw: Literal["lm-bff", "list"] = "lm-bff"
    k: int | None = None  # training rows, of every class or in total; none: 16 or 30
    form: Literal["prompt", "head"] = "prompt"
    words: tuple[str, ...] | None = None  # other words for the gap, one for each class
    dev_rows: int | None = None  # reported rows, at most: the same for all seeds

    folder: ClassVar[str]  # the task's name among the folders of draws
    ending: ClassVar[str]  # of its files
    aside: ClassVar[str] = "dev"  # the file of a draw's selection rows
    reported: ClassVar[str] = "dev"  # the split
    template: ClassVar[str]
    usual: ClassVar[tuple[str, ...]]  # words for the gap, in index order
    unusable: ClassVar[str] = ""  # what makes a row unusable, where the files have such rows
    doubt: ClassVar[str] = ""  # what is not known of the hub's rows
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    primary: ClassVar = "accuracy"  # LiST, arXiv:2110.06274, reports it for all six
    shown: ClassVar = ("accuracy",)

    def __post_init__(self):
        classes = len(self.labels)
        least = classes if self.draw == "list" else 1
        for option, lowest in {"k": least, "dev_rows": 1}.items():
            value = getattr(self, option)
            if value is not None and value < lowest:
                raise ValueError(f"expected {option} to be at least {lowest}, got {value}")
        if self.words is None:
            return
        if self.form == "head":
            raise ValueError("expected words only where form=prompt: a head has none")
        if len(set(self.words)) != classes or len(self.words) != classes:
            named = " or ".join(self.labels)
            given = "+".join(self.words)
            raise ValueError(f"expected {classes} different words, for {named}, got {given!r}")

    @property
    def formulation(self):  # type: ignore[override]
        return "prompt" if self.form == "prompt" else "classification"

    @property
    def prompt(self):
        return Prompt(self.template, self.words or self.usual)

    def stamp(self, source):
        if source.kind == "sample":
            return f"sample@{sample.VERSION}"
        if source.kind == "hub":
            return "hub"
        root = source.path or Path()
        names = [self._whole(root)]
        if self.draw == "lm-bff":
            drawn = shots.seeds(root, self.folder, self._k)
            folders = [shots.folder(self.folder, self._k, seed) for seed in drawn]
            names = [name for folder in folders for name in self._inside(folder)]
        return f"files@{digest(root, [*names, self._reported(root)])}"

    def load(self, source, seed):
        if source.kind == "files":
            read = self._files(source.path or Path(), seed)
        else:
            read = self._hub(source) if source.kind == "hub" else self._sample()
        drawn = self._drawn(read, seed)
        every = read.splits[self.reported]
        if len(every) < 2:
            raise ValueError(f"{self.title}: expected at least 2 reported rows, got {len(every)}")
        test = subset(every, self.dev_rows)
        used = {"train": drawn.train, "selection": drawn.selection, self.reported: test}
        facts = self._facts(source, seed, read, drawn)
        facts["used"] = {split: len(rows) for split, rows in used.items()}
        train, selection, test = (list(map(self._put, rows)) for rows in used.values())
        return Data(train, selection, {self.reported: test}, facts)

    def score(self, predictions, references):
        return scored(self, (self.reported,), predictions, references)

    @property
    def _k(self) -> int:
        return self.k or MANY[self.draw]

    def _drawn(self, read: Read, seed: int) -> Draw:
        """Rows as published."""
        if "selection" in read.splits:  # a folder that holds a draw
            train = read.splits["train"]
            if (met := self._counts(train)) != dict.fromkeys(self.labels, self._k):
                got = ", ".join(f"{count} {name}" for name, count in met.items())
                raise ValueError(
                    f"{self.title} train: expected {self._k} of every class, got {got}"
                )
            return Draw(train, read.splits["selection"])
        draw = shots.per_class if self.draw == "lm-bff" else shots.in_total
        try:
            return draw(read.splits["train"], self._k, seed, len(self.labels))
        except ValueError as error:
            raise ValueError(f"{self.title} train: {error}") from None

    def _put(self, row: Row) -> Row:
        """The row as it is put to a model: in a prompt without blanks at the ends of its texts.

        A pair reads as one sentence: the first text loses its final mark, the second begins small.
        """
        if self.form == "head":
            return row
        first, *others = (text.strip() for text in row.text)
        if others and len(first) > 1 and first.endswith(ENDS):
            first = first[:-1].rstrip()
        small = (text[:1].lower() + text[1:] for text in others)
        return Row((first, *small), row.label)

    def _files(self, root: Path, seed: int) -> Read:
        read = Read(reason=self.unusable)
        if self.draw == "list":
            read.add("train", self._rows(root, self._whole(root)))
        else:
            train, aside = self._inside(self._found(root, seed))
            read.add("train", self._rows(root, train))
            read.add("selection", self._rows(root, aside) if (root / aside).is_file() else [])
        read.add(self.reported, self._rows(root, self._reported(root)))
        return read

    def _found(self, root: Path, seed: int) -> str:
        """The folder of the seed's draw. Raises FileNotFoundError, naming the seeds there are."""
        there = shots.seeds(root, self.folder, self._k)
        folder = shots.folder(self.folder, self._k, seed)
        if seed not in there:
            named = f"the seeds {', '.join(map(str, there))}" if there else "no seed"
            expected = f"{self.name}: expected the folder {folder} in the data directory"
            raise FileNotFoundError(f"{expected}, got {named}; draw=list takes any seed")
        return folder

    def _inside(self, folder: str) -> list[str]:
        """The files of a draw: what to train on, what to select on."""
        return [f"{folder}/{stem}.{self.ending}" for stem in ("train", self.aside)]

    def _sample(self) -> Read:
        rows = sample.generate(self.name.removeprefix("few-"))
        return Read({split: rows[split] for split in ("train", self.reported)})

    def _facts(self, source: Source, seed: int, read: Read, drawn: Draw) -> dict[str, Any]:
        tested = read.splits[self.reported]
        from_folder = "selection" in read.splits
        shared = _shared(drawn, tested)
        parts = {"train": drawn.train, "selection": drawn.selection, self.reported: tested}
        return {
            "source": source.kind,
            "draw": self.draw,
            "k": self._k,
            "folder": shots.folder(self.folder, self._k, seed) if from_folder else "",
            "tries": drawn.tries,
            "classes": self._counts(drawn.train),
            "shared": shared,
            "fingerprint": {split: fingerprint(rows) for split, rows in parts.items() if rows},
            "rows": {split: len(rows) for split, rows in read.splits.items()},
            "official": dict(self.official),
            "skipped": {split: count for split, count in read.skipped.items() if count},
            "partial": self._partial(source, read, shared),
            "caps": {"dev_rows": self.dev_rows},
        }

    def _counts(self, rows: Sequence[Row]) -> dict[str, int]:
        """Rows by name of their class."""
        met = Counter(row.label for row in rows)
        return {name: met[label] for label, name in enumerate(self.labels)}

    def _partial(self, source: Source, read: Read, shared: dict[str, int]) -> list[str]:
        """What a reader of the scores must know of the rows, in sentences."""
        if source.kind == "sample":
            return [f"{self.title} rows are a generated sample, not {self.title[4:]}"]
        names = {split: f"{self.title} {split}" for split in self.official}
        official = dict(self.official)
        if "selection" in read.splits:  # a folder does not say how many rows it was drawn from
            del official["train"]
        said = read.departures(official, names)
        if source.kind == "hub" and self.doubt:
            said.append(f"{self.title}: {self.doubt}")
        return said + [f"{self.title}: {text}" for where, text in TOLD.items() if shared[where]]

    def _whole(self, root: Path) -> str:
        """The file of all training rows."""
        raise NotImplementedError

    def _reported(self, root: Path) -> str:
        """The file of the reported rows."""
        raise NotImplementedError

    def _rows(self, root: Path, name: str) -> Sequence[Row | None]:
        """A file's rows as published; None stands for an unusable one."""
        raise NotImplementedError

    def _hub(self, source: Source) -> Read:
        """All training rows and the reported ones."""
        raise NotImplementedError


def _shared(drawn: Draw, reported: Sequence[Row]) -> dict[str, int]:
    """How many training rows have a text that is reported on too, or selected on."""
    others = {"reported": reported, "selection": drawn.selection}
    texts = {name: {row.text for row in rows} for name, rows in others.items()}
    return {name: sum(row.text in held for row in drawn.train) for name, held in texts.items()}
