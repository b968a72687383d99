"""The runs of a sweep and their soup: test score against the score that chose them.

Source of the form: Wortsman et al. 2022, arXiv:2203.05482. A soup tells of its runs, and of the
scores that they and it have on selection rows, as `where.soup`.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.record import Record
from reports.blocks import Slot
from reports.layout import Column
from reports.plots import sheet
from reports.plots.averages import metric_label
from reports.plots.labels import Point, name
from reports.plots.lettering import cut, named
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.seeds import left_out, read
from reports.plots.style import COLOURS, INK, MARKERS, QUIET, SMALL, TEXT
from reports.told import fact, mapping, number, numbers

HEIGHT = 2.5  # inches of a panel
NAMES = 1.1  # inches, beyond which the name of a run is cut
DIRECT = 10  # names of a panel, at most
FAR = 4.0  # times the distance from the best to the median, from where on a run is at the edge
STAR: dict[str, Any] = {"marker": "*", "markersize": 10, "markeredgecolor": INK}
FILLED: dict[str, Any] = {"markersize": 4.5, "markeredgewidth": 0.5, "linestyle": "none"}
HOLLOW: dict[str, Any] = {**FILLED, "markerfacecolor": "white", "markeredgewidth": 0.9}


class Run(NamedTuple):
    """One run of a sweep: scores in the unit that tables print."""

    told: str  # in what it differs: "lr=0.0001"
    selection: float
    test: float
    kept: bool


class Soup(NamedTuple):
    """What one seed's sweep made; `selection` is NaN where it is not told."""

    runs: Sequence[Run]
    selection: float
    test: float

    @property
    def whole(self) -> bool:
        """Whether both its scores are known."""
        return math.isfinite(self.selection) and math.isfinite(self.test)


class Span(NamedTuple):
    """From where to where an axis goes; what is beyond stands at its edge."""

    low: float
    high: float

    def at(self, value: float, step: int = 0) -> float:
        """Where the value is drawn; at an edge, `step` marks away from it."""
        aside = (0.03 + 0.05 * step) * (self.high - self.low)
        if value < self.low:
            return self.low + aside
        return self.high - aside if value > self.high else value

    def side(self, value: float) -> int:
        """-1 below, 1 above, 0 within."""
        return int(value > self.high) - int(value < self.low)


class Spot(NamedTuple):
    """Where a run is drawn."""

    seed: int
    run: Run
    x: float
    y: float
    edge: str  # the marker of a run beyond an edge; empty within

    @property
    def point(self) -> Point:
        """In the units of the axes."""
        return (self.x, self.y)

    @property
    def name(self) -> str:
        """In what the run differs, and how far off it is."""
        run = self.run
        scores = f" ({run.selection:.1f}, {run.test:.1f})" if self.edge else ""
        return f"{named(run.told, NAMES, SMALL)}{scores}".strip()


class Panel(NamedTuple):
    """A method on a task."""

    title: str
    column: Column
    soups: Sequence[tuple[int, Soup]]  # by seed

    def span(self, axis: str) -> Span:
        """Of "selection" or "test": every soup, and the runs that are not far."""
        runs = [getattr(run, axis) for _, soup in self.soups for run in soup.runs]
        made = [getattr(soup, axis) for _, soup in self.soups if math.isfinite(getattr(soup, axis))]
        return span([*runs, *made], made)

    @property
    def spots(self) -> list[Spot]:
        """Every run; those in one corner beside each other."""
        x, y = self.span("selection"), self.span("test")
        corners: Counter[tuple[int, int]] = Counter()
        found = []
        for seed, soup in self.soups:
            for run in soup.runs:
                sides = x.side(run.selection), y.side(run.test)
                step = corners[sides] if all(sides) else 0
                corners[sides] += 1
                at = x.at(run.selection, step), y.at(run.test)
                found.append(Spot(seed, run, *at, _edge(*sides)))
        return found


def plots(scene: Scene) -> list[Plot]:
    """One plot, where some soup tells the scores of its runs."""
    found = [Panel(title, slot.column, runs) for title, slot, runs in read(scene, _soup)]
    if not found:
        return []

    def drawing(title: str) -> Figure:
        return _drawn(title, found[: sheet.PANELS])

    return [scene.plot("soups", "Runs of a sweep and their soup", _caption(found), drawing)]


def span(values: Sequence[float], core: Sequence[float] = ()) -> Span:
    """The range of the values but for those that are far from the others on one side.

    Far: beyond four times the distance from the other end to the median. `core` is always inside.
    """
    middle, low, high = float(np.median(values)), min(values), max(values)
    start = min([max(low, high - FAR * (high - middle)), *core])
    end = max([min(high, low + FAR * (middle - low)), *core])
    start, end = (low, high) if start >= end else (start, end)
    room = 0.12 * (end - start) or 0.5
    return Span(start - room, end + room)


def _soup(record: Record, slot: Slot) -> Soup | None:
    """None where no run has both its scores."""
    told = fact(record, "soup")
    factor = slot.column.unit(slot.column.primary)[0]
    kept = {int(place) for place in numbers(told.get("kept")) if math.isfinite(place)}
    runs = told.get("runs")
    each = [mapping(run) for run in runs] if isinstance(runs, list | tuple) else []
    found = [
        Run(
            str(run.get("told", "")),
            factor * number(run.get("selection")),
            factor * number(run.get("test")),
            place in kept,
        )
        for place, run in enumerate(each)
    ]
    known = [run for run in found if math.isfinite(run.selection) and math.isfinite(run.test)]
    trace = [*numbers(told.get("trace"))]
    own = factor * trace[-1] if trace else math.nan
    test = factor * number(record.metrics.get(slot.column.primary))
    return Soup(known, own, test) if known else None


def _drawn(title: str, panels: Sequence[Panel]) -> Figure:
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=3 if len(panels) > 4 else 2)
    seeds = list(dict.fromkeys(seed for panel in panels for seed, _ in panel.soups))
    looks = {seed: _look(number, len(seeds)) for number, seed in enumerate(seeds)}
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, looks)
        sheet.titled(place, panel.title)
        label = metric_label([panel.column])
        sheet.labelled(place, f"{label}, selection rows")
        place.set_ylabel(cut(f"{label}, test", HEIGHT - 0.6, TEXT))
    grey = {"marker": "o", "color": QUIET}
    handles = [
        *(Line2D([], [], **looks[seed], **FILLED) for seed in seeds if len(seeds) > 1),
        Line2D([], [], **{**grey, **FILLED}),
        Line2D([], [], **{**grey, **HOLLOW}),
        Line2D([], [], **{**STAR, "color": QUIET, "linestyle": "none"}),
    ]
    of = [f"seed {seed}" for seed in seeds if len(seeds) > 1]
    sheet.legend(figure, handles, [*of, "in the soup", "left out", "the soup"])
    settled(figure)
    for place, panel in zip(axes, panels, strict=True):
        _name(place, panel)
    return figure


def _look(number: int, count: int) -> dict[str, Any]:
    marker = MARKERS[number % len(MARKERS)] if count > 1 else "o"
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker}


def _panel(axes: Axes, panel: Panel, looks: Mapping[int, Mapping[str, Any]]) -> None:
    for spot in panel.spots:
        how = {**looks[spot.seed], **(FILLED if spot.run.kept else HOLLOW)}
        how |= {"marker": spot.edge} if spot.edge else {}
        axes.plot(*zip(spot.point), **how, zorder=3, label="_run")
    for seed, soup in panel.soups:
        look = looks[seed]
        if soup.whole:
            star = {**STAR, "color": look["color"], "linestyle": "none"}
            axes.plot([soup.selection], [soup.test], **star, zorder=4, label="_soup")
        elif math.isfinite(soup.test):
            axes.axhline(soup.test, color=look["color"], linewidth=0.9, label="_soup")
    x, y = panel.span("selection"), panel.span("test")
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    sheet.numbered(axes.xaxis)
    sheet.numbered(axes.yaxis)
    axes.grid()


def _edge(across: int, up: int) -> str:
    """The marker of a run beyond an edge; empty within."""
    return {-1: "<", 1: ">"}.get(across) or {-1: "v", 1: "^"}.get(up, "")


def _name(axes: Axes, panel: Panel) -> None:
    """Names beside all runs where these are few, else beside those at an edge."""
    spots = panel.spots
    stars = [(soup.selection, soup.test) for _, soup in panel.soups if soup.whole]
    points = [*(spot.point for spot in spots), *stars]
    every = [spot.name for spot in spots]
    edges = [spot.name if spot.edge else "" for spot in spots]
    for names in ([every] if len(spots) <= DIRECT else []) + [edges]:
        if any(names) and name(axes, points, [*names, *("" for _ in stars)]):
            return


def _caption(found: Sequence[Panel]) -> list[str]:
    shown = found[: sheet.PANELS]
    far = sum(bool(spot.edge) for panel in shown for spot in panel.spots)
    soups = [soup for panel in shown for _, soup in panel.soups]
    stand = "run stands" if far == 1 else "runs stand"
    return [
        "Each mark is a run of the sweep: its test score against its score on the selection rows. "
        "Filled ones are in the soup, which is the star.",
        "A soup whose selection score is not told is a line at its test score."
        if any(not soup.whole and math.isfinite(soup.test) for soup in soups)
        else "",
        f"{far} {stand} far off: at the edge, with selection and test score." if far else "",
        left_out(found),
    ]
