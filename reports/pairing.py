"""Each method beside a baseline at the seeds that both have, and what tests say of the pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bench.record import Record
from bench.registry import unknown
from reports import stats
from reports.blocks import Block, Slot
from reports.examples import Answers, Examples
from reports.layout import AVERAGE, Column, averaged
from reports.scores import SCORES, accuracy
from reports.stats import Array

LEVEL = 0.05
FEWEST = 3  # seeds of a test over seeds; with two, a t has one degree of freedom
STUDENT, SIGNS, MCNEMAR, BOOTSTRAP = "t", "permutation", "McNemar", "bootstrap"
NO_SEED, FEW_SEEDS = "no seed in common", f"fewer than {FEWEST} common seeds"
SAME = "no difference seen"
Sense = Literal["", "better", "worse"]


class Outcome(NamedTuple):
    """A p-value and its test; without a p, why there is no test."""

    by: str
    p: float | None = None


@dataclass(frozen=True)
class Pair:
    """The scores of a method and of the baseline in one column, at the seeds that both have."""

    method: str
    title: str  # of the column, or "Avg."
    column: Column | None  # None: the average over tasks
    seeds: tuple[int, ...]
    ours: tuple[tuple[float, ...], ...]  # (tasks, seeds), as recorded
    theirs: tuple[tuple[float, ...], ...]
    records: tuple[tuple[Record, Record], ...]  # the method's and the baseline's; of a task
    methods: int  # how many are compared with the baseline
    ran: bool  # whether the method has a score here

    @property
    def falls(self) -> bool:
        """Whether lower is better."""
        return self.column is not None and self.column.falls

    @property
    def differences(self) -> list[Array]:
        """Method minus baseline: for each task (seeds,), in the metric's own unit."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return [np.array(ours) - np.array(theirs) for ours, theirs in pairs]

    @property
    def difference(self) -> float | None:
        """The mean over tasks of the mean differences; None without a common seed."""
        return float(np.mean(self.differences)) if self.seeds else None

    @property
    def reaches(self) -> bool:
        """Whether the permutation's smallest p survives the correction for all methods."""
        return 2 / 2 ** (len(self.seeds) * len(self.ours)) * self.methods <= LEVEL

    def decided(self, answers: Answers) -> Outcome:
        """By the test that marks go by: over seeds where there are enough, else over rows."""
        if self.column is None:
            few = Outcome(f"too few pairs of task and seed: {len(self.seeds) * len(self.ours)}")
            return self.over_seeds() if self.reaches or not self.seeds else few
        return self.over_seeds() if len(self.seeds) >= FEWEST else self.over_examples(answers)

    def over_seeds(self) -> Outcome:
        """Whether another draw of the seeds would show a difference.

        The permutation of signs where its smallest p, 2 / 2**seeds, survives the correction for
        all methods: from 6 seeds on for one method, from 9 for seven; an exact one of 5 seeds
        cannot go below 0.0625. With fewer, down to three, Student's paired t. Of the average
        always the permutation, over pairs of a task and a seed.
        """
        if not self.seeds:
            return Outcome(NO_SEED)
        if self.column is None or self.reaches:
            return Outcome(SIGNS, stats.permutation(self.differences))
        if len(self.seeds) < FEWEST:
            return Outcome(FEW_SEEDS)
        return Outcome(STUDENT, stats.paired_t(self.differences[0]))

    def over_examples(self, answers: Answers) -> Outcome:
        """Whether other rows would show a difference between these very runs.

        McNemar's test on accuracy at one seed; else the paired bootstrap over rows of the mean
        over seeds. Says nothing of training noise.
        """
        if self.column is None or not self.seeds:
            return Outcome("an average has no rows" if self.seeds else NO_SEED)
        score = SCORES.get(self.column.primary.partition("_")[0])
        if score is None:
            return Outcome(f"{FEW_SEEDS} and no test over rows")
        found = [(answers(ours), answers(theirs)) for ours, theirs in self.records]
        examples = [(a, b) for a, b in found if a is not None and b is not None]
        if len(examples) < len(found):
            return Outcome("no stored predictions")
        if not _same_rows(examples):
            return Outcome("the stored predictions are of other rows")
        if not self._recorded(examples):
            return Outcome("the stored predictions do not give the recorded score")
        (a, b), labels = zip(*examples, strict=True), examples[0][0].labels
        ours, theirs = ([run.predictions for run in runs] for runs in (a, b))
        if score is accuracy and len(ours) == 1:
            mine, other = ours[0] == labels, theirs[0] == labels
            return Outcome(MCNEMAR, stats.mcnemar(int(sum(mine > other)), int(sum(mine < other))))
        return Outcome(BOOTSTRAP, stats.paired_bootstrap(score, ours, theirs, labels))

    def _recorded(self, examples: Sequence[tuple[Examples, Examples]]) -> bool:
        """Whether the examples give the scores of the records."""
        assert self.column is not None
        score = SCORES[self.column.primary.partition("_")[0]]
        for side, values in enumerate((self.ours[0], self.theirs[0])):
            found = [float(score(*pair[side])) for pair in examples]
            if not np.allclose(found, values, rtol=0, atol=1e-6):
                return False
        return True


@dataclass(frozen=True)
class Verdict:
    """What the deciding test says of one pair, corrected for all methods of the column."""

    pair: Pair
    tested: Outcome
    adjusted: float | None  # by Holm; None without a test

    @property
    def sense(self) -> Sense:
        """Whether the method is significantly better or worse than the baseline."""
        difference = self.pair.difference
        if self.adjusted is None or self.adjusted > LEVEL or not difference:
            return ""
        return "better" if (difference > 0) != self.pair.falls else "worse"

    @property
    def told(self) -> str:
        """The sense in words; empty without a test."""
        return "" if self.adjusted is None else self.sense or SAME


def known(blocks: Sequence[Block], label: str) -> None:
    """Raises ValueError, naming the nearest, where none of the blocks has a row of that label."""
    labels = {row[0].label for block in blocks for row in block.rows if row}
    if label not in labels:
        raise unknown("method of this report", label, labels)


def pairs(block: Block, baseline: str) -> list[list[Pair]]:
    """For each column, and the average where there is one, a pair a method but the baseline.

    Empty where no row goes by the label `baseline`.
    """
    theirs = next((row for row in block.rows if row[0].label == baseline), None)
    if theirs is None:
        return []
    others = [row for row in block.rows if row is not theirs]
    columns = [
        [_of_task(row[index], theirs[index], len(others)) for row in others]
        for index in range(len(block.columns))
    ]
    if averaged(block.columns):
        columns.append([_of_average(row, theirs, len(others)) for row in others])
    return columns


def verdicts(column: Sequence[Pair], answers: Answers) -> list[Verdict]:
    """What the deciding tests say, corrected over the pairs of the column that have one."""
    tested = [pair.decided(answers) for pair in column]
    adjusted = iter(stats.holm([one.p for one in tested if one.p is not None]))
    return [
        Verdict(pair, one, None if one.p is None else next(adjusted))
        for pair, one in zip(column, tested, strict=True)
    ]


def _of_task(ours: Slot, theirs: Slot, methods: int) -> Pair:
    mine, other = _defined(ours), _defined(theirs)
    seeds = sorted(mine.keys() & other.keys())
    by_seed = [{record.cell.seed: record for record in slot.scored} for slot in (ours, theirs)]
    return Pair(
        method=ours.label,
        title=ours.column.title,
        column=ours.column,
        seeds=tuple(seeds),
        ours=(tuple(mine[seed] for seed in seeds),),
        theirs=(tuple(other[seed] for seed in seeds),),
        records=tuple((by_seed[0][seed], by_seed[1][seed]) for seed in seeds),
        methods=methods,
        ran=bool(mine),
    )


def _of_average(ours: Sequence[Slot], theirs: Sequence[Slot], methods: int) -> Pair:
    """Over the seeds at which both have every task."""
    mine, other = [*map(_defined, ours)], [*map(_defined, theirs)]
    seeds = sorted(set.intersection(*map(set, (*mine, *other))))
    return Pair(
        method=ours[0].label,
        title=AVERAGE,
        column=None,
        seeds=tuple(seeds),
        ours=tuple(tuple(task[seed] for seed in seeds) for task in mine),
        theirs=tuple(tuple(task[seed] for seed in seeds) for task in other),
        records=(),
        methods=methods,
        ran=bool(set.intersection(*map(set, mine))),
    )


def _defined(slot: Slot) -> dict[int, float]:
    """The primary metric by seed, where it is defined."""
    values = slot.values(slot.column.primary) if slot.scored else {}
    return {seed: value for seed, value in values.items() if value is not None}


def _same_rows(examples: Sequence[tuple[Examples, Examples]]) -> bool:
    """Whether all runs answered the same rows, told by their labels."""
    first = examples[0][0].labels
    return all(np.array_equal(run.labels, first) for pair in examples for run in pair)
