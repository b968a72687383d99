"""Tuned score of candidates against what LogME says of them untrained: You et al. 2021, figure 4.

Source: arXiv:2102.11005. Both are of records, see `reports.ranks`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.agreement import rankings, several, tau
from reports.plots import sheet
from reports.plots.averages import metric_label
from reports.plots.labels import name
from reports.plots.lettering import cut, named
from reports.plots.plot import Plot, settled
from reports.plots.scene import Scene
from reports.plots.seeds import left_out
from reports.plots.style import PAGE, SMALL, TEXT, Look, looks
from reports.ranks import Pair, Ranking, averaged

HEIGHT = 2.5  # inches of a panel
AXES = 1.8  # inches of its axes, at least
NAMES = 1.2  # inches, beyond which the name of a candidate is cut
DIRECT = 16  # candidates of a panel that are named beside their points; more have numbers


class Panel(NamedTuple):
    """One task."""

    title: str
    label: str  # of its y axis
    factor: float  # of its scores
    ranking: Ranking

    @property
    def pairs(self) -> list[Pair]:
        """The candidates, scores in the unit that tables print."""
        return [pair._replace(score=self.factor * pair.score) for pair in self.ranking.pairs]


def plots(scene: Scene) -> list[Plot]:
    """One plot, where at least three candidates have both evidence and a tuned score."""
    each = rankings(scene.block)
    if not each:
        return []
    found = [_found(scene, ranking, several(each)) for ranking in each]

    def drawing(title: str) -> Figure:
        return _drawn(title, found[: sheet.PANELS])

    what = "LogME and the tuned score"
    return [scene.plot("ranks", what, _caption(scene, found), drawing)]


def _found(scene: Scene, ranking: Ranking, tuned: bool) -> Panel:
    columns = {c.task: c for c in reversed(scene.block.columns)}
    column = columns.get(ranking.task.partition("[")[0])
    title = ranking.task if column is None or column.spread else column.title
    by = f", tuned by {ranking.tuned}" if tuned and ranking.tuned else ""
    factor = column.unit(column.primary)[0] if column else 1.0
    return Panel(f"{title}{by}", metric_label([column]) if column else "Score", factor, ranking)


def short(names: Sequence[str]) -> dict[str, str]:
    """What tells the candidates apart, by name: "layers=6, pool=mean" of "cut[...]"."""
    pieces = {name: _pieces(name) for name in names}
    common = set.intersection(*map(set, pieces.values())) if len(pieces) > 1 else set()
    return {
        name: ", ".join(piece for piece in own if piece not in common) or name
        for name, own in pieces.items()
    }


def _pieces(name: str) -> list[str]:
    """Name and options of a plug-in's text; another text in one piece."""
    if not re.fullmatch(r"[^\[\]]+\[.+\]", name):
        return [name]
    return [piece for piece in re.split(r"[\[\],]+", name) if piece]


def _drawn(title: str, panels: Sequence[Panel], names: bool = True) -> Figure:
    """The figure; numbers beside points, and a legend of them, where names do not all fit."""
    candidates = sorted({p.candidate for panel in panels for p in panel.pairs}, key=_natural)
    texts, look = short(candidates), looks(candidates)
    names = names and all(len(panel.pairs) <= DIRECT for panel in panels)
    beside = {c: texts[c] if names else str(n) for n, c in enumerate(candidates, start=1)}
    most, wide = 3 if len(panels) > 4 else 2, 0 if names else PAGE
    figure, axes = sheet.sheet(title, len(panels), HEIGHT, most=most, width=wide)
    for place, panel in zip(axes, panels, strict=True):
        _panel(place, panel, look)
        sheet.titled(place, panel.title)
        sheet.labelled(place, "LogME evidence (nats a row)")
        place.set_ylabel(cut(f"Tuned: {_lower(panel.label)}", HEIGHT - 0.6, TEXT))
    if not names:
        told = [f"{n}  {texts[c]}" for n, c in enumerate(candidates, start=1)]
        sheet.legend(figure, [sheet.key(look[c]) for c in candidates], told)
    settled(figure)
    fits = [_name(place, panel, beside) for place, panel in zip(axes, panels, strict=True)]
    return _drawn(title, panels, names=False) if names and not all(fits) else figure


def _natural(text: str) -> list[tuple[int, str]]:
    """By which "layers=10" stands behind "layers=2"."""
    pieces = re.split(r"(\d+)", text)
    return [(int(p), "") if n % 2 else (-1, p) for n, p in enumerate(pieces)]


def _lower(label: str) -> str:
    return f"{label[:1].lower()}{label[1:]}"


def _panel(axes: Axes, panel: Panel, look: Mapping[str, Look]) -> None:
    x, y = zip(*((pair.evidence, pair.score) for pair in panel.pairs), strict=True)
    for pair in panel.pairs:
        how = look[pair.candidate].point
        axes.plot([pair.evidence], [pair.score], **how, zorder=3, label=pair.candidate)
    aside, room = 0.1 * (max(x) - min(x)) or 0.5, 0.1 * (max(y) - min(y)) or 0.5
    part = 1.5 * sheet.TALL / AXES  # of the axes, for what is told
    axes.set_xlim(min(x) - aside, max(x) + aside)
    axes.set_ylim(min(y) - room, min(y) - room + (max(y) - min(y) + 2 * room) / (1 - part))
    sheet.noted(axes, [f"Kendall's tau {tau(panel.ranking, '')}"])
    sheet.numbered(axes.xaxis)
    sheet.numbered(axes.yaxis)
    axes.grid()


def _name(axes: Axes, panel: Panel, texts: Mapping[str, str]) -> bool:
    """Names the points, off what is told in the corner; False where they do not all fit."""
    points = [(pair.evidence, pair.score) for pair in panel.pairs]
    (low, high), (floor, top) = axes.get_xlim(), axes.get_ylim()
    line = top - 0.5 * 1.5 * sheet.TALL / AXES * (top - floor)
    names = [named(texts[pair.candidate], NAMES, SMALL) for pair in panel.pairs]
    return name(axes, points, names, [[(low, line), (high, line)]])


def _caption(scene: Scene, found: Sequence[Panel]) -> list[str]:
    counts = [panel.ranking.seeds for panel in found]
    over = " Both are means over seeds." if max(counts, default=0) > 1 else ""
    means = [f"Kendall's tau, {one.task}: {tau(one)}." for one in averaged(scene.block.records)]
    return [
        "Each point is a candidate: the score of its tuned run against LogME's evidence, for "
        f"which nothing is trained.{over}",
        "Kendall's tau is 1 where both rank the candidates alike; its 95 % interval is a "
        "bootstrap over candidates and seeds.",
        *means,
        left_out(found, "task"),
    ]
