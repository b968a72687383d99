"""What the page says in words: what it is about, what did not finish, what was left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.record import Record
from reports.checks import label, source, task
from reports.files import Files
from reports.page import beside

STORE = "report"  # the name of material that is no suite's
DATA = {"hub": "the hub", "files": "official files", "sample": "GENERATED, no real data"}
NAMES = 6  # that stand in a line
ROWS = 200  # of runs without a result


@dataclass(frozen=True)
class Lost:
    """A run without a result."""

    key: str
    method: str
    task: str
    model: str
    seed: int
    status: str
    reason: str
    error: str  # the end of its traceback, where there is one


def facts(name: str, records: Sequence[Record]) -> list[tuple[str, str]]:
    """Suite, models, seeds, data and how the runs ended."""
    known = [] if name == STORE else [("Suite", name)]
    ends = Counter(record.status for record in records)
    told = [f"{ends[status]:,} {status}" for status in ("ok", "skipped", "failed") if ends[status]]
    sources = sorted({source(record) for record in records})
    models = sorted({record.cell.model for record in records})
    return [
        *known,
        ("Model" if len(models) == 1 else "Models", _few(models)),
        ("Seeds", seeds({record.cell.seed for record in records})),
        ("Data", ", ".join(DATA.get(kind, kind) for kind in sources)),
        ("Runs", ", ".join(told)),
    ]


def seeds(found: Iterable[int]) -> str:
    """Whole stretches by their ends: "0 to 4, 7" with a dash."""
    told: list[list[int]] = []
    for seed in sorted(found):
        if told and seed == told[-1][-1] + 1:
            told[-1] = [told[-1][0], seed]
        else:
            told.append([seed])
    return _few(["\N{EN DASH}".join(map(str, stretch)) for stretch in told])


def lost(files: Files, records: Sequence[Record]) -> tuple[list[Lost], int]:
    """The first runs without a result, and how many more there are."""
    found = [record for record in records if record.status != "ok"]
    found.sort(key=lambda record: record.status)  # failed, then skipped
    most = beside.limits(len(found))
    return [_lost(files, record, most) for record in found[:ROWS]], len(found[ROWS:])


def limits(runs: int) -> str:
    """What the page keeps of the files beside records, in a sentence."""
    most = beside.limits(runs)
    if not most.lines:
        return "Logs and predictions are left out: this page has too many runs."
    rows = "prediction" if most.predictions == 1 else f"{most.predictions} predictions"
    return (
        f"Of each run the page keeps the first {rows}, the last {most.lines} lines of the log and "
        f"at most {most.points} points of the loss; texts are cut at {most.chars:,} characters. "
        "The whole stands in the run's folder."
    )


def _lost(files: Files, record: Record, most: beside.Limits) -> Lost:
    return Lost(
        key=record.cell.key,
        method=label(record),
        task=task(record),
        model=record.cell.model,
        seed=record.cell.seed,
        status=record.status,
        reason=record.reason or "no reason given",
        error=beside.Beside(files, record, most).error(),
    )


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMES
    return ", ".join(names[:NAMES]) + (f" and {more} more" if more > 0 else "")
