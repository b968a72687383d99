"""Published numbers beside ours, one a line: the gap, what is alike, and what may be concluded."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from reports import notes
from reports.blocks import Block, Slot
from reports.layout import AVERAGE, NO_VALUE, Entry, Remark, Row, Table
from reports.material import Part
from reports.measures import measure, parted, short
from reports.published import PublishedRow, printed_name
from reports.published.likeness import kept
from reports.published.matched import NUMBER, Line, Resolve, lines

NONE = "no verdict"
HEADS = ("Method", "Task", "Metric", "Ours", "Theirs", "Gap", "Published as", "Alike", "Verdict")
ABOUT = (
    "Ours: the mean ± sample standard deviation over runs, their number in brackets; the median "
    "where theirs is one. Theirs: as printed. Gap: ours minus theirs, in the printed unit.",
    "Alike: what our records and the paper have in common, as far as either tells. Training rows "
    "that our runs keep for selection count as trained on.",
    "Verdict: only where nothing differs, and from three runs of ours on. Agrees: theirs, to the "
    "printed digit, is in the 95 % prediction interval for as many further runs as theirs are, by "
    "Student's t from the spread of ours.",
)


@dataclass(frozen=True)
class Beside:
    """One published number beside ours: a line of the CSV. Scores are in the printed unit."""

    method: str  # the row's label
    model: str
    task: str
    metric: str
    ours: float | None  # unrounded; None where no run has a value
    spread: float | None
    runs: int
    theirs: float
    theirs_spread: str  # as printed after ±
    statistic: str  # "mean of 3"
    gap: float | None
    low: float | None  # of the prediction interval; where there is a verdict
    high: float | None
    alike: str
    differs: str  # in words; empty where nothing differs
    verdict: str  # "agrees", "ours is higher", "ours is lower", or empty
    paper: str
    table: str
    published: str  # the row's name there
    params: str  # millions, as printed
    note: str


def of_parts(
    parts: Sequence[Part], published: Sequence[PublishedRow], resolve: Resolve
) -> list[Table]:
    """A table a part, with a line for every number of `published` that has runs of ours beside it.

    A row of a paper is one of ours where the method of its entry in protocols.toml, resolved for
    the model, is that of our cells to the last option. Raises what `resolve` raises for a text of
    that file that is no method.
    """
    return [_table(part, published, cache(resolve)) for part in parts]


def _table(part: Part, published: Sequence[PublishedRow], resolve: Resolve) -> Table:
    block = part.block
    about = [row for row in published if row.about(printed_name(block.model), block.tasks)]
    found = lines(block, about, resolve)
    rows = [_row(line) for line in found]
    told: dict[notes.Place, list[str]] = {(line.label, line.title): [] for line in found}
    for line, row in zip(found, rows, strict=True):
        told[line.label, line.title] += row[-1].remarks
    sentences = dict.fromkeys(sentence for row in rows for sentence in row[-1].remarks)
    return Table(
        title=_title(part, found),
        columns=HEADS,
        rows=tuple(rows),
        remarks=tuple(Remark(sentence, _where(sentence, told)) for sentence in sentences),
        footnotes=tuple(_footnotes(block, found, bool(about))),
        facts=tuple(_fact(line, block.model) for line in found),
    )


def _where(sentence: str, told: Mapping[notes.Place, Sequence[str]]) -> str:
    """Which places carry the sentence; empty when it is all of them."""
    places = [place for place, sentences in told.items() if sentence in sentences]
    average = any(title == AVERAGE for _, title in places)
    return notes.scope(places, [p for p in told if average or p[1] != AVERAGE])


def _title(part: Part, found: Sequence[Line]) -> str:
    """Says at once where nothing in the table is a reproduction, and for want of what."""
    title = part.block.titled(f"{part.title} beside published numbers")
    if not found or any(line.verdict for line in found):
        return title
    each = [[check.name for check in line.differing] for line in found]
    always = [name for name in each[0] if all(name in names for names in each)]
    wanting = always or [*dict.fromkeys(name for names in each for name in names)] or ["runs"]
    return f"{title}: not a reproduction ({', '.join(wanting)})"


def _row(line: Line) -> Row:
    told = [check for check in line.differing if check.name == NUMBER or line.title != AVERAGE]
    remarks = tuple(f"{check.name}: {'; '.join(check.differs)}" for check in told)
    verdict = line.verdict or f"{NONE}: {_why(line)}"
    return (
        Entry(line.label),
        Entry(line.title),
        Entry(_metric_name(line.score.metric)),
        Entry(_ours(line)),
        Entry(f"{line.score.value}±{line.score.std}" if line.score.std else line.score.value),
        Entry(NO_VALUE if line.ours is None else _signed(line)),
        Entry(f"{line.row.label}, {line.row.known.protocol.printed}"),
        Entry(_alike(line)),
        Entry(verdict, remarks=remarks),
    )


def _why(line: Line) -> str:
    """What stands against a verdict, in few words."""
    if line.differing:
        return ", ".join(check.name for check in line.differing)
    count = len(line.values)
    return "1 run" if count == 1 else f"{count} runs"


def _metric_name(metric: str) -> str:
    base, part = parted(metric)
    return f"{measure(base).short} {part}" if part else short(metric).replace("_", " ")


def _ours(line: Line) -> str:
    if line.ours is None:
        return NO_VALUE
    around = f"±{statistics.stdev(line.values):.{line.decimals}f}" if len(line.values) > 1 else ""
    return f"{line.ours:.{line.decimals}f}{around} ({len(line.values)})"


def _signed(line: Line) -> str:
    """ "+0.3": the gap between the numbers as printed."""
    shown = Decimal(f"{line.ours:.{line.decimals}f}") - Decimal(line.score.value)
    return f"{shown:+f}" if shown else f"{abs(shown):f}"


def _alike(line: Line) -> str:
    alike = [check.name for check in line.found if not check.differs and check.name != NUMBER]
    return ", ".join(["model", *alike])


def _footnotes(block: Block, found: Sequence[Line], about: bool) -> Iterator[str]:
    if not found:
        what = "no row of ours is the method of one" if about else "no paper here reports them"
        yield f"No published number stands beside {block.model} on {_listed(block)}: {what}."
        return
    yield from ABOUT
    if slices := dict(filter(None, (_slice(slot) for row in block.rows for slot in row))):
        told = ", ".join(f"{title} {a:,} of {b:,}" for title, (a, b) in slices.items())
        yield f"Training rows that are kept for selection: {told}."
    for protocol in {line.row.known.protocol.source: line for line in found}.values():
        known = protocol.row.known.protocol
        yield f"{protocol.row.authors}, {protocol.row.table}: {known.printed}; {known.source}."


def _slice(slot: Slot) -> tuple[str, tuple[int, int]] | None:
    counts = [found for record in slot.scored if (found := kept(record))]
    return (slot.column.task, counts[0]) if counts else None


def _listed(block: Block) -> str:
    return ", ".join(block.tasks)


def _fact(line: Line, model: str) -> Beside:
    low, high = line.foretold or (None, None)
    known = line.row.known
    return Beside(
        method=line.label,
        model=model,
        task=line.score.task,
        metric=line.score.metric,
        ours=line.ours,
        spread=statistics.stdev(line.values) if len(line.values) > 1 else None,
        runs=len(line.values),
        theirs=float(line.score.value),
        theirs_spread=line.score.std,
        statistic=known.protocol.printed,
        gap=line.gap,
        low=low,
        high=high,
        alike=_alike(line),
        differs="; ".join(f"{c.name}: {', '.join(c.differs)}" for c in line.differing),
        verdict=line.verdict,
        paper=line.row.paper,
        table=line.row.table,
        published=line.row.method,
        params=line.row.params,
        note=line.score.note,
    )
