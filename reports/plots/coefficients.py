"""Selection score by the coefficient of a merge: its mean over parts, each part, what was chosen.

Source of the form: Ilharco et al. 2022, arXiv:2212.04089 and arXiv:2208.05592. A run that tried
several coefficients has them, and the scores that each got on selection rows, as `where.sweep`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.record import Record
from reports.blocks import Slot
from reports.measures import MEAN
from reports.plots import sheet
from reports.plots.lettering import cut, listed
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.seeds import Line, common, draw, left_out, line, read
from reports.plots.style import COLOURS, DASHES, INK, QUIET, TEXT
from reports.told import fact, mapping, number

HEIGHT = 2.0  # inches of a panel
PARTS = 8  # lines of a panel, besides the mean
DOTTED = 30  # values, up to which each has a dot
THIN = [COLOURS[number] for number in (0, 1, 5, 4, 3, 6)]  # without black, that is the mean's
CHOSEN: dict[str, Any] = {
    **{"marker": "D", "color": INK, "markeredgecolor": "white", "markeredgewidth": 0.7},
    **{"markersize": 5.5, "linestyle": "none"},
}


class Sweep(NamedTuple):
    """One run's: scores by coefficient, in the unit that tables print."""

    of: str
    lines: Mapping[str, Line]  # by part; the mean, or what the task is judged by, is "mean"
    chosen: float | None


class Panel(NamedTuple):
    """A method on a task."""

    title: str
    sweeps: Sequence[Sweep]  # by seed

    @property
    def parts(self) -> list[str]:
        """Everything that some seed has a line of, the mean first."""
        names = dict.fromkeys(name for sweep in self.sweeps for name in sweep.lines)
        return sorted(names, key=lambda name: name != MEAN)

    @property
    def values(self) -> list[float]:
        """Every score that is drawn."""
        lines = [one for sweep in self.sweeps for one in sweep.lines.values()]
        return [float(y) for one in lines for y in one.y if math.isfinite(y)]

    def of(self, part: str) -> list[Line]:
        """The lines of one part, a seed each."""
        return [sweep.lines[part] for sweep in self.sweeps if part in sweep.lines]


def plots(scene: Scene) -> list[Plot]:
    """One plot, where some run tried at least two coefficients."""
    found = [
        (Panel(title, [sweep for _, sweep in runs]), slot)
        for title, slot, runs in read(scene, _sweep)
    ]
    if not found:
        return []
    panels = [panel for panel, _ in found[: sheet.PANELS]]
    columns = scene.block.columns
    titles = {c.primary: c.title for c in columns if c.composed} or {MEAN: "primary metric"}
    factor = found[0][1].column.unit(found[0][1].column.primary)[0]
    label = f"Selection score × {factor:g}" if factor != 1 else "Selection score"  # noqa: RUF001

    def drawing(title: str) -> Figure:
        return _drawn(title, panels, titles, label)

    what = "Score by coefficient"
    return [scene.plot("coefficients", what, _caption(scene, found, panels, titles), drawing)]


def _sweep(record: Record, slot: Slot) -> Sweep | None:
    """None where there is no line with two points."""
    told = fact(record, "sweep")
    factor = slot.column.unit(slot.column.primary)[0]
    lines = {}
    for name, scores in mapping(told.get("selection")).items():
        if found := line(told.get("values"), scores):
            main = name == slot.column.primary
            lines[MEAN if main else str(name)] = Line(found.x, factor * found.y)
    chosen = number(told.get("chosen"))
    return (
        Sweep(str(told.get("of", "value")), lines, chosen if math.isfinite(chosen) else None)
        if lines
        else None
    )


def _drawn(title: str, panels: Sequence[Panel], titles: Mapping[str, str], label: str) -> Figure:
    parts = [part for part in _parts(panels) if part != MEAN]
    looks = {part: _look(number) for number, part in enumerate(parts[:PARTS])}
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=3)
    every = [value for panel in panels for value in panel.values]
    room = 0.05 * (max(every) - min(every)) or 0.5
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, looks)
        place.set_ylim(min(every) - room, max(every) + room)
        sheet.titled(place, panel.title)
        sheet.labelled(place, listed([*dict.fromkeys(sweep.of for sweep in panel.sweeps)], 2))
        place.set_ylabel(cut(label, HEIGHT - 0.6, TEXT))
    names = {MEAN: _mean(), **looks}
    drawn = [part for part in _parts(panels) if part in names]
    handles = [Line2D([], [], **names[part]) for part in drawn]
    told = [titles.get(part, part) for part in drawn]
    if any(sweep.chosen is not None for panel in panels for sweep in panel.sweeps):
        handles, told = [*handles, Line2D([], [], **CHOSEN)], [*told, "chosen"]
    sheet.legend(figure, handles, told)
    return settled(figure)


def _parts(panels: Sequence[Panel]) -> list[str]:
    names = dict.fromkeys(part for panel in panels for part in panel.parts)
    return sorted(names, key=lambda name: name != MEAN)


def _look(number: int) -> dict[str, Any]:
    return {
        "color": THIN[number % len(THIN)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.0,
    }


def _mean() -> dict[str, Any]:
    return {"color": INK, "linestyle": "-", "linewidth": 2.0}


def _panel(axes: Axes, panel: Panel, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Parts beneath, then the mean over them with a line a seed, and what each seed chose."""
    for part, look in looks.items():
        lines = panel.of(part)
        if mean := common(lines):
            axes.plot(*mean, **look, zorder=2.5, label=part)
        _band(axes, lines, look)
    dotted = all(len(one.x) <= DOTTED for one in panel.of(MEAN))
    dots = {"marker": "o", "markersize": 2.6} if dotted else {}
    draw(axes, panel.of(MEAN), MEAN, **_mean(), **dots)
    for value in sorted({sweep.chosen for sweep in panel.sweeps if sweep.chosen is not None}):
        _chosen(axes, panel, value)
    x = np.concatenate([one.x for sweep in panel.sweeps for one in sweep.lines.values()])
    room = 0.03 * float(np.ptp(x)) or 0.5
    axes.set_xlim(float(x.min()) - room, float(x.max()) + room)
    sheet.numbered(axes.xaxis)
    sheet.numbered(axes.yaxis)
    axes.grid(axis="y")


def _band(axes: Axes, lines: Sequence[Line], look: Mapping[str, Any]) -> None:
    """The range over seeds, where all of them have the same coefficients."""
    if len(lines) > 1 and all(np.array_equal(one.x, lines[0].x) for one in lines):
        each = np.array([one.y for one in lines])
        ends = each.min(axis=0), each.max(axis=0)
        axes.fill_between(lines[0].x, *ends, color=look["color"], alpha=0.12, linewidth=0)


def _chosen(axes: Axes, panel: Panel, value: float) -> None:
    """A line at the coefficient, and a mark on the mean of the runs that chose it."""
    axes.axvline(value, color=QUIET, linewidth=0.6, linestyle=(0, (2, 2)), zorder=1.2)
    mean = common([s.lines[MEAN] for s in panel.sweeps if s.chosen == value and MEAN in s.lines])
    if mean is not None:
        score = dict(zip(map(float, mean.x), mean.y, strict=True)).get(round(value, 12), math.nan)
        axes.plot([value], [score], **CHOSEN, zorder=4, label="_chosen")


def _caption(
    scene: Scene,
    found: Sequence[tuple[Panel, Slot]],
    panels: Sequence[Panel],
    titles: Mapping[str, str],
) -> list[str]:
    rules = {
        rule
        for _, slot in found
        for record in slot.scored
        if (rule := str(fact(record, "sweep").get("rule", "")).rstrip("."))
    }
    several = any(len(panel.sweeps) > 1 for panel in panels)
    seeds = (
        "Faint lines are single seeds, bands the range over seeds; the other lines are means. "
        if several
        else ""
    )
    composed = scene.block.columns[0].composed
    parts = any(part != MEAN for panel in panels for part in panel.parts)
    main = "the mean over parts" if composed else "what the task is judged by"
    main += f", each thin one a {'part' if composed else 'metric besides'}" * parts
    beyond = [titles.get(part, part) for part in _parts(panels) if part != MEAN][PARTS:]
    return [
        f"Score on the selection rows by the coefficient of a merge: the thick line is {main}.",
        f"{seeds}Diamonds stand at what was chosen, on the mean of the seeds that chose it.",
        f"Chosen by: {'; '.join(sorted(rules))}." if rules else "",
        f"Parts left out for want of room: {listed(beyond)}." if beyond else "",
        left_out(found),
    ]
