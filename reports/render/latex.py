"""Tables as LaTeX, for a document that uses booktabs and graphicx."""

import math
from collections.abc import Sequence

from reports.layout import Entry, Row, Table
from reports.render.forms import FROM_PAPERS, TRIANGLES, notes
from reports.render.letters import letters

PAGE, BREADTH = 44, 95  # lines of rows and notes that a page holds; characters of a line of notes


def latex(*tables: Table) -> str:
    """LaTeX table environments; a table wider than the text is scaled down to it.

    One that is longer than a page is several, and notes that a page has no room for follow them.
    """
    return "\n".join(map(_latex, tables))


def _latex(table: Table) -> str:
    rows = [_row(table, row) for row in table.rows]
    if table.papers:
        across = rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\emph{{{FROM_PAPERS}}}}} \\"
        rows += [r"\midrule", across, *(_row(table, row) for row in table.papers)]
    pages = [_page(rows[start : start + PAGE]) for start in range(0, len(rows), PAGE)] or [[]]
    told = _notes(table)
    room = PAGE - len(pages[-1]) - sum(math.ceil(len(note) / BREADTH) for note in told)
    floats = [_float(table, page, continued=n > 0) for n, page in enumerate(pages)]
    end = [r"\end{table}", ""]
    closed = ["\n".join([*lines, *end]) for lines in floats[:-1]]
    if room >= 0:
        last = [*floats[-1], *_listed(told), *end]
    else:
        behind = [r"\noindent Notes to table~\thetable:", *_listed(told), ""]
        last = [*floats[-1], *end, *behind]
    return "\n".join([*closed, "\n".join(last)])


def _page(rows: list[str]) -> list[str]:
    """The rows without a rule at their head, for there is one above them."""
    return rows[rows[:1] == [r"\midrule"] :]


def _float(table: Table, rows: Sequence[str], continued: bool) -> list[str]:
    """The lines of an environment, its end left out."""
    more = " (continued)" if continued else ""
    return [
        r"\begin{table}",
        *([r"\addtocounter{table}{-1}"] if continued else []),
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{letters(table.title)}{more}}}",
        r"\sbox0{%",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        rf"{' & '.join(map(letters, table.columns))} \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
    ]


def _listed(told: Sequence[str]) -> list[str]:
    """The notes as a list; nothing where there are none, for LaTeX has no empty list."""
    if not told:
        return []
    tight = r"\setlength{\itemsep}{0pt}\setlength{\parsep}{0pt}"
    return [rf"\begin{{itemize}}\footnotesize{tight}", *told, r"\end{itemize}"]


def _notes(table: Table) -> list[str]:
    numbered, others = notes(table)
    found = [rf"\item[{n}] {letters(note)}" for n, note in enumerate(numbered, start=1)]
    return found + [rf"\item {letters(note)}" for note in others]


def _row(table: Table, row: Row) -> str:
    return " & ".join(_entry(table, entry) for entry in row) + r" \\"


def _entry(table: Table, entry: Entry) -> str:
    text = letters(entry.text)
    if entry.best:
        text = rf"\textbf{{{text}}}"
    numbers = ",".join(map(str, table.numbers(entry)))
    raised = letters(TRIANGLES[entry.sense]).strip("$") + numbers
    return f"{text}$^{{{raised}}}$" if raised else text
