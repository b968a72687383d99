"""Rows of papers as they stand in our tables: digits as printed, provenance beneath."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from reports.layout import NO_VALUE, Column, Entry, Fact, Row, averaged
from reports.published import PublishedRow, Score

AVERAGED = {"cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb"}


def entries(row: PublishedRow, columns: Sequence[Column]) -> Row:
    """Method, parameters, a score a column and, over several tasks, the printed average.

    In a table of one task what is to know of the numbers stands at the row's name.
    """
    params = Entry(f"{row.params}M" if row.params else NO_VALUE)
    scores = [_entry(row, column) for column in columns]
    if columns[0].spread:
        told = _notes([*row.of(columns[0].task).values()])
        return (Entry(row.label, remarks=told), params, *(replace(s, remarks=()) for s in scores))
    average = [_average(row, columns)] if averaged(columns) else []
    return (Entry(row.label), params, *scores, *average)


def footnotes(rows: Sequence[PublishedRow], columns: Sequence[Column]) -> list[str]:
    """What papers' rows are, then one line a table that they come from."""
    if not rows:
        return []
    tables = {(row.paper, row.table): row for row in rows}
    other = "" if columns[0].spread else ", or an average over other tasks"
    return [
        "Rows of papers are as printed, parameters in the paper's own count; "
        f"{NO_VALUE} is not printed there{other}.",
        *(
            f"{row.authors}: {row.paper}, {row.table}{': ' + row.told if row.told else ''}."
            for row in tables.values()
        ),
    ]


def remarks(rows: Iterable[Row]) -> list[str]:
    """The sentences that entries of `rows` carry, in reading order."""
    return [*dict.fromkeys(told for row in rows for entry in row for told in entry.remarks)]


def facts(rows: Sequence[PublishedRow], columns: Sequence[Column], model: str) -> list[Fact]:
    """The numbers of `rows` for the tasks of `columns`, on the scale of our own."""
    tasks = {column.task: column for column in columns}
    return [
        Fact(
            method=row.label,
            model=model,
            task=score.task,
            metric=score.metric,
            value=_unprinted(score.value, column, score.metric),
            spread=_unprinted(score.std, column, score.metric) if score.std else None,
            status="ok",
            trained_params=int(Decimal(row.params) * 1_000_000) if row.params else None,
            source="paper",
            note="; ".join(filter(None, (f"{row.paper}, {row.table}", score.note))),
        )
        for row in rows
        for column in tasks.values()
        for score in row.of(column.task).values()
    ]


def _unprinted(digits: str, column: Column, metric: str) -> float:
    """A printed number on the scale of records."""
    factor, _ = column.unit(metric)
    return float(Decimal(digits) / Decimal(factor))


def _entry(row: PublishedRow, column: Column) -> Entry:
    printed = row.of(column.task)
    found = [printed[metric] for metric in column.shown if metric in printed]
    if found:
        parts = [_text(printed[m]) if m in printed else NO_VALUE for m in column.shown]
        return Entry("/".join(parts), remarks=_notes(found))
    if column.spread:
        return Entry(NO_VALUE)
    whole = [s for metric, s in printed.items() if column.primary.startswith(f"{metric}_")]
    return Entry(_text(whole[0]) if whole else NO_VALUE, remarks=_notes(whole))


def _average(row: PublishedRow, columns: Sequence[Column]) -> Entry:
    found = [*row.of("average").values()]
    if not found or {column.task for column in columns} != AVERAGED:
        return Entry(NO_VALUE)
    return Entry(_text(found[0]), remarks=_notes(found))


def _text(score: Score) -> str:
    return f"{score.value}±{score.std}" if score.std else score.value


def _notes(scores: Sequence[Score]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(score.note for score in scores if score.note))
