"""Scores as dots: methods down, a panel a task, so that a table can be seen."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import notes
from reports.plots import sheet
from reports.plots.averages import Mean, heard, judged, metric_label, together
from reports.plots.lettering import inches, listed, named
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import FAINT, PAGE, SMALL, Look

METHODS = 50  # rows
ROW, EDGES = 0.15, 0.6  # inches of a row, and of what is above and below them all
NAMES = 1.7  # inches, beyond which the name of a method is cut
RUNS: dict[str, Any] = {"markersize": 2.2, "markeredgewidth": 0, "alpha": 0.6, "linestyle": "none"}
LOWER = 0.3  # of a row, that single runs stand below the mean


class Panel(NamedTuple):
    """The scores of one task, or their means over tasks."""

    title: str
    label: str  # of its axis
    means: Mapping[str, Mean]  # by method


def plots(scene: Scene) -> list[Plot]:
    """One plot, where at least two methods have a score."""
    panels, omitted = _panels(scene)
    methods = [row[0].label for row in scene.block.rows if row]
    scored = [method for method in methods if any(method in panel.means for panel in panels)]
    if len(scored) < 2:
        return []
    shown = scored[:METHODS]
    caption = _caption(scene, panels, shown, omitted, len(scored) - len(shown))

    def draw(title: str) -> Figure:
        return _drawn(title, panels, shown, scene.looks)

    return [scene.plot("scores", "Scores", caption, draw)]


def _panels(scene: Scene) -> tuple[list[Panel], list[str]]:
    """A panel for each column with a score, then one for the average; the titles left out."""
    columns, runs = scene.block.columns, scene.runs
    numbers = sorted({int(number) for number in runs.loc[runs["score"].notna(), "column"]})
    most = sheet.PANELS - 1 if len(numbers) > 1 else sheet.PANELS
    found = []
    for number in numbers[:most]:
        column = columns[number]
        scores = {mean.method: mean for mean in scene.means([number])}
        title, label = column.title, metric_label([column])
        found.append(Panel(label, "", scores) if column.spread else Panel(title, label, scores))
    main = judged(scene.block, runs)
    if len(main) > 1 and together([columns[number] for number in main]):
        scores = {mean.method: mean for mean in scene.means(main)}
        label = metric_label([columns[number] for number in main])
        found += [Panel(f"Mean over {len(main)} tasks", label, scores)] if len(scores) > 1 else []
    return found, [columns[number].title for number in numbers[most:]]


def _drawn(
    title: str, panels: Sequence[Panel], methods: Sequence[str], looks: Mapping[str, Look]
) -> Figure:
    names = [named(method, NAMES, SMALL) for method in methods]
    beside = max(inches(name, SMALL) for name in names)
    most = max(1, min(4, int((PAGE - beside) / 1.3)))
    height = ROW * len(methods) + EDGES
    figure, axes = sheet.sheet(title, len(panels), height, most=most, sharey=True)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, methods, looks)
        sheet.labelled(place, panel.label, beside / sheet.across(len(panels), most) + 0.2)
        sheet.titled(place, panel.title)
    sheet.ticked(axes[0].yaxis, range(len(methods)), names)
    axes[0].set_ylim(len(methods) - 0.4, -0.6)
    return settled(figure)


def _panel(axes: Axes, panel: Panel, methods: Sequence[str], looks: Mapping[str, Look]) -> None:
    """Means with their intervals, single runs beneath; a row without a score is empty."""
    shown = [panel.means[method] for method in methods if method in panel.means]
    across = axes.get_yaxis_transform()
    axes.hlines(range(len(methods)), 0, 1, FAINT, linewidth=0.5, zorder=0.5, transform=across)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if not shown:
        axes.set_xticks([])
        return
    low, high, _ = sheet.limits(shown)
    axes.set_xlim(low, high)
    sheet.numbered(axes.xaxis, 4)
    for mean in shown:
        row, look = methods.index(mean.method), looks[mean.method]
        if mean.bar:
            runs = [row + LOWER] * len(mean.values)
            axes.plot(mean.values, runs, marker="o", color=look.colour, label="_runs", **RUNS)
            axes.hlines(row, mean.low, mean.high, look.colour, linewidth=0.9, zorder=2)
        axes.plot([mean.centre], [row], **look.point, zorder=3, label=mean.method)


def _caption(
    scene: Scene,
    panels: Sequence[Panel],
    shown: Sequence[str],
    omitted: Sequence[str],
    beyond: int,
) -> list[str]:
    every = [panel.means[method] for panel in panels for method in shown if method in panel.means]
    cuts = any(sheet.limits([*panel.means.values()])[2] for panel in panels if panel.means)
    runs = " small dots are single seeds." if any(mean.bar for mean in every) else ""
    return [
        f"Mean score over seeds of each method, a panel a task;{runs}"
        if runs
        else "Scores, a panel a task.",
        "Each panel has a scale of its own, which need not start at zero.",
        heard(every),
        "What leaves the picture is cut." if cuts else "",
        f"Tasks left out for want of room: {listed(omitted)}." if omitted else "",
        f"{beyond} more methods are left out for want of room." if beyond > 0 else "",
        notes.metrics(scene.block.columns),
        scene.lost(),
    ]
