"""Figures: panels of one size under a title, with one legend for all."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.plots.averages import Mean
from reports.plots.lettering import cut, inches, named, plain, tick, wrapped
from reports.plots.style import COLUMN, HEAD, INK, PAGE, SMALL, TALLEST, TEXT, Look

PANELS = 12  # of one figure
TALL = 1.45 * SMALL / 72  # inches of a line of what is told in a panel
HANDLE = 0.42  # inches of a legend's line and the gaps around it


def across(count: int, most: int = 4) -> int:
    """Panels beside each other: as even rows as can be."""
    rows = math.ceil(count / most)
    return math.ceil(count / rows)


def sheet(
    title: str, count: int, height: float, *, most: int = 4, width: float = 0, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of `height` inches, title and legend apart; in reading order.

    One panel is as wide as a column of a paper and several as a page, unless `width` says.
    """
    columns = across(count, most)
    rows = math.ceil(count / columns)
    wide = width or (COLUMN if count == 1 else PAGE)
    figure = Figure(figsize=(wide, min(TALLEST, rows * height)), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False, **shared)
    axes = [place for row in places for place in row]
    for unused in axes[count:]:
        unused.remove()
    head(figure, title)
    return figure, axes[:count]


def head(figure: Figure, title: str) -> None:
    """Writes the title at the top left and makes the figure as much taller."""
    wide = float(figure.get_size_inches()[0])
    text = wrapped(title, wide - 0.2, HEAD, 4, bold=True)
    taller(figure, 1.35 * HEAD / 72 * (text.count("\n") + 1))
    figure.suptitle(text, x=0.1 / wide, ha="left")


def taller(figure: Figure, more: float) -> None:
    """Adds `more` inches to the figure's height."""
    wide, tall = figure.get_size_inches()
    figure.set_size_inches(wide, tall + more)


def legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """One legend beneath all panels, as many names a line as fit; the figure grows by it."""
    if not handles:
        return
    wide = float(figure.get_size_inches()[0]) - 0.3
    texts = [named(name, wide - HANDLE, SMALL) for name in names]
    column = max(inches(text, SMALL) for text in texts) + HANDLE + 0.2
    columns = max(1, min(len(texts), int(wide / column)))
    lines = math.ceil(len(texts) / columns)
    taller(figure, lines * SMALL * 1.55 / 72 + 0.1)
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, borderaxespad=0.2)


def titled(axes: Axes, text: str) -> None:
    """A panel's title, at its left, cut where it is wider than the panel."""
    axes.set_title(cut(text, _room(axes) - 0.4, TEXT), loc="left", pad=3)


def noted(axes: Axes, lines: Sequence[str]) -> None:
    """Writes lines in the upper left corner of a panel, over its grid."""
    axes.text(
        *(0.03, 0.985, "\n".join(cut(line, _room(axes) - 0.75, SMALL) for line in lines)),
        transform=axes.transAxes,
        verticalalignment="top",
        fontsize=SMALL,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def labelled(axes: Axes, text: str, beside: float = 0.4) -> None:
    """What a panel's x axis shows, cut where it is wider; `beside`: inches at the axis's left."""
    axes.set_xlabel(cut(text, _room(axes) - beside, TEXT))


def _room(axes: Axes) -> float:
    """Inches that a panel has from side to side, with what stands beside it."""
    figure, place = axes.get_figure(root=True), axes.get_subplotspec()
    assert figure is not None and place is not None
    return float(figure.get_size_inches()[0]) / place.get_gridspec().ncols


def numbered(axis: Any, most: int = 5) -> None:
    """Ticks of a linear axis: few, and without exponents."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(tick))
    axis.set_minor_locator(NullLocator())


def ticked(axis: Any, places: Sequence[float], names: Sequence[str]) -> None:
    """Ticks at `places` with `names`, whatever the scale."""
    axis.set_major_locator(FixedLocator(list(places)))
    texts = dict(zip(places, map(plain, names), strict=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: texts.get(value, "")))
    axis.set_minor_locator(NullLocator())


def limits(means: Sequence[Mean]) -> tuple[float, float, bool]:
    """From where to where an axis of scores goes, and whether bars or runs are cut there.

    They are shown whole unless they reach further than twice the range of the points beyond them.
    """
    centres = [mean.centre for mean in means]
    lows = [min(mean.low, *mean.values, mean.centre) for mean in means]
    highs = [max(mean.high, *mean.values, mean.centre) for mean in means]
    low, high = min(centres), max(centres)
    most = 2 * (high - low) if high > low else math.inf
    start, end = max(min(lows), low - most), min(max(highs), high + most)
    flat = end - start <= 1e-9 * max(abs(start), abs(end))  # but for rounding
    room = max(abs(end) * 0.02, 0.5) if flat else 0.06 * (end - start)
    return start - room, end + room, min(lows) < start or max(highs) > end


def key(look: Look, *, line: bool = False) -> Line2D:
    """A method's handle in a legend."""
    drawn = {"linestyle": look.dash, "linewidth": 1.1} if line else {}
    return Line2D([], [], **{**look.point, **drawn})
