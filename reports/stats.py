"""Numbers from scores. Everything is pure and repeatable; nothing here rounds or writes text.

A *stratum* is one task: an array of shape (seeds,) of scores, or of differences between two
methods at the same seeds. Strata may differ in length. Two methods are compared pairwise by
handing in their differences. scipy is read by the functions that need it: a report without a
test starts without it.
"""

import statistics
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Score = Callable[[NDArray, NDArray], Array]  # predictions, labels (..., rows) -> (...)

EXACT = 14  # differences whose 2**14 signs are all tried
STUDENT = 8  # degrees of freedom, below which an interval is Student's
ROUNDING = 1e-12  # of a difference of scores
RESAMPLED = 1 << 22  # entries of one batch of resampled rows


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, in the unit of `values` (shape (seeds,) or (tasks,)).

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("a mean needs at least 1 value, got 0")
    return statistics.fmean(values)


def spread(values: Sequence[float]) -> float:
    """The sample standard deviation (ddof=1), in the unit of `values` (shape (seeds,)).

    Raises ValueError for fewer than two values, where none exists.
    """
    if len(values) < 2:
        raise ValueError(f"a spread needs at least 2 values, got {len(values)}; report the mean")
    return statistics.stdev(values)


def interval(
    strata: Sequence[ArrayLike], level: float = 0.95, draws: int = 9_999, seed: int = 0
) -> tuple[float, float]:
    """Confidence interval of the mean over tasks of the means over seeds: (low, high).

    A studentised bootstrap (bootstrap-t) with equal tails: seeds are resampled within each task
    and tasks are not, as in Agarwal et al. 2021 (arXiv:2108.13264, section 4). Their percentile
    interval covers 85 % instead of 95 % at five seeds of one task, so the ends are those of the
    studentised mean (Efron and Tibshirani 1993, section 12.5). Below eight effective degrees of
    freedom (Welch and Satterthwaite), as with eight seeds of one task, resamples without spread
    make those ends far too wide, up to three times at five seeds, and Student's interval stands
    in, which covers as well unless the noise is very skewed (exponential at five seeds: 88 %).

    Assumes independent seeds; says nothing of other tasks. Where no value varies, low is high.
    Raises ValueError for a level outside (0, 1), no task, or a task of fewer than two seeds.
    """
    from scipy.stats import t

    _fraction("a level", level)
    tasks = _strata(strata, at_least=2)
    centre, error = _centre(tasks), np.sqrt(_variance(tasks))
    if error == 0:
        return centre, centre
    tail = (1 - level) / 2
    freedom = _freedom(tasks)
    if freedom < STUDENT:
        reach = float(t.ppf(1 - tail, freedom)) * error
        return float(centre - reach), float(centre + reach)
    low, high = np.quantile(_studentised(tasks, draws, seed), (tail, 1 - tail), method="nearest")
    return float(centre - high * error), float(centre - low * error)


def permutation(differences: Sequence[ArrayLike], draws: int = 9_999, seed: int = 0) -> float:
    """Two-sided p of the paired sign-flip test that no task has a difference.

    The statistic is the mean over tasks of the mean differences over seeds. Up to 14 differences
    all signs are tried and p is exact; beyond, `draws` random ones, the observed counted among
    them (Phipson and Smyth 2010, arXiv:1603.05766).

    Assumes that under the null each difference is as likely with either sign: Fisher 1935. The
    smallest p of n differences is 2 / 2**n: 5 seeds cannot go below 0.0625, 6 reach 0.031.
    Raises ValueError for no task or a task without a difference.
    """
    tasks = _strata(differences, at_least=1)
    parts = np.concatenate([task / len(task) for task in tasks]) / len(tasks)
    observed = abs(parts.sum()) - 1e-9 * np.abs(parts).sum()  # sums that are equal but for rounding
    if len(parts) <= EXACT:
        flips = np.arange(2 ** len(parts))[:, None] >> np.arange(len(parts)) & 1
        return float(np.mean(np.abs((1 - 2 * flips) @ parts) >= observed))
    flips = np.random.default_rng(seed).integers(2, size=(draws, len(parts)))
    as_far = np.sum(np.abs((1 - 2 * flips) @ parts) >= observed)
    return float((as_far + 1) / (draws + 1))


def paired_t(differences: ArrayLike) -> float:
    """Two-sided p of Student's paired test on differences of shape (seeds,).

    Assumes normal differences. Where they do not vary there is no t, and p is that of the exact
    permutation of their signs: 1 for zeros, else 2 / 2**seeds.
    Raises ValueError for fewer than two differences.
    """
    from scipy.stats import ttest_1samp

    (values,) = _strata([differences], at_least=2)
    if np.ptp(values) <= 1e-9 * np.abs(values).max():  # but for rounding
        return 1.0 if not values.any() else 2.0 / 2 ** len(values)
    return float(ttest_1samp(values, 0.0).pvalue)


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p that two classifiers are right equally often.

    `only_a`, `only_b`: rows that only the one, only the other has right; the smallest p is
    2 / 2**(only_a + only_b). Of one run of each it says nothing of training noise.
    Assumes independent rows. Source: McNemar 1947, doi:10.1007/BF02295996, by the binomial.
    Raises ValueError for a negative count.
    """
    from scipy.stats import binomtest

    if min(only_a, only_b) < 0:
        raise ValueError(f"expected counts of rows, got {only_a} and {only_b}")
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_bootstrap(
    score: Score,
    a: ArrayLike,
    b: ArrayLike,
    labels: ArrayLike,
    draws: int = 1_999,
    seed: int = 0,
) -> float:
    """Two-sided p that two methods score equally, by resampling rows.

    `a`, `b`: predictions of shape (seeds, rows), whose scores are averaged over seeds; `labels`:
    (rows,). A row is drawn with the predictions of both methods at all seeds, so p is about other
    rows and never about other seeds. The smallest p is 2 / (draws + 1).

    Assumes independent rows, enough of them for the score to be smooth. Resamples whose score is
    undefined (NaN) count for the null. Source: Efron and Tibshirani 1993, section 15.4: twice the
    level at which the percentile interval just holds 0, the observed counted among the draws.
    Raises ValueError when the shapes do not fit.
    """
    one, other, truth = np.asarray(a), np.asarray(b), np.asarray(labels)
    if one.shape != other.shape or one.ndim != 2 or one.shape[1:] != truth.shape:
        raise ValueError(
            f"expected predictions of one shape (seeds, rows) and labels (rows,), "
            f"got {one.shape}, {other.shape} and {truth.shape}"
        )
    generator = np.random.default_rng(seed)
    below = above = done = 0
    batch = max(1, RESAMPLED // max(1, one.size))
    while done < draws:
        size = (min(batch, draws - done), len(truth))
        rows = generator.integers(len(truth), size=size)
        gains = (score(one[:, rows], truth[rows]) - score(other[:, rows], truth[rows])).mean(0)
        below += np.sum(~(gains > ROUNDING))
        above += np.sum(~(gains < -ROUNDING))
        done += len(rows)
    return float(min(1.0, 2 * (min(below, above) + 1) / (draws + 1)))


def holm(p_values: ArrayLike) -> list[float]:
    """The p-values adjusted for their number, order kept; whatever their dependence.

    Rejecting where the adjusted one is at most `level` makes any false rejection at all among
    them at most as likely as `level`. Source: Holm 1979, jstor.org/stable/4615733.
    Raises ValueError for a p outside [0, 1].
    """
    raw = np.asarray(p_values, dtype=float)
    if raw.size and not (raw.min() >= 0 and raw.max() <= 1):
        raise ValueError(f"expected p-values between 0 and 1, got {raw.tolist()}")
    order = np.argsort(raw, kind="stable")
    factors = np.arange(raw.size, 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * factors))
    return [float(p) for p in adjusted]


def probability_of_improvement(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> float:
    """How likely a run of `a` scores higher than one of `b` on a task drawn at random.

    The mean over tasks of P(a > b) + P(a = b) / 2 over all pairs of seeds; `a` and `b`: (seeds,)
    for each task. Source: Agarwal et al. 2021, arXiv:2108.13264, section 4.3.
    Raises ValueError for other numbers of tasks, or a task without a score.
    """
    ours, theirs = _strata(a, at_least=1), _strata(b, at_least=1)
    if len(ours) != len(theirs):
        raise ValueError(f"expected scores on the same tasks, got {len(ours)} and {len(theirs)}")
    signs = [np.sign(x[:, None] - y[None, :]).mean() for x, y in zip(ours, theirs, strict=True)]
    return float((1 + np.mean(signs)) / 2)


def detectable(spread: float, seeds: int, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided paired t test finds with probability `power`.

    To find is to reject in its direction. `spread`: sample standard deviation of the paired
    differences, whose unit the result has; at few seeds the result is as uncertain as it.
    Assumes normal differences; for one comparison, uncorrected. Source: Cohen 1988, chapter 2, by
    the noncentral t.
    Raises ValueError for fewer than two seeds, a negative spread, or a level or a power outside
    (0, 1) or a power not above the level.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    _fraction("a level", level)
    _fraction("a power", power)
    if seeds < 2 or spread < 0 or power <= level:
        raise ValueError(
            f"expected at least 2 seeds, a spread of at least 0 and a power above the level, "
            f"got {seeds}, {spread} and {power} against {level}"
        )
    freedom = seeds - 1
    critical = t.ppf(1 - level / 2, freedom)

    def lacking(shift: float) -> float:
        return float(nct.sf(critical, freedom, shift)) - power

    high = 1.0
    while lacking(high) < 0:
        high *= 2
    return float(brentq(lacking, 0.0, high)) * spread / seeds**0.5


def _strata(strata: Sequence[ArrayLike], at_least: int) -> list[Array]:
    tasks = [np.asarray(values, dtype=float) for values in strata]
    shapes = [task.shape for task in tasks]
    if not tasks or any(len(shape) != 1 or shape[0] < at_least for shape in shapes):
        raise ValueError(
            f"expected one or more tasks of at least {at_least} values each, got shapes {shapes}"
        )
    return tasks


def _fraction(what: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"expected {what} between 0 and 1, got {value}")


def _centre(tasks: Sequence[Array]) -> float:
    return float(np.mean([task.mean() for task in tasks]))


def _variances(tasks: Sequence[Array]) -> Array:
    """Of each task's mean, (tasks,); 0 where its values differ by rounding alone."""
    varies = [np.ptp(task) > 1e-12 * np.abs(task).max() for task in tasks]
    return np.array([x.var(ddof=1) / len(x) * v for x, v in zip(tasks, varies, strict=True)])


def _variance(tasks: Sequence[Array]) -> float:
    """Of the mean over tasks."""
    return float(_variances(tasks).sum()) / len(tasks) ** 2


def _freedom(tasks: Sequence[Array]) -> float:
    """Welch and Satterthwaite's degrees of freedom of the mean over tasks."""
    parts = _variances(tasks)
    each = parts**2 / np.array([len(task) - 1 for task in tasks])
    return round(float(parts.sum() ** 2 / each.sum()), 9)


def _studentised(tasks: Sequence[Array], draws: int, seed: int) -> Array:
    """(draws,): how far resampled means lie from the mean, in their own standard errors."""
    generator = np.random.default_rng(seed)
    shifts, variances = np.zeros(draws), np.zeros(draws)
    for task in tasks:
        drawn = task[generator.integers(len(task), size=(draws, len(task)))]
        shifts += drawn.mean(axis=1) - task.mean()
        variances += drawn.var(axis=1, ddof=1) / len(task)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample without spread is infinite
        return np.nan_to_num(shifts / np.sqrt(variances), posinf=np.inf, neginf=-np.inf)
