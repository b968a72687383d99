"""A request, a source and a store put together: the cells, and what is done of them."""

from dataclasses import replace
from typing import Any

from bench.job import Job
from bench.plan import Planned, outline, plan
from bench.record import Record
from bench.store import Store
from bench.suite import Request
from tasks.sources import Source


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
            _as_planned(record, p.job) for p in self.cells if self._asked(p) and (record := p.done)
        ]

    def labels(self) -> list[str]:
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
