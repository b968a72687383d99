"""Scores of random routings beside the merged model's: figure 5 of Wang et al. 2022.

Source: arXiv:2205.12410. A run that was evaluated with several random choices has their scores as
`where.draws`; the run that it builds on is the model served merged, and other runs that build on
that one serve it otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.record import Record
from reports.blocks import Block, Slot
from reports.layout import Column
from reports.plots import sheet
from reports.plots.averages import score_label
from reports.plots.frame import built_on, number
from reports.plots.lettering import cut
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import TEXT, Look

SEEDS = 10  # of one panel
FEWEST = 5  # draws, from which on their density is drawn
HEIGHT = 2.3  # inches of a panel
BINS, STEP, WIDEST = 12, 0.11, 0.44  # of a strip: bins of its range, and how it spreads sideways

Kin = Mapping[str, Sequence[tuple[str, Record]]]  # by key, with the labels of their rows


class Served(NamedTuple):
    """One trained run: the scores of its random routings, and of other ways to serve it."""

    seed: int
    draws: tuple[float, ...]
    merged: float | None
    others: Mapping[str, float]  # by method


class Panel(NamedTuple):
    """The runs of one method on one task, by seed."""

    column: Column
    method: str  # whose routings are drawn at random
    merged: str  # the method that it builds on; "" where that is not in the block
    runs: Sequence[Served]

    @property
    def methods(self) -> list[str]:
        """Everything that is drawn, by label."""
        others = sorted({name for run in self.runs for name in run.others})
        return [name for name in (self.method, self.merged, *others) if name]

    @property
    def values(self) -> list[float]:
        """Every score that is drawn."""
        given = [(*run.draws, *run.others.values(), run.merged) for run in self.runs]
        return [value for values in given for value in values if value is not None]


def plots(scene: Scene) -> list[Plot]:
    """One plot, where some run has the scores of at least two random routings."""
    panels = _panels(scene.block)
    if not panels:
        return []
    kept = [panel._replace(runs=panel.runs[:SEEDS]) for panel in panels[: sheet.PANELS]]

    def draw(title: str) -> Figure:
        return _drawn(title, kept, scene.looks)

    what = "Random routings and the merged model"
    return [scene.plot("routings", what, _caption(panels, kept), draw)]


def _panels(block: Block) -> list[Panel]:
    if not any(record.where.get("draws") for record in block.records):
        return []
    places = {record.cell.key: place for place, record in block.placed}
    found = []
    for place, column in enumerate(block.columns):
        slots = [row[place] for row in block.rows]
        kin = _kin(slots)
        for slot in slots:
            runs = [run for record in slot.scored if (run := _served(record, slot, kin))]
            parents = [key for r in slot.scored for key in built_on(r) if key in places]
            if runs:
                merged = places[parents[0]][0] if parents else ""
                found.append(Panel(column, slot.label, merged, runs))
    return found


def _kin(slots: Sequence[Slot]) -> Kin:
    """By the key of a run: that run, and those that build on it alone."""
    found: dict[str, list[tuple[str, Record]]] = {}
    for slot in slots:
        for record in slot.scored:
            parents = built_on(record)
            for key in (record.cell.key, *(parents if len(parents) == 1 else ())):
                found.setdefault(key, []).append((slot.label, record))
    return found


def _served(record: Record, slot: Slot, kin: Kin) -> Served | None:
    """What the run, the one it builds on and others of that one scored; None without two draws."""
    metric, factor = slot.column.primary, slot.column.unit(slot.column.primary)[0]
    told = record.where.get("draws")
    values = told.get(metric) if isinstance(told, Mapping) else None
    draws = [factor * number(value) for value in values] if isinstance(values, list) else []
    draws = [value for value in draws if math.isfinite(value)]
    if len(draws) < 2:
        return None
    parent, merged, others = next(iter(built_on(record)), ""), None, {}
    for label, other in kin.get(parent, ()):
        score = factor * number(other.metrics.get(metric))
        if math.isfinite(score) and other.cell.key == parent:
            merged = score
        elif math.isfinite(score) and not other.where.get("draws"):
            others[label] = score
    return Served(record.cell.seed, tuple(draws), merged, others)


def _drawn(title: str, panels: Sequence[Panel], looks: Mapping[str, Look]) -> Figure:
    methods = list(dict.fromkeys(name for panel in panels for name in panel.methods))
    most = 3 if len(panels) > 2 else 2
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=most)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, looks)
        same = [value for other in panels if other.column == panel.column for value in other.values]
        room = 0.05 * (max(same) - min(same)) or 0.5
        place.set_ylim(min(same) - room, max(same) + room)
        if len(panels) > 1:
            sheet.titled(place, panel.method)
    handles = [sheet.key(looks[method]) for method in methods]
    sheet.legend(figure, handles, [_role(method, panels) for method in methods])
    return settled(figure)


def _role(method: str, panels: Sequence[Panel]) -> str:
    if any(method == panel.method for panel in panels):
        return f"{method}: one draw"
    return f"{method}: merged" if any(method == panel.merged for panel in panels) else method


def _panel(axes: Axes, panel: Panel, looks: Mapping[str, Look]) -> None:
    """A place a seed: a strip of draws over their density, and marks for the other ways."""
    look = looks[panel.method]
    for place, run in enumerate(panel.runs):
        if len(run.draws) >= FEWEST and max(run.draws) > min(run.draws):
            violin: Any = axes.violinplot([run.draws], [place], widths=0.55, showextrema=False)
            for body in violin["bodies"]:
                body.set(facecolor=look.colour, edgecolor="none", alpha=0.18)
        axes.plot(place + strip(run.draws), run.draws, **{**look.point, "markersize": 3.2})
        if run.merged is not None:
            served, ends = looks[panel.merged], (place - 0.4, place + 0.4)
            axes.hlines(run.merged, *ends, served.colour, linewidth=1.2, zorder=1.9)
            axes.plot([ends[0]], [run.merged], **served.point, zorder=4)
        for turn, (method, score) in enumerate(sorted(run.others.items())):
            axes.plot([place + 0.32 + 0.1 * (turn % 2)], [score], **looks[method].point, zorder=4)
    sheet.ticked(axes.xaxis, range(len(panel.runs)), [str(run.seed) for run in panel.runs])
    axes.set_xlim(-0.6, len(panel.runs) - 0.4)
    sheet.numbered(axes.yaxis)
    axes.grid(axis="y")
    axes.set_xlabel("Seed")
    axes.set_ylabel(cut(score_label([panel.column]), HEIGHT - 0.6, TEXT))


def strip(values: Sequence[float]) -> NDArray:
    """How far aside each value stands, (values,): those of one bin evenly about the middle."""
    found = np.zeros(len(values))
    span = max(values) - min(values)
    if span == 0:
        return _aside(len(values))
    bins = np.floor((np.array(values) - min(values)) / span * (BINS - 1e-9))
    for chosen in np.unique(bins):
        here = np.flatnonzero(bins == chosen)
        found[here] = _aside(len(here))
    return found


def _aside(count: int) -> NDArray:
    step = min(STEP, WIDEST / max(1, count - 1))
    return step * (np.arange(count) - (count - 1) / 2)


def _caption(panels: Sequence[Panel], kept: Sequence[Panel]) -> list[str]:
    counts = sorted({len(run.draws) for panel in kept for run in panel.runs})
    drawn = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    merged = any(run.merged is not None for panel in kept for run in panel.runs)
    others = any(run.others for panel in kept for run in panel.runs)
    fewer = any(len(panel.runs) > SEEDS for panel in panels)
    return [
        f"Each small mark is the score of one of {drawn} random routings of a trained model, over "
        "their density; a place is one training seed.",
        "The line is the same model served merged." if merged else "",
        "Marks at the right are other ways to serve it." if others else "",
        "No intervals: the spread is that of routings and says nothing of training.",
        f"Only the first {SEEDS} seeds are shown." if fewer else "",
        f"{len(panels) - len(kept)} more panels are left out." if len(panels) > len(kept) else "",
    ]
