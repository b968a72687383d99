"""What runs tell of themselves, drawn: a panel a method and task, a line a seed, and their mean."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.record import Record
from reports.blocks import Slot
from reports.plots import sheet
from reports.plots.averages import judged
from reports.plots.scene import Scene
from reports.told import numbers

Told = TypeVar("Told")
SEEDS = 10  # of one panel
FAINT = 0.35  # of the line of one seed


class Line(NamedTuple):
    """A number by another, ascending: both (points,); `y` is NaN where it is undefined."""

    x: NDArray
    y: NDArray


def line(x: Any, y: Any) -> Line | None:
    """What stands in a record; None where it is no two lists of one length with two points."""
    pairs = zip(numbers(x), numbers(y), strict=False)
    points = {round(a, 12): b for a, b in pairs if np.isfinite(a)}
    if len(numbers(x)) != len(numbers(y)) or np.isfinite([*points.values()]).sum() < 2:
        return None
    found = sorted(points)
    return Line(np.array(found), np.array([points[a] for a in found]))


def common(lines: Sequence[Line]) -> Line | None:
    """The mean where all of them have a point, NaN where one is undefined; None without such."""
    points = [dict(zip(map(float, one.x), map(float, one.y), strict=True)) for one in lines]
    shared = sorted(set.intersection(*map(set, points))) if points else []
    if not shared:
        return None
    return Line(np.array(shared), np.array([np.mean([p[x] for p in points]) for x in shared]))


def draw(axes: Axes, lines: Sequence[Line], label: str, **look: Any) -> None:
    """A faint line a seed, where there are several, and their mean."""
    if len(lines) > 1:
        for one in lines:
            thin = {**look, "alpha": FAINT, "linewidth": 0.5, "marker": "", "zorder": 2}
            axes.plot(*one, **thin, label="_seed")
    if mean := common(lines):
        axes.plot(*mean, **{"zorder": 3, **look}, label=label)


def read(
    scene: Scene, told: Callable[[Record, Slot], Told | None]
) -> list[tuple[str, Slot, list[tuple[int, Told]]]]:
    """The panels: a title, the method on the task, and what its runs tell by seed.

    Those alone of which some run tells something; the first ten seeds.
    """
    found = []
    for title, slot in _slots(scene):
        runs = [(r.cell.seed, one) for r in slot.scored if (one := told(r, slot)) is not None]
        found += [(title, slot, runs[:SEEDS])] if runs else []
    return found


def left_out(found: Sequence[Any], noun: str = "panel") -> str:
    """A sentence on the panels that a figure has no room for."""
    beyond = len(found) - sheet.PANELS
    several = "s are" if beyond > 1 else " is"
    return f"{beyond} more {noun}{several} left out." if beyond > 0 else ""


def _slots(scene: Scene) -> list[tuple[str, Slot]]:
    """Every method on every task; a task with a column for each metric by what it is judged by."""
    block = scene.block
    if block.columns[0].spread:
        place = next(iter(judged(block, scene.runs)), 0)
        return [(row[place].label, row[place]) for row in block.rows]
    several = len(block.columns) > 1
    return [
        (f"{slot.label} on {slot.column.title}" if several else slot.label, slot)
        for row in block.rows
        for slot in row
    ]
