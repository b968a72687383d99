"""Records in, tables out: methods down, tasks across, as the papers print them."""

from collections.abc import Sequence
from dataclasses import replace

from bench.record import Record
from reports import agreement, marks, merged, notes, shares
from reports.blocks import Block, facts
from reports.entries import row
from reports.examples import Answers
from reports.layout import AVERAGE, NO_VALUE, NOT_RUN, Column, Remark, Row, Table, averaged
from reports.material import Part, laid_out
from reports.pairing import known
from reports.published import PublishedRow, likeness, papers, printed_name

OTHER = "not on the papers' rows: no reproduction"


def tables(
    records: Sequence[Record],
    columns: Sequence[Column],
    *,
    title: str,
    methods: Sequence[str] | None = None,
    published: Sequence[PublishedRow] = (),
    baseline: str = "",
    answers: Answers = marks.nothing,
) -> list[Table]:
    """One table a model, by name; the same records in any order give the same tables.

    Tasks stand side by side, but for those of `spread` columns: each of them has tables of its
    own, with a column for every metric it shows.

    Rows stand in the order of `methods` (labels as typed; one without records is kept as not
    run), then any others by label. Records of tasks without a column are left out. Those of
    the `published` rows that are about model and tasks stand beneath, unless our data are
    generated.

    With a `baseline`, the label of a row, scores that are significantly better or worse than its
    are marked; `answers` gives what a run predicted, for tests over rows.

    Raises ValueError when the records of a table mix data sources, two results claim one place, or
    no row is labelled `baseline`.
    """
    parts = laid_out(records, columns, title, methods or ())
    return of_parts(parts, published, baseline, answers)


def of_parts(
    parts: Sequence[Part],
    published: Sequence[PublishedRow] = (),
    baseline: str = "",
    answers: Answers = marks.nothing,
) -> list[Table]:
    """The tables of records that are laid out, one a part; see `tables`."""
    if baseline:
        known([part.block for part in parts], baseline)
    return [
        _table(part.block, part.title, published, marks.of(part.block, baseline, answers))
        for part in parts
    ]


def _table(
    block: Block, title: str, published: Sequence[PublishedRow], marked: marks.Marks
) -> Table:
    known = [row for row in published if row.about(printed_name(block.model), block.tasks)]
    beneath = [] if block.generated else known
    bold = _bold([row(slots, block.seeds) for slots in block.rows], block.columns)
    theirs = [papers.entries(printed, block.columns) for printed in beneath]
    average = [AVERAGE] if averaged(block.columns) else []
    ours = marked.rows(bold, [*(c.title for c in block.columns), *average])
    names = [*("" if c.spread else c.title for c in block.columns), *average]
    omitted = ["Rows of papers are left out: our data are generated."] if known != beneath else []
    kept = shares.column(block)
    last = [*average, *([shares.HEADING] if kept else ())]
    return Table(
        title=_titled(block, title, beneath),
        columns=("Method", "Trained / served", *(c.heading for c in block.columns), *last),
        rows=tuple((*row, *kept[n : n + 1]) for n, row in enumerate(ours)),
        papers=tuple(theirs),
        remarks=(*_remarks(ours, names), *map(Remark, papers.remarks(theirs))),
        footnotes=(
            *_footnotes(block, ours, title),
            *merged.footnotes(block),
            *([shares.TOLD] if kept else ()),
            *agreement.footnotes(block),
            *marked.footnotes(),
            *papers.footnotes(beneath, block.columns),
            *omitted,
        ),
        facts=(
            *marked.facts(shares.told(facts(block), block), block.columns),
            *papers.facts(beneath, block.columns, block.model),
        ),
    )


def _titled(block: Block, title: str, beneath: Sequence[PublishedRow]) -> str:
    """The block's title; over rows of papers it says where ours are of other data than theirs."""
    scored = [record for record in block.records if record.status == "ok"]
    other = any(told for record in scored for told in likeness.rows(record))
    return block.titled(title) + (f" ({OTHER})" if beneath and other else "")


def _bold(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Marks the best of each column, ties included; a column with one value has none."""
    falls = [False, False, *(column.falls for column in columns), False]  # the last: the average
    tops: list[float | None] = []
    for column, low in zip(zip(*rows, strict=True), falls, strict=False):
        values = [entry.value for entry in column if entry.value is not None]
        best = min if low else max
        tops.append(best(values) if len(values) > 1 else None)
    return [
        tuple(
            replace(entry, best=entry.value is not None and entry.value == top)
            for entry, top in zip(row, tops, strict=True)
        )
        for row in rows
    ]


def _remarks(rows: Sequence[Row], names: Sequence[str]) -> list[Remark]:
    """The sentences that `rows` carry, in reading order; `names` are of all but two columns."""
    present: list[notes.Place] = []
    carried: dict[str, list[notes.Place]] = {}
    for label, _, *scores in rows:
        for name, entry in zip(names, scores, strict=True):
            if entry.text not in (NOT_RUN, NO_VALUE):
                present.append((label.text, name))
            for sentence in entry.remarks:
                carried.setdefault(sentence, []).append((label.text, name))
    return [Remark(sentence, _where(places, present)) for sentence, places in carried.items()]


def _where(places: Sequence[notes.Place], present: Sequence[notes.Place]) -> str:
    averaged = any(name == AVERAGE for _, name in places)
    return notes.scope(places, [p for p in present if averaged or p[1] != AVERAGE])


def _footnotes(block: Block, rows: Sequence[Row], title: str) -> list[str]:
    scored = [pair for pair in block.placed if pair[1].status == "ok"]
    entries = [entry for row in rows for entry in row]
    texts = {entry.text for entry in entries}
    alone = block.columns[0].spread
    footnotes = [
        *notes.circumstances(scored or block.placed, title if alone else "GLUE"),
        notes.runs(block.seeds),
        *notes.parameters(block.records),
        notes.metrics(block.columns),
    ]
    if any(entry.best for entry in entries):
        by = "" if alone else " by its primary metric"
        footnotes.append(f"Bold: the best of a column{by}, as printed.")
    if NOT_RUN in texts:
        footnotes.append(f"{NOT_RUN} is not run.")
    if NO_VALUE in texts:
        average = "an average needs a score on every task, a count a run"
        needs = "a count needs a run" if alone else average
        footnotes.append(f"{NO_VALUE} is no value: {needs}.")
    return footnotes
