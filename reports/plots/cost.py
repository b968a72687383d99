"""Score against cost: what a method pays for its score, and who pays least."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.layout import Column
from reports.plots import lettering, scale, sheet
from reports.plots.averages import Mean, heard, judged, score_label, together
from reports.plots.costs import COSTS, Cost, alike
from reports.plots.front import front
from reports.plots.labels import name
from reports.plots.lettering import Unit, cut, listed, named
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import PAGE, QUIET, SMALL, TEXT, Look

NAMES = 1.5  # inches, beyond which the name of a method is cut
DIRECT = 16  # methods that are named beside their points; more have a legend
METHODS = 60  # of one plot
HEIGHT, SMALLER = 2.6, 1.9  # inches of a panel alone and of one among others


class Spot(NamedTuple):
    """A method in one panel."""

    mean: Mean
    cost: float


Point = tuple[float, float]


class Bar(NamedTuple):
    """Where a method is drawn, in the units of the axes."""

    x: float
    y: float
    low: float
    high: float

    @property
    def point(self) -> Point:
        """The marker's place."""
        return (self.x, self.y)

    @property
    def ends(self) -> list[Point]:
        """The interval's."""
        return [(self.x, self.low), (self.x, self.high)]


class Panel(NamedTuple):
    """The methods of one panel."""

    columns: Sequence[Column]
    spots: Sequence[Spot]
    without: Sequence[str]  # methods with a score in some column that are not in it

    @property
    def front(self) -> list[Spot]:
        """The methods that no other beats at both, by cost."""
        costs = [spot.cost for spot in self.spots]
        scores = [spot.mean.centre for spot in self.spots]
        return [self.spots[i] for i in front(costs, scores, falls=self.columns[0].falls)]

    @property
    def limits(self) -> tuple[float, float, bool]:
        """From where to where scores go, and whether bars are cut there."""
        return sheet.limits([spot.mean._replace(values=()) for spot in self.spots])


def plots(scene: Scene) -> list[Plot]:
    """A plot for each cost that at least two methods have."""
    return [made for cost in COSTS if (made := _plot(scene, cost))]


def _plot(scene: Scene, cost: Cost) -> Plot | None:
    runs, common = alike(scene.runs, cost)
    found = panels(scene, runs, cost)
    if not found:
        return None
    return scene.plot(
        f"score-{cost.name}",
        f"Score and {cost.words.lower()}",
        _caption(scene, cost, found, common),
        lambda title: _drawn(title, cost, found, scene.looks),
    )


def panels(scene: Scene, costly: pd.DataFrame, cost: Cost) -> list[Panel]:
    """One panel over all tasks where half of the methods have an average; else one a task."""
    block, runs = scene.block, scene.runs
    columns = judged(block, runs)
    groups = [columns] if columns else []
    scored = [*dict.fromkeys(runs.loc[runs["score"].notna(), "method"])]
    if len(columns) > 1:
        shared = together([block.columns[number] for number in columns])
        if not shared or 2 * len(scene.means(columns)) < max(4, len(scored)):
            groups = [[number] for number in columns]
    found = []
    for group in groups:
        here = costly[costly["column"].isin(group)]
        paid = here.groupby("method", sort=False)[cost.column].mean().to_dict()
        shown = [Spot(m, paid[m.method]) for m in scene.means(group) if m.method in paid]
        if len(shown) > 1:
            kept = {spot.mean.method for spot in shown[:METHODS]}
            rest = [method for method in scored if method not in kept]
            found.append(Panel([block.columns[n] for n in group], shown[:METHODS], rest))
    return found


def _drawn(
    title: str, cost: Cost, found: Sequence[Panel], looks: Mapping[str, Look], names: bool = True
) -> Figure:
    """The figure; with a legend where names do not all fit beside their points."""
    found = found[: sheet.PANELS]
    methods = list(dict.fromkeys(spot.mean.method for panel in found for spot in panel.spots))
    several = len(found) > 1
    names = names and not several and len(methods) <= DIRECT
    height = SMALLER if several else HEIGHT
    wide = 0 if names or several else PAGE
    figure, axes = sheet.sheet(title, len(found), height, most=3, width=wide)
    unit = lettering.unit(cost.units, [spot.cost for panel in found for spot in panel.spots])
    words = f"{cost.words} ({unit.name})" if unit.name else cost.words
    if several:
        figure.supxlabel(words, fontsize=TEXT)
    for place, panel in zip(axes, found, strict=True):
        drawn = _panel(place, panel, unit, looks)
        label = score_label(panel.columns)
        if several:
            sheet.titled(place, label)
        else:
            place.set_xlabel(words)
            place.set_ylabel(cut(label, height - 0.6, TEXT))
    if not names:
        sheet.legend(figure, [sheet.key(looks[method]) for method in methods], methods)
    settled(figure)
    if several:
        return figure
    (panel,) = found
    fits = _name(axes[0], panel.spots if names else panel.front, *drawn)
    return _drawn(title, cost, found, looks, names=False) if names and not fits else figure


def _name(
    axes: Axes, spots: Sequence[Spot], bars: Mapping[str, Bar], steps: Sequence[Point]
) -> bool:
    """Names those methods beside their points; False, with none written, where they lack room."""
    points = [bar.point for bar in bars.values()]
    texts = {spot.mean.method: named(spot.mean.method, NAMES, SMALL) for spot in spots}
    names = [texts.get(method, "") for method in bars]
    return name(axes, points, names, [*(bar.ends for bar in bars.values()), steps])


def _panel(
    axes: Axes, panel: Panel, unit: Unit, looks: Mapping[str, Look]
) -> tuple[dict[str, Bar], list[Point]]:
    """Draws the front, the bars and the points; says where bars and front are."""
    how = scale.scale([spot.cost / unit.divisor for spot in panel.spots])
    scale.apply(axes, how)
    low, high, _ = panel.limits
    axes.set_ylim(low, high)
    sheet.numbered(axes.yaxis)
    axes.grid(axis="y")
    steps = _steps([(how.at(s.cost / unit.divisor), s.mean.centre) for s in panel.front], how.high)
    axes.plot(*zip(*steps, strict=True), color=QUIET, linewidth=0.8, zorder=1.2, label="_front")
    faint = 0.35 if len(panel.spots) > DIRECT else 1.0
    bars = {}
    for spot in panel.spots:
        x, mean, look = how.at(spot.cost / unit.divisor), spot.mean, looks[spot.mean.method]
        if mean.bar:
            axes.vlines(x, mean.low, mean.high, look.colour, linewidth=0.8, zorder=2, alpha=faint)
        axes.plot([x], [mean.centre], **look.point, zorder=3, label=mean.method)
        bars[mean.method] = Bar(x, mean.centre, max(low, mean.low), min(high, mean.high))
    return bars, steps


def _steps(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """The corners of the line of the best score at each cost, to the end of the axis."""
    corners = [points[0]]
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (end, corners[-1][1])]


def _caption(scene: Scene, cost: Cost, found: Sequence[Panel], common: str) -> list[str]:
    shown = found[: sheet.PANELS]
    means = [spot.mean for panel in shown for spot in panel.spots]
    by = f" ({common})" if common else ""
    heads = scene.runs["head_params"].dropna()
    return [
        "Each point is a method: its mean score over seeds against its cost. The grey line is the "
        "Pareto front of the means: no method on it is beaten at both.",
        f"{cost.told}{by}: the mean over the runs that have it.",
        _heads(heads) if cost.column == "trained_params" else "",
        heard(means),
        "Bars that leave the picture are cut." if any(panel.limits[2] for panel in shown) else "",
        *(_without(panel, len(shown) > 1) for panel in shown),
        f"{len(found) - len(shown)} more tasks are left out." if len(found) > len(shown) else "",
        scene.lost(),
    ]


def _heads(heads: pd.Series) -> str:
    if heads.empty or heads.max() == 0:
        return ""
    ends = dict.fromkeys((int(heads.min()), int(heads.max())))
    return f"The head has {' to '.join(f'{end:,}' for end in ends)} parameters."


def _without(panel: Panel, several: bool) -> str:
    if not panel.without:
        return ""
    where = f" of {panel.columns[0].title}" if several else ""
    return (
        f"Left out{where}, for want of a score on every task, of a cost that compares or of room: "
        f"{listed(panel.without)}."
    )
