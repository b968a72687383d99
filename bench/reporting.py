"""Reports of a plan or of a whole store: the material gathered, and written in every form."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.desk import Plan
from bench.plan import chosen_tasks
from bench.record import Record
from bench.store import Store
from tasks import task as tasks
from tasks.base import Task

if TYPE_CHECKING:
    from reports.layout import Column, Table
    from reports.material import Material

TEXTS = ("md", "tex", "csv")  # what may stand on a screen


class View(NamedTuple):
    """What a report sets its rows beside."""

    baseline: str = ""  # the row that marks compare with
    compare: str = ""  # the row that every other is compared with, in place of the table


PLAIN = View()


def of_plan(plan: Plan, view: View = PLAIN, command: str = "") -> "Material":
    """What the store has of the plan's rows, marked against the suite's baseline if none is named.

    Raises ValueError where no cell has a record, or for a row that there is not.
    """
    from reports.files import Files
    from reports.material import Material, laid_out, papers

    records, asked, labels = plan.records(), chosen_tasks(plan.request), plan.labels()
    if not records:
        raise ValueError(f"no records of suite {plan.name!r} as asked in {plan.store.root}")
    usual = plan.request.suite.baseline
    title = plan.request.suite.title
    return Material(
        name=plan.name,
        title=title,
        parts=laid_out(records, [_column(task, records) for task in asked], title, labels),
        published=papers(records),
        baseline=view.baseline or (usual if usual in labels else ""),
        files=Files(plan.store),
        command=command,
        labels={task.name: task.labels for task in asked},
    )


def of_store(store: Store, view: View = PLAIN) -> "Material":
    """Every record of the store but trials and those of models that were made.

    Runs that do not fit one table, being of other data, stand in tables of their own. Raises
    ValueError where there is no record, or for a row that there is not.
    """
    from reports.apart import apart
    from reports.files import Files
    from reports.material import Material, Part, laid_out, papers

    records = [record for record in store.records() if _shown_at_all(record)]
    if not records:
        raise ValueError(f"no records in {store.root}")
    parts: list[Part] = []
    for group in apart(records):
        names = sorted({_name(record) for record in group})
        columns = [_column(_task(name), group, name) for name in names]
        parts += laid_out(group, columns, "All records", [])
    return Material(
        name="report",
        title="All records",
        parts=tuple(parts),
        published=papers(records),
        baseline=view.baseline,
        files=Files(store),
        labels={
            name: task.labels
            for name in {_name(record) for record in records}
            if (task := _task(name))
        },
    )


def text(made: "Material", form: str, view: View = PLAIN) -> str:
    """The material as md, tex or csv. Raises ValueError for a row that there is not."""
    from reports import render

    write = {"md": render.markdown, "tex": render.latex, "csv": render.csv}[form]
    return write(*_shown(made, view))


def written(made: "Material", form: str, to: Path, view: View = PLAIN) -> Iterable[Path]:
    """Writes the material into the folder in that form; yields each file once it is there."""
    to.mkdir(parents=True, exist_ok=True)
    name = f"{made.name}-compared" if view.compare else made.name  # beside the table, not over it
    path = to / f"{name}.{form}"
    path.write_text(text(made, form, view), encoding="utf-8")
    yield path


def _shown(made: "Material", view: View) -> list["Table"]:
    from reports import compare, tables

    if view.compare:
        return compare.of_parts(made.parts, view.compare, made.files.answers)
    return tables.of_parts(made.parts, made.published, made.baseline, made.files.answers)


def _column(task: Task | None, records: Sequence[Record], name: str = "") -> "Column":
    """The column of a task; of one that is not known here, its records' primary metric."""
    from reports.layout import Column

    own = [record for record in records if _name(record) == (task.name if task else name)]
    had = {metric for record in own for metric in record.metrics}
    if task is None:
        primary = next((r.primary for r in own if r.primary), "") or min(had, default="score")
        return Column(name, name, (primary,), primary)
    # a reported split may be absent from the data
    shown = tuple(metric for metric in task.shown if metric == task.primary or metric in had)
    return Column(task.name, task.title, shown, task.primary, task.spread, task.units)


def _shown_at_all(record: Record) -> bool:
    task = _task(_name(record))
    makes = task is not None and task.formulation in ("language", "masked")
    return not makes and "report=selection" not in record.cell.recipe


def _name(record: Record) -> str:
    return record.cell.task.partition("[")[0]


def _task(name: str) -> Task | None:
    """The task of that name, unless it is another distribution's that is not installed here."""
    return tasks[name]() if name in tasks.names() else None
