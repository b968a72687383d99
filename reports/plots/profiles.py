"""Performance profiles: how many runs score above a threshold, for every threshold.

Source: Agarwal et al. 2021, arXiv:2108.13264, section 4.2: score distributions over runs, averaged
over tasks, with pointwise percentile bands of a bootstrap that draws seeds within each task.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.plots import sheet
from reports.plots.averages import judged, metric_label, together
from reports.plots.lettering import cut, listed
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import PAGE, TEXT, Look

TASKS, SEEDS = 3, 3  # that a profile needs at least
METHODS = 8  # of one plot
GRID = 201  # thresholds
CROWD = 4  # methods, beyond which the plot is as wide as a page
DRAWS = 2_000
LEVEL = 0.95
HEIGHT = 2.6  # inches


class Profile(NamedTuple):
    """The fraction of runs above each threshold, and its band: (thresholds,) each."""

    centre: NDArray
    low: NDArray
    high: NDArray


def profile(tasks: Sequence[NDArray], thresholds: NDArray, draws: int = DRAWS) -> Profile:
    """The fraction of runs that score above each threshold, the mean over tasks.

    `tasks`: scores (seeds,) of each task. The band holds 95 % of what a bootstrap gives that draws
    seeds within each task; the generator's seed is 0.
    """
    generator = np.random.default_rng(0)
    centre = np.zeros(len(thresholds))
    drawn = np.zeros((draws, len(thresholds)))
    for scores in tasks:
        above = (scores[:, None] > thresholds[None, :]) / (len(scores) * len(tasks))
        even = np.full(len(scores), 1 / len(scores))
        centre += above.sum(axis=0)
        drawn += generator.multinomial(len(scores), even, size=draws) @ above
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail), axis=0)
    return Profile(centre, low, high)


def plots(scene: Scene) -> list[Plot]:
    """One plot, where two methods have three seeds or more of each of three tasks or more."""
    runs, columns = scene.runs, judged(scene.block, scene.runs)
    shown = [scene.block.columns[number] for number in columns]
    if len(columns) < TASKS or not together(shown):
        return []
    here = runs[runs["column"].isin(columns) & runs["score"].notna()]
    scores: dict[str, list[NDArray]] = {}
    for method, own in here.groupby("method", sort=False):
        tasks = [task["score"].to_numpy(dtype=float) for _, task in own.groupby("column")]
        if len(tasks) == len(columns) and min(map(len, tasks)) >= SEEDS:
            scores[str(method)] = tasks
    if len(scores) < 2:
        return []
    label, falls = metric_label(shown), shown[0].falls
    kept = dict([*scores.items()][:METHODS])
    without = [method for method in dict.fromkeys(here["method"]) if method not in kept]

    def draw(title: str) -> Figure:
        return _drawn(title, label, kept, scene.looks, falls=falls)

    caption = _caption(len(columns), without, falls=falls)
    return [scene.plot("profiles", "Performance profiles", caption, draw)]


def _drawn(
    title: str,
    label: str,
    scores: Mapping[str, Sequence[NDArray]],
    looks: Mapping[str, Look],
    *,
    falls: bool,
) -> Figure:
    figure, (axes,) = sheet.sheet(title, 1, HEIGHT, width=PAGE if len(scores) > CROWD else 0)
    values = np.concatenate([task for tasks in scores.values() for task in tasks])
    room = 0.02 * float(np.ptp(values)) or 0.5
    thresholds = np.linspace(values.min() - room, values.max() + room, GRID)
    for turn, (method, tasks) in enumerate(scores.items()):
        look = looks[method]
        sign = -1 if falls else 1
        found = profile([sign * task for task in tasks], sign * thresholds)
        marks = {**look.point, "linestyle": look.dash, "markersize": 3.5, "drawstyle": "steps-post"}
        every = GRID // 6
        start = turn * every // len(scores)
        axes.plot(thresholds, found.centre, **marks, markevery=(start, every), label=method)
        axes.fill_between(
            thresholds,
            found.low,
            found.high,
            step="post",
            color=look.colour,
            alpha=0.1,
            lw=0,
        )
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(-0.02, 1.02)
    sheet.numbered(axes.xaxis)
    sheet.numbered(axes.yaxis)
    axes.grid(axis="y")
    sheet.labelled(axes, f"Threshold: {label[0].lower()}{label[1:]}")
    words = f"Fraction of runs {'below' if falls else 'above'} it"
    axes.set_ylabel(cut(words, HEIGHT - 0.6, TEXT))
    keys = [sheet.key(looks[method], line=True) for method in scores]
    sheet.legend(figure, keys, list(scores))
    return settled(figure)


def _caption(tasks: int, without: Sequence[str], *, falls: bool) -> list[str]:
    way = "below" if falls else "above"
    return [
        f"The fraction of runs that score {way} a threshold, the mean over {tasks} tasks (Agarwal "
        "et al. 2021, arXiv:2108.13264). A method whose line is higher everywhere is better "
        "everywhere.",
        f"Bands: pointwise {100 * LEVEL:g} % percentile intervals of {DRAWS:,} bootstrap samples "
        "of seeds within tasks, which are too narrow at few seeds.",
        f"Left out, for want of three seeds of every task or of room: {listed(without)}."
        if without
        else "",
    ]
