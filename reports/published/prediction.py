"""Where the number of a paper would lie if its runs were of the same kind as ours."""

import math
import statistics
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

Statistic = Literal["mean", "median"]
LEVEL = 0.95
FEWEST = 3  # runs of ours; with two, Student's t has one degree of freedom
DRAWS = 200_000  # of a simulated median, whose variance is then right to 1 %


def interval(
    values: Sequence[float], runs: int, statistic: Statistic = "mean", level: float = LEVEL
) -> tuple[float, float]:
    """Prediction interval of the mean, or the median, of `runs` further runs: (low, high).

    `values`: our runs, shape (seeds,), in any unit. With n of ours and k of theirs, all drawn
    from one normal distribution of variance s2, the mean of theirs less that of ours has
    variance s2 (1/k + 1/n), and over its estimate it is Student's t with n - 1 degrees of
    freedom (Hahn 1969, doi:10.1080/01621459.1969.10501027). Where medians are printed ours is
    one too, and 1/k and 1/n give way to the variances of medians of k and n normal draws; the t
    is then an approximation, whose coverage at five and five is 95 % as well.

    Assumes that theirs are a fresh draw: nothing holds of the best of many runs, or of a score
    that chose its own weights, unless ours are chosen alike.
    Raises ValueError for fewer than three values or no run of theirs.
    """
    from scipy.stats import t

    n = len(values)
    if n < FEWEST:
        raise ValueError(f"a prediction needs at least {FEWEST} values, got {n}")
    if runs < 1:
        raise ValueError(f"a prediction is of at least 1 run, got {runs}")
    each = _of_mean if statistic == "mean" else _of_median
    deviation = statistics.stdev(values)
    reach = float(t.ppf((1 + level) / 2, n - 1)) * deviation * math.sqrt(each(runs) + each(n))
    middle = centre(values, statistic)
    return middle - reach, middle + reach


def centre(values: Sequence[float], statistic: Statistic = "mean") -> float:
    """The mean or the median. Raises ValueError for no values."""
    if not values:
        raise ValueError(f"a {statistic} needs at least 1 value, got 0")
    return (statistics.fmean if statistic == "mean" else statistics.median)(values)


def _of_mean(runs: int) -> float:
    return 1 / runs


@cache
def _of_median(runs: int) -> float:
    """The variance of the median of that many standard normal draws, by simulation."""
    drawn = np.random.default_rng(0).standard_normal((DRAWS, runs))
    return float(np.median(drawn, axis=1).var())
