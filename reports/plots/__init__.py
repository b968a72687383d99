"""Records in, figures out: PNG, SVG and PDF. Nothing here uses pyplot or a display."""

from reports.material import Material
from reports.plots import (
    ablation,
    barriers,
    coefficients,
    cost,
    curves,
    dots,
    profiles,
    ranks,
    routing,
    soups,
    split,
)
from reports.plots.plot import Plot
from reports.plots.scene import scenes

__all__ = ["Plot", "plots"]

KINDS = (
    *(dots, cost, profiles, ablation, routing),
    *(coefficients, barriers, soups, ranks, curves, split),
)


def plots(material: Material) -> list[Plot]:
    """Every plot that the material has enough for, part by part; none is drawn yet.

    A method looks the same in all of them.
    """
    return [plot for scene in scenes(material) for kind in KINDS for plot in kind.plots(scene)]
