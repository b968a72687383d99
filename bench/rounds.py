"""A plan run to its end: what trials have told becomes new cells, until there are none."""

from typing import TYPE_CHECKING

from bench.desk import Plan
from bench.execute import execute
from bench.progress import show
from bench.room import processes

if TYPE_CHECKING:
    from rich.console import Console


def finished(plan: Plan, force: bool, workers: int | None, console: "Console") -> Plan:
    """Runs what is to be done and plans anew, round by round; the last plan, with nothing to do.

    No cell is run twice, failed or not. `force`: finished rows too. `workers`: processes; none: as
    many as the machine has room for.
    """
    tried: set[str] = set()
    while todo := [job for job in plan.todo(force) if job.cell.key not in tried]:
        tried |= {job.cell.key for job in todo}
        with show([job.cell for job in todo], console) as display:
            for record in execute(todo, plan.store, workers or processes(len(todo)), display.tell):
                display.end(record)
        plan = plan.again()
    return plan
