"""Tables as Markdown."""

import re
from collections.abc import Callable, Sequence

from reports.layout import Entry, Table
from reports.render.forms import FROM_PAPERS, TRIANGLES, notes
from reports.render.legible import line


def markdown(*tables: Table) -> str:
    """GitHub Markdown whose columns are aligned in the source too."""
    return "\n".join(map(_markdown, tables))


def _markdown(table: Table) -> str:
    heads = [_escaped(head) for head in table.columns]
    columns = [_column(table, i, head) for i, head in enumerate(heads)]
    lines = [f"| {' | '.join(line)} |" for line in zip(*columns, strict=True)]
    rules = [f":{'-' * (len(columns[0][0]) - 1)}"]
    rules += [f"{'-' * (len(column[0]) - 1)}:" for column in columns[1:]]
    lines.insert(1, f"| {' | '.join(rules)} |")
    numbered, others = notes(table)
    told = [f"{n}. {_opening(note)}" for n, note in enumerate(numbered, start=1)]
    told += [f"- {_opening(note)}" for note in others]
    return "\n".join([f"### {_opening(table.title)}", "", *lines, "", *told, ""])


def _column(table: Table, index: int, head: str) -> list[str]:
    """Heading and entries of one column, equally wide, digits above digits."""
    entries = [row[index] for row in (*table.rows, *table.papers)]
    plain = "  " if any(entry.best for entry in entries) else ""
    marks = _marks(table, entries)
    wide = max(map(len, marks), default=0)
    texts = [head]
    for entry, mark in zip(entries, marks, strict=True):
        text = _escaped(entry.text)
        best = entry.best and text[-1:].isalnum()  # two stars behind a sign end nothing
        told = f"**{text}**{mark:<{wide}}" if best else f"{plain}{text}{mark:<{wide}}{plain}"
        texts.append(told)
    if table.papers:
        texts.insert(1 + len(table.rows), f"*{FROM_PAPERS}*" if index == 0 else "")
    width = max(3, *map(len, texts))  # a rule needs three
    pad: Callable[[str, int], str] = str.ljust if index == 0 else str.rjust
    return [pad(text, width) for text in texts]


def _marks(table: Table, entries: Sequence[Entry]) -> list[str]:
    """What stands behind the entries of a column: a triangle, then the numbers of remarks."""
    blank = " " if any(entry.sense for entry in entries) else ""
    numbers = [",".join(map(str, table.numbers(entry))) for entry in entries]
    return [
        (TRIANGLES[entry.sense] or blank) + (f" [{told}]" if told else "")
        for entry, told in zip(entries, numbers, strict=True)
    ]


def _opening(text: str) -> str:
    """Text that begins a line or is a heading; it begins no list, and ends no heading."""
    text = re.sub(r"#(?=#*$)", r"\\#", _escaped(text))
    text = re.sub(r"^(\d+)(?=[.)])", r"\1\\", text)
    return re.sub(r"^(?=[#>+=:\[-])", r"\\", text)


def _escaped(text: str) -> str:
    """One line without what Markdown would take for markup; underscores inside words are safe."""
    text = re.sub(r"[\\`*<|~]|\](?=\()|&(?=#?\w+;)", r"\\\g<0>", line(text))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
