"""What every form of a report is made of: records laid out, and what stands beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.record import Record
from reports.blocks import Block, grouped
from reports.files import Files
from reports.layout import Column
from reports.pairing import known
from reports.published import PublishedRow, published


@dataclass(frozen=True)
class Part:
    """The records of one model that share a table."""

    title: str  # of the table, the model left out: "GLUE development split"
    block: Block


@dataclass(frozen=True)
class Material:
    """What was asked for, of one suite or of a store."""

    name: str  # of the files: "glue"
    title: str
    parts: tuple[Part, ...]
    published: tuple[PublishedRow, ...] = ()  # of all models and tasks
    baseline: str = ""  # the row that marks compare with
    files: Files = field(default_factory=Files)
    command: str = ""  # what makes these records: "python -m bench run --suite glue"; or none does
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)  # class names by task
    unread: tuple[str, ...] = ()  # records of the store that are damaged: a line each

    @property
    def records(self) -> list[Record]:
        """Every record, once."""
        found = {r.cell.key: r for part in self.parts for r in part.block.records}
        return [*found.values()]

    def titled(self) -> "Material":
        """The same with its own title over every part, as a table of a paper has it."""
        parts = tuple(replace(part, title=self.title) for part in self.parts)
        return replace(self, parts=parts)

    def known(self, label: str) -> None:
        """Raises ValueError, naming the nearest, where no row is labelled so."""
        known([part.block for part in self.parts], label)


def laid_out(
    records: Sequence[Record], columns: Sequence[Column], title: str, methods: Sequence[str]
) -> tuple[Part, ...]:
    """One part a model, and for tasks of `spread` columns one a task and model.

    Raises ValueError when records that share a table mix data sources or two results claim one
    place.
    """
    return tuple(Part(*pair) for pair in grouped(records, columns, title, methods))


def papers(records: Sequence[Record]) -> tuple[PublishedRow, ...]:
    """What papers print about the models of the records."""
    models = sorted({record.cell.model for record in records})
    return tuple(row for model in models for row in published(model))
