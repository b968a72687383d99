"""Settings found by a search: trials of some options, and the options of the best one.

A trial is a cell like any other, but for its recipe's `report=selection`: it is scored on rows of
the training split. What the search proposes and chooses follows from the suite and from the records
of the trials alone, so a search that was broken off goes on from the store.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from bench.job import Job
from bench.named import Options
from bench.record import Record
from bench.suite import Range, Span, Tune

DIGITS = 3  # of a number that is drawn: what a person types back in
RANDOM_FIRST = 10  # trials before TPE goes by results, at most: the default of optuna


class Trial(NamedTuple):
    """Options that were tried, and what came of them."""

    options: Options
    job: Job
    record: Record | None  # None: still to be run

    @property
    def score(self) -> float | None:
        """What the search maximises: the primary metric, or minus the loss; None without either."""
        if self.record is None or self.record.status != "ok":
            return None
        loss = self.record.metrics.get("loss")
        return self.record.metrics.get(self.record.primary) if loss is None else -loss


@dataclass(frozen=True)
class Search:
    """What is known of the settings of one row on one task and model."""

    trials: Sequence[Trial] = ()
    chosen: Options | None = None  # None: it waits for its trials
    lost: str = ""  # why there is no best trial; `chosen` is then the first one's
    account: dict[str, Any] | None = None  # how the settings were found, for the record

    @property
    def waits(self) -> bool:
        """Whether trials are still to be run."""
        return self.chosen is None


SETTLED = Search(chosen={})  # of rows whose options nobody searches for


def search(
    tune: Tune, seed: int, ranges: Mapping[str, Range], trial: Callable[[Options], Trial]
) -> Search:
    """The trials that can be told by now, and the best where all of them have ended.

    `trial`: the cell of those options and its record. Of equal scores the first is best. Raises
    ValueError where the ranges do not give as many trials as the search is to have.
    """
    points = _points(tune, seed, ranges)
    trials: list[Trial] = []
    while len(trials) < tune.trials:
        told = trials and trials[-1].record is None
        if points is None and told:  # the next one goes by what this one gives
            break
        options = _tpe(tune, seed, ranges, trials) if points is None else points[len(trials)]
        trials.append(trial(options))
    if any(one.record is None for one in trials):
        return Search(trials)
    scored = [one for one in trials if one.score is not None]
    if not scored:
        return Search(trials, trials[0].options, _nothing(trials))
    best = max(scored, key=lambda one: one.score)  # type: ignore[arg-type,return-value]
    return Search(trials, best.options, account=_account(tune, seed, trials, best))


def _nothing(trials: Sequence[Trial]) -> str:
    """Why no trial is the best; empty where the method is unsuited: its own cell will say so."""
    statuses = {one.record.status for one in trials if one.record}
    if statuses == {"skipped"}:
        return ""
    first = trials[0].record
    assert first
    said = f"{first.status}: {first.reason}" if first.reason else f"no {first.primary}"
    return f"none of {len(trials)} trials has a score; the first, {trials[0].job.cell.key}: {said}"


def _account(tune: Tune, seed: int, trials: Sequence[Trial], best: Trial) -> dict[str, Any]:
    return {
        "search": tune.search,
        "trials": tune.trials,
        "over": list(best.options),
        "seed": seed,
        "split": "selection",
        "chosen": dict(best.options),
        "keys": [one.job.cell.key for one in trials],
        "scores": [one.score for one in trials],
    }


def _points(tune: Tune, seed: int, ranges: Mapping[str, Range]) -> list[Options] | None:
    """The options of every trial; None where results decide."""
    if not ranges:
        raise ValueError("expected options to search over, got none")
    for name, values in ranges.items():
        if isinstance(values, list) and len(set(values)) < max(1, len(values)):
            raise ValueError(f"expected different values of {name!r}, got {values}")
    lists = {name: values for name, values in ranges.items() if isinstance(values, list)}
    if tune.search == "grid":
        return _grid(tune.trials, lists, ranges)
    if tune.search == "tpe":
        return None
    stream = random.Random(seed)  # the same numbers by every version of Python
    if len(lists) == len(ranges):
        return _some(tune.trials, lists, stream)
    return [
        {name: _drawn(values, stream) for name, values in ranges.items()}
        for _ in range(tune.trials)
    ]


def _grid(
    trials: int, lists: Mapping[str, list[Any]], ranges: Mapping[str, Range]
) -> list[Options]:
    for name in ranges.keys() - lists.keys():
        raise ValueError(f"a grid needs a list of values of {name!r}, got a span")
    points = _all(lists)
    if len(points) != trials:
        raise ValueError(f"expected a grid of {trials} points, as many as trials; {_told(lists)}")
    return points


def _some(trials: int, lists: Mapping[str, list[Any]], stream: random.Random) -> list[Options]:
    """Different points of a grid, in random order."""
    points = _all(lists)
    if len(points) < trials:
        raise ValueError(f"expected at least {trials} points, one a trial; {_told(lists)}")
    return sorted(points, key=lambda _: stream.random())[:trials]


def _all(lists: Mapping[str, list[Any]]) -> list[Options]:
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


def _told(lists: Mapping[str, list[Any]]) -> str:
    counts = ", ".join(f"{len(values)} of {name}" for name, values in lists.items())
    return f"the lists have {counts}"


def _drawn(values: Range, stream: random.Random) -> Any:
    part = stream.random()
    if isinstance(values, list):
        return values[int(part * len(values))]
    low, high = values.low, values.high
    if _whole(values):
        high += 1
    number = low * (high / low) ** part if values.log else low + (high - low) * part
    return _short(number, values)


def _whole(span: Span) -> bool:
    return isinstance(span.low, int) and isinstance(span.high, int)


def _short(number: float, span: Span) -> int | float:
    """The number with few digits, within the span."""
    if _whole(span):
        return min(int(number), int(span.high))
    return min(max(float(f"{number:.{DIGITS}g}"), span.low), span.high)


def _tpe(tune: Tune, seed: int, ranges: Mapping[str, Range], trials: Sequence[Trial]) -> Options:
    """What a tree-structured Parzen estimator proposes after those trials.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; by optuna.
    Raises ValueError where optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError("a tpe search needs optuna: pip install 'peftbench[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    places = {name: _distribution(values) for name, values in ranges.items()}
    sampler = optuna.samplers.TPESampler(
        seed=seed * tune.trials + len(trials),  # another stream for each trial
        n_startup_trials=min(RANDOM_FIRST, -(-tune.trials // 2)),
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in trials:
        ended = optuna.trial.TrialState
        state = ended.FAIL if one.score is None else ended.COMPLETE
        study.add_trial(
            optuna.create_trial(
                params=dict(one.options), distributions=places, value=one.score, state=state
            )
        )
    found = study.ask(places).params
    return {
        name: _short(found[name], values) if isinstance(values, Span) else found[name]
        for name, values in ranges.items()
    }


def _distribution(values: Range) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(values, list):
        return CategoricalDistribution(values)
    if _whole(values):
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)
