"""Tables as HTML that a screen reader can follow: no style, no script, every text escaped."""

from collections.abc import Iterator, Sequence
from html import escape

from reports.layout import Entry, Row, Table
from reports.render.forms import FROM_PAPERS, SENSES, TRIANGLES, notes
from reports.render.legible import line


def html(*tables: Table) -> str:
    """A section a table: the table with its caption, numbered notes, then those about all of it.

    The best of a column is strong; marks and numbers of notes say in words what they are.
    """
    return "\n".join(part for table in tables for part in _section(table)) + "\n" * bool(tables)


def _section(table: Table) -> Iterator[str]:
    yield "<section>"
    yield "<table>"
    yield f"<caption>{_text(table.title)}</caption>"
    yield f"<thead>\n<tr>{''.join(map(_head, table.columns))}</tr>\n</thead>"
    yield from _body(table, table.rows)
    if table.papers:
        yield from _body(table, table.papers, FROM_PAPERS)
    yield "</table>"
    numbered, others = notes(table)
    yield from _list("ol", numbered)
    yield from _list("ul", others)
    yield "</section>"


def _body(table: Table, rows: Sequence[Row], about: str = "") -> Iterator[str]:
    yield "<tbody>"
    if about:
        across = f'colspan="{len(table.columns)}"'
        yield f'<tr><th scope="rowgroup" {across}>{_text(about)}</th></tr>'
    for first, *rest in rows:
        cells = "".join(f"<td>{_entry(table, entry)}</td>" for entry in rest)
        yield f'<tr><th scope="row">{_entry(table, first)}</th>{cells}</tr>'
    yield "</tbody>"


def _head(text: str) -> str:
    return f'<th scope="col">{_text(text)}</th>'


def _entry(table: Table, entry: Entry) -> str:
    text = _text(entry.text)
    return (
        (f"<strong>{text}</strong>" if entry.best else text) + _mark(entry) + _numbers(table, entry)
    )


def _mark(entry: Entry) -> str:
    if not entry.sense:
        return ""
    told = SENSES[entry.sense]
    return f' <span role="img" aria-label="{told}" title="{told}">{TRIANGLES[entry.sense]}</span>'


def _numbers(table: Table, entry: Entry) -> str:
    numbers = [*map(str, table.numbers(entry))]
    if not numbers:
        return ""
    told = f"note{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
    return f' <sup role="note" aria-label="{told}">{",".join(numbers)}</sup>'


def _list(kind: str, told: Sequence[str]) -> Iterator[str]:
    if told:
        yield f"<{kind}>"
        yield from (f"<li>{_text(note)}</li>" for note in told)
        yield f"</{kind}>"


def _text(text: str) -> str:
    return escape(line(text))
