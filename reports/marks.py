"""What is significantly better or worse than a baseline, as a table shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.record import Record
from reports import notes
from reports.blocks import Block
from reports.examples import Answers, Examples
from reports.layout import AVERAGE, Column, Fact, Row
from reports.pairing import (
    BOOTSTRAP,
    LEVEL,
    MCNEMAR,
    SIGNS,
    STUDENT,
    Outcome,
    Verdict,
    pairs,
    verdicts,
)

OF_ROWS = "which says nothing of training noise"
TESTS = {  # in a footnote
    STUDENT: "Student's paired t over common seeds",
    SIGNS: "permutation of signs over common seeds",
    MCNEMAR: f"McNemar's exact test over the rows of one run, {OF_ROWS}",
    BOOTSTRAP: f"paired bootstrap over rows, {OF_ROWS}",
}
OF_AVERAGE = "permutation of signs over pairs of task and seed"


def nothing(record: Record) -> Examples | None:
    """Answers where no predictions are at hand."""
    return None


@dataclass(frozen=True)
class Marks:
    """The verdicts of one table, by place; none without a baseline."""

    baseline: str
    places: dict[notes.Place, Verdict]

    def rows(self, rows: Sequence[Row], titles: Sequence[str]) -> list[Row]:
        """The rows, marked; `titles` are of all columns but the first two."""
        return [self._row(row, titles) for row in rows]

    def facts(self, facts: Iterable[Fact], columns: Sequence[Column]) -> list[Fact]:
        """The facts; those of a primary metric say what the tests say of their place."""
        of = {(column.task, column.primary): column.title for column in columns}
        return [self._fact(fact, of.get((fact.task, fact.metric), "")) for fact in facts]

    def footnotes(self) -> list[str]:
        """Baseline, tests, level and correction, then where there was no test."""
        if not self.baseline:
            return []
        if not self.places:
            return [f"Nothing is marked: no run stands beside one of {self.baseline}."]
        tested = {place: v.tested for place, v in self.places.items() if v.adjusted is not None}
        untested = {place: v.tested for place, v in self.places.items() if v.adjusted is None}
        told = [f"Not compared with {self.baseline}: {self._by(untested)}."] if untested else []
        if not tested:
            return told
        return [
            f"▲, ▼: significantly better, worse than {self.baseline} at the {LEVEL:.0%} level, "
            f"corrected by Holm over the methods of a column; no mark: no difference seen. "
            f"By {self._by(tested)}.",
            *told,
        ]

    def _row(self, row: Row, titles: Sequence[str]) -> Row:
        label, parameters, *scores = row
        found = [self.places.get((label.text, title)) for title in titles]
        marked = [
            replace(entry, sense=verdict.sense) if verdict else entry
            for entry, verdict in zip(scores, found, strict=True)
        ]
        return (label, parameters, *marked)

    def _fact(self, fact: Fact, title: str) -> Fact:
        verdict = self.places.get((fact.method, title))
        if verdict is None or fact.status != "ok":
            return fact
        return replace(
            fact,
            baseline=self.baseline,
            verdict=verdict.told,
            test=verdict.tested.by,
            p=verdict.adjusted,
        )

    def _by(self, tested: dict[notes.Place, Outcome]) -> str:
        """ "McNemar's test (RTE, CoLA); ...": each test, or reason, with its places."""
        said: dict[str, list[notes.Place]] = {}
        for place, test in tested.items():
            said.setdefault(self._test(place, test), []).append(place)
        return "; ".join(f"{text} ({self._where(places)})" for text, places in said.items())

    def _where(self, places: Sequence[notes.Place]) -> str:
        """ "CoLA, RTE of lora and full": whole columns by their title, of others the rows."""
        columns: dict[str, list[str]] = {}
        for label, title in places:
            columns.setdefault(title, []).append(label)
        told = []
        for title, labels in sorted(columns.items(), key=lambda item: len(item[1]), reverse=True):
            whole = len(labels) == sum(place[1] == title for place in self.places)
            told.append(title if whole else f"{title} of {_listed(labels)}")
        return ", ".join(told)

    def _test(self, place: notes.Place, tested: Outcome) -> str:
        if place[1] == AVERAGE and tested.by == SIGNS:
            return OF_AVERAGE
        return TESTS.get(tested.by, tested.by)


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def of(block: Block, baseline: str, answers: Answers) -> Marks:
    """The verdicts on every method but `baseline`, a label; on none where it is empty.

    Places without a run of the method have no verdict.
    """
    found = {
        (verdict.pair.method, verdict.pair.title): verdict
        for column in pairs(block, baseline)
        for verdict in verdicts(column, answers)
        if verdict.pair.ran
    }
    return Marks(baseline, found)
