"""How plots look: colours, markers, dashes, sizes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

COLUMN, PAGE = 3.3, 6.9  # inches across: one column of a paper, and both
TALLEST = 9.0  # inches: a page
DOTS = 200  # an inch, of a PNG
SMALL, TEXT, HEAD = 6.0, 7.0, 8.0  # points
INK, QUIET, FAINT = "#222222", "#777777", "#dddddd"

# Okabe and Ito 2008, "Color Universal Design", https://jfly.uni-koeln.de/color/, less its yellow,
# which is hard to see on white; ordered so that neighbours differ in lightness
COLOURS = ("#0072b2", "#e69f00", "#000000", "#56b4e9", "#d55e00", "#009e73", "#cc79a7")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")  # a number that shares no factor with 7
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)))

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # the first comes with matplotlib
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "figure.titlesize": HEAD,
    "figure.titleweight": "bold",
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a label is a "$"
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "lines.markeredgewidth": 0.4,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "savefig.facecolor": "white",
    "figure.dpi": DOTS,  # hinted for another, letters have other widths
    "text.hinting": "none",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


class Look(NamedTuple):
    """How one method is drawn, in every plot of a material."""

    colour: str
    marker: str
    dash: Any

    @property
    def point(self) -> dict[str, Any]:
        """Of a point: the colour, with a thin white edge that tells points in a heap apart."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markeredgecolor": "white",
            "linestyle": "none",
        }


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look for each label, in their order: 63 pairs of colour and marker, then other dashes."""
    return {
        label: Look(
            COLOURS[number % len(COLOURS)],
            MARKERS[number % len(MARKERS)],
            DASHES[number % len(DASHES)],
        )
        for number, label in enumerate(dict.fromkeys(labels))
    }
