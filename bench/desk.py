"""A request, a source and a store put together: what a command shows of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bench.job import Job
from bench.plan import Planned, chosen_tasks, outline, plan
from bench.record import Record
from bench.store import Store
from bench.suite import Request
from tasks import task as tasks
from tasks.base import Task
from tasks.sources import Source


class View(NamedTuple):
    """What a report sets its rows beside."""

    baseline: str = ""  # the row that marks compare with
    compare: str = ""  # the row that every other is compared with, in place of the table


PLAIN = View()


class Plan:
    """The cells of a request and what the store knows of them."""

    def __init__(self, request: Request, source: Source, store: Store):
        self.request, self.source, self.store = request, source, store
        self.name = request.suite.name
        known = outline(request, source, store)
        self.cells: list[Planned] = plan(known.jobs, store)
        self.waiting = known.waiting  # a name for each cell whose settings trials have yet to tell

    def again(self) -> "Plan":
        """The same request with what the store knows by now."""
        return Plan(self.request, self.source, self.store)

    def todo(self, force: bool) -> list[Job]:
        """What is to be run, parents first.

        `force`: finished rows too. A parent is run where a cell that needs it is and it has not
        been made: made again it would be the same. So would a trial.
        """
        needed: set[str] = set()
        found = []
        for planned in reversed(self.cells):  # those that build on others first
            job = planned.job
            again = force and job.role == "row" and not job.lost
            wanted = job.role != "parent" or job.cell.key in needed
            if again or (planned.todo and wanted):
                needed.update(job.cell.parents)
                found.append(job)
        return found[::-1]

    def opening(self, force: bool) -> str:
        """One line: how many cells, how many done, and which data."""
        count = "1 cell" if len(self.cells) == 1 else f"{len(self.cells)} cells"
        done = len(self.cells) - len(self.todo(force))
        return f"{self.name}: {count}, {done} done{self._waits()}; data: {self.source.describe()}"

    def _waits(self) -> str:
        count = len(self.waiting)
        told = "1 cell waits" if count == 1 else f"{count} cells wait"
        return f", {told} for the trials" if count else ""

    def rows(self) -> list[dict[str, Any]]:
        """A flat row a cell, in the order they run."""
        return [
            {
                "key": p.job.cell.key,
                "status": p.done.status if p.done else "todo",
                "reason": p.done.reason if p.done else "",
                "cell": f"{p.job.cell.label} {p.job.cell.task.partition('[')[0]} "
                f"{p.job.cell.model} seed={p.job.cell.seed}",
                "method": p.job.cell.method,
                "task": p.job.cell.task,
                "model": p.job.cell.model,
                "recipe": p.job.cell.recipe,
                "seed": p.job.cell.seed,
                "data": p.job.cell.data,
                "row_passes": p.row_passes,
                "seconds": p.seconds,
            }
            for p in self.cells
        ]

    def listing(self) -> str:
        """A line a cell for a person, and the count."""
        lines = []
        for row in self.rows():
            passes = {None: "cost unknown", 0: "evaluation only"}.get(
                row["row_passes"], f"{row['row_passes']} row passes"
            )
            cost = passes if row["seconds"] is None else f"{row['seconds']:.0f} s"
            lines.append(f"{row['key']}  {row['status']:7}  {row['cell']:45}  {cost}")
        return "\n".join([*lines, self.opening(force=False)])

    def records(self) -> list[Record]:
        """What the store has of the rows' cells, in their order and under the labels typed now.

        Those that no trial has told how to run are there as failed.
        """
        return [
            _as_planned(record, p.job)
            for p in self.cells
            if self._asked(p) and (record := p.done if p.job.lost else self.store.get(p.job.cell))
        ]

    def report(self, form: str, view: View = PLAIN) -> str:
        """The request's table as text, marked against the suite's baseline if `view` has none.

        Raises ValueError where no cell has a record, or for a row that there is not.
        """
        records, asked = self.records(), chosen_tasks(self.request)
        if not records:
            raise ValueError(f"no records of suite {self.name!r} as asked in {self.store.root}")
        labels = self._labels()
        usual = self.request.suite.baseline
        if not view.baseline and usual in labels:
            view = view._replace(baseline=usual)
        made = _Material(records, asked, self.request.suite.title, labels, self.store)
        return _render(made, form, view)

    def _labels(self) -> list[str]:
        """The rows, in the order they were asked for: one a method, though it was typed twice."""
        labels = {*(p.job.cell.label for p in self.cells if self._asked(p)), *self.waiting}
        return [name for name in dict.fromkeys(self.request.methods) if name in labels]

    def _asked(self, planned: Planned) -> bool:
        """Whether the cell is one of a row, and no mere parent or trial."""
        return planned.job.role == "row"


def _as_planned(record: Record, job: Job) -> Record:
    """The record under the label typed now, and with the search that this plan found it by."""
    where = {name: value for name, value in record.where.items() if name != "tuning"}
    if job.tuning:
        where["tuning"] = job.tuning
    return replace(record, cell=job.cell, where=where)


class _Material(NamedTuple):
    """What a report is made of."""

    records: Sequence[Record]
    tasks: Sequence[Task]
    title: str
    methods: Sequence[str]  # labels, in the order of rows
    store: Store

    @property
    def columns(self) -> list[Any]:
        """A column a task."""
        from reports.layout import Column

        return [
            Column(t.name, t.title, _shown(t, self.records), t.primary, t.spread, t.units)
            for t in self.tasks
        ]


def everything(store: Store, form: str, view: View = PLAIN) -> str:
    """The table of every record in the store but trials and those of models that were made.

    Raises ValueError where there is none, or one of a task that is not known, or for a row that
    there is not.
    """
    records = [r for r in store.records() if _shown_at_all(r)]
    if not records:
        raise ValueError(f"no records in {store.root}")
    asked = {_task(record).name: _task(record) for record in records}
    return _render(_Material(records, [*asked.values()], "All records", [], store), form, view)


def _shown_at_all(record: Record) -> bool:
    makes = _task(record).formulation in ("language", "masked")
    return not makes and "report=selection" not in record.cell.recipe


def _task(record: Record) -> Task:
    try:
        return tasks[record.cell.task.partition("[")[0]]()
    except ValueError as error:
        raise ValueError(f"record {record.cell.key}: {error}") from error


def _render(made: _Material, form: str, view: View) -> str:
    from reports import render

    shown = _comparisons(made, view.compare) if view.compare else _tables(made, view.baseline)
    return {"md": render.markdown, "tex": render.latex, "csv": render.csv}[form](*shown)


def _tables(made: _Material, baseline: str) -> list[Any]:
    from reports.examples import Stored
    from reports.published import published
    from reports.tables import tables

    models = sorted({record.cell.model for record in made.records})
    return tables(
        made.records,
        made.columns,
        title=made.title,
        methods=made.methods,
        published=[row for model in models for row in published(model)],
        baseline=baseline,
        answers=Stored(made.store),
    )


def _comparisons(made: _Material, method: str) -> list[Any]:
    from reports.compare import comparisons
    from reports.examples import Stored

    return comparisons(
        made.records,
        made.columns,
        title=made.title,
        methods=made.methods,
        baseline=method,
        answers=Stored(made.store),
    )


def _shown(task: Task, records: Sequence[Record]) -> tuple[str, ...]:
    """The task's metrics that some record has: a reported split may be absent from the data."""
    had = {m for r in records if r.cell.task.partition("[")[0] == task.name for m in r.metrics}
    return tuple(metric for metric in task.shown if metric == task.primary or metric in had)
