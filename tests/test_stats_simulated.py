"""What the tests and intervals do on 1,000 simulated tables whose truth is known."""

from functools import partial
from itertools import islice

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from reports.scores import accuracy, f1, matthews, pearson
from reports.stats import (
    holm,
    interval,
    mcnemar,
    paired_bootstrap,
    paired_t,
    permutation,
)

TABLES = 1_000
ERROR = 3 * (0.05 * 0.95 / TABLES) ** 0.5  # three Monte Carlo standard errors of a rate of 5 %
SHAPES = [(1, 5), (3, 5), (6, 5), (8, 3)]  # tasks, seeds
NOISES = {
    "normal": lambda draw, size: draw.normal(size=size),
    "skewed": lambda draw, size: draw.gamma(4.0, size=size) - 4.0,
    "heavy": lambda draw, size: draw.standard_t(3, size=size),
    "uneven": lambda draw, size: draw.normal(size=size) * np.arange(1, size[0] + 1)[:, None],
}


def simulated(noise, shape, shift=0.0, seed=0):
    """(tables, tasks, seeds): scores, or differences, whose true mean is `shift`."""
    draw = np.random.default_rng(seed)
    return [NOISES[noise](draw, shape) + shift for _ in range(TABLES)]


def covered(noise, shape, draws=999):
    """The share of tables whose interval holds the true mean."""
    found = [
        interval(table, draws=draws, seed=i) for i, table in enumerate(simulated(noise, shape))
    ]
    return np.mean([low <= 0 <= high for low, high in found])


def rejected(test, cases, level=0.05):
    """The share of cases of which the test says that there is a difference."""
    return np.mean([test(case) <= level for case in cases])


def classified(right, rows=300, alike=0.6, seed=0):
    """For each table: two rows of predictions and the labels, classes 0 and 1.

    `right`: how often the first, the second is right; they err together on part of the rows.
    """
    draw = np.random.default_rng(seed)
    for _ in range(TABLES):
        labels = (draw.random(rows) < 0.4).astype(int)
        shared, together = draw.random(rows), draw.random(rows) < alike
        luck = [np.where(together, shared, draw.random(rows)) for _ in right]
        yield (
            *(np.where(u < p, labels, 1 - labels) for u, p in zip(luck, right, strict=True)),
            labels,
        )


def numbered(noises, rows=300, seed=0):
    """For each table: two rows of numbers and the labels that they are near to."""
    draw = np.random.default_rng(seed)
    for _ in range(TABLES):
        labels, shared = draw.normal(size=rows), draw.normal(size=rows)
        yield *(labels + shared + s * draw.normal(size=rows) for s in noises), labels


def of_rows(score, case, draws=199):
    a, b, labels = case
    return paired_bootstrap(score, a[None], b[None], labels, draws=draws)


def of_counts(case):
    a, b, labels = case
    return mcnemar(
        int(np.sum((a == labels) > (b == labels))), int(np.sum((a == labels) < (b == labels)))
    )


def test_interval_covers_on_a_thousand_tables():
    assert abs(covered("normal", (3, 5), draws=499) - 0.95) <= ERROR


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("noise", NOISES)
def test_interval_covers_at_its_nominal_rate(noise, shape):
    rate = covered(noise, shape)
    assert 0.95 - ERROR <= rate <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 2), (1, 3), (1, 4), (2, 3)], ids=str)
def test_interval_of_very_few_seeds_covers_where_noise_is_normal(shape):
    assert 0.95 - ERROR <= covered("normal", shape) <= 0.98


def test_interval_by_percentiles_would_not_cover():
    draw = np.random.default_rng(0)
    tables = np.array(simulated("normal", (1, 5)))[:, 0]
    means = tables[np.arange(TABLES)[:, None, None], draw.integers(5, size=(TABLES, 499, 5))].mean(
        2
    )
    low, high = np.quantile(means, (0.025, 0.975), axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.88


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("shape", [(1, 6), (2, 5)], ids=str)
def test_permutation_holds_its_size(noise, shape):
    halves = (simulated(noise, shape, seed=seed) for seed in (0, 1))
    assert rejected(permutation, [a - b for a, b in zip(*halves, strict=True)]) <= 0.05 + ERROR


def test_permutation_sees_an_effect():
    assert rejected(permutation, simulated("normal", (1, 6), shift=2.0)) > 0.8


def test_permutation_of_five_seeds_never_rejects():
    assert rejected(permutation, simulated("normal", (1, 5), shift=9.0)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_permutation_by_drawn_signs_holds_its_size(noise):
    halves = (simulated(noise, (6, 5), seed=seed) for seed in (0, 1))
    cases = [a - b for a, b in zip(*halves, strict=True)]
    assert rejected(partial(permutation, draws=999), cases) <= 0.05 + ERROR


def test_paired_t_holds_its_size():
    rate = rejected(lambda table: paired_t(table[0]), simulated("normal", (1, 3)))
    assert abs(rate - 0.05) <= ERROR


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["skewed", "heavy"])
def test_paired_t_holds_its_size_on_differences_of_other_noise(noise):
    halves = (simulated(noise, (1, 5), seed=seed) for seed in (0, 1))
    cases = [(a - b)[0] for a, b in zip(*halves, strict=True)]
    assert rejected(paired_t, cases) <= 0.05 + ERROR


@pytest.mark.slow
def test_paired_t_sees_an_effect():
    assert rejected(lambda table: paired_t(table[0]), simulated("normal", (1, 5), shift=2.5)) > 0.8


def test_mcnemar_holds_its_size():
    assert rejected(of_counts, classified((0.8, 0.8))) <= 0.05 + ERROR


@pytest.mark.slow
def test_mcnemar_sees_an_effect():
    assert rejected(of_counts, classified((0.8, 0.7))) > 0.8


def test_bootstrap_over_rows_holds_its_size():
    assert rejected(partial(of_rows, f1), classified((0.8, 0.8))) <= 0.05 + ERROR


@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "null", "effect"),
    [
        (accuracy, classified((0.8, 0.8)), classified((0.8, 0.7))),
        (f1, classified((0.8, 0.8)), classified((0.8, 0.7))),
        (matthews, classified((0.8, 0.8)), classified((0.8, 0.7))),
        (pearson, numbered((1.0, 1.0)), numbered((1.0, 2.0))),
    ],
    ids=["accuracy", "f1", "matthews", "pearson"],
)
def test_bootstrap_over_rows_holds_its_size_and_sees_an_effect(score, null, effect):
    assert rejected(partial(of_rows, score), null) <= 0.05 + ERROR
    assert rejected(partial(of_rows, score), islice(effect, 200)) > 0.7


def test_holm_keeps_the_rate_of_any_false_rejection():
    draw = np.random.default_rng(0)
    tables = draw.normal(size=(TABLES, 5, 8)) + draw.normal(size=(TABLES, 5, 1))
    raw = ttest_1samp(tables[:, :, :7], 0.0, axis=1).pvalue
    assert np.mean(np.min(raw, axis=1) <= 0.05) > 0.08
    assert np.mean([min(holm(p_values)) <= 0.05 for p_values in raw]) <= 0.05 + ERROR


def test_holm_keeps_it_where_some_differences_are_real():
    draw = np.random.default_rng(0)
    null, real = draw.random((TABLES, 4)), draw.random((TABLES, 3)) * 1e-4
    adjusted = np.array([holm([*real[i], *null[i]]) for i in range(TABLES)])
    assert np.mean(adjusted[:, 3:].min(axis=1) <= 0.05) <= 0.05 + ERROR
    assert np.mean(adjusted[:, :3] <= 0.05) > 0.99
