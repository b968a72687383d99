"""Several tasks at once: what a merge of their runs, or a model trained on all, is measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from bench import spec
from tasks import task
from tasks.base import Data, Given, Task


@task("mix", source="parts: their own sources; mean over tasks: Jin et al. 2023, arXiv:2212.09849")
@dataclass(frozen=True)
class Mix(Task):
    """The tasks `of`, each with its rows, its reported splits and its primary metric.

    A batch holds rows of one of them. `head`: tasks with the same labels share one ("labels"), each
    has its own ("own"), or all have one ("one"), for which they need as many classes. Training
    rows are those of all, as they come: larger tasks are seen more often.
    """

    of: tuple[str, ...] = ("cola", "sst2")
    head: Literal["labels", "own", "one"] = "labels"
    select: int | None = None  # selection rows of each task, at most; none: all that it sets aside

    title: ClassVar = "Mix"
    primary: ClassVar = "mean"
    spread: ClassVar = True
    official: ClassVar[dict[str, int]] = {}
    composed: ClassVar = True

    def __post_init__(self) -> None:
        if self.select is not None and self.select < 1:
            raise ValueError(f"expected select of at least 1 or none, got {self.select}")
        if len(self.of) < 2:
            raise ValueError(f"expected at least two tasks, got {len(self.of)}")
        for part in self.parts:
            self._check(part)
        for text, count in Counter(self.of).items():
            if count > 1:
                raise ValueError(f"expected each task once, got {text!r} {count} times")
        if self.head == "one" and len({given.outputs for given in self.heads}) > 1:
            classes = "+".join(str(part.outputs) for part in self.parts)
            raise ValueError(f"expected as many classes in all tasks for one head, got {classes}")

    @staticmethod
    def _check(part: Task) -> None:
        if part.parts:
            raise ValueError(f"expected plain tasks, got {part.name!r}")
        if part.formulation != "classification" or not part.labels:
            raise ValueError(f"expected tasks with classes, got {part.name!r}")

    @property
    def parts(self) -> tuple[Task, ...]:
        return self._parts

    @cached_property
    def _parts(self) -> tuple[Task, ...]:
        return tuple(spec.build(task, text) for text in self.of)

    @property
    def names(self) -> tuple[str, ...]:
        """What each part is called in metrics: its task, with a number where there are several."""
        names = [part.name for part in self.parts]
        return tuple(
            f"{name} {names[: number + 1].count(name)}" if names.count(name) > 1 else name
            for number, name in enumerate(names)
        )

    @property
    def outputs(self) -> int:
        return self.parts[0].outputs

    @property
    def heads(self) -> tuple[Given, ...]:
        return tuple(
            given._replace(space=self._space(part, given))
            for part in self.parts
            for given in part.heads
        )

    def _space(self, part: Task, given: Given) -> str:
        if given.described:
            return ""
        return {"labels": "+".join(part.labels), "own": spec.text(part), "one": ""}[self.head]

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.names, "mean")

    @property
    def shown(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.metrics

    @property
    def units(self) -> Mapping[str, tuple[float, int]]:  # type: ignore[override]
        return dict.fromkeys(self.metrics, (100, 1))

    @property
    def protocol(self) -> str:  # type: ignore[override]
        told: dict[str, list[str]] = {}
        for name, part in zip(self.names, self.parts, strict=True):
            told.setdefault(part.protocol, []).append(name)
        if len(told) == 1:
            return next(iter(told))
        return "; ".join(f"{', '.join(names)}: {text}" for text, names in told.items() if text)

    def lacks(self):
        return {k: v for part in self.parts for k, v in part.lacks().items()}

    def stamp(self, source):
        return "+".join(dict.fromkeys(part.stamp(source) for part in self.parts))

    def load(self, source, seed):
        parts = tuple(self._capped(part.load(source, seed)) for part in self.parts)
        train = [row for part in parts for row in part.train]
        selection = [row for part in parts for row in part.selection]
        test = {
            self.split(number, name): rows
            for number, part in enumerate(parts)
            for name, rows in part.test.items()
        }
        used = {"train": train, "selection": selection, **test}
        own = dict(zip(self.names, (part.facts for part in parts), strict=True))
        facts = {
            "source": source.kind,
            "fingerprint": {name: facts.get("fingerprint") for name, facts in own.items()},
            "used": {name: len(rows) for name, rows in used.items()},
            "partial": [told for facts in own.values() for told in facts.get("partial", ())],
            "parts": own,
        }
        return Data(train, selection, test, facts, parts)

    def _capped(self, part: Data) -> Data:
        """The part with as many selection rows as are asked for, which are in random order."""
        return (
            part if self.select is None else replace(part, selection=part.selection[: self.select])
        )

    def split(self, part: int, name: str) -> str:
        return f"{self.names[part]} {name}"

    def score(self, predictions, references):
        found = {}
        for number, part in enumerate(self.parts):
            start = self.split(number, "")
            own = [
                {
                    name.removeprefix(start): rows
                    for name, rows in of.items()
                    if name.startswith(start)
                }
                for of in (predictions, references)
            ]
            found[self.names[number]] = part.score(*own)[part.primary] if own[1] else None
        known = [value for value in found.values() if value is not None]
        mean = sum(known) / len(known) if len(known) == len(found) else None
        return found | {"mean": mean}
