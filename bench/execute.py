"""Who runs the cells: this process, or a pool of processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import Empty
from typing import Any

from bench.agenda import Agenda, failed, orphaned, put
from bench.job import Job
from bench.loading import load, resting
from bench.record import Record
from bench.store import Store

Tell = Callable[[str, dict[str, Any]], None]  # the cell's key, and what happens in it

BYTES_A_CELL = 4 * 2**30  # a base-size model in full fine-tuning fits
DIED = "the process that ran it died twice (killed, or out of memory)"

_queue: Any = None  # in a worker: where its events go


def execute(jobs: list[Job], store: Store, workers: int, tell: Tell) -> Iterator[Record]:
    """Runs the jobs, parents first, and yields each record once it is in the store.

    A cell whose parent has no result is recorded as failed without being run. A worker that dies
    (killed, out of memory) costs the cells it had in hand one more try each, alone; a cell that
    kills that worker too is recorded as failed.
    """
    agenda = Agenda(jobs, store.busy)
    if workers == 1 or len(jobs) == 1:
        _limit_threads(workers)
        yield from (_here(job, store, tell) for job in _in_order(agenda))
        return
    while agenda.waiting:
        suspects: list[Job] = []
        while agenda.next():
            yield from _pooled(agenda, store, workers, tell, suspects)
        for job in suspects:
            yield from _alone(job, store, workers, tell)
            agenda.end(job)


def processes(jobs: int) -> int:
    """How many cells run side by side: one on a GPU, else one a core while memory lasts."""
    with resting():
        import torch

    if torch.cuda.is_available():
        return 1
    return max(1, min(jobs, _cores(), _available() // BYTES_A_CELL))


def work(job: Job, store: Store, tell: Tell) -> Record:
    """Runs one job and puts its folder into the store, unless another process just did."""
    load()
    from bench.run import attempt

    key = job.cell.key
    with store.claim(job.cell) as other:
        if other:
            return other
        with store.writing(job.cell) as folder:
            return attempt(job, folder, lambda **event: tell(key, event))


def _in_order(agenda: Agenda) -> Iterator[Job]:
    while job := agenda.next():
        agenda.take(job)
        yield job
        agenda.end(job)


def _here(job: Job, store: Store, tell: Tell) -> Record:
    lost = orphaned(job, store)
    return put(lost, store) if lost else work(job, store, tell)


def _alone(job: Job, store: Store, workers: int, tell: Tell) -> Iterator[Record]:
    """The last try of a job whose worker died."""
    again: list[Job] = []
    yield from _pooled(Agenda([job]), store, workers, tell, again)
    if again:
        yield put(failed(job, DIED), store)


def _pooled(
    agenda: Agenda, store: Store, workers: int, tell: Tell, suspects: list[Job]
) -> Iterator[Record]:
    """Yields records; once a worker dies, what was running is suspect and the rest still waits."""
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    running: dict[Future[Record], Job] = {}
    start = (events, workers)
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


def _start_worker(events: Any, workers: int) -> None:
    global _queue
    _queue = events
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_threads(workers)


def _end_with_parent() -> None:
    """A killed parent cannot end its pool: workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _limit_threads(workers: int) -> None:
    """An even share of the cores for torch, and none besides for the tokenizer."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with resting():
        import torch

    torch.set_num_threads(max(1, _cores() // workers))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available() -> int:
    """Bytes of memory that can be had, what only caches files included."""
    meminfo = Path("/proc/meminfo")
    for line in meminfo.read_text().splitlines() if meminfo.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _in_worker(job: Job, store: Store) -> Record:
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
