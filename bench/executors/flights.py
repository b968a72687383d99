"""Cells under way on a cluster: sent out, looked for, sent again where a worker is lost."""

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bench.executors.agenda import DIED, Agenda, failed, orphaned, put
from bench.executors.errand import Reply, packed, unpack
from bench.job import Job, Tell
from bench.record import Record
from bench.store import Store

GLANCE = 0.3  # seconds between two looks at what workers tell
GRACE = 10.0  # seconds that a cell has to end once it is cancelled
TRIES = 2  # of a cell whose worker is lost
TOKEN = ".token-"

Send = Callable[[Job, str, Mapping[str, Any]], Any]  # job, token, parents' folders: a reference


@dataclass(frozen=True)
class _Flight:
    job: Job
    tries: int  # this one included


class Flights:
    """The jobs on their way from an agenda to a store.

    `room_for`: how many may be under way. Folders of parents are sent along once a worker has
    said that it does not see the store.
    """

    def __init__(self, jobs: list[Job], store: Store, send: Send, room_for: Callable[[], int]):
        self.agenda, self.store = Agenda(jobs, store.busy), store
        self.send, self.room_for = send, room_for
        self.flying: dict[Any, _Flight] = {}
        self.sends_parents = False
        self.parcels: dict[str, Any] = {}  # references to folders of parents, by key
        self.heirs = Counter(key for job in jobs for key in {*job.cell.parents})

    def records(self, board: Any, tell: Tell) -> Iterator[Record]:
        """Each record once it is in the store; meanwhile what is on the board is told."""
        import ray

        with _token(self.store) as self.token, self._cancelled():
            while self.agenda.next() or self.flying:
                yield from self._depart()
                ready, _ = ray.wait([*self.flying], timeout=GLANCE) if self.flying else ([], [])
                with suppress(ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
                    for key, event in ray.get(board.take.remote(), timeout=GRACE).items():
                        tell(key, event)
                for reference in ready:
                    if record := self._landed(reference):
                        yield record

    def _depart(self) -> Iterator[Record]:
        """Sends out what there is room for; yields those that cannot be run."""
        most = self.room_for()
        while len(self.flying) < most and (job := self.agenda.next()):
            self.agenda.take(job)
            if lost := orphaned(job, self.store):
                yield put(lost, self.store)
                self._end(job)
            else:
                self._send(job, tries=1)

    def _send(self, job: Job, tries: int) -> None:
        parents = {*job.cell.parents} if self.sends_parents else ()
        parcels = {key: self._parcel(key) for key in parents}
        self.flying[self.send(job, self.token, parcels)] = _Flight(job, tries)

    def _parcel(self, key: str) -> Any:
        import ray

        if key not in self.parcels:
            self.parcels[key] = ray.put(packed(self.store.root / key))
        return self.parcels[key]

    def _landed(self, reference: Any) -> Record | None:
        """The record, in the store; None where the cell is sent out again.

        Raises what went wrong in the worker outside the cell.
        """
        import ray

        flight = self.flying.pop(reference)
        job = flight.job
        try:
            reply: Reply = ray.get(reference)
        except _lost():
            if flight.tries < TRIES:
                self._send(job, flight.tries + 1)
                return None
            record: Record | None = put(failed(job, DIED), self.store)
        except ray.exceptions.RayTaskError as error:
            raise error.cause or error from None
        else:
            record = self._stored(reply, job)
            if record is None:
                self.sends_parents = True
                self._send(job, flight.tries)
                return None
        self._end(job)
        return record

    def _stored(self, reply: Reply, job: Job) -> Record | None:
        if reply.record and reply.files is not None:
            with self.store.writing(job.cell) as folder:
                unpack(reply.files, folder)
        elif reply.record:  # a network's folder is asked again for a name that was not there before
            os.close(os.open(self.store.root, os.O_RDONLY))
        return reply.record

    def _end(self, job: Job) -> None:
        self.agenda.end(job)
        self.heirs.subtract({*job.cell.parents})
        for key in job.cell.parents:
            if not self.heirs[key]:
                self.parcels.pop(key, None)

    @contextmanager
    def _cancelled(self) -> Iterator[None]:
        """What is under way when the block is left is interrupted, and ended after a while."""
        import ray

        try:
            yield
        finally:
            left = [*self.flying]
            for reference in left:
                ray.cancel(reference)
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=GRACE)
            for reference in left:
                ray.cancel(reference, force=True)


def _lost() -> tuple[type[Exception], ...]:
    """What says that a worker, its machine, or what it had ready is gone."""
    from ray import exceptions

    return (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.OutOfMemoryError,
        exceptions.ObjectLostError,
    )


@contextmanager
def _token(store: Store) -> Iterator[str]:
    """The name of a file in the store by which a worker knows that it sees the same folder."""
    name = f"{TOKEN}{uuid.uuid4().hex}"
    store.root.mkdir(parents=True, exist_ok=True)
    (store.root / name).touch()
    try:
        yield name
    finally:
        (store.root / name).unlink(missing_ok=True)
