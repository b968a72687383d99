"""Tables as text: Markdown and LaTeX for readers, CSV for programs."""

import re
from collections.abc import Callable, Sequence
from csv import DictWriter
from dataclasses import asdict, fields
from io import StringIO

from reports.layout import Entry, Fact, Remark, Table

FROM_PAPERS = "as printed in papers"
TRIANGLES = {"": "", "better": "▲", "worse": "▼"}
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "[": "{[}",  # a bracket after \\ or \item would be an option
        "]": "{]}",
        "*": "{*}",  # so would a star after \\
        "±": r"$\pm$",
        "▲": r"$\bigtriangleup$",
        "▼": r"$\bigtriangledown$",
        "↓": r"$\downarrow$",
        "·": r"$\cdot$",
        "\N{EN DASH}": "--",
        "\N{MINUS SIGN}": "$-$",
        **{c: f"\\{c}" for c in "&%$#_{}"},
    }
)


def markdown(*tables: Table) -> str:
    """GitHub Markdown whose columns are aligned in the source too."""
    return "\n".join(map(_markdown, tables))


def latex(*tables: Table) -> str:
    """LaTeX table environments, for a document that uses booktabs."""
    return "\n".join(map(_latex, tables))


def csv(*tables: Table) -> str:
    """The facts of the tables, all of one kind, unrounded.

    Of runs a line a metric; papers' numbers follow, on the same scale.
    """
    facts = [fact for table in tables for fact in table.facts]
    out = StringIO()
    names = [field.name for field in fields(facts[0] if facts else Fact)]
    writer = DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, facts))
    return out.getvalue()


def _markdown(table: Table) -> str:
    heads = [_escaped(head) for head in table.columns]
    columns = [_column(table, i, head) for i, head in enumerate(heads)]
    lines = [f"| {' | '.join(line)} |" for line in zip(*columns, strict=True)]
    rules = [f":{'-' * (len(columns[0][0]) - 1)}"]
    rules += [f"{'-' * (len(column[0]) - 1)}:" for column in columns[1:]]
    lines.insert(1, f"| {' | '.join(rules)} |")
    notes = [f"{n}. {_escaped(_told(r))}" for n, r in enumerate(table.remarks, start=1)]
    notes += [f"- {_escaped(footnote)}" for footnote in table.footnotes]
    return "\n".join([f"### {_escaped(table.title)}", "", *lines, "", *notes, ""])


def _column(table: Table, index: int, head: str) -> list[str]:
    """Heading and entries of one column, equally wide, digits above digits."""
    entries = [row[index] for row in (*table.rows, *table.papers)]
    plain = "  " if any(entry.best for entry in entries) else ""
    marks = _marks(table, entries)
    wide = max(map(len, marks), default=0)
    texts = [head]
    for entry, mark in zip(entries, marks, strict=True):
        text = _escaped(entry.text)
        told = f"**{text}**{mark:<{wide}}" if entry.best else f"{plain}{text}{mark:<{wide}}{plain}"
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


def _told(remark: Remark) -> str:
    return f"{remark.sentence} ({remark.places})." if remark.places else f"{remark.sentence}."


def _escaped(text: str) -> str:
    """Without what Markdown would take for markup; underscores inside words are safe."""
    text = re.sub(r"[\\`*<|~]|\](?=\()|&(?=#?\w+;)", r"\\\g<0>", text)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def _latex(table: Table) -> str:
    heads = " & ".join(map(_plain, table.columns))
    body = [_latex_row(table, row) for row in table.rows]
    if table.papers:
        across = rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\emph{{{FROM_PAPERS}}}}} \\"
        body += [r"\midrule", across, *(_latex_row(table, row) for row in table.papers)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{_plain(table.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            rf"{heads} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\begin{itemize}\footnotesize",
            *_latex_notes(table),
            r"\end{itemize}",
            r"\end{table}",
            "",
        ]
    )


def _latex_notes(table: Table) -> list[str]:
    notes = [rf"\item[{n}] {_plain(_told(r))}" for n, r in enumerate(table.remarks, start=1)]
    return notes + [rf"\item {_plain(footnote)}" for footnote in table.footnotes]


def _latex_row(table: Table, row: Sequence[Entry]) -> str:
    return " & ".join(_latex_entry(table, entry) for entry in row) + r" \\"


def _latex_entry(table: Table, entry: Entry) -> str:
    text = _plain(entry.text)
    if entry.best:
        text = rf"\textbf{{{text}}}"
    numbers = ",".join(map(str, table.numbers(entry)))
    raised = TRIANGLES[entry.sense].translate(LATEX).strip("$") + numbers
    return f"{text}$^{{{raised}}}$" if raised else text


def _plain(text: str) -> str:
    """Without what LaTeX would take for a command; a minus is a minus, not a hyphen."""
    return re.sub(r"(?<!\w)-(?=\d)", "\N{MINUS SIGN}", text).translate(LATEX)
