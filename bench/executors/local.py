"""Who runs the cells on this machine: this process, or a pool of processes."""

from collections.abc import Iterator

from bench.executors import ranks, room
from bench.executors.agenda import Agenda, orphaned, put
from bench.job import Job, Tell
from bench.loading import load
from bench.record import Record
from bench.store import Store


def execute(jobs: list[Job], store: Store, workers: int, tell: Tell) -> Iterator[Record]:
    """Runs the jobs, parents first, and yields each record once it is in the store.

    A cell whose parent has no result is recorded as failed without being run. `workers`:
    processes; one is this one. For more see bench.executors.pool; for a cell over several
    bench.executors.ranks.
    """
    if workers > 1 and len(jobs) > 1:
        from bench.executors.pool import pooled

        yield from pooled(jobs, store, workers, tell)
        return
    room.limit_threads(room.share(workers * ranks.here()))
    agenda = Agenda(jobs, store.busy)
    while job := agenda.next():
        agenda.take(job)
        if lost := orphaned(job, store):
            yield put(lost, store)
        else:
            yield work(job, store, tell)
        agenda.end(job)


def work(job: Job, store: Store, tell: Tell) -> Record:
    """Runs one job and puts its folder into the store, unless another process just did."""
    load()
    from bench.run import attempt

    key = job.cell.key
    with store.claim(job.cell) as other:
        if other:
            return other
        ranks.group().lead(job)
        with store.writing(job.cell) as folder:
            return attempt(job, folder, lambda **event: tell(key, event))
