"""One cell over several processes: `torchrun --nproc-per-node 2 -m bench run ...`.

The first process (rank 0) plans, evaluates, writes the store and shows progress; the others train
beside it, cell by cell. Every batch is that of one process with its rows split over the ranks, and
the gradient is that of the whole batch: the seed means the same rows in the same steps, and the
same routing. Dropout is drawn by each rank, as in any data-parallel training.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.executors.group import Alone, Done, Ranks


def many() -> bool:
    """Whether torchrun has started this process with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@cache
def group() -> Alone:
    """The ranks that this process is one of."""
    return Ranks() if many() else Alone()


def here() -> int:
    """Processes of the group on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if many() else 1


def follows() -> bool:
    """Whether this process only trains beside rank 0."""
    return many() and os.environ.get("RANK") != "0"


def follow() -> None:
    """Trains beside rank 0 until that has nothing left to do."""
    from bench.executors import room
    from bench.run import attempt

    room.limit_threads(room.share(here()))
    ranks = group()
    assert isinstance(ranks, Ranks)
    while job := ranks.given(None):
        with TemporaryDirectory(prefix="peftbench-") as place, suppress(Done):
            attempt(job, Path(place))
    ranks.dist.destroy_process_group()


@contextmanager
def leading() -> Iterator[None]:
    """Rank 0's part; when it ends, and when a request was wrong, the others are let go."""
    try:
        yield
    except ValueError:
        if many():
            with suppress(Exception):
                group().lead(None)
        raise
    group().lead(None)


def one_at_a_time(cluster: bool, jobs: int | None) -> int | None:
    """Cells at a time: one under torchrun. Raises ValueError where more are asked for there."""
    if not many():
        return jobs
    if cluster or (jobs or 1) > 1:
        got = "--executor ray" if cluster else f"--jobs {jobs}"
        raise ValueError(f"expected one cell at a time under torchrun, got {got}")
    return 1
