"""Score against the one number in which rows differ, a panel a task."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.plots import sheet
from reports.plots.averages import Mean, heard, score_label
from reports.plots.lettering import cut, listed, slug, tick
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import QUIET, TEXT, Look
from reports.plots.varied import FEWEST, Varied, varied

MOST = 12  # plots of one part
HEIGHT = 2.2  # inches of a panel
WIDE = 8.0  # the greatest value over the smallest, from where on their axis is logarithmic
TICKS = 9  # values that are written at the axis


class Panel(NamedTuple):
    """One task: the means by the option's value, ascending."""

    label: str
    means: Mapping[float, Mean]


def plots(scene: Scene) -> list[Plot]:
    """A plot for each option of which at least three values stand in rows alike otherwise."""
    found: list[Plot] = []
    taken: dict[str, int] = {}
    for one in varied(scene.block):
        panels = _panels(scene, one) if len(found) < MOST else []
        if panels:
            stem = slug(one.option)
            taken[stem] = taken.get(stem, 0) + 1
            again = f"-{taken[stem]}" if taken[stem] > 1 else ""
            found.append(_plot(scene, one, panels, again))
    return found


def _panels(scene: Scene, one: Varied) -> list[Panel]:
    found: list[Panel] = []
    for column, rows in one.lines[: sheet.PANELS]:
        known = {mean.method: mean for mean in scene.means([column])}
        scored = {value: known[label] for value, label in rows.items() if label in known}
        if len(scored) >= FEWEST:
            found.append(Panel(score_label([scene.block.columns[column]]), scored))
    return found


def _plot(scene: Scene, one: Varied, panels: Sequence[Panel], again: str) -> Plot:
    beyond = len(one.lines[sheet.PANELS :])
    return scene.plot(
        f"option-{slug(one.option)}{again}",
        f"Score by {one.option}",
        _caption(scene, one, panels, beyond),
        lambda title: _drawn(title, one.option, panels, scene.looks),
    )


def _drawn(title: str, option: str, panels: Sequence[Panel], looks: Mapping[str, Look]) -> Figure:
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=3)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, looks)
        sheet.labelled(place, option)
        if len(panels) > 1:
            sheet.titled(place, panel.label)
        else:
            place.set_ylabel(cut(panel.label, HEIGHT - 0.6, TEXT))
    return settled(figure)


def _panel(axes: Axes, panel: Panel, looks: Mapping[str, Look]) -> None:
    values, shown = [*panel.means], [*panel.means.values()]
    axes.plot(
        values, [m.centre for m in shown], color=QUIET, linewidth=0.9, zorder=1, label="_line"
    )
    for value, mean in panel.means.items():
        look = looks[mean.method]
        if mean.bar:
            axes.vlines(value, mean.low, mean.high, look.colour, linewidth=0.9, zorder=2)
        axes.plot([value], [mean.centre], **look.point, zorder=3, label=mean.method)
    low, high, _ = sheet.limits([mean._replace(values=()) for mean in shown])
    axes.set_ylim(low, high)
    sheet.numbered(axes.yaxis)
    axes.grid(axis="y")
    _along(axes, values)


def _along(axes: Axes, values: Sequence[float]) -> None:
    """The x axis: logarithmic for a wide range or powers of two, with ticks at the values."""
    if values[0] > 0 and (values[-1] >= WIDE * values[0] or all(map(_power, values))):
        axes.set_xscale("log", base=2)
        room = (values[-1] / values[0]) ** 0.08
        axes.set_xlim(values[0] / room, values[-1] * room)
    else:
        room = 0.08 * (values[-1] - values[0])
        axes.set_xlim(values[0] - room, values[-1] + room)
    step = -(-len(values) // TICKS)
    sheet.ticked(axes.xaxis, values[::step], [tick(value) for value in values[::step]])


def _power(value: float) -> bool:
    """Whether it is 1, 2, 4 and so on."""
    return value >= 1 and value == int(value) and not int(value) & (int(value) - 1)


def _caption(scene: Scene, one: Varied, panels: Sequence[Panel], beyond: int) -> list[str]:
    kind, _, rest = one.path.partition(".")
    where = f"option {rest} of the method" if kind == "method" else f"{rest} of the recipe"
    every = [mean for panel in panels for mean in panel.means.values()]
    rows = listed(list(dict.fromkeys(mean.method for mean in every)), 12)
    logged = "The x axis is logarithmic where values span a factor of eight or are powers of two."
    return [
        f"Rows that differ in {where} and in nothing else: {rows}. {logged}",
        heard(every),
        f"{beyond} more tasks are left out." if beyond else "",
        scene.lost(),
    ]
