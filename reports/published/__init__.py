"""Numbers as papers print them.

`published.csv` keeps their digits, with paper and table. Task and metric go by the names that
records use; "accuracy" of mnli is the one number of papers that do not tell its two halves apart.
GLUE and the BLEU, METEOR and ROUGE-L of E2E are printed times 100; so is the BLEU of WebNLG and
DART, which is recorded so too.
"""

from collections.abc import Iterable, Sequence
from csv import DictReader
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import groupby
from pathlib import Path

from reports.published import protocols
from reports.published.protocols import Key, Known

MODELS = {  # name in cells, less the hub's organisation: name in papers
    "bert-base-uncased": "BERT-base",
    "roberta-base": "RoBERTa-base",
    "roberta-large": "RoBERTa-large",
    "gpt2-medium": "GPT-2 medium",
}


@dataclass(frozen=True)
class Score:
    """One printed number."""

    task: str
    metric: str
    value: str  # in the unit that it is printed in
    std: str = ""  # what stands after ±
    note: str = ""  # what to know before comparing


@dataclass(frozen=True)
class PublishedRow:
    """One row of a paper's table."""

    paper: str  # "AdaMix (Wang et al. 2022, arXiv 2205.12410)"
    table: str
    model: str  # as papers write it: "BERT-base"
    method: str
    params: str  # millions; empty where none is printed
    scores: tuple[Score, ...]

    @property
    def authors(self) -> str:
        """Who and when: "Wang et al. 2022"."""
        return _authors(self.paper)

    @property
    def key(self) -> Key:
        """What names the row in protocols.toml."""
        return (self.paper, self.table, self.method, self.params)

    @property
    def known(self) -> Known:
        """How its numbers came about, and which of our methods it is of."""
        return _protocols().rows[self.key]

    @property
    def told(self) -> str:
        """What a footnote says of its table; empty where nothing is known."""
        return _protocols().told.get((self.paper, self.table), "")

    @property
    def label(self) -> str:
        """The row's name in our tables: "LoRA (Hu et al. 2021)"."""
        return f"{self.method} ({self.authors})"

    def about(self, model: str, tasks: Iterable[str]) -> bool:
        """Whether the row has numbers of `model`, as papers call it, on one of `tasks`."""
        return self.model == model and any(map(self.of, tasks))

    def of(self, task: str) -> dict[str, Score]:
        """The numbers of one task, by metric."""
        return {score.metric: score for score in self.scores if score.task == task}


@dataclass(frozen=True)
class Count:
    """A count of parameters as a paper prints it."""

    paper: str
    table: str
    model: str  # as papers write it
    method: str  # likewise
    printed: str  # millions
    ours: str  # text of our method; empty where we have none
    note: str  # why it is not what we count; empty where it is

    @property
    def authors(self) -> str:
        """Who and when: "Wang et al. 2022"."""
        return _authors(self.paper)

    def agrees(self, parameters: int) -> bool:
        """Whether that many parameters are printed so, rounded to the printed digits."""
        printed = Decimal(self.printed)
        return Decimal(parameters).scaleb(-6).quantize(printed, ROUND_HALF_UP) == printed


def counts(model: str) -> list[Count]:
    """Every count that papers print for `model`: "roberta-large", with or without "owner/".

    A row of the same method stands once for each paper and table.
    """
    name = printed_name(model)
    rows = [
        Count(
            row.paper,
            row.table,
            name,
            row.method,
            row.params,
            _first(row.known.ours),
            row.known.note,
        )
        for row in published(model)
        if row.params
    ]
    others = [
        Count(c.paper, c.table, name, c.method, c.params, _first(c.ours), c.note)
        for c in _protocols().counts
        if c.model == name
    ]
    return rows + others


def printed_name(model: str) -> str:
    """What papers call the model that a cell calls `model`; empty when none reports it."""
    return MODELS.get(model.rpartition("/")[2], "")


def published(model: str) -> list[PublishedRow]:
    """The rows that papers print for `model`: "roberta-large", with or without "owner/"."""
    return [row for row in _all() if row.model == printed_name(model)]


def _authors(paper: str) -> str:
    return paper.partition("(")[2].rstrip(")").partition(",")[0] or paper


def _first(ours: Sequence[str]) -> str:
    """The text that a row is counted by; empty where we have no such method."""
    return next(iter(ours), "")


@cache
def _protocols() -> protocols.Protocols:
    """Raises ValueError where protocols.toml and published.csv have not the same rows."""
    return protocols.shipped(tuple(row.key for row in _all()))


@cache
def _all() -> tuple[PublishedRow, ...]:
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        lines = list(DictReader(file))
    names = ("paper", "table", "model", "method", "trainable_params_m")
    rows = groupby(lines, key=lambda line: [line[name] for name in names])
    return tuple(_row(list(group)) for _, group in rows)


def _row(lines: list[dict[str, str]]) -> PublishedRow:
    first = lines[0]
    return PublishedRow(
        paper=first["paper"],
        table=first["table"],
        model=first["model"],
        method=first["method"],
        params=first["trainable_params_m"],
        scores=tuple(map(_score, lines)),
    )


def _score(line: dict[str, str]) -> Score:
    return Score(line["task"], line["metric"], line["value"], line["std"], line["note"])
