"""Weight matching: what leaves a network's function as it is, and how well it is undone."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.backbone import Backbone
from bench.weights import find
from methods.merging.permute import Heads, Symmetries, Units, match, permuted
from methods.merging.symmetries import chain, encoder
from tests.test_masked import asked, gapped
from tests.tiny import backbone, batch

HEADS = Symmetries(
    {"q": ("k", None), "k": ("k", None), "v": ("v", None), "o": (None, "v")},
    (Heads("k", "v", 3),),
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def perceptron(sizes: list[int], seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    maps = [nn.Linear(i, o) for i, o in itertools.pairwise(sizes)]
    return nn.Sequential(*[part for map in maps for part in (map, nn.ReLU())][:-1])


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def symmetries(model: nn.Sequential) -> Symmetries:
    return chain([name for name, part in model.named_children() if isinstance(part, nn.Linear)])


def product(a, b) -> float:
    return sum(float((a[n].double() * b[n].double()).sum()) for n in a)


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def put(model: nn.Module, values) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])


def output(model: nn.Module, *inputs) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(*inputs)


@pytest.mark.parametrize(
    "sizes", [[30, 64, 3], [30, 512, 3], [30, 64, 64, 3], [30, 128, 64, 3], [30, *[256] * 3, 3]]
)
def test_permutation_of_a_perceptron_is_recovered_bit_for_bit(sizes):
    model = perceptron(sizes)
    own, spaces = tensors(model), symmetries(model)
    moved = permuted(own, spaces, spaces.random(own, seeded(1)))
    assert not equal(moved, own)
    found = match(own, moved, spaces, seeded())
    assert equal(permuted(moved, spaces, found.orders), own)
    assert found.objective[-1] == pytest.approx(product(own, own), rel=1e-12)


def test_permuted_perceptron_computes_the_same():
    model = perceptron([9, 16, 12, 8, 2]).double()
    own, spaces = tensors(model), symmetries(model)
    x = torch.randn(50, 9, dtype=torch.float64)
    before = output(model, x)
    put(model, permuted(own, spaces, spaces.random(own, seeded(3))))
    torch.testing.assert_close(output(model, x), before, rtol=0, atol=1e-10)


def one_by_one(model: Backbone, rows) -> None:
    """Reorders one group after the other: each on its own leaves the outputs as they were."""
    model.double()
    spaces, before = encoder(model), output(model, rows)
    assert {*spaces.axes} == {name for name, _ in model.named_parameters()}
    assert {s for axes in spaces.axes.values() for s in axes if s} == {
        space for group in spaces.groups for space in group.spaces
    }
    for number, group in enumerate(spaces.groups):
        own = {name: p.clone() for name, p in tensors(model).items()}
        orders = spaces.identity(own)
        drawn = spaces.random(own, seeded(number))
        put(model, permuted(own, spaces, orders | {s: drawn[s] for s in group.spaces}))
        assert not equal(own, tensors(model))
        torch.testing.assert_close(output(model, rows), before, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("pool", [None, "mean"])
def test_every_group_of_an_encoder_may_be_reordered(family, pool):
    one_by_one(backbone(family, 3, pool=pool), batch(outputs=3))


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_every_group_of_an_encoder_that_fills_gaps_may_be_reordered(family):
    one_by_one(gapped(family, (7, 30, 11))[0], replace(asked(), labels=torch.tensor([0, 1, 2])))


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_permutation_of_an_encoder_that_fills_gaps_is_recovered(family):
    model, _ = gapped(family, (7, 30, 11))
    own, spaces = tensors(model), encoder(model)
    moved = permuted(own, spaces, spaces.random(own, seeded(1)))
    found = match(own, moved, spaces, seeded())
    assert equal(permuted(moved, spaces, found.orders), own)


def test_permutation_of_the_pretrained_encoder_is_recovered_bit_for_bit():
    model = Backbone.load(find("minilm"), 2)
    model.head.draw(0)
    rows = batch(3, 9)
    own = {name: p.clone() for name, p in tensors(model).items()}
    spaces, before = encoder(model), output(model, rows)
    orders = spaces.random(own, seeded(5))
    assert all((order != np.arange(len(order))).any() for order in orders.values())
    moved = permuted(own, spaces, orders)
    put(model, {name: (own[name] + moved[name]) / 2 for name in own})
    midway = output(model, rows)
    put(model, moved)
    torch.testing.assert_close(output(model, rows), before, rtol=1e-4, atol=1e-4)
    assert (midway - before).abs().max() > 0.5 * before.abs().max()
    found = match(own, moved, spaces, seeded())
    assert equal(permuted(moved, spaces, found.orders), own)
    assert len(spaces.groups) == 1 + 2 * 6 and not found.identity
    assert found.objective[1] == found.objective[-1]  # the first sweep has found it all


def test_network_fits_itself_as_it_is():
    model = backbone("roberta")
    found = match(tensors(model), tensors(model), encoder(model), seeded())
    assert found.identity and found.sweeps == 1 and len(set(found.objective)) == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=5), st.integers(0, 99))
def test_objective_never_falls_and_is_the_sum_of_products(sizes, seed):
    a, b = perceptron(sizes, seed), perceptron(sizes, seed + 100)
    spaces = symmetries(a)
    found = match(tensors(a), tensors(b), spaces, seeded(seed))
    assert found.objective == sorted(found.objective)
    assert found.objective[0] == pytest.approx(product(tensors(a), tensors(b)), abs=1e-9)
    fitted = permuted(tensors(b), spaces, found.orders)
    assert found.objective[-1] == pytest.approx(product(tensors(a), fitted), abs=1e-9)


@pytest.mark.parametrize("loudness", [0, 1, 10, 100])
def test_objective_of_encoders_never_falls_and_is_the_sum_of_products(loudness):
    a, b = (loud_gapped(seed, loudness) if loudness else backbone(seed=seed) for seed in (0, 1))
    spaces = encoder(a)
    found = match(tensors(a), tensors(b), spaces, seeded())
    assert found.objective == sorted(found.objective) and found.objective[-1] > found.objective[0]
    fitted = permuted(tensors(b), spaces, found.orders)
    assert found.objective[-1] == pytest.approx(product(tensors(a), fitted), abs=1e-7)
    again = match(tensors(a), fitted, spaces, seeded())
    gap = any(axes.count("residual") == 2 for axes in spaces.axes.values())
    assert gap or again.objective[-1] == pytest.approx(again.objective[0], abs=1e-9)


def loud_gapped(seed: int, loudness: float) -> Backbone:
    """Random weights; the map that has the residual stream on both sides so many times larger."""
    model = gapped("bert")[0]
    torch.manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    nn.init.normal_(model.head.dense.weight, std=loudness)
    return model


def test_one_hidden_layer_is_matched_as_trying_every_order_has_it():
    for seed in range(5):
        a, b = tensors(perceptron([3, 6, 2], seed)), tensors(perceptron([3, 6, 2], seed + 50))
        spaces = chain(["0", "2"])
        scores = {
            order: product(a, permuted(b, spaces, {"0 out": np.array(order)}))
            for order in itertools.permutations(range(6))
        }
        found = match(a, b, spaces, seeded())
        assert tuple(found.orders["0 out"]) == max(scores, key=scores.get)
        assert found.objective[-1] == pytest.approx(max(scores.values()))


def test_heads_are_matched_as_trying_every_order_has_it():
    torch.manual_seed(0)
    flips = [np.array(order) for order in ((0, 1), (1, 0))]
    for sizes in 3 * ("qkvo", "qk", "vo", "qk", "vo"):  # the others are small
        a, b = (
            {n: drawn.T if n != "o" else drawn for n, drawn in small(sizes).items()}
            for _ in range(2)
        )
        best = max(
            product(a, permuted(b, HEADS, {"k": _whole(heads, k), "v": _whole(heads, v)}))
            for heads in itertools.permutations(range(3))
            for k in itertools.product(flips, repeat=3)
            for v in itertools.product(flips, repeat=3)
        )
        assert match(a, b, HEADS, seeded()).objective[-1] == pytest.approx(best)


def small(large: str) -> dict[str, torch.Tensor]:
    return {n: torch.randn(4, 6) * (1 if n in large else 0.1) for n in "qkvo"}


def _whole(heads, within) -> np.ndarray:
    return np.concatenate([2 * head + order for head, order in zip(heads, within, strict=True)])


def test_random_heads_stay_whole_and_go_together():
    own = {n: torch.randn(12, 5) if n != "o" else torch.randn(5, 12) for n in "qkvo"}
    for seed in range(20):
        orders = HEADS.random(own, seeded(seed))
        heads = [order.reshape(3, 4) // 4 for order in orders.values()]
        assert all((head == head[:, :1]).all() for head in heads)
        assert (heads[0] == heads[1]).all()
        assert all(sorted(order) == list(range(12)) for order in orders.values())


def test_matching_ends_after_as_many_sweeps_as_allowed():
    a, b = perceptron([20, *[40] * 3, 2]), perceptron([20, *[40] * 3, 2], 1)
    spaces = symmetries(a)
    full = match(tensors(a), tensors(b), spaces, seeded())
    short = match(tensors(a), tensors(b), spaces, seeded(), sweeps=2)
    assert full.sweeps > 2 == short.sweeps and short.objective == full.objective[:3]


def test_no_space_alone_can_gain_when_matching_has_ended():
    a, b = perceptron([5, 4, 4, 4, 2]), perceptron([5, 4, 4, 4, 2], 7)
    spaces = symmetries(a)
    found = match(tensors(a), tensors(b), spaces, seeded())
    for group in spaces.groups:
        assert isinstance(group, Units)
        for order in itertools.permutations(range(4)):
            orders = found.orders | {group.space: np.array(order)}
            other = product(tensors(a), permuted(tensors(b), spaces, orders))
            assert other <= found.objective[-1] + 1e-9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, "expected '0.weight' with 2 axes, got none"),
        ({"4.weight": torch.zeros(2, 2)}, r"expected '4.weight' with none, got \(2, 2\)"),
        ({"0.bias": torch.zeros(4, 1)}, r"expected '0.bias' with 1 axes, got \(4, 1\)"),
        ({"0.bias": torch.zeros(5)}, "expected 4 units of '0 out' in '0.bias', got 5"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message):
    good = tensors(perceptron([3, 4, 2]))
    bad = {name: tensor for name, tensor in (good | change).items() if tensor is not None}
    with pytest.raises(ValueError, match=f"^{message}$"):
        match(good, bad, chain(["0", "2"]), seeded())


def test_networks_of_other_widths_are_refused():
    a, b = tensors(perceptron([3, 4, 2])), tensors(perceptron([3, 5, 2]))
    with pytest.raises(ValueError, match="expected two networks of the same widths"):
        match(a, b, chain(["0", "2"]), seeded())


@pytest.mark.reference
@pytest.mark.parametrize("hidden", [[64], [64, 32], [48, 48, 48]])
def test_package_rebasin_recovers_the_same(hidden):
    package = pytest.importorskip("rebasin")
    sizes, x = [20, *hidden, 3], torch.randn(8, 20)
    a, b = perceptron(sizes), perceptron(sizes)
    own = {name: tensor.clone() for name, tensor in tensors(a).items()}
    spaces = symmetries(a)
    moved = permuted(own, spaces, spaces.random(own, seeded(2)))
    put(b, moved)
    package.PermutationCoordinateDescent(a, b, x).rebasin()
    found = match(own, moved, spaces, seeded())
    assert equal(tensors(b), own) and equal(permuted(moved, spaces, found.orders), own)


@pytest.mark.reference
def test_package_rebasin_matches_independent_networks_alike():
    package = pytest.importorskip("rebasin")
    a, b = perceptron([20, 64, 3]), perceptron([20, 64, 3], 1)
    spaces, own = symmetries(a), {name: tensor.clone() for name, tensor in tensors(b).items()}
    counted = {name: tensor.clone() for name, tensor in tensors(a).items()}
    counted["0.weight"] *= 2  # it counts a tensor once for each way to it in its graph
    counted["0.bias"] *= 0  # and a bias as one number
    found = match(counted, own, spaces, seeded())
    package.PermutationCoordinateDescent(a, b, torch.randn(8, 20)).rebasin()
    assert equal(tensors(b), permuted(own, spaces, found.orders)) and not found.identity
