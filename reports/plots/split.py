"""What training computes: forward, gradients of activations, gradients of weights."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.plots import lettering, sheet
from reports.plots.lettering import inches, named, short
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.style import PAGE, SMALL

PARTS = {  # columns of the frame, and shades that are told apart in grey
    "forward_flops": ("forward", "#b5cfe5"),
    "activation_gradient_flops": ("activation gradients", "#4f8fc0"),
    "weight_gradient_flops": ("weight gradients", "#143d66"),
}
METHODS = 50
ROW, EDGES = 0.16, 0.55  # inches of a row, and of what is above and below them all
NAMES = 1.7  # inches, beyond which the name of a method is cut


def plots(scene: Scene) -> list[Plot]:
    """One plot, where records have the parts of their training FLOPs."""
    parts = list(PARTS)
    known = scene.runs.drop_duplicates("key").dropna(subset=parts)
    known = known[known[parts].sum(axis=1) > 0]
    if known.empty:
        return []
    costs = known.groupby("method", sort=False)[[*parts, "served_params"]].mean()
    shown = costs.head(METHODS)

    def draw(title: str) -> Figure:
        return _drawn(title, shown)

    return [scene.plot("flops", "Training compute by part", _caption(scene, costs, shown), draw)]


def _drawn(title: str, costs: pd.DataFrame) -> Figure:
    totals = costs[list(PARTS)].sum(axis=1)
    unit = lettering.unit(lettering.FLOPS, [float(totals.max())])
    names = [named(str(method), NAMES, SMALL) for method in costs.index]
    served = [_served(count) for count in costs["served_params"]]
    figure, (axes,) = sheet.sheet(title, 1, ROW * len(costs) + EDGES, width=_width(names))
    rows, left = np.arange(len(costs)), np.zeros(len(costs))
    for part, (_, shade) in PARTS.items():
        widths = costs[part].to_numpy(dtype=float) / unit.divisor
        axes.barh(rows, widths, 0.7, left, color=shade, edgecolor="white", linewidth=0.4)
        left = left + widths
    for row, end, text in zip(rows, left, served, strict=True):
        axes.annotate(
            text,
            (end, row),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
        )
    length = float(figure.get_size_inches()[0]) - max(inches(name, SMALL) for name in names) - 0.3
    room = max(inches(text, SMALL) for text in served) + 0.1
    axes.set_xlim(0, float(left.max()) * length / max(0.3 * length, length - room))
    axes.set_ylim(len(costs) - 0.4, -0.6)
    sheet.numbered(axes.xaxis)
    sheet.ticked(axes.yaxis, list(map(float, rows)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"Training compute ({unit.name})")
    handles = [Patch(facecolor=shade, label=name) for name, shade in PARTS.values()]
    sheet.legend(figure, handles, [name for name, _ in PARTS.values()])
    return settled(figure)


def _width(names: Sequence[str]) -> float:
    """As wide as a page where names take half a column."""
    return PAGE if max(inches(name, SMALL) for name in names) > 1.4 else 0


def _served(count: float) -> str:
    return f"serves {short(count)}" if np.isfinite(count) else ""


def _caption(scene: Scene, costs: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    runs = scene.runs.drop_duplicates("key")
    missing = [m for m in dict.fromkeys(runs["method"]) if m not in costs.index]
    beyond = len(costs) - len(shown)
    return [
        "FLOPs of a training, counted, a mean over tasks and seeds; the optimizer and the runs "
        "that a run builds on are left out. At the right: parameters that one task keeps to serve.",
        f"Without parts in their records: {lettering.listed(missing)}." if missing else "",
        f"{beyond} more methods are left out." if beyond else "",
    ]
