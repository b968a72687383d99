"""Tables as the page shows them: with the number that each place sorts by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.blocks import Slot
from reports.layout import Entry, Table
from reports.material import Part


@dataclass(frozen=True)
class Place:
    """One place of a table."""

    text: str
    number: float | None  # that the column is sorted by, where there is one
    best: bool
    sense: str
    remarks: tuple[int, ...]  # numbers of the sentences beneath


@dataclass(frozen=True)
class Shown:
    """One table; `marked` says of each column whether some place carries a mark."""

    id: str  # on the page
    title: str
    columns: tuple[str, ...]
    marked: tuple[bool, ...]
    rows: tuple[tuple[Place, ...], ...]
    papers: tuple[tuple[Place, ...], ...]
    remarks: tuple[tuple[int, str], ...]
    footnotes: tuple[str, ...]


def shown(tables: Sequence[Table], parts: Sequence[Part]) -> list[Shown]:
    """The tables of the parts, in their order; a row's parameters sort by the fewest trained."""
    pairs = zip(tables, parts, strict=True)
    return [_shown(f"table-{n}", *pair) for n, pair in enumerate(pairs, start=1)]


def _shown(name: str, table: Table, part: Part) -> Shown:
    trained = [_fewest(slots) for slots in part.block.rows]
    rows = []
    for (method, parameters, *rest), fewest in zip(table.rows, trained, strict=True):
        scores = [_place(table, entry) for entry in rest]
        rows.append((_place(table, method), _place(table, parameters, fewest), *scores))
    papers = [tuple(_place(table, entry) for entry in row) for row in table.papers]
    across = zip(*rows, *papers, strict=True) if rows or papers else [()] * len(table.columns)
    return Shown(
        id=name,
        title=table.title,
        columns=table.columns,
        marked=tuple(any(p.remarks or p.sense for p in column) for column in across),
        rows=tuple(rows),
        papers=tuple(papers),
        remarks=tuple(
            (number, f"{remark.sentence} ({remark.places})." if remark.places else remark.sentence)
            for number, remark in enumerate(table.remarks, start=1)
        ),
        footnotes=table.footnotes,
    )


def _place(table: Table, entry: Entry, number: float | None = None) -> Place:
    found = entry.value if number is None else number
    return Place(
        text=entry.text,
        number=found if found is not None and math.isfinite(found) else None,
        best=entry.best,
        sense=entry.sense,
        remarks=tuple(table.numbers(entry)),
    )


def _fewest(slots: Sequence[Slot]) -> float | None:
    """The fewest parameters that trained in a row's runs; the table prints a range."""
    costs = [record.cost.get("trained_params") for slot in slots for record in slot.records]
    return min((cost for cost in costs if isinstance(cost, int | float)), default=None)
