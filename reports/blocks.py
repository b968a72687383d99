"""Records laid out: one block a model, methods down and tasks across, runs in each place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.record import Record
from reports.checks import label, one_each, one_source, source, task
from reports.layout import COSTS, Column, Fact
from reports.notes import Place, peeked


@dataclass(frozen=True)
class Slot:
    """The records of one method on one task, in the order of their seeds."""

    label: str
    column: Column
    records: tuple[Record, ...]

    @property
    def place(self) -> Place:
        """The slot's row and column."""
        return (self.label, self.column.title)

    @property
    def scored(self) -> list[Record]:
        """The records that came out well."""
        return [record for record in self.records if record.status == "ok"]

    def values(self, metric: str) -> dict[int, float | None]:
        """The metric by seed, as recorded. Raises ValueError when a record does not have it."""
        for record in self.scored:
            if metric not in record.metrics:
                raise ValueError(
                    f"record {record.cell.key} of task {self.column.task!r} has no metric "
                    f"{metric!r}; it has {', '.join(sorted(record.metrics)) or 'none'}"
                )
        return {record.cell.seed: record.metrics[metric] for record in self.scored}


@dataclass(frozen=True)
class Block:
    """The records of one model."""

    model: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Slot, ...], ...]

    @property
    def tasks(self) -> list[str]:
        """The tasks across, each once."""
        return list(dict.fromkeys(column.task for column in self.columns))

    @cached_property
    def placed(self) -> list[tuple[Place, Record]]:
        """Every record with its place, in reading order."""
        return [(slot.place, r) for row in self.rows for slot in row for r in slot.records]

    @cached_property
    def records(self) -> list[Record]:
        """Every record, in reading order."""
        return [record for _, record in self.placed]

    @cached_property
    def seeds(self) -> list[int]:
        """Every seed that was asked for."""
        return sorted({record.cell.seed for record in self.records})

    @cached_property
    def generated(self) -> bool:
        """Whether some data were made up."""
        return any(source(record) == "sample" for record in self.records)

    def titled(self, title: str) -> str:
        """`title` with the model, how many seeds, and what no reader may miss."""
        most = len(self.seeds)
        finished = [len(slot.scored) for row in self.rows for slot in row if slot.scored]
        fewer = "up to " if finished and min(finished) < most else ""
        count = f", {fewer}{most} seeds" if most > 1 else ""
        marks = ["GENERATED DATA"] if self.generated else []
        if any(map(peeked, self.records)):
            marks.append("selected on the reported split")
        return f"{title}, {self.model}{count}" + (f" ({'; '.join(marks)})" if marks else "")


def grouped(
    records: Sequence[Record], columns: Sequence[Column], title: str, methods: Sequence[str]
) -> list[tuple[str, Block]]:
    """What shares a table, with its title: the same for any order of the records.

    Tasks stand side by side, but for those of `spread` columns. Raises ValueError when records
    that share a table mix data sources or two results claim one place.
    """
    keyed = {record.cell.key: record for record in records}
    once = [keyed[key] for key in sorted(keyed)]
    return [
        (name, block)
        for name, group in _apart(columns, title)
        for block in blocks(_checked(once, group), group, methods)
    ]


def blocks(
    records: Sequence[Record], columns: Sequence[Column], methods: Sequence[str]
) -> list[Block]:
    """The models by name; in each a row for every one of `methods`, then for other labels."""
    models = sorted({record.cell.model for record in records})
    return [
        _block([r for r in records if r.cell.model == model], model, columns, methods)
        for model in models
    ]


def facts(block: Block) -> Iterator[Fact]:
    """A line a metric of every run; one without a metric for a run that has none."""
    once = {record.cell.key: (row, record) for (row, _), record in block.placed}
    for key, (row, record) in once.items():
        costs = {name: record.cost[name] for name in COSTS if record.cost.get(name) is not None}
        for metric in sorted(record.metrics) or [""]:
            yield Fact(
                method=row,
                model=block.model,
                task=task(record),
                seed=record.cell.seed,
                metric=metric,
                value=record.metrics.get(metric),
                status=record.status,
                reason=record.reason,
                key=key,
                data=record.cell.data,
                note="; ".join(filter(None, (_protocol(record), lack(record, metric)))),
                **costs,
            )


def lack(record: Record, metric: str) -> str:
    """What the machine lacked to compute `metric`: "no Java"; empty where nothing."""
    return str(record.where.get("lacks", {}).get(metric, ""))


def _apart(columns: Sequence[Column], title: str) -> list[tuple[str, Sequence[Column]]]:
    """The columns that share tables, and what those are called."""
    together = [column for column in columns if not column.spread]
    return [(title, together), *((_alone(c), c.each()) for c in columns if c.spread)]


def _alone(column: Column) -> str:
    """The title of a table of one task; what is made of several has no one reported split."""
    return column.title if column.composed else f"{column.title} test"


def _checked(records: Sequence[Record], columns: Sequence[Column]) -> list[Record]:
    """The records of the columns' tasks, which may share a table."""
    asked = {column.task for column in columns}
    used = [record for record in records if task(record) in asked]
    one_source(used)
    one_each(used)
    return used


def _protocol(record: Record) -> str:
    name = record.where.get("protocol")
    return f"scored as {name}" if name else ""


def _block(
    records: Sequence[Record], model: str, columns: Sequence[Column], methods: Sequence[str]
) -> Block:
    placed: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.cell.seed, record.cell.key)):
        placed.setdefault((label(record), task(record)), []).append(record)
    labels = dict.fromkeys([*methods, *sorted(name for name, _ in placed)])
    return Block(
        model,
        tuple(columns),
        tuple(
            tuple(Slot(name, c, tuple(placed.get((name, c.task), ()))) for c in columns)
            for name in labels
        ),
    )
