"""Tickets: what a customer writes about. The rows were written for this example."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tasks import task
from tasks.base import Data, Row, Task
from tasks.measured import scored
from tasks.sources import digest
from tasks.splits import cut, fingerprint, subset

FOLDER = Path(__file__).with_name("data")
FILES = {"train": "train.tsv", "dev": "dev.tsv"}


@task("tickets", source="peftbench-example 2026, rows of its own", title="Tickets")
@dataclass(frozen=True)
class Tickets(Task):
    """Is the message about a bill or about something that does not work?"""

    rows: int | None = None  # training rows, at most
    dev_rows: int | None = None  # reported rows, at most

    labels: ClassVar[tuple[str, ...]] = ("billing", "technical")
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    primary: ClassVar[str] = "accuracy"
    shown: ClassVar[tuple[str, ...]] = ("accuracy",)
    official: ClassVar[dict[str, int]] = {"train": 40, "dev": 16}

    def stamp(self, source):
        return f"files@{digest(FOLDER, FILES.values())}"

    def load(self, source, seed):
        read = {split: self._read(name) for split, name in FILES.items()}
        train, selection = cut(read["train"], seed, self.rows)
        test = {"dev": subset(read["dev"], self.dev_rows)}
        used = {"train": train, "selection": selection, **test}
        facts = {
            "source": "files",
            "rows": {split: len(rows) for split, rows in read.items()},
            "fingerprint": {split: fingerprint(rows) for split, rows in read.items()},
            "used": {split: len(rows) for split, rows in used.items()},
            "partial": [],
        }
        return Data(train, selection, test, facts)

    def score(self, predictions, references):
        return scored(self, ["dev"], predictions, references)

    def _read(self, name: str) -> list[Row]:
        """The rows of a file: a header, then a label and a text a line, parted by a tab.

        Raises ValueError naming file and line.
        """
        rows = []
        lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines[1:], 2):
            word, _, text = line.partition("\t")
            if word not in self.labels or not text.strip():
                raise ValueError(
                    f"{name}:{number}: expected a label, a tab and a text, got {line!r}"
                )
            rows.append(Row((text,), self.labels.index(word)))
        return rows
