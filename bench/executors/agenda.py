"""Which cell may start: one whose parents have ended, longest chain first, else by the plan."""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from bench.job import Job
from bench.record import Record
from bench.store import Store
from bench.where import circumstances

DIED = "the process that ran it died twice (killed, or out of memory)"


class Agenda:
    """Jobs that wait; each stands open, for those that build on it, until its record is there.

    A job that others wait for goes before one that none does, the head of the longest chain first,
    so that no chain is left to the end. Every step takes time by the logarithm of the jobs at most.
    """

    def __init__(self, jobs: Iterable[Job], busy: Callable[[str], bool] = lambda _: False):
        """`busy`: whether another process runs the cell with that key now."""
        self.waiting, self.busy = {job.cell.key: job for job in jobs}, busy
        self._heirs: dict[str, list[str]] = {key: [] for key in self.waiting}
        self._missing: dict[str, int] = {}  # parents of each that have not ended
        for key, job in self.waiting.items():
            parents = {parent for parent in job.cell.parents if parent in self.waiting}
            self._missing[key] = len(parents)
            for parent in parents:
                self._heirs[parent].append(key)
        chains = self._chains()
        self._rank = {key: (-chains[key], place) for place, key in enumerate(self.waiting)}
        self._free = [(*self._rank[key], key) for key, count in self._missing.items() if not count]
        heapify(self._free)

    def next(self) -> Job | None:
        """The first job that may start, or None where every one waits for another.

        What is under way elsewhere comes last.
        """
        found, elsewhere = "", []
        while self._free and not found:
            key = self._free[0][-1]
            if key not in self.waiting:  # taken
                heappop(self._free)
            elif self.busy(key):
                elsewhere.append(heappop(self._free))
            else:
                found = key
        for entry in elsewhere:
            heappush(self._free, entry)
        found = found or (elsewhere[0][-1] if elsewhere else "")
        return self.waiting[found] if found else None

    def take(self, job: Job) -> None:
        """The job is under way."""
        del self.waiting[job.cell.key]

    def end(self, job: Job) -> None:
        """The job has its record, whatever that says."""
        for heir in self._heirs.pop(job.cell.key, ()):
            self._missing[heir] -= 1
            if not self._missing[heir]:
                heappush(self._free, (*self._rank[heir], heir))

    def _chains(self) -> dict[str, int]:
        """For each job, how many follow it one after another: its longest line of heirs."""
        left = {key: len(heirs) for key, heirs in self._heirs.items()}
        ends = [key for key, count in left.items() if not count]
        found = dict.fromkeys(self.waiting, 0)
        while ends:
            key = ends.pop()
            for parent in {p for p in self.waiting[key].cell.parents if p in found}:
                found[parent] = max(found[parent], found[key] + 1)
                left[parent] -= 1
                if not left[parent]:
                    ends.append(parent)
        return found


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
