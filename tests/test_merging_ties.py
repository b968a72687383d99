"""Task vectors made sparse, beside peft's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.merging.algebra import mean
from methods.merging.ties import dropped, ties, trimmed


def deltas(seed: int = 0, count: int = 3):
    source = torch.Generator().manual_seed(seed)
    shapes = {"a": (6, 5), "b": (7,)}
    return [{n: torch.randn(s, generator=source) for n, s in shapes.items()} for _ in range(count)]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.floats(0, 0.99),
    st.sampled_from(["total", "frequency"]),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
)
def test_ties_are_peft_s(seed, density, sign, weights):
    utils = pytest.importorskip("peft.utils.merge_utils")
    vectors = deltas(seed)
    ours = ties(vectors, weights, density, sign)
    for name in ours:
        theirs = utils.ties([v[name] for v in vectors], torch.tensor(weights), density, sign)
        torch.testing.assert_close(ours[name], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("density", [0.0, 0.2, 0.55])
def test_trimming_is_peft_s(density):
    utils = pytest.importorskip("peft.utils.merge_utils")
    (one,) = deltas(3, 1)
    ours = trimmed(one, density)
    for name in one:
        assert torch.equal(ours[name], utils.prune(one[name], density, "magnitude"))
        assert int((ours[name] != 0).sum()) == int(density * one[name].numel())


def test_signs_are_elected_by_value_or_by_count():
    vectors = [{"x": torch.tensor([x, 1.0])} for x in (5.0, -1.0, -2.0)]
    assert ties(vectors, density=1.0)["x"].tolist() == [5.0, 1.0]
    assert ties(vectors, density=1.0, sign="frequency")["x"].tolist() == [-1.5, 1.0]
    assert ties(vectors, [2.0, 1.0, 1.0], density=1.0)["x"].tolist() == pytest.approx([10, 4 / 3])


def test_vectors_that_agree_everywhere_are_averaged_and_added_when_nothing_is_dropped():
    vectors = [{n: t.abs() for n, t in one.items()} for one in deltas()]
    found, expected = ties(vectors, density=1.0), mean(vectors)
    for name in found:
        torch.testing.assert_close(found[name], expected[name])
    (one,) = deltas(1, 1)
    same = dropped(one, 1.0, torch.Generator().manual_seed(0))
    assert all(torch.equal(same[n], one[n]) for n in one)


def test_what_is_dropped_at_random_is_right_on_average():
    one, source = {"x": torch.tensor([1.0, -3.0])}, torch.Generator().manual_seed(0)
    many = [dropped(one, 0.3, source) for _ in range(2000)]
    values = torch.stack([m["x"] for m in many])
    assert set(values[:, 1].tolist()) == {0.0, float(torch.tensor(-3.0) / 0.3)}
    found = values.double().mean(0)
    torch.testing.assert_close(found, one["x"].double(), rtol=0.1, atol=0)  # three standard errors
    again = dropped(one, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(again["x"], many[0]["x"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: trimmed(d[0], 1.5), r"expected a density in \[0, 1\], got 1.5"),
        (lambda d: ties(d, density=-0.1), r"expected a density in \[0, 1\], got -0.1"),
        (lambda d: ties(d, sign="all"), "expected sign=total or sign=frequency, got 'all'"),
        (lambda d: ties(d, [1.0]), "expected 3 coefficients, got 1"),
        (lambda d: ties([]), "expected at least one state, got none"),
        (lambda d: dropped(d[0], 0.0, torch.Generator()), "expected a density above 0, got 0"),
        (lambda d: ties([*d, {"a": d[0]["a"]}]), "expected 'b' of shape"),
    ],
)
def test_what_cannot_be_trimmed_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(deltas())
    assert "\n" not in str(caught.value)
