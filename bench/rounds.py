"""A plan run to its end: what trials have told becomes new cells, until there are none."""

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from bench.desk import Plan
from bench.executors.local import execute
from bench.executors.room import processes
from bench.progress import show

if TYPE_CHECKING:
    from rich.console import Console

    from bench.executors.cluster import Cluster


def finished(
    plan: Plan,
    force: bool,
    workers: int | None,
    console: "Console",
    cluster: "Cluster | None" = None,
) -> Plan:
    """Runs what is to be done and plans anew, round by round; the last plan, with nothing to do.

    No cell is run twice, failed or not. `force`: finished rows too. `workers`: processes; none: as
    many as the machine has room for. `cluster`: what runs the cells in place of this machine.
    """
    tried: set[str] = set()
    with cluster or nullcontext():
        while todo := [job for job in plan.todo(force) if job.cell.key not in tried]:
            tried |= {job.cell.key for job in todo}
            with show([job.cell for job in todo], console) as display:
                if cluster:
                    records = cluster.execute(todo, plan.store, display.tell)
                else:
                    most = workers or processes(len(todo))
                    records = execute(todo, plan.store, most, display.tell)
                with closing(records):  # type: ignore[type-var]
                    for record in records:
                        display.end(record)
            plan = plan.again()
    return plan
