"""The training rows of a task, split among shares by label."""

import pickle
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import spec
from tasks import sample, skew, task
from tasks.skew import Skew, divided
from tasks.sources import Source
from tests.test_data_to_text import put

SAMPLE = Source("sample")
TASKS = ("sst2", "cola", "mnli", "subj", "topic", "zero-topic", "few-subj[form=head]")
generate = cache(sample.generate)
every = pytest.mark.parametrize("of", TASKS)
labels = st.lists(st.integers(0, 3), min_size=8, max_size=120)


@pytest.fixture(autouse=True)
def generated_once(monkeypatch):
    monkeypatch.setattr(sample, "generate", generate)


def shares(of, count=3, seed=0, **options):
    built = (Skew(of=of, share=share, shares=count, **options) for share in range(count))
    return [each.load(SAMPLE, seed) for each in built]


# --- the draw


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(2, 4), st.floats(0.3, 50), st.integers(0, 2**32 - 1))
def test_every_row_is_in_one_share_and_no_share_is_empty(found, count, alpha, seed):
    drawn = divided(found, count, alpha, seed)
    assert len(drawn) == len(found)
    assert set(drawn) == set(range(count))
    assert divided(found, count, alpha, seed) == drawn


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_another_seed_draws_other_shares(one, two):
    found = [0, 1] * 200
    assert (divided(found, 3, 0.8, one) == divided(found, 3, 0.8, two)) == (one == two)


def portions(alpha, count=4, classes=5, rows=400, seeds=150):
    """(seeds * classes, shares): how the rows of each class are divided."""
    known = np.repeat(np.arange(classes), rows)
    found = [np.array(divided(known.tolist(), count, alpha, seed)) for seed in range(seeds)]
    return np.array(
        [
            np.bincount(drawn[known == label], minlength=count) / rows
            for drawn in found
            for label in range(classes)
        ]
    )


@pytest.mark.parametrize("alpha", [0.3, 0.8, 5.0])
def test_portions_are_those_of_a_dirichlet_draw(alpha):
    """Mean 1/K and variance (K - 1) / (K^2 (K alpha + 1)) in every share, none favoured."""
    found, count = portions(alpha), 4
    variance = (count - 1) / (count**2 * (count * alpha + 1))
    error = np.sqrt(variance / len(found))
    assert np.abs(found.mean(0) - 1 / count).max() < 4 * error
    assert found.var(0) == pytest.approx(np.full(count, variance), rel=0.25)


def test_classes_are_divided_independently():
    found = portions(0.8).reshape(-1, 5, 4)
    assert abs(np.corrcoef(found[:, 0, 0], found[:, 1, 0])[0, 1]) < 0.3


def test_which_rows_of_a_class_go_together_is_drawn_too():
    drawn = np.array(divided([0] * 300, 2, 5.0, 0))
    changes = (drawn[1:] != drawn[:-1]).sum()
    assert changes > 50  # blocks would give one


def test_a_large_alpha_divides_evenly_and_a_small_one_hardly():
    even, uneven = (np.bincount(divided([0, 1] * 3000, 3, a, 0)) for a in (1e6, 0.05))
    assert even == pytest.approx([2000] * 3, abs=20)
    assert uneven.max() > 3000


def test_a_draw_with_an_empty_share_is_made_again(monkeypatch):
    found = {seed: divided([0] * 4, 3, 0.5, seed) for seed in range(40)}
    assert all(set(drawn) == {0, 1, 2} for drawn in found.values())
    monkeypatch.setattr(skew, "DRAWS", 1)
    first = {}
    for seed in found:
        with suppress(ValueError):
            first[seed] = divided([0] * 4, 3, 0.5, seed)
    assert 0 < len(first) < 40
    assert first.items() <= found.items()


@pytest.mark.parametrize(
    ("found", "alpha", "said"),
    [
        ([0, 1] * 50, 1e-9, "expected rows in all of 3 shares, got an empty one in each of 1,000"),
        ([0, 1], 0.8, "expected at least 3 training rows to share, got 2"),
    ],
)
def test_rows_that_cannot_be_shared_are_refused(found, alpha, said):
    with pytest.raises(ValueError, match=said):
        divided(found, 3, alpha, 0)


# --- the task


@every
def test_shares_are_all_training_rows_each_once_in_their_order(of):
    whole, parts = spec.build(task, of).load(SAMPLE, 1), shares(of, seed=1)
    assert Counter(row for part in parts for row in part.train) == Counter(whole.train)
    for part in parts:
        kept = set(part.train)
        assert [row for row in whole.train if row in kept] == part.train
        assert (part.selection, part.test) == (whole.selection, whole.test)


@every
def test_shares_ask_and_score_as_the_task_that_is_split(of):
    whole, built = spec.build(task, of), Skew(of=of, share=1)
    facts = ("labels", "metrics", "primary", "shown", "official", "protocol", "formulation")
    for fact in (*facts, "outputs", "heads", "units", "spread"):
        assert getattr(built, fact) == getattr(whole, fact)
    assert built.heads == Skew(of=of, share=2).heads
    assert built.title == f"{whole.title}, share 1 of 3"
    assert built.stamp(SAMPLE) == whole.stamp(SAMPLE)
    references = {s: [r.label for r in rows] for s, rows in whole.load(SAMPLE, 0).test.items()}
    guess = {split: found[::-1] for split, found in references.items()}
    assert built.score(guess, references) == whole.score(guess, references)


def test_a_record_says_what_the_share_holds():
    parts = shares("sst2", alpha=0.3)
    sizes = [len(part.train) for part in parts]
    for number, part in enumerate(parts):
        told, met = part.facts["share"], Counter(row.label for row in part.train)
        assert (told["number"], told["sizes"]) == (number, sizes)
        assert told["classes"] == {"negative": met[0], "positive": met[1]}
        assert part.facts["partial"][-1] == "SST-2 train: one of 3 shares skewed by Dirichlet(0.3)"
        assert part.facts["used"]["train"] == sizes[number]
    assert sum(sizes) == 1800
    assert len({part.facts["share"]["fingerprint"] for part in parts}) == 3


def test_shares_as_they_are_usually_drawn_are_skewed():
    negative = [part.facts["share"]["classes"]["negative"] for part in shares("sst2")]
    sizes = shares("sst2")[0].facts["share"]["sizes"]
    ratios = [count / size for count, size in zip(negative, sizes, strict=True)]
    assert max(ratios) - min(ratios) > 0.2


def test_caps_are_of_the_share_and_of_the_reported_rows():
    whole, capped = (Skew(of="subj", **o) for o in ({}, {"rows": 20, "dev_rows": 10}))
    one, two = whole.load(SAMPLE, 0), capped.load(SAMPLE, 0)
    assert two.train == one.train[:20]
    assert two.facts["caps"] == {"rows": 20, "dev_rows": 10}
    assert two.test == task["subj"](dev_rows=10).load(SAMPLE, 0).test
    assert two.facts["share"] == one.facts["share"]


def test_rows_of_the_task_that_is_split_are_what_is_shared():
    parts = shares("subj[rows=90]")
    assert sum(len(part.train) for part in parts) == 90


def test_spelling_the_task_out_is_the_same_share():
    plain, spelt = (spec.build(task, f"skew[of={of}]") for of in ("subj", "subj[rows=none]"))
    assert plain == spelt and spec.text(plain) == spec.text(spelt)
    assert plain != spec.build(task, "skew[of=subj,share=1]")
    assert replace(plain, share=1).title == "Subj, share 1 of 3"
    again = pickle.loads(pickle.dumps(plain))
    assert (again, again.labels, again.title) == (plain, plain.labels, plain.title)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("share=3", "expected share to be from 0 to 2, got 3"),
        ("share=-1", "expected share to be from 0 to 2, got -1"),
        ("shares=1", "expected shares to be at least 2, got 1"),
        ("alpha=0", "expected alpha above 0, got 0"),
        ("alpha=inf", "alpha: expected a finite number, got inf"),
        ("rows=0", "expected rows to be at least 1, got 0"),
        ("dev_rows=0", "expected dev_rows to be at least 1, got 0"),
        ("of=stsb", "expected a task with classes for a head, got of=stsb"),
        ("of=few-subj", "expected a task with classes for a head, got of=few-subj"),
        ("of=e2e", "expected a task with classes for a head, got of=e2e"),
        ("of=skew", "expected a task that is whole, got skew in skew"),
        ("of=sst", "no task named 'sst'; did you mean 'sst2'?"),
        ("of=sst2[row=3]", "no option of task 'sst2' named 'row'; did you mean 'rows'"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(options, said):
    with pytest.raises(ValueError) as error:
        spec.build(task, f"skew[{options}]")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_task_with_too_few_rows_is_refused_by_its_name(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        lines = "".join(f"{i % 2},{split} {i}\n" for i in range(count))
        put(tmp_path, f"fewshot/original/subj/{split}.csv", lines)
    said = "Subj, share 0 of 3: expected at least 3 training rows to share, got 2"
    with pytest.raises(ValueError, match=said):
        Skew(of="subj").load(Source("files", tmp_path), 0)


def test_real_shares_are_all_rows_of_the_task(real_data):
    source = Source("files", real_data)
    if not (real_data / "fewshot/original").is_dir():
        pytest.skip("no phrases beside GLUE")
    whole = task["mpqa"]().load(source, 0)
    parts = [Skew(of="mpqa", share=share).load(source, 0) for share in range(3)]
    assert Counter(row for part in parts for row in part.train) == Counter(whole.train)
    assert sum(parts[0].facts["share"]["sizes"]) == len(whole.train) == 7743
    assert all(part.test == whole.test for part in parts)
