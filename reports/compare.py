"""Every method beside one of them, pair by pair: differences, intervals, tests, and a reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.record import Record
from reports import marks, notes, stats
from reports.blocks import Block
from reports.examples import Answers
from reports.layout import NO_VALUE, Column, Entry, Row, Table
from reports.material import Part, laid_out
from reports.measures import PERCENT
from reports.pairing import LEVEL, SAME, Pair, Verdict, known, pairs, verdicts

UNTESTED = "not tested"
HEADS = (
    "Method",
    "Task",
    "Seeds",
    "Difference",
    "95 % interval",
    "p over seeds",
    "p over rows",
    "p (Holm)",
    "P(better)",
    "Detectable",
    "Reading",
)
ABOUT = (
    "Difference: the method minus {}, the mean over the seeds that both have, in the unit of "
    "tables. 95 % interval: studentised bootstrap over seeds, within tasks for the average, or "
    "Student's below nine seeds of one task; from two seeds on.",
    "p over seeds: by Student's paired t (t) or the permutation of signs, of the average over "
    "pairs of task and seed; it is about another draw of the seeds. p over rows: by McNemar's "
    "exact test or the paired bootstrap; it is about other rows for these very runs and says "
    "nothing of training noise.",
    "p (Holm): the p that the reading goes by, corrected over the methods of a task: over seeds "
    "from three seeds on, below that over rows. Better, worse: it is at most {level:.2f}.",
    "P(better): how likely a run of the method is better than one of {}. Detectable: the "
    "smallest true difference that a paired t at these seeds finds with probability 0.8, at "
    "{level:.2f} and uncorrected; from two seeds on.",
)


@dataclass(frozen=True)
class Comparison:
    """A method beside the baseline on one task or on the average: a line of the CSV.

    Numbers are unrounded and in the unit of records; None where there is none.
    """

    method: str
    baseline: str
    model: str
    task: str  # "average" over tasks
    metric: str
    seeds: int  # that both have
    difference: float | None  # method minus baseline
    low: float | None  # of the 95 % interval
    high: float | None
    p_seeds: float | None
    by_seeds: str  # the test, or why there is none
    p_rows: float | None
    by_rows: str
    p_holm: float | None
    improvement: float | None  # how likely a run of the method scores better
    detectable: float | None
    verdict: str  # "better", "worse", "no difference seen"; empty without a test


def comparisons(
    records: Sequence[Record],
    columns: Sequence[Column],
    *,
    title: str,
    baseline: str,
    methods: Sequence[str] | None = None,
    answers: Answers = marks.nothing,
) -> list[Table]:
    """A table a model with a line for every other method and task, and the average.

    `baseline`: the label of a row; `answers`: what a run predicted, for tests over rows. Raises
    ValueError where no row has that label, naming the nearest, or where records do not fit
    together as in `reports.tables`.
    """
    parts = laid_out(records, columns, title, methods or ())
    return of_parts(parts, baseline, answers)


def of_parts(parts: Sequence[Part], baseline: str, answers: Answers = marks.nothing) -> list[Table]:
    """The comparisons of records that are laid out, one a part; see `comparisons`."""
    known([part.block for part in parts], baseline)
    return [_table(part.block, part.title, baseline, answers) for part in parts]


def _table(block: Block, title: str, baseline: str, answers: Answers) -> Table:
    judged = [verdicts(column, answers) for column in pairs(block, baseline)]
    lines = [verdict for method in zip(*judged, strict=True) for verdict in method]
    facts = [_comparison(verdict, block.model, baseline, answers) for verdict in lines]
    rows = [_row(verdict, fact) for verdict, fact in zip(lines, facts, strict=True)]
    return Table(
        title=block.titled(f"{title}, against {baseline}"),
        columns=HEADS,
        rows=tuple(_headed(rows)),
        footnotes=(
            *_readings(lines, facts, baseline),
            *(text.format(baseline, level=LEVEL) for text in ABOUT),
            *notes.circumstances([p for p in block.placed if p[1].status == "ok"], title),
        ),
        facts=tuple(facts),
    )


def _comparison(verdict: Verdict, model: str, baseline: str, answers: Answers) -> Comparison:
    pair = verdict.pair
    seeds, rows = pair.over_seeds(), pair.over_examples(answers)
    low, high = _interval(pair)
    return Comparison(
        method=pair.method,
        baseline=baseline,
        model=model,
        task=pair.column.task if pair.column else "average",
        metric=pair.column.primary if pair.column else "",
        seeds=len(pair.seeds),
        difference=pair.difference,
        low=low,
        high=high,
        p_seeds=seeds.p,
        by_seeds=seeds.by,
        p_rows=rows.p,
        by_rows=rows.by,
        p_holm=verdict.adjusted,
        improvement=_improvement(pair),
        detectable=_detectable(pair),
        verdict=verdict.told,
    )


def _interval(pair: Pair) -> tuple[float, float] | tuple[None, None]:
    return stats.interval(pair.differences) if len(pair.seeds) > 1 else (None, None)


def _improvement(pair: Pair) -> float | None:
    """None where there is but one run of each."""
    if len(pair.seeds) * len(pair.ours) < 2:
        return None
    higher = stats.probability_of_improvement(pair.ours, pair.theirs)
    return 1 - higher if pair.falls else higher


def _detectable(pair: Pair) -> float | None:
    """By the spread over seeds of the differences, averaged over tasks."""
    if len(pair.seeds) < 2:
        return None
    by_seed = [float(value) for value in np.mean(pair.differences, axis=0)]
    return stats.detectable(stats.spread(by_seed), len(by_seed))


def _row(verdict: Verdict, fact: Comparison) -> Row:
    pair = verdict.pair
    factor, decimals = _unit(pair)
    low, high, found = (
        _number(v, factor, decimals) for v in (fact.low, fact.high, fact.detectable)
    )
    return (
        Entry(fact.method),
        Entry(pair.title),
        Entry(str(fact.seeds)),
        Entry(_number(fact.difference, factor, decimals, "+")),
        Entry(NO_VALUE if fact.low is None else f"{low} to {high}"),
        Entry(_p(fact.p_seeds, fact.by_seeds)),
        Entry(_p(fact.p_rows, fact.by_rows)),
        Entry(_p(fact.p_holm)),
        Entry(NO_VALUE if fact.improvement is None else f"{fact.improvement:.2f}"),
        Entry(found),
        Entry(fact.verdict or UNTESTED),
    )


def _headed(rows: Sequence[Row]) -> list[Row]:
    """A method's name stands on its first line alone."""
    before = ("", *(row[0].text for row in rows))
    return [
        (Entry("" if row[0].text == above else row[0].text), *row[1:])
        for row, above in zip(rows, before, strict=False)
    ]


def _readings(lines: Sequence[Verdict], facts: Sequence[Comparison], baseline: str) -> list[str]:
    """A sentence a method: where it is better, worse, not seen to differ, or not tested."""
    said: dict[str, dict[tuple[str, str], list[str]]] = {}
    for verdict, fact in zip(lines, facts, strict=True):
        told = (fact.verdict, "") if fact.verdict else (UNTESTED, f" ({verdict.tested.by})")
        said.setdefault(fact.method, {}).setdefault(told, []).append(_place(verdict, fact))
    return [f"{method} against {baseline}: {_told(of)}." for method, of in said.items()]


def _told(said: Mapping[tuple[str, str], Sequence[str]]) -> str:
    """ "better on RTE; not tested on Avg. (why)": by what is said and why, the places."""
    order = ("better", "worse", SAME, UNTESTED)
    parts = sorted(said.items(), key=lambda part: order.index(part[0][0]))
    told = "; ".join(f"{word} on {', '.join(places)}{why}" for (word, why), places in parts)
    return told.removesuffix(".")


def _place(verdict: Verdict, fact: Comparison) -> str:
    """ "SST-2 (smallest detectable 1.30)" where no difference is seen; else the title."""
    if fact.verdict != SAME or fact.detectable is None:
        return verdict.pair.title
    size = _number(fact.detectable, *_unit(verdict.pair))
    return f"{verdict.pair.title} (smallest detectable {size})"


def _unit(pair: Pair) -> tuple[float, int]:
    """Factor and decimals of a difference: one decimal more than a score has."""
    factor, decimals = pair.column.unit(pair.column.primary) if pair.column else PERCENT
    return factor, decimals + 1


def _number(value: float | None, factor: float, decimals: int, sign: str = "") -> str:
    if value is None:
        return NO_VALUE
    return format(round(factor * value, decimals) + 0.0, f"{sign}.{decimals}f")  # never -0.0


def _p(p: float | None, by: str = "") -> str:
    """ "0.031 (t)"; "<0.001" below that."""
    if p is None:
        return NO_VALUE
    text = "<0.001" if p < 0.001 else f"{p:.3f}"
    return f"{text} ({by})" if by else text
