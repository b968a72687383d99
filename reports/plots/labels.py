"""Names beside points: none on another, none on a point."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from reports.plots.style import DOTS, INK, QUIET, SMALL

Point = tuple[float, float]
Size = tuple[float, float]
TURNS = (0, 180, 45, 135, 315, 225, 90, 270, 20, 160, 340, 200, 65, 115, 295, 245)  # degrees
REACHES = (0.5, 1.2, 2.2, 3.5, 5.0, 7.0)  # heights of a line from the point to its name
STEP = 12.0  # pixels between points along a line
NEAR = 1.0  # heights; from there on a line leads to the point
AIR = 2.0  # pixels between two boxes
COVERED = 1.0  # heights of a line that a name goes further to hide one point less of another line
CROWD = 0.6  # inches, within which points crowd each other


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: "Box") -> bool:
        """Whether the two overlap, or nearly do."""
        across = self.left < other.right + AIR and other.left < self.right + AIR
        return across and self.low < other.high + AIR and other.low < self.high + AIR

    def holds(self, point: Point) -> bool:
        """Whether the point is inside."""
        return self.left <= point[0] <= self.right and self.low <= point[1] <= self.high

    def within(self, other: "Box") -> bool:
        """Whether the other one holds all of it."""
        inside = other.left <= self.left and self.right <= other.right
        return inside and other.low <= self.low and self.high <= other.high

    def nearest(self, point: Point) -> Point:
        """The point of the box that is nearest to `point`."""
        x = min(max(point[0], self.left), self.right)
        return (x, min(max(point[1], self.low), self.high))


def place(
    points: Sequence[Point],
    sizes: Mapping[int, Size],
    inside: Box,
    radius: float,
    shunned: Sequence[Point] = (),
) -> dict[int, Box] | None:
    """A box for the name of each point that has one, all in pixels; None where they do not all fit.

    `points`: where markers of that `radius` stand; `sizes`: width and height of names, by number of
    the point; names stay `inside` and, if they can, off the points `shunned`. Greedy; several
    orders are tried and the one whose names are nearest is taken. Equal input, equal places.
    """
    marks = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    ground = Ground(points, marks, inside, radius, np.array(shunned).reshape(-1, 2))
    crowd = CROWD * DOTS
    crowds = [sum((x - u) ** 2 + (y - v) ** 2 < crowd**2 for u, v in points) for x, y in points]
    orders = {
        tuple(sorted(sizes, key=lambda i: (-crowds[i], points[i], i))),
        *(
            tuple(sorted(sizes, key=lambda i: (turn * points[i][axis], points[i][1 - axis], i)))
            for axis in (0, 1)
            for turn in (-1, 1)
        ),
    }
    found = [made for order in sorted(orders) if (made := ground.greedy(order, sizes))]
    return min(found, key=lambda made: made[0])[1] if found else None


class Ground(NamedTuple):
    """What is on the axes before names are."""

    points: Sequence[Point]
    marks: Sequence[Box]
    inside: Box
    radius: float
    shunned: NDArray  # (points, 2)

    def greedy(
        self, order: Sequence[int], sizes: Mapping[int, Size]
    ) -> tuple[float, dict[int, Box]] | None:
        """How far off the names are, and their places; None where one has none."""
        placed: dict[int, Box] = {}
        leads: list[Point] = []
        total = 0.0
        for i in order:
            best: tuple[float, Box, list[Point]] | None = None
            for box, far in _candidates(self.points[i], sizes[i], self.radius):
                if best and far >= best[0]:
                    break
                lead = _lead(self.points[i], box) if far >= NEAR else []
                if self._free(box, placed.values(), leads, lead):
                    bad = far + COVERED * self._covered(box)
                    best = (bad, box, lead) if not best or bad < best[0] else best
            if not best:
                return None
            total += best[0]
            placed[i] = best[1]
            leads += best[2]
        return total, placed

    def _free(
        self, box: Box, placed: Iterable[Box], leads: Iterable[Point], lead: Sequence[Point]
    ) -> bool:
        if not box.within(self.inside) or any(box.meets(mark) for mark in self.marks):
            return False
        if any(map(box.holds, leads)):
            return False
        return not any(box.meets(other) or any(map(other.holds, lead)) for other in placed)

    def _covered(self, box: Box) -> int:
        """How many points the box hides that are better left to be seen."""
        x, y = self.shunned.T
        across, up = (box.left <= x) & (x <= box.right), (box.low <= y) & (y <= box.high)
        return int(np.sum(across & up))


def _candidates(point: Point, size: Size, radius: float) -> Iterator[tuple[Box, float]]:
    """Boxes around the point, with how many heights of a line they are from it, ascending."""
    width, height = size
    for reach in REACHES:
        away = radius + reach * height
        for rank, turn in enumerate(TURNS):
            across, up = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            x, y = point[0] + away * across, point[1] + away * up
            left = x - width * (0.5 - 0.5 * np.clip(across * 1.5, -1, 1))
            low = y - height * (0.5 - 0.5 * np.clip(up * 1.5, -1, 1))
            box = Box(float(left), float(low), float(left + width), float(low + height))
            yield box, reach + 0.03 * rank


def _lead(point: Point, box: Box) -> list[Point]:
    """Points along the line from a point to its name."""
    x, y = box.nearest(point)
    steps = np.linspace(0.15, 0.95, 12)
    across, up = point[0] + steps * (x - point[0]), point[1] + steps * (y - point[1])
    return [(float(u), float(v)) for u, v in zip(across, up, strict=True)]


def name(
    axes: Axes,
    points: Sequence[Point],
    names: Sequence[str],
    lines: Sequence[Sequence[Point]] = (),
    radius: float = 3.0,
) -> bool:
    """Writes each name beside its point; False, with nothing written, where they do not all fit.

    `points` and `lines` in the units of the axes, whose figure has been laid out for good; a point
    may have no name; `lines` are better not written over. `radius` of a marker in points.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    chosen = [i for i, text in enumerate(names) if text]
    texts = [axes.text(0, 0, names[i], fontsize=SMALL, color=INK, zorder=5) for i in chosen]
    extents = [text.get_window_extent(renderer) for text in texts]
    spots = [(float(x), float(y)) for x, y in axes.transData.transform(list(points))]
    frame, radius = axes.get_window_extent(), radius * figure.dpi / 72
    boxes = place(
        spots,
        {i: (extent.width, extent.height) for i, extent in zip(chosen, extents, strict=True)},
        Box(frame.x0 + 1, frame.y0 + 1, frame.x1 - 1, frame.y1 - 1),
        radius,
        [point for line in lines for point in _along(axes, line)],
    )
    if boxes is None:
        for text in texts:
            text.remove()
        return False
    for i, text, extent in zip(chosen, texts, extents, strict=True):
        text.set_position(_back(axes, (boxes[i].left, boxes[i].low)))
        text.set_verticalalignment("bottom")
        near = boxes[i].nearest(spots[i])
        if np.hypot(near[0] - spots[i][0], near[1] - spots[i][1]) > radius + 0.9 * extent.height:
            _join(axes, points[i], _back(axes, near))
    return True


def _join(axes: Axes, point: Point, near: Point) -> None:
    """A thin line from a point to its name."""
    x, y = zip(point, near, strict=True)
    axes.plot(x, y, color=QUIET, linewidth=0.4, zorder=1.5, label="_lead")


def _back(axes: Axes, pixel: Point) -> Point:
    """A pixel in the units of the axes."""
    x, y = axes.transData.inverted().transform(pixel)
    return float(x), float(y)


def _along(axes: Axes, line: Sequence[Point]) -> list[Point]:
    """Pixels every few along a line of the axes."""
    corners = axes.transData.transform(list(line))
    found: list[Point] = []
    for a, b in pairwise(corners):
        count = max(2, int(np.hypot(*(b - a)) / STEP))
        found += [(float(x), float(y)) for x, y in np.linspace(a, b, count)]
    return found
