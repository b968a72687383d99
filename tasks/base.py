"""The contract of a task: rows in, scores out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from tasks.sources import Source


class Row(NamedTuple):
    """One example: one or two texts, and what is expected of them.

    A class index, a number, in generation the target text, and in the reported splits of
    generation all references of one distinct input.
    """

    text: tuple[str, ...]
    label: Any


# A head of the task's own; words for a gap in a text; a text; every token; tokens that were hidden.
Formulation = Literal["classification", "prompt", "generation", "language", "masked"]


class Prompt(NamedTuple):
    """How a row is put to a masked language model.

    `template`: the row's texts by number and the gap, such as "{0} ? {mask} , {1}".
    `words`: what fills the gap, a word for each class in index order; a token each.
    """

    template: str
    words: tuple[str, ...]


class Given(NamedTuple):
    """A head that a task asks for: how many outputs, and what else it is known by."""

    outputs: int
    described: tuple[str, ...] = ()  # a text an output: the head is their embeddings, and stays
    space: str = ""  # of labels: rows of one space are read by one head


@dataclass(frozen=True)
class Decoding:
    """How texts are searched for; one beam is greedy.

    Defaults: the decoding of microsoft/LoRA and microsoft/AdaMix (NLG, README).
    """

    beams: int = 10
    length_penalty: float = 0.8  # summed log probability over (new tokens ** penalty)
    no_repeat: int = 4  # no n-gram of that many new tokens twice; 0: any
    new_tokens: int = 64  # at most
    ends: tuple[str, ...] = ("\n\n",)  # besides the model's own end token (628 of GPT-2)


@dataclass(frozen=True)
class Data:
    """A task's rows for one seed.

    `selection` is cut from the official training split and never overlaps `train`, or is what the
    publisher of few-shot rows set aside; empty where a protocol has none. `test` holds the reported
    split(s), by name.
    """

    train: list[Row]
    selection: list[Row]
    test: dict[str, list[Row]]
    facts: dict[str, Any] = field(default_factory=dict)  # for the record's `where.data`
    parts: tuple["Data", ...] = ()  # of a composite task: those of its tasks, in their order


class Task:
    """A data set with a metric. Subclasses are frozen dataclasses; their fields are options.

    Nothing here knows which method or model is being tested.
    """

    kind: ClassVar[str] = "task"
    name: ClassVar[str]  # what the user types: "sst2"
    source: ClassVar[str]  # the paper
    title: ClassVar[str]  # what a table prints: "SST-2"
    formulation: ClassVar[Formulation] = "classification"
    protocol: ClassVar[str] = ""  # how the scores are computed, where there are several ways
    version: ClassVar[int] = 1  # raised whenever the same cell would give other numbers
    labels: ClassVar[tuple[str, ...]] = ()  # class names in index order; empty for regression
    metrics: ClassVar[tuple[str, ...]]  # names of what `score` returns
    primary: ClassVar[str]  # the one that tables average and selection uses
    shown: ClassVar[tuple[str, ...]]  # those that share one cell of a table
    spread: ClassVar[bool] = False  # a table of its own, a column for every metric shown
    units: ClassVar[Mapping[str, tuple[float, int]]] = {}  # printed: factor, decimals; (100, 1)
    official: ClassVar[dict[str, int]]  # rows that the publisher gives, by split
    composed: ClassVar[bool] = False  # of other tasks, which its option `of` names

    @property
    def outputs(self) -> int:
        """How many numbers a model puts out per row: the classes, or 1 for regression.

        0 where it puts out its own vocabulary.
        """
        classes = self.formulation in ("classification", "prompt")
        return (len(self.labels) or 1) if classes else 0

    @property
    def parts(self) -> "tuple[Task, ...]":
        """The tasks that it is composed of; of a plain task none."""
        return ()

    @property
    def names(self) -> "tuple[str, ...]":
        """What its parts are called in metrics."""
        return ()

    def split(self, part: int, name: str) -> str:
        """What a composite task calls the reported split `name` of a part."""
        raise NotImplementedError

    @property
    def heads(self) -> tuple[Given, ...]:
        """The heads that rows are read by: one, or one for each part of a composite task.

        None where the model puts out its own vocabulary or words.
        """
        return (Given(self.outputs),) if self.formulation == "classification" else ()

    @property
    def prompt(self) -> Prompt:
        """How a row becomes a text with a gap; of tasks that are prompts."""
        raise NotImplementedError

    @property
    def decoding(self) -> Decoding:
        """How texts are searched for; of tasks of generation."""
        raise NotImplementedError

    def lacks(self) -> dict[str, str]:
        """Metrics that cannot be computed on this machine, and why: {"METEOR": "no Java"}."""
        return {}

    def stamp(self, source: Source) -> str:
        """What identifies the rows, for a cell's `data`: "hub", "sample@1", "files@<digest>"."""
        raise NotImplementedError

    def load(self, source: Source, seed: int) -> Data:
        """Reads, cuts and caps the rows; the same arguments give the same rows.

        Raises FileNotFoundError and ValueError that name file and line.
        """
        raise NotImplementedError

    def score(
        self, predictions: Mapping[str, Sequence[Any]], references: Mapping[str, Sequence[Any]]
    ) -> dict[str, float | None]:
        """Unrounded scores by metric name, of predictions by split name; None where undefined.

        Predictions are what the labels of the reported rows are; texts against references in
        generation.
        """
        raise NotImplementedError
