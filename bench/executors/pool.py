"""Cells in a pool of processes on this machine."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty
from typing import Any

from bench.executors import room
from bench.executors.agenda import DIED, Agenda, failed, orphaned, put
from bench.job import Job, Tell
from bench.record import Record
from bench.store import Store

_queue: Any = None  # in a worker: where its events go


def pooled(jobs: list[Job], store: Store, workers: int, tell: Tell) -> Iterator[Record]:
    """Runs the jobs, parents first, and yields each record once it is in the store.

    A worker that dies (killed, out of memory) costs the cells it had in hand one more try each,
    alone; a cell that kills that worker too is recorded as failed.
    """
    agenda = Agenda(jobs, store.busy)
    while agenda.waiting:
        suspects: list[Job] = []
        while agenda.next():
            yield from _round(agenda, store, workers, tell, suspects)
        for job in suspects:
            yield from _alone(job, store, workers, tell)
            agenda.end(job)


def _alone(job: Job, store: Store, workers: int, tell: Tell) -> Iterator[Record]:
    """The last try of a job whose worker died."""
    again: list[Job] = []
    yield from _round(Agenda([job]), store, workers, tell, again)
    if again:
        yield put(failed(job, DIED), store)


def _round(
    agenda: Agenda, store: Store, workers: int, tell: Tell, suspects: list[Job]
) -> Iterator[Record]:
    """Yields records; once a worker dies, what was running is suspect and the rest still waits."""
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    running: dict[Future[Record], Job] = {}
    start = (events, room.share(workers))
    with ProcessPoolExecutor(workers, context, _start_worker, start) as pool, _relay(events, tell):
        try:
            yield from _drained(pool, agenda, running, store, workers)
        except BrokenProcessPool:
            suspects += running.values()


def _drained(
    pool: ProcessPoolExecutor,
    agenda: Agenda,
    running: dict[Future[Record], Job],
    store: Store,
    workers: int,
) -> Iterator[Record]:
    """No more jobs are handed out than workers are there, so that a death has few suspects."""
    while agenda.next() or running:
        while len(running) < workers and (job := agenda.next()):
            if lost := orphaned(job, store):
                agenda.take(job)
                agenda.end(job)
                yield put(lost, store)
                continue
            future = pool.submit(_in_worker, job, store)  # raises where a worker has died
            agenda.take(job)
            running[future] = job
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda future: future.exception() is not None):
            record = future.result()
            agenda.end(running.pop(future))
            yield record


def _start_worker(events: Any, threads: int) -> None:
    global _queue
    _queue = events
    threading.Thread(target=_end_with_parent, daemon=True).start()
    room.limit_threads(threads)


def _end_with_parent() -> None:
    """A killed parent cannot end its pool: workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _in_worker(job: Job, store: Store) -> Record:
    from bench.executors.local import work

    return work(job, store, lambda key, event: _queue.put((key, event)))


class _relay:
    """Hands the workers' events on while the block runs."""

    def __init__(self, events: Any, tell: Tell):
        self.events, self.tell, self.over = events, tell, threading.Event()
        self.thread = threading.Thread(target=self._hand_on, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _hand_on(self) -> None:
        while not self.over.is_set():
            try:
                self.tell(*self.events.get(timeout=0.2))
            except Empty:
                continue
