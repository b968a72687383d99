"""An axis of costs: linear, or logarithmic with a place for zero."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from reports.plots.lettering import tick
from reports.plots.sheet import numbered, ticked
from reports.plots.style import QUIET

DECADE = 10.0  # the greatest over the smallest, from where on an axis is logarithmic
ASIDE = 0.16  # of the axis, from the smallest cost to the place of zero
ROOM = 0.07  # of the axis, beyond the outermost points
TICKS = 6


class Scale(NamedTuple):
    """How costs stand on an axis from `low` to `high`."""

    low: float
    high: float
    zero: float | None = None  # where 0 is drawn on a logarithmic axis
    logarithmic: bool = False

    def at(self, cost: float) -> float:
        """Where a cost is drawn."""
        return self.zero if self.zero is not None and cost == 0 else cost


def scale(costs: Sequence[float]) -> Scale:
    """The scale that shows all `costs`, none of them negative.

    Logarithmic where the positive ones span more than a decade; zero then stands aside.
    """
    above = [cost for cost in costs if cost > 0]
    if not above or max(above) <= DECADE * min(above):
        top = max(costs, default=0.0) or 1.0
        return Scale(-ROOM * top if min(costs, default=0.0) == 0 else 0.0, (1 + ROOM) * top)
    low, high = math.log10(min(above)), math.log10(max(above))
    span = high - low
    aside = low - ASIDE * span if len(above) < len(costs) else low
    room = ROOM * (high - aside)
    zero = 10**aside if len(above) < len(costs) else None
    return Scale(10 ** (aside - room), 10 ** (high + room), zero, True)


def apply(axes: Axes, scale: Scale) -> None:
    """Sets limits and ticks of the x axis; a break stands between zero and the decades."""
    if not scale.logarithmic:
        axes.set_xlim(scale.low, scale.high)
        numbered(axes.xaxis)
        return
    axes.set_xscale("log")
    axes.set_xlim(scale.low, scale.high)
    start = math.log10(scale.low if scale.zero is None else scale.zero)
    end = math.log10(scale.high)
    gap = start + 0.62 * ASIDE * (end - start) / (1 + ASIDE + ROOM)
    places = decades(start if scale.zero is None else gap, end)
    names = [tick(place) for place in places]
    if scale.zero is None:
        ticked(axes.xaxis, places, names)
        return
    ticked(axes.xaxis, [scale.zero, *places], ["0", *names])
    axes.plot(
        [10**gap],
        [0],
        transform=axes.get_xaxis_transform(),
        marker=[(-1, -2), (1, 2)],
        markersize=5,
        color=QUIET,
        markeredgecolor=QUIET,
        clip_on=False,
        linestyle="none",
        label="_break",
    )


def decades(low: float, high: float) -> list[float]:
    """Round numbers between two exponents of ten, about six: decades, or 1, 2 and 5 of each."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    whole = [10.0**power for power in powers if low <= power <= high]
    if len(whole) > TICKS:
        step = math.ceil(len(whole) / TICKS)
        return whole[::step]
    if len(whole) > 2:
        return whole
    parts = [part * 10.0**power for power in powers for part in (1, 2, 5)]
    return [value for value in parts if low <= math.log10(value) <= high]
