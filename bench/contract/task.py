"""The contract of a task: what it says of itself, its rows, its scores."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench import spec
from bench.contract.item import Aside, Broken, Contract, Finding
from tasks import task as tasks
from tasks.base import Data, Row, Task
from tasks.sources import Source

contract = Contract()
CLASSES, DOCUMENTS = ("classification", "prompt"), ("language", "masked")
KINDS = ("hub", "sample@", "files@")


def findings(text: str, source: Source) -> list[Finding]:
    """What came of every item for the task of that text, on the rows of `source`.

    Raises ValueError for a name or an option that is wrong.
    """
    return contract.findings(Asked(spec.build(tasks, text), source), "")


@dataclass
class Asked:
    """A task and where its rows come from."""

    task: Task
    source: Source

    @cached_property
    def data(self) -> Data:
        """Its rows for seed 0."""
        return self.task.load(self.source, 0)

    @property
    def splits(self) -> dict[str, list[Row]]:
        """Every split by name."""
        return {"train": self.data.train, "selection": self.data.selection, **self.data.test}

    @property
    def labels(self) -> dict[str, list[Any]]:
        """What is expected of the reported rows."""
        return {split: [row.label for row in rows] for split, rows in self.data.test.items()}


@contract.item("declared")
def _declared(case: Asked) -> str:
    cls = type(case.task)
    if not isinstance(case.task, Task) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise Broken(f"expected a frozen dataclass below tasks.base.Task, got {cls.__name__}")
    for fact in ("name", "title", "source", "metrics", "primary", "shown", "official"):
        spared = fact == "official" and case.task.composed
        spared = spared or (fact in ("shown", "official") and _free(case))
        if not getattr(case.task, fact, None) and not spared:
            raise Broken(f"expected {fact}, got none")
    if not (inspect.getdoc(cls) or "").strip() or cls.__doc__ == inspect.getdoc(Task):
        raise Broken("expected a docstring that says what is asked, got none")
    metrics = case.task.metrics
    if cls.primary not in metrics or not set(case.task.shown) <= set(metrics):
        raise Broken(f"expected primary and shown among {', '.join(metrics)}, got others")
    return f"{cls.title}: {', '.join(metrics)}; {cls.source}"


@contract.item("round-trips")
def _round(case: Asked) -> str:
    for full in (True, False):
        written = spec.text(case.task, full=full)
        if spec.build(tasks, written) != case.task:
            raise Broken(f"expected {written!r} to build the same task, got another")
    return spec.text(case.task)


@contract.item("stamps-its-rows")
def _stamp(case: Asked) -> str:
    stamp = case.task.stamp(case.source)
    if not stamp.startswith(KINDS) or stamp != case.task.stamp(case.source):
        raise Broken(f"expected one of hub, sample@1, files@<digest> each time, got {stamp!r}")
    return stamp


@contract.item("loads")
def _loads(case: Asked) -> str:
    sizes = {split: len(rows) for split, rows in case.splits.items()}
    for split in ("train", *case.data.test):
        if not sizes[split]:
            raise Broken(f"expected rows in {split}, got none")
    if case.data.facts.get("used") != sizes:
        raise Broken(f'expected facts["used"] to be {sizes}, got {case.data.facts.get("used")}')
    for fact in ("source", "fingerprint", "partial"):
        if fact not in case.data.facts:
            raise Broken(f"expected facts[{fact!r}] to say what was read, got none")
    return ", ".join(f"{count:,} {split}" for split, count in sizes.items())


@contract.item("repeats", "loads")
def _repeats(case: Asked) -> str:
    if case.task.load(case.source, 0) != case.data:
        raise Broken("expected the same rows for the same seed, got others")
    if case.task.load(case.source, 1).test != case.data.test:
        raise Broken("expected the same reported rows for every seed, got others")
    return "the same seed gives the same rows, every seed the same reported ones"


@contract.item("splits-share-no-row", "loads")
def _apart(case: Asked) -> str:
    seen: dict[Any, str] = {}
    for split, rows in case.splits.items():
        for row in rows:
            what = row.text if any(row.text) else row.label
            if seen.setdefault(what, split) != split:
                raise Broken(f"expected no row in two splits, got {what} in {seen[what]}, {split}")
    return f"{len(seen):,} distinct inputs"


@contract.item("rows-are-valid", "loads")
def _valid(case: Asked) -> str:
    if case.task.formulation in DOCUMENTS:
        raise Aside("documents have no labels")
    if case.task.composed:
        raise Aside("rows of its parts, which are tasks of their own")
    every = [(split, row) for split, rows in case.splits.items() for row in rows]
    widths = {len(row.text) for _, row in every}
    if len(widths) > 1 or not widths <= {1, 2}:
        raise Broken(f"expected one text in every row, or two, got {sorted(widths)}")
    for split, row in every:
        if not all(isinstance(text, str) and text.strip() for text in row.text):
            raise Broken(f"expected texts, got {row.text!r} in {split}")
        if case.task.formulation in CLASSES and not _label(case.task, row.label):
            kind = f"0 to {case.task.outputs - 1}" if case.task.labels else "finite numbers"
            raise Broken(f"expected labels {kind}, got {row.label!r} in {split}")
    return f"{widths.pop()} texts a row, labels as declared"


@contract.item("scores-the-right-higher", "loads")
def _scores(case: Asked) -> str:
    if case.task.formulation in DOCUMENTS:
        raise Aside("the runner measures the loss")
    right = {split: list(map(_answer, labels)) for split, labels in case.labels.items()}
    wrong = {split: [*rows[1:], rows[0]] for split, rows in right.items()}
    best, other = (case.task.score(found, case.labels) for found in (right, wrong))
    if tuple(best) != tuple(case.task.metrics):
        raise Broken(f"expected scores {', '.join(case.task.metrics)}, got {', '.join(best)}")
    high, low = best[case.task.primary], other[case.task.primary]
    if high is None or (low is not None and not high > low):
        raise Broken(f"expected right answers to score above wrong ones, got {high} and {low}")
    return f"{case.task.primary} of right answers {high:.3g}, of the neighbours' {low or 0:.3g}"


def _free(case: Asked) -> bool:
    return case.task.formulation in DOCUMENTS


def _label(of: Task, label: Any) -> bool:
    if of.labels:
        return type(label) is int and 0 <= label < of.outputs
    return type(label) is float and math.isfinite(label)


def _answer(label: Any) -> Any:
    """An answer that is right: the label, or the first reference."""
    return label if isinstance(label, str) or not isinstance(label, Sequence) else label[0]
