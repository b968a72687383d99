"""Training loss by step and selection scores by epoch: a panel a task and a line a method."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.record import Record
from reports.blocks import Slot
from reports.files import Files
from reports.plots import sheet
from reports.plots.averages import judged, metric_label
from reports.plots.frame import number
from reports.plots.lettering import cut, listed
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import TEXT, Look

METHODS, SEEDS = 8, 10  # lines of a panel, and runs of a line
LINES = 300_000  # of all logs that are read for one part
FEWEST = 5  # points of a log
POINTS = 1_000  # of a log, beyond which neighbours are averaged
GRID = 101  # points of a smoothed line
WIDTH = 0.03  # of a training: the standard deviation of the Gaussian that smooths
HEIGHT = 1.9  # inches of a panel
STEEP = 100.0  # the greatest loss over the smallest, from where on their axis is logarithmic

Run = tuple[NDArray, NDArray]  # where, and what: both (points,)
Reader = Callable[[Slot, Record], Run | None]


class Line(NamedTuple):
    """A method on one task."""

    method: str
    raw: Run  # of its first run
    x: NDArray  # (points,)
    y: NDArray  # (runs, points)


class Panel(NamedTuple):
    """One task."""

    title: str
    label: str  # of its y axis
    lines: Sequence[Line]


class Kind(NamedTuple):
    """What is drawn, and how it is called."""

    stem: str
    words: str
    along: str  # the x axis
    told: str


LOSS = Kind(
    "loss",
    "Training loss",
    "Step",
    f"Training loss by step, smoothed by a Gaussian of {100 * WIDTH:g} % of a training. A line is "
    "the mean over seeds, its band their range, the faint line one run as logged; what leaves the "
    "picture is cut. Methods that add a term to the loss have another level.",
)
SCORE = Kind(
    "epochs",
    "Score while training",
    "Epoch",
    "Score on the selection rows after each epoch. A line is the mean over seeds, its band their "
    "range.",
)


def plots(scene: Scene) -> list[Plot]:
    """Loss curves where logs tell losses, and score curves where runs were scored by epoch."""
    logs = Logs(scene.files)
    return [*_plot(scene, LOSS, logs, _smoothed), *_plot(scene, SCORE, _scores, _as_told)]


def _plot(
    scene: Scene, kind: Kind, read: Reader, line: Callable[[str, Sequence[Run]], Line]
) -> list[Plot]:
    """One plot, where `read` tells anything of some run."""
    found: list[Panel] = []
    omitted: dict[str, None] = {}
    for place in _columns(scene):
        column = scene.block.columns[place]
        lines: list[Line] = []
        for slot in (row[place] for row in scene.block.rows):
            if len(lines) == METHODS:
                omitted |= {slot.label: None} if slot.scored else {}
                continue
            runs = [run for record in slot.scored[:SEEDS] if (run := read(slot, record))]
            lines += [line(slot.label, runs)] if runs else []
        label = metric_label([column]) if kind is SCORE else "Loss"
        title = scene.title if column.spread else column.title
        found += [Panel(title, label, lines)] if lines else []
    if not found:
        return []
    left = f"Methods left out for want of room: {listed([*omitted])}." if omitted else ""
    beyond = len(scene.block.tasks) - sheet.PANELS
    more = f"Only the first {sheet.PANELS} tasks are shown." if beyond > 0 else ""
    many = any(len(slot.scored) > SEEDS for row in scene.block.rows for slot in row)
    seeds = f"Lines are of the first {SEEDS} seeds." if many else ""
    short = isinstance(read, Logs) and read.left <= 0
    unread = f"Logs after the first {LINES:,} lines of them were not read." if short else ""

    def draw(title: str) -> Figure:
        return _drawn(title, kind, found, scene.looks)

    return [scene.plot(kind.stem, kind.words, (kind.told, left, more, seeds, unread), draw)]


def _columns(scene: Scene) -> list[int]:
    """One column a task: the one it is judged by, where there are scores."""
    columns = scene.block.columns
    known = {columns[n].task: n for n in reversed(judged(scene.block, scene.runs))}
    first = {column.task: n for n, column in reversed([*enumerate(columns)])}
    return sorted({**first, **known}.values())[: sheet.PANELS]


class Logs:
    """Reads losses from logs, until these have been long."""

    def __init__(self, files: Files):
        self.files, self.left = files, LINES

    def __call__(self, _slot: Slot, record: Record) -> Run | None:
        """Steps and losses; None where there are few."""
        if self.left <= 0:
            return None
        lines = self.files.log(record)
        self.left -= len(lines)
        pairs = [(number(line.get("step")), number(line.get("loss"))) for line in lines]
        points = dict(pair for pair in pairs if all(map(math.isfinite, pair)))
        if len(points) < FEWEST:
            return None
        steps = np.array(sorted(points))
        return _thinned(steps, np.array([points[step] for step in steps]))


def _scores(slot: Slot, record: Record) -> Run | None:
    """Scores by epoch, as printed."""
    told = record.where.get("selection_scores")
    factor = slot.column.unit(slot.column.primary)[0]
    values = np.array([factor * number(v) for v in told] if isinstance(told, list) else [])
    finite = np.isfinite(values)
    return (np.flatnonzero(finite) + 1.0, values[finite]) if finite.sum() > 1 else None


def _thinned(x: NDArray, y: NDArray) -> Run:
    """The means of neighbours, so that at most 1,000 points are left."""
    if len(x) <= POINTS:
        return x, y
    parts = [np.array_split(values, POINTS) for values in (x, y)]
    means = [np.array([part.mean() for part in of]) for of in parts]
    return means[0], means[1]


def smooth(x: NDArray, y: NDArray, at: NDArray) -> NDArray:
    """Gaussian-weighted means of `y` (points,) at the places `at`: (places,)."""
    width = WIDTH * (x[-1] - x[0])
    far = (at[:, None] - x[None, :]) / width
    weights = np.exp(-0.5 * (far**2 - (far**2).min(axis=1, keepdims=True)))
    return (weights @ y) / weights.sum(axis=1)


def _smoothed(method: str, runs: Sequence[Run]) -> Line:
    """On the steps that all runs have."""
    start, end = max(x[0] for x, _ in runs), min(x[-1] for x, _ in runs)
    if start >= end:
        runs = runs[:1]
        start, end = runs[0][0][0], runs[0][0][-1]
    at = np.linspace(start, end, GRID)
    return Line(method, runs[0], at, np.array([smooth(x, y, at) for x, y in runs]))


def _as_told(method: str, runs: Sequence[Run]) -> Line:
    """At the epochs that all runs have."""
    common = sorted(set.intersection(*(set(map(float, x)) for x, _ in runs)))
    if not common:
        runs, common = runs[:1], [float(x) for x in runs[0][0]]
    values = [[dict(zip(x, y, strict=True))[epoch] for epoch in common] for x, y in runs]
    return Line(method, runs[0], np.array(common), np.array(values))


def _drawn(title: str, kind: Kind, panels: Sequence[Panel], looks: Mapping[str, Look]) -> Figure:
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=3)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, looks, raw=kind is LOSS)
        if len(panels) > 1:
            sheet.titled(place, panel.title)
        sheet.labelled(place, kind.along)
        place.set_ylabel(cut(panel.label, HEIGHT - 0.6, TEXT))
    methods = list(dict.fromkeys(line.method for panel in panels for line in panel.lines))
    sheet.legend(figure, [sheet.key(looks[method], line=True) for method in methods], methods)
    return settled(figure)


def _panel(axes: Axes, panel: Panel, looks: Mapping[str, Look], *, raw: bool) -> None:
    faint = max(0.06, min(0.2, 0.6 / len(panel.lines)))
    for turn, line in enumerate(panel.lines):
        look, centre = looks[line.method], line.y.mean(axis=0)
        every = max(1, len(line.x) // 5)
        marks: dict[str, Any] = {**look.point, "linestyle": look.dash, "markersize": 3.5}
        first = turn * every // max(1, len(panel.lines))
        axes.plot(line.x, centre, **marks, markevery=(first, every), label=line.method, zorder=3)
        if raw:
            axes.plot(*line.raw, color=look.colour, alpha=faint, linewidth=0.5, label="_raw")
        if len(line.y) > 1:
            ends = (line.y.min(axis=0), line.y.max(axis=0))
            axes.fill_between(line.x, *ends, color=look.colour, alpha=0.11, linewidth=0)
    _limits(axes, np.concatenate([line.y.ravel() for line in panel.lines]), steep=raw)
    axes.set_xlim(*_ends([line.x for line in panel.lines]))
    sheet.numbered(axes.xaxis, 4)
    axes.grid(axis="y")


def _limits(axes: Axes, values: NDArray, *, steep: bool) -> None:
    low, high = float(values.min()), float(values.max())
    if steep and low > 0 and high > STEEP * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        places = [p for p in _powers(low, high) if low / 1.3 <= p <= high * 1.3]
        sheet.ticked(axes.yaxis, places, [sheet.tick(place) for place in places])
        return
    room = 0.12 * (high - low) or 0.5
    axes.set_ylim(low - room, high + room)
    sheet.numbered(axes.yaxis)


def _powers(low: float, high: float) -> list[float]:
    ends = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, (ends[1] - ends[0]) // 5)
    return [10.0**power for power in range(ends[0], ends[1] + 1, step)]


def _ends(xs: Sequence[NDArray]) -> tuple[float, float]:
    low, high = min(float(x[0]) for x in xs), max(float(x[-1]) for x in xs)
    room = 0.02 * (high - low) or 0.5
    return low - room, high + room
