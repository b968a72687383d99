"""Loss on the way from one model to another, before and after the second was aligned.

Source of the form: Ainsworth et al. 2023, arXiv:2209.04836, figure 2. A run that interpolated has
the losses by the weight of the second model as `where.barrier`.
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
from reports.plots import sheet
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.seeds import Line, draw, left_out, line, read
from reports.plots.style import COLOURS
from reports.told import fact, mapping, number

HEIGHT = 2.2  # inches of a panel
AXES = 1.55  # inches of its axes, at least
SPLITS: dict[str, Any] = {"test": "-", "train": (0, (2.5, 1.3))}  # how their lines are dashed
KINDS: dict[str, dict[str, Any]] = {  # the wide line is still seen where both are one
    "naive": {"color": COLOURS[1], "linewidth": 2.0},
    "aligned": {"color": COLOURS[0], "linewidth": 1.1},
}


class Barrier(NamedTuple):
    """One run's: losses in nats by kind and split, and how high each barrier is."""

    lines: Mapping[tuple[str, str], Line]
    heights: Mapping[tuple[str, str], float]
    identity: bool  # whether aligning changed nothing


class Panel(NamedTuple):
    """A method on a task."""

    title: str
    barriers: Sequence[tuple[int, Barrier]]  # by seed

    def lines(self, kind: str, split: str) -> list[Line]:
        """Of one curve, a seed each."""
        return [b.lines[kind, split] for _, b in self.barriers if (kind, split) in b.lines]

    @property
    def drawn(self) -> list[tuple[str, str]]:
        """The curves that some seed has, in the order of a legend."""
        return [(kind, split) for kind in KINDS for split in SPLITS if self.lines(kind, split)]

    @property
    def told(self) -> list[str]:
        """The heights, means over seeds, a line a split; and where nothing was to be aligned."""
        rows = [_heights(split, [b for _, b in self.barriers]) for split in SPLITS]
        alike = [str(seed) for seed, barrier in self.barriers if barrier.identity]
        every = len(alike) == len(self.barriers)
        said = "aligned by the identity" + ("" if every else f" at seed {', '.join(alike)}")
        return [*filter(None, rows), *([said] if alike else [])]


def plots(scene: Scene) -> list[Plot]:
    """One plot, where some run has a loss at two points or more."""
    found = [Panel(title, runs) for title, _, runs in read(scene, _barrier)]
    if not found:
        return []

    def drawing(title: str) -> Figure:
        return _drawn(title, found[: sheet.PANELS])

    return [scene.plot("barriers", "Loss between two models", _caption(found), drawing)]


def _barrier(record: Record, _slot: Slot) -> Barrier | None:
    """None where there is no curve."""
    told = fact(record, "barrier")
    lines, heights = {}, {}
    for kind in KINDS:
        for split in SPLITS:
            if found := line(told.get("points"), mapping(told.get(kind)).get(split)):
                lines[kind, split] = found
            high = number(mapping(mapping(told.get("height")).get(kind)).get(split))
            if math.isfinite(high):
                heights[kind, split] = high
    return Barrier(lines, heights, told.get("identity") is True) if lines else None


def _heights(split: str, barriers: Sequence[Barrier]) -> str:
    """ "Barrier, test: naive 1.20, aligned 0.20"; empty where none is known."""
    told = []
    for kind in KINDS:
        known = [b.heights[kind, split] for b in barriers if (kind, split) in b.heights]
        told += [f"{kind} {_signed(float(np.mean(known)))}"] if known else []
    return f"Barrier, {split}: {', '.join(told)}" if told else ""


def _signed(height: float) -> str:
    digits = 0 if abs(height) >= 100 else 2 if abs(height) >= 0.1 else 3
    return f"{round(height, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _drawn(title: str, panels: Sequence[Panel]) -> Figure:
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=3)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel)
        sheet.titled(place, panel.title)
        sheet.labelled(place, "Weight of the second model")
        place.set_ylabel("Loss (nats)")
    present = {curve for panel in panels for curve in panel.drawn}
    drawn = [(kind, split) for kind in KINDS for split in SPLITS if (kind, split) in present]
    handles = [Line2D([], [], linestyle=SPLITS[s], **KINDS[kind]) for kind, s in drawn]
    sheet.legend(figure, handles, [f"{kind}, {split}" for kind, split in drawn])
    return settled(figure)


def _panel(axes: Axes, panel: Panel) -> None:
    """Curves beneath, what they say above."""
    for order, (kind, split) in enumerate(panel.drawn):
        look = {**KINDS[kind], "linestyle": SPLITS[split], "zorder": 3 + 0.1 * order}
        draw(axes, panel.lines(kind, split), f"{kind} {split}", **look)
    lines = [one for _, barrier in panel.barriers for one in barrier.lines.values()]
    known = np.concatenate([one.y[np.isfinite(one.y)] for one in lines])
    low, high = float(known.min()), float(known.max())
    room = 0.06 * (high - low) or 0.5
    part = min(0.6, sheet.TALL * (len(panel.told) + 0.5) / AXES)  # of the axes, for what is told
    axes.set_ylim(low - room, low - room + (high - low + 2 * room) / (1 - part))
    sheet.noted(axes, panel.told)
    x = np.concatenate([one.x for one in lines])
    aside = 0.02 * float(np.ptp(x))
    axes.set_xlim(float(x.min()) - aside, float(x.max()) + aside)
    sheet.numbered(axes.xaxis)
    sheet.numbered(axes.yaxis)
    axes.grid(axis="y")


def _caption(found: Sequence[Panel]) -> list[str]:
    shown = found[: sheet.PANELS]
    several = any(len(panel.barriers) > 1 for panel in shown)
    alike = any(barrier.identity for panel in shown for _, barrier in panel.barriers)
    return [
        "Cross-entropy of the weights between two models, in nats a row, as they are (naive) and "
        "with the units of the second permuted to match the first (aligned).",
        "The barrier is the greatest loss above the line between the two ends; numbers are those "
        "of the records" + (", means over seeds." if several else "."),
        "Faint lines are single seeds, the others means." if several else "",
        "By the identity: matching changed nothing, and both curves are one." if alike else "",
        left_out(found),
    ]
