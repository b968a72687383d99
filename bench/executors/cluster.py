"""Cells on a Ray cluster: one task a cell, parents first.

Every machine of the cluster has this version of the package and of Python; rows and models stand
where the command has them, or BENCH_DATA names the rows there. A worker that sees the store's
folder under the same path runs the cell in it, state of unfinished runs included; any other is sent
the folders of the parents and sends back that of the cell.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from bench.executors import room
from bench.executors.errand import Errand, Parents, Reply, run
from bench.executors.flights import Flights
from bench.job import Job, Tell
from bench.record import Record
from bench.store import Store

ANSWER = 5.0  # seconds that the head of a cluster has to answer


@dataclass(frozen=True)
class Share:
    """What a cell takes of its machine; `gpus` none: a whole one where the cluster has any.

    Raises ValueError for what Ray gives nobody.
    """

    cpus: float = 1.0
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.cpus <= 0:
            raise ValueError(f"expected --cpus above 0, got {self.cpus:g}")
        if self.gpus is not None and (self.gpus < 0 or (self.gpus > 1 and self.gpus % 1)):
            raise ValueError(f"expected --gpus from 0 to 1 or a whole number, got {self.gpus:g}")


class Cluster:
    """Runs cells on the cluster at `address`, or on one of this machine's own; a context.

    `address`: HOST:PORT, "auto" for the one that runs on this machine, or "" for what RAY_ADDRESS
    names. `most`: cells at a time; none: as many as there is room for. Connects when there are
    cells to be run. Raises ValueError where Ray is not installed.
    """

    def __init__(self, address: str = "", share: Share | None = None, most: int | None = None):
        if find_spec("ray") is None:
            raise ValueError(
                "--executor ray needs the package ray: pip install 'peftbench[cluster]'"
            )
        self.address = address or os.environ.get("RAY_ADDRESS", "")
        self.share, self.most, self.ours = share or Share(), most, False

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            import ray

            ray.shutdown()

    def execute(self, jobs: list[Job], store: Store, tell: Tell) -> Iterator[Record]:
        """Runs the jobs, parents first, and yields each record once it is in the store.

        A cell whose parent has no result is recorded as failed without being run. A cell whose
        worker is lost (killed, out of memory, its machine gone) is tried once more, and then
        recorded as failed. Left early, it cancels what is under way.
        Raises ValueError where no cluster answers or no machine of it has room for a cell.
        """
        self._connect()
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        cpus, gpus = self.share.cpus, self._gpus()
        if not _places(cpus, gpus):
            has = ", ".join(f"{c:g} and {g:g}" for c, g in _machines()) or "no machine"
            wish = f"expected a machine with {cpus:g} CPUs and {gpus:g} GPUs for a cell"
            raise ValueError(f"{wish}, got {has}")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        board = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
        task = ray.remote(_fulfil).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        threads = max(1, int(cpus))

        def room_for() -> int:
            return self.most or 2 * max(1, _places(cpus, gpus))  # as many wait at the machines

        def send(job: Job, token: str, parents: Mapping[str, Any]) -> Any:
            return task.remote(Errand(job, store.resolved(), token, threads), board, parents)

        try:
            yield from Flights(jobs, store, send, room_for).records(board, tell)
        finally:
            ray.kill(board)  # type: ignore[arg-type]

    def _connect(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported and when it starts
        import ray

        if self.address:
            _check(self.address)
        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if not self.address:
            ray.init("local", num_cpus=room.cores(), include_dashboard=False, **quiet)
        else:
            try:
                ray.init(self.address, **quiet)
            except (ConnectionError, RuntimeError) as error:
                said = str(error).strip().splitlines()[0]
                raise ValueError(f"expected a Ray cluster at {self.address}: {said}") from error
        self.ours = True

    def _gpus(self) -> float:
        if self.share.gpus is not None:
            return self.share.gpus
        return 1.0 if any(gpus for _, gpus in _machines()) else 0.0


class _Board:
    """The latest that each cell has told, in a process of its own."""

    def __init__(self) -> None:
        self.latest: dict[str, dict[str, Any]] = {}

    def put(self, key: str, event: dict[str, Any]) -> None:
        self.latest[key] = event

    def take(self) -> dict[str, dict[str, Any]]:
        found, self.latest = self.latest, {}
        return found


def _fulfil(errand: Errand, board: Any, parents: Mapping[str, Any]) -> Reply:
    """In a worker: runs the cell; what it tells, nobody waits for."""
    import ray

    if not ray.get_gpu_ids():  # Ray hides no GPU from those that asked for none
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    get: Parents = {key: lambda ref=ref: ray.get(ref) for key, ref in parents.items()}  # type: ignore
    return run(errand, get, lambda key, event: board.put.remote(key, event))


def _machines() -> list[tuple[float, float]]:
    """CPUs and GPUs of each machine that lives."""
    import ray

    living = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [(has.get("CPU", 0.0), has.get("GPU", 0.0)) for has in living]


def _places(cpus: float, gpus: float) -> int:
    """Cells that fit side by side."""
    return sum(
        int(min(has / each for has, each in zip(machine, (cpus, gpus), strict=True) if each))
        for machine in _machines()
    )


def _check(address: str) -> None:
    """That somebody listens there: Ray itself tries for minutes. Raises ValueError."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        expected = "expected the address of a Ray cluster as HOST:PORT or auto"
        raise ValueError(f"{expected}, got {address!r}; run the command on a machine of it")
    try:
        with socket.create_connection((host, int(port)), ANSWER):
            pass
    except (OSError, OverflowError) as error:
        raise ValueError(f"expected a Ray cluster at {address}, got no answer: {error}") from error
