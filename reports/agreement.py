"""How far a score without training ranks candidates as tuning them does, in words."""

import math
from collections.abc import Iterable

from reports.blocks import Block
from reports.ranks import Ranking, averaged, ranked

ABOUT = (
    "LogME trains nothing. Kendall's tau is 1 where evidence and tuned score rank all candidates "
    "alike; its intervals are bootstraps over candidates and seeds."
)


def footnotes(block: Block) -> list[str]:
    """A sentence a task, one of the mean over tasks, what they are; [] without evidence."""
    titles = {column.task: column.title for column in block.columns}
    each = rankings(block)
    told = [
        f"LogME on {titles.get(one.task, one.task)}: Kendall's tau {tau(one)} between evidence "
        f"and tuned score, {len(one.pairs)} candidates{_by(one, each)}."
        for one in each
    ]
    means = [f"LogME, {one.task}: {tau(one)}{_by(one, each)}." for one in averaged(block.records)]
    return [*told, *means, ABOUT] if told else []


def rankings(block: Block) -> list[Ranking]:
    """Those of the block's records, tasks in the order of its columns."""
    places = {column.task: place for place, column in enumerate(block.columns)}
    known = ranked(block.records)
    return sorted(known, key=lambda one: (places.get(one.task, len(places)), one.task, one.tuned))


def tau(ranking: Ranking, of: str = "95 % interval ") -> str:
    """ "0.61 (95 % interval 0.20 to 0.82)"; `of`: what the interval is called."""
    if not math.isfinite(ranking.tau):
        return "undefined, for a side is constant"
    ends = [ranking.low, ranking.high]
    if not all(map(math.isfinite, ends)):
        return _number(ranking.tau)
    return f"{_number(ranking.tau)} ({of}{' to '.join(map(_number, ends))})"


def several(rankings: Iterable[Ranking]) -> bool:
    """Whether candidates were tuned in more ways than one."""
    return len({ranking.tuned for ranking in rankings}) > 1


def _by(one: Ranking, rankings: Iterable[Ranking]) -> str:
    return f", tuned by {one.tuned}" if one.tuned and several(rankings) else ""


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")
