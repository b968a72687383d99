import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from reports.scores import accuracy
from reports.stats import (
    detectable,
    holm,
    interval,
    mcnemar,
    mean,
    paired_bootstrap,
    paired_t,
    permutation,
    probability_of_improvement,
    spread,
)

scores = st.lists(st.floats(-1, 1), min_size=2, max_size=10)


def test_mean_is_the_sum_over_the_count():
    assert mean([0.1, 0.2, 0.6]) == pytest.approx(0.3, rel=1e-15)


def test_mean_refuses_no_values():
    with pytest.raises(ValueError, match="at least 1 value, got 0"):
        mean([])


def test_spread_divides_by_one_less_than_the_count():
    assert spread([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx(math.sqrt(32 / 7), rel=1e-15)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_spread_refuses_fewer_than_two_values(values):
    with pytest.raises(ValueError, match=f"at least 2 values, got {len(values)}"):
        spread(values)


@given(scores, st.randoms())
def test_stats_do_not_depend_on_the_order(values, random):
    shuffled = random.sample(values, len(values))
    assert (mean(shuffled), spread(shuffled)) == (mean(values), spread(values))


def test_interval_is_repeatable_and_holds_the_mean():
    tasks = [[0.81, 0.83, 0.79, 0.84, 0.80], [0.5, 0.52, 0.49, 0.55, 0.51], [0.7, 0.72, 0.68, 0.71]]
    low, high = interval(tasks)
    assert low < np.mean([np.mean(task) for task in tasks]) < high
    assert interval(tasks) == (low, high)
    assert interval(tasks, seed=1) != (low, high)


def test_interval_grows_with_the_level_and_shrinks_with_the_seeds():
    values = np.random.default_rng(0).normal(size=(4, 40))
    width = [np.diff(interval(values[:, :n], level))[0] for n, level in [(5, 0.9), (5, 0.99)]]
    assert width[0] < width[1]
    assert np.diff(interval(values, 0.9))[0] < width[0]


def test_interval_moves_and_scales_with_the_scores():
    values = np.random.default_rng(0).normal(size=(2, 5))
    low, high = interval(values)
    assert interval(3 + 2 * values) == pytest.approx((3 + 2 * low, 3 + 2 * high))


def test_interval_reaches_further_to_the_side_of_the_long_tail():
    values = [0.0, 0.0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 1.6]
    low, high = interval([values])
    assert high - np.mean(values) > np.mean(values) - low


def test_interval_of_few_seeds_is_students():
    values = [0.4, 0.1, 0.6]
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval([values]) == pytest.approx(tuple(expected))


def test_interval_does_not_resample_tasks():
    assert interval([[0.0] * 5, [1.0] * 5]) == (0.5, 0.5)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_interval_without_spread_is_its_mean(value):
    assert interval([[value] * 3]) == pytest.approx((value, value), rel=1e-15)


def test_interval_is_finite_where_one_task_alone_varies():
    assert np.isfinite(interval([[0.5] * 5, [0.1, 0.2, 0.4]])).all()


@pytest.mark.parametrize("strata", [[], [[1.0]], [[1.0, 2.0], [1.0]], [[[1.0, 2.0]]]])
def test_interval_refuses_what_has_no_spread(strata):
    with pytest.raises(ValueError, match="at least 2 values each, got shapes"):
        interval(strata)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_interval_refuses_a_level_that_is_no_fraction(level):
    with pytest.raises(ValueError, match=f"level between 0 and 1, got {level}"):
        interval([[1.0, 2.0]], level)


def test_permutation_is_the_share_of_signs_that_reach_as_far():
    tasks = [np.array([0.3, -0.1, 0.2]), np.array([0.4, 0.1])]
    reached = []
    for signs in itertools.product((1, -1), repeat=5):
        flipped = (tasks[0] * signs[:3]).mean() + (tasks[1] * signs[3:]).mean()
        reached.append(abs(flipped) >= tasks[0].mean() + tasks[1].mean() - 1e-12)
    assert permutation(tasks) == np.mean(reached)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=8))
def test_permutation_agrees_with_scipy(values):
    def centre(x, axis):
        return np.mean(x, axis=axis)

    expected = scipy.stats.permutation_test(
        (np.array(values, float),), centre, permutation_type="samples", n_resamples=np.inf
    )
    assert permutation([values]) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seeds", [1, 5, 6, 14])
def test_permutation_reaches_two_of_all_signs(seeds):
    assert permutation([[1.0] * seeds]) == 2 / 2**seeds


def test_permutation_of_many_draws_signs_and_counts_the_observed():
    assert permutation([[1.0] * 40], draws=99) == 1 / 100
    assert permutation([[1.0, -1.0] * 20], draws=99) == 1.0


def test_permutation_drawn_is_near_the_exact_one():
    values = np.random.default_rng(3).normal(0.35, 1, size=14)
    exact = permutation([values])
    drawn = permutation([values, *[[0.0]] * 3], draws=9_999)
    assert 0.02 < exact < 0.9
    assert drawn == pytest.approx(exact, abs=0.015)


def test_permutation_of_no_differences_is_one():
    assert permutation([[0.0, 0.0, 0.0]]) == 1.0


def test_permutation_weighs_tasks_alike():
    assert permutation([[1.0] * 4, [-1.0]]) == 1.0


def test_permutation_counts_sums_that_are_equal_but_for_rounding():
    assert permutation([[0.1, 0.2, 0.3, 0.3]]) == 2 / 16
    assert permutation([[0.1, 0.2, 0.3, -0.3]]) == permutation([[1, 2, 3, -3]])


def test_permutation_refuses_a_task_without_a_difference():
    with pytest.raises(ValueError, match="at least 1 values each"):
        permutation([[0.1], []])


def test_paired_t_is_students():
    differences = [0.1, 0.3, 0.2, 0.5]
    t = mean(differences) / (spread(differences) / 2)
    assert paired_t(differences) == pytest.approx(2 * scipy.stats.t.sf(t, 3), rel=1e-12)


@pytest.mark.parametrize(
    ("differences", "p"), [([0.0] * 5, 1.0), ([0.3] * 5, 0.0625), ([-0.1, 0.2 - 0.3, -0.1], 0.25)]
)
def test_paired_t_of_differences_that_do_not_vary_is_of_their_signs(differences, p):
    assert paired_t(differences) == p


def test_paired_t_refuses_one_difference():
    with pytest.raises(ValueError, match="at least 2 values"):
        paired_t([0.1])


@pytest.mark.parametrize(("a", "b", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (0, 6, 2 / 64), (3, 3, 1)])
def test_mcnemar_is_the_binomial_of_rows_that_tell_them_apart(a, b, p):
    assert mcnemar(a, b) == pytest.approx(p)


def test_mcnemar_refuses_a_negative_count():
    with pytest.raises(ValueError, match="counts of rows, got -1 and 2"):
        mcnemar(-1, 2)


def test_paired_bootstrap_of_equal_predictions_is_one():
    labels = np.arange(50) % 2
    assert paired_bootstrap(accuracy, [labels], [labels], labels) == 1.0


def test_paired_bootstrap_of_a_certain_difference_is_the_smallest():
    labels = np.zeros(50)
    assert paired_bootstrap(accuracy, [labels], [labels + 1], labels, draws=99) == 2 / 100


def test_paired_bootstrap_does_not_care_which_is_first():
    draw = np.random.default_rng(0)
    labels = np.zeros(60)
    a, b = (draw.random(60) < 0.3) * 1.0, (draw.random(60) < 0.6) * 1.0
    there, back = (paired_bootstrap(accuracy, [x], [y], labels) for x, y in ((a, b), (b, a)))
    assert there == back
    assert there < 1


def test_paired_bootstrap_draws_a_row_with_all_its_seeds():
    draw = np.random.default_rng(1)
    labels = np.zeros(80)
    a, b = (draw.random(80) < 0.4) * 1.0, (draw.random(80) < 0.5) * 1.0
    one = paired_bootstrap(accuracy, [a], [b], labels)
    assert 0.002 < one < 0.5
    assert paired_bootstrap(accuracy, [a] * 9, [b] * 9, labels) == one


def test_paired_bootstrap_takes_what_is_zero_but_for_rounding_as_zero():
    def first(predictions, labels):
        return predictions[..., 0]

    a = np.outer([0.1, 0.2, -0.3], np.ones(4))
    assert paired_bootstrap(first, a, 0 * a, np.zeros(4)) == 1.0


def test_paired_bootstrap_counts_undefined_resamples_for_the_null():
    def undefined(predictions, labels):
        return np.full(predictions.shape[:-1], np.nan)

    assert paired_bootstrap(undefined, [[0, 1]], [[1, 1]], [1, 1]) == 1.0


def test_paired_bootstrap_works_in_batches(monkeypatch):
    draw = np.random.default_rng(0)
    a, b, labels = draw.integers(2, size=(3, 60))
    whole = paired_bootstrap(accuracy, [a], [b], labels, draws=500)
    monkeypatch.setattr("reports.stats.RESAMPLED", 60 * 7)
    assert paired_bootstrap(accuracy, [a], [b], labels, draws=500) == whole


@pytest.mark.parametrize(("a", "b"), [([[1, 2]], [[1, 2]]), ([1, 2, 3],) * 2, ([[1, 2, 3]], [[1]])])
def test_paired_bootstrap_refuses_shapes_that_do_not_fit(a, b):
    with pytest.raises(ValueError, match=r"one shape \(seeds, rows\)"):
        paired_bootstrap(accuracy, a, b, [1, 2, 3])


def test_holm_multiplies_the_smallest_by_their_number_and_keeps_the_order():
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_nor_changes_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert [q for _, q in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_p(p):
    with pytest.raises(ValueError, match="p-values between 0 and 1"):
        holm([0.5, p])


def test_probability_of_improvement_is_over_all_pairs_of_seeds():
    assert probability_of_improvement([[1, 3], [5]], [[2, 3], [1]]) == (1.5 / 4 + 1) / 2


def test_probability_of_improvement_is_mann_and_whitneys():
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    u = scipy.stats.mannwhitneyu(a, b).statistic
    assert probability_of_improvement([a], [b]) == pytest.approx(u / 49)


def test_probability_of_improvement_needs_the_same_tasks():
    with pytest.raises(ValueError, match="same tasks, got 2 and 1"):
        probability_of_improvement([[1], [2]], [[1]])


@pytest.mark.parametrize(("seeds", "effect"), [(10, 0.9960), (30, 0.5292), (5, 1.682)])
def test_detectable_is_cohens(seeds, effect):
    assert detectable(2.0, seeds) == pytest.approx(2 * effect, rel=1e-3)


def test_detectable_is_found_as_often_as_it_says():
    effect = detectable(1.0, 5)
    tables = np.random.default_rng(0).normal(effect, 1.0, size=(4_000, 5))
    found = scipy.stats.ttest_1samp(tables, 0.0, axis=1).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_detectable_is_nothing_where_nothing_varies():
    assert detectable(0.0, 2) == 0.0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((1.0, 1), "at least 2 seeds"),
        ((-1.0, 5), "a spread of at least 0"),
        ((1.0, 5, 0.5, 0.4), "a power above the level"),
        ((1.0, 5, 0.05, 1.0), "a power between 0 and 1, got 1"),
    ],
)
def test_detectable_refuses_what_has_no_answer(arguments, told):
    with pytest.raises(ValueError, match=told):
        detectable(*arguments)
