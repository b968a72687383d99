"""Kendall's tau of evidence and tuned scores, from records."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from bench.record import Record
from reports.ranks import averaged, kendall, ranked
from tests.records import cell, lost, scored

NAMES = [f"cut[layers={n},pool=mean]" for n in range(6)]


def logme(name: str, evidence: float, seed: int = 0, task: str = "sst2", **fields) -> Record:
    told = {"evidence": evidence, "candidate": name, "classes": [evidence], "rows": 9, "width": 4}
    return scored(cell(f"logme {name}", task, seed, **fields), 0.5, logme=told, candidate=name)


def tuned(name: str, score: float, seed: int = 0, task: str = "sst2", by: str = "head", **fields):
    label = cell(f"cut {name} {by}", task, seed, **fields)
    found = scored(label, score, candidate=name, tuned=by)
    return replace(found, primary="accuracy")


def of(evidence, scores, names=NAMES, **fields) -> list[Record]:
    rows = list(zip(names, evidence, scores, strict=False))
    return [
        *(logme(name, e, **fields) for name, e, _ in rows),
        *(tuned(name, s, **fields) for name, _, s in rows),
    ]


values = st.lists(st.integers(0, 4).map(float), min_size=3, max_size=9)


@given(values, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_kendall_is_scipys(x, random):
    y = [float(random.randrange(4)) for _ in x]
    expected = kendalltau(x, y).statistic if len({*x}) > 1 < len({*y}) else math.nan
    assert float(kendall(np.array(x), np.array(y))) == pytest.approx(expected, nan_ok=True)


def test_kendall_leaves_out_what_is_not_known():
    x, y = np.array([1.0, 2.0, math.nan, 3.0]), np.array([1.0, 3.0, 9.0, 2.0])
    assert float(kendall(x, y)) == pytest.approx(kendalltau([1, 2, 3], [1, 3, 2]).statistic)


def test_kendall_counts_a_candidate_drawn_twice_as_no_tie():
    x, y = np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 7.0])
    assert float(kendall(x, y)) == 1.0


def test_ranking_pairs_evidence_and_score_of_each_candidate():
    (found,) = ranked(of([-0.3, -0.1, -0.2], [0.6, 0.9, 0.7]))
    assert (found.task, found.tuned, found.seeds) == ("sst2", "head", 1)
    assert found.pairs == [(NAMES[1], -0.1, 0.9), (NAMES[2], -0.2, 0.7), (NAMES[0], -0.3, 0.6)]
    assert (found.tau, found.low, found.high) == (1.0, 1.0, 1.0)


def test_ranking_turned_round_has_the_opposite_tau():
    (found,) = ranked(of([3, 2, 1, 0], [0.6, 0.7, 0.8, 0.9]))
    assert (found.tau, found.low, found.high) == (-1.0, -1.0, -1.0)


def test_ranking_is_by_means_over_seeds():
    records = [*of([0, 1, 2], [0.5, 0.6, 0.9]), *of([0, 1, 2], [0.9, 0.6, 0.9], seed=1)]
    (found,) = ranked(records)
    assert [pair.score for pair in found.pairs] == pytest.approx([0.9, 0.6, 0.7])
    assert found.tau == pytest.approx(kendalltau([0, 1, 2], [0.7, 0.6, 0.9]).statistic)
    assert found.seeds == 2


def test_tuned_score_that_is_better_when_lower_counts_the_other_way():
    records = of([0, 1, 2], [0.3, 0.2, 0.1])
    losses = [replace(r, primary="loss", metrics={"loss": r.metrics["accuracy"]}) for r in records]
    assert [one.tau for one in ranked(losses)] == [1.0]


def test_interval_holds_tau_and_widens_with_disagreement():
    evidence = [0, 1, 2, 3, 4, 5]
    (agrees,) = ranked(of(evidence, [0.5, 0.6, 0.55, 0.7, 0.8, 0.9]))
    (less,) = ranked(of(evidence, [0.5, 0.9, 0.55, 0.7, 0.8, 0.6]))
    for found in (agrees, less):
        assert -1 <= found.low < found.tau < found.high <= 1
    assert less.high - less.low > agrees.high - agrees.low


def test_interval_counts_the_noise_of_seeds():
    first = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9]
    same = [of(range(6), first, seed=s) for s in range(2)]
    noisy = [of(range(6), first), of(range(6), first[::-1], seed=1)]
    (one,) = ranked([r for some in same for r in some])
    (other,) = ranked([r for some in noisy for r in some])
    assert (one.low, one.high) == (1.0, 1.0)
    assert other.low < 0 < other.high


def test_tasks_and_tuning_methods_have_rankings_of_their_own():
    again = [tuned(name, 1 - n / 9, by="full") for n, name in enumerate(NAMES[:3])]
    found = ranked([*of([0, 1, 2], [0.1, 0.2, 0.3]), *again, *of([0, 1], [1, 2], task="rte")])
    assert [(one.task, one.tuned, one.tau) for one in found] == [
        ("sst2", "full", -1.0),
        ("sst2", "head", 1.0),
    ]


def test_task_in_two_forms_is_named_in_full():
    few = "sst2[dev_rows=none,rows=64]"
    short = [
        replace(record, cell=replace(record.cell, task=few))
        for record in of([0, 1, 2], [0.1, 0.2, 0.3])
    ]
    found = ranked([*of([0, 1, 2], [0.3, 0.2, 0.1]), *short])
    assert [(one.task, one.tau) for one in found] == [
        (few, 1.0),
        ("sst2[dev_rows=none,rows=none]", -1.0),
    ]


def test_candidates_of_several_models_are_named_with_their_model():
    names = [f"cut[layers={n},pool=mean]" for n in (2, 4)]
    records = of([0, 1], [0.1, 0.2], names) + of([2, 3], [0.3, 0.4], names, model="bert")
    (found,) = ranked(records)
    assert [pair.candidate for pair in found.pairs] == [
        f"{model} {name}" for model in ("bert", "minilm") for name in reversed(names)
    ]


def test_mean_over_tasks_is_of_their_taus():
    records = [*of(range(6), range(6)), *of(range(6), [0, 1, 2, 3, 5, 4], task="cola")]
    (found,) = averaged(records)
    first, second = (one.tau for one in ranked(records))
    assert (found.task, found.pairs) == ("mean of 2 tasks", [])
    assert found.tau == pytest.approx((first + second) / 2)
    assert found.low < found.tau <= found.high <= 1


def test_one_task_has_no_mean_over_tasks():
    assert averaged(of(range(4), range(4))) == []


def test_mean_over_tasks_sees_the_same_candidates_in_all_of_them():
    scores = [0, 1, 2, 3, 5, 4]
    (alone,) = ranked(of(range(6), scores))
    both = averaged([*of(range(6), scores), *of(range(6), scores, task="cola")])
    assert [(one.low, one.high) for one in both] == [(alone.low, alone.high)]


def test_what_is_no_number_or_not_finished_takes_no_part():
    records = of([0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4])
    broken = [
        logme("cut[layers=7,pool=mean]", "high"),
        tuned("cut[layers=7,pool=mean]", 0.0),
        tuned(NAMES[4], 0.9),
        logme(NAMES[5], 9.0),
        lost(cell("cut lost"), "out of memory"),
        scored(cell("lora"), 0.9),
    ]
    (found,) = ranked([*records, *broken])
    assert [pair.candidate for pair in found.pairs] == NAMES[3::-1]


def test_side_that_is_constant_has_no_tau():
    (found,) = ranked(of([0, 1, 2], [0.5, 0.5, 0.5]))
    assert all(map(math.isnan, (found.tau, found.low, found.high)))


def test_two_recipes_of_one_candidate_count_by_their_mean():
    records = of([0, 1, 2], [0.1, 0.2, 0.3])
    (found,) = ranked([*records, tuned(NAMES[0], 0.3, recipe="adamw[lr=0.1]")])
    assert found.pairs[-1] == (NAMES[0], 0.0, pytest.approx(0.2))
