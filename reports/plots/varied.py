"""Rows that differ in one number, found in what records say was asked for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.record import Record
from reports.blocks import Block
from reports.plots.frame import number

FEWEST = 3  # values, below which there is no line to speak of
STREAMS = ("recipe.order",)  # options that number a stream of random draws: no amount
DEEPEST = 20  # plug-ins within each other that are looked into

Pairs = frozenset[tuple[str, str]]  # options with their values


class Line(NamedTuple):
    """One column: the rows by the option's value, ascending."""

    column: int  # its number in the block
    rows: Mapping[float, str]  # value to label


class Varied(NamedTuple):
    """An option, and the rows that differ in nothing else."""

    path: str  # "method.inner.width", "recipe.lr"
    lines: Sequence[Line]  # by column

    @property
    def option(self) -> str:
        """The option's own name: "width"."""
        return self.path.rpartition(".")[2]


def varied(block: Block) -> list[Varied]:
    """Every set of at least three rows that differ in one number of method or recipe, by option.

    Recipes may differ from task to task: rows are compared within a column, and columns where the
    same methods are set beside each other make one set.
    """
    alike: dict[tuple[str, Pairs], dict[int, list[Line]]] = {}
    for (path, column, rest), rows in _buckets(block).items():
        if len(rows) >= FEWEST:
            method = frozenset(pair for pair in rest if pair[0].startswith("method"))
            line = Line(column, dict(sorted(rows.items())))
            alike.setdefault((path, method), {}).setdefault(column, []).append(line)
    found = []
    for (path, _), columns in alike.items():
        for place in range(max(map(len, columns.values()))):
            lines = [of[place] for _, of in sorted(columns.items()) if place < len(of)]
            found.append(Varied(path, lines))
    return sorted(found, key=lambda v: (v.path, [sorted(line.rows.values()) for line in v.lines]))


def options(text: str, path: tuple[str, ...] = ()) -> dict[str, str]:
    """Every option of a spelled-out text by its path; that of a plug-in itself has its name.

    "mix[of=low[rank=8],parts=4]" is {"": "mix", "of": "low", "of.rank": "8", "parts": "4"}.
    """
    name, _, inside = text.partition("[")
    if len(path) > DEEPEST:
        return {".".join(path): text}
    found = {".".join(path): name}
    for piece in _pieces(inside.removesuffix("]")):
        option, _, value = piece.partition("=")
        found |= options(value, (*path, option))
    return found


def _pieces(inside: str) -> Iterator[str]:
    """What stands between the commas that are in no inner brackets."""
    depth = start = 0
    for place, mark in enumerate(inside):
        depth += (mark == "[") - (mark == "]")
        if mark == "," and depth == 0:
            yield inside[start:place]
            start = place + 1
    if inside[start:]:
        yield inside[start:]


def _buckets(block: Block) -> dict[tuple[str, int, Pairs], dict[float, str]]:
    """The rows of a column that share all but one number, by that number."""
    found: dict[tuple[str, int, Pairs], dict[float, str]] = {}
    for row in block.rows:
        for column, slot in enumerate(row):
            if not slot.scored:
                continue
            asked = _asked(slot.scored[0])
            pairs = frozenset(asked.items())
            for path, text in asked.items():
                value = _number(text)
                if math.isfinite(value) and path not in STREAMS:
                    rows = found.setdefault((path, column, pairs - {(path, text)}), {})
                    rows.setdefault(value, slot.label)
    return found


def _asked(record: Record) -> dict[str, str]:
    """Every option of method and recipe by its path."""
    texts = {"method": record.cell.method, "recipe": record.cell.recipe}
    return {
        path: value
        for kind, text in texts.items()
        for path, value in options(text, (kind,)).items()
    }


def _number(text: str) -> float:
    try:
        return number(float(text))
    except ValueError:
        return math.nan
