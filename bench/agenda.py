"""Which cell may start: one whose parents have ended, in the order of the plan otherwise."""

from collections.abc import Callable, Iterable

from bench.job import Job
from bench.record import Record
from bench.store import Store
from bench.where import circumstances


class Agenda:
    """Jobs that wait; each stands open, for those that build on it, until its record is there."""

    def __init__(self, jobs: Iterable[Job], busy: Callable[[str], bool] = lambda _: False):
        """`busy`: whether another process runs the cell with that key now."""
        self.waiting, self.busy = list(jobs), busy
        self.open = {job.cell.key for job in self.waiting}

    def next(self) -> Job | None:
        """The first job that may start, or None where every one waits for another.

        What is under way elsewhere comes last.
        """
        last = None
        for job in (job for job in self.waiting if self.open.isdisjoint(job.cell.parents)):
            if not self.busy(job.cell.key):
                return job
            last = last or job
        return last

    def take(self, job: Job) -> None:
        """The job is under way."""
        self.waiting.remove(job)

    def end(self, job: Job) -> None:
        """The job has its record, whatever that says."""
        self.open.discard(job.cell.key)


def orphaned(job: Job, store: Store) -> Record | None:
    """What is recorded of a cell that cannot be run, for a parent has no result; else None."""
    for key in job.cell.parents:
        try:
            parent = store.at(key)
        except ValueError as error:
            return failed(job, f"parent {key}: {error}")
        if parent is None:
            return failed(job, f"parent {key} has no record")
        if parent.status != "ok":
            told = f"parent {key} ({parent.cell.task}) {parent.status}: {parent.reason}"
            return failed(job, told)
    return None


def failed(job: Job, reason: str) -> Record:
    """The record of a cell that failed before it could leave one."""
    return Record(job.cell, "failed", reason, where=circumstances())


def put(record: Record, store: Store) -> Record:
    """Places the record, and nothing beside it, in the store, unless another process just did."""
    with store.claim(record.cell) as other:
        if other:
            return other
        with store.writing(record.cell) as folder:
            (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
    return record
