"""Sums, means and differences of states."""

import copy
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from methods import resolve
from methods.merging import algebra
from methods.merging.algebra import between, combined, delta, mean, moved, negated, total
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
numbers = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
seeds = st.integers(0, 2**32 - 1)


def state(seed: int = 0, spread: float = 1.0, dtype: torch.dtype = torch.float32):
    source = torch.Generator().manual_seed(seed)
    return {
        "map.weight": (spread * torch.randn(4, 3, generator=source)).to(dtype),
        "map.bias": (spread * torch.randn(4, generator=source)).to(dtype),
        "scale": torch.randn((), generator=source).to(dtype),
    }


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a
    )


def test_a_weighted_sum_is_that_of_each_tensor():
    a, b = state(0), state(1)
    found = combined([a, b], [0.25, -2.0])
    for name in a:
        torch.testing.assert_close(found[name], 0.25 * a[name] - 2 * b[name])


def test_coefficients_may_be_tensors_that_broadcast_and_get_gradients():
    a, b = state(0), state(1)
    first = {name: torch.ones(()) for name in a}
    row = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    second = {"map.weight": row, "map.bias": torch.zeros(()), "scale": torch.zeros(())}
    found = combined([a, b], [first, second])
    torch.testing.assert_close(
        found["map.weight"], a["map.weight"] + b["map.weight"] * row, rtol=1e-6, atol=0
    )
    assert torch.equal(found["map.bias"], a["map.bias"])
    found["map.weight"].sum().backward()
    torch.testing.assert_close(row.grad, b["map.weight"].sum(0))
    with pytest.raises(ValueError, match="expected a coefficient for 'scale', got none"):
        combined([a, b], [first, {name: second[name] for name in ("map.weight", "map.bias")}])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 10])
def test_the_mean_of_states_that_are_the_same_is_that_state_bit_for_bit(count, dtype):
    one = state(3, 1e-3, dtype)
    one["map.bias"][0], one["map.bias"][1] = -0.0, torch.finfo(dtype).max
    found = mean([copy.deepcopy(one) for _ in range(count)])
    assert same(found, one) and torch.signbit(found["map.bias"][0])
    assert same(mean([one] * count, [0.3] * count), one)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=5))
def test_no_order_of_the_terms_changes_a_bit(terms):
    sums = {float(total([torch.tensor(x).double() for x in p])) for p in permutations(terms)}
    assert len(sums) == 1


def test_no_order_of_the_states_changes_a_bit_and_blocks_do_not_show(monkeypatch):
    states = [state(n, 10.0**n, torch.float64) for n in range(4)]
    weights = [0.1, 0.7, 1.3, -0.4]
    first = combined(states, weights)
    monkeypatch.setattr(algebra, "BLOCK", 5)
    for order in permutations(range(4)):
        again = combined([states[i] for i in order], [weights[i] for i in order])
        assert same(again, first)
        assert same(mean([states[i] for i in order]), mean(states))


def test_sums_are_taken_in_float64():
    big = {"x": torch.tensor([1e8, 1.0])}
    small = {"x": torch.tensor([1.0, 1e-8])}
    found = combined([big, small, big], [1.0, 1.0, -1.0])
    assert torch.equal(found["x"], small["x"])


def test_integers_come_from_the_first_state_and_are_copies():
    a = {"x": torch.zeros(2), "n": torch.tensor([3]), "on": torch.tensor(True)}
    b = {"x": torch.ones(2), "n": torch.tensor([7]), "on": torch.tensor(False)}
    for found in (combined([a, b], [0.5, 0.5]), mean([a, b]), moved(a, [delta(b, a)], 0.5)):
        assert found["n"].tolist() == [3] and found["on"] and found["x"].tolist() == [0.5, 0.5]
        found["n"] += 1
    assert a["n"].tolist() == [3] and list(delta(b, a)) == ["x"]


def test_results_share_no_memory_with_what_they_come_from():
    a, b = state(0), state(1)
    kept = copy.deepcopy((a, b))
    for found in (mean([a]), combined([a, b], [1, 0]), between(a, b, 0), between(a, b, 1)):
        for tensor in found.values():
            tensor += 1
    assert same(a, kept[0]) and same(b, kept[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: mean([]), "expected at least one state, got none"),
        (lambda a: combined([a, a], [1.0]), "expected 2 coefficients, got 1"),
        (lambda a: combined([a, a], [1.0, float("nan")]), "expected finite coefficients, got nan"),
        (lambda a: mean([a, a], [1.0, -1.0]), "expected coefficients of at least 0 and not all 0"),
        (lambda a: mean([a, a], [0.0, 0.0]), "expected coefficients of at least 0 and not all 0"),
        (lambda a: mean([a, a], [1.0]), "expected 2 coefficients, got 1"),
        (
            lambda a: mean([a, {**a, "map.bias": torch.zeros(5)}]),
            r"expected 'map.bias' of shape \(4,\) as in the first state, got \(5,\)",
        ),
        (
            lambda a: delta({"scale": a["scale"]}, a),
            r"expected 'map.weight' of shape \(4, 3\) as in the base, got none",
        ),
        (
            lambda a: moved(a, [{**a, "more": torch.zeros(1)}]),
            r"expected 'more' of shape none as in the base, got \(1,\)",
        ),
        (lambda a: moved(a, [a, a], [1.0]), "expected 3 coefficients, got 2"),
    ],
)
def test_states_that_cannot_be_added_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(state())
    assert "\n" not in str(caught.value)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), seeds)
def test_a_task_vector_taken_and_added_gives_the_tuned_model_exactly(pairs, seed):
    base, tuned = (
        {"x": torch.tensor(side), "w": state(seed + i)["map.weight"]}
        for i, side in enumerate(zip(*pairs, strict=True))
    )
    vector = delta(tuned, base)
    near = (base["x"].abs() <= 2**28 * tuned["x"].abs()) | (tuned["x"] == 0)
    back = moved(base, [vector])
    assert torch.equal(back["x"][near], tuned["x"][near]) and torch.equal(back["w"], tuned["w"])
    assert same(negated(negated(vector)), vector)


def test_negation_takes_back_what_addition_added():
    base, tuned = state(0), state(1)
    vector = delta(tuned, base)
    assert same(moved(tuned, [negated(vector)]), base) and same(moved(tuned, [vector], -1.0), base)
    torch.testing.assert_close(
        moved(base, [negated(vector)])["map.bias"], 2 * base["map.bias"] - tuned["map.bias"]
    )


def test_nothing_added_is_the_base_and_one_part_in_n_is_the_mean():
    base, *tuned = (state(n) for n in range(4))
    vectors = [delta(one, base) for one in tuned]
    assert same(moved(base, vectors, 0.0), base) and same(moved(base, []), base)
    assert same(moved(base, vectors, [0.0, 1.0, 0.0]), tuned[1])
    found, expected = moved(base, vectors, 1 / 3), mean(tuned)
    for name in base:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-7)
    assert same(moved(base, vectors[::-1], 0.4), moved(base, vectors, 0.4))


def test_an_edited_classifier_mixes_the_logits_of_base_and_tuned_for_any_input():
    base, tuned = nn.Linear(6, 3).double(), nn.Linear(6, 3).double()
    x, edited = torch.randn(50, 6, dtype=torch.float64), nn.Linear(6, 3).double()
    vector = delta(tuned.state_dict(), base.state_dict())
    for scale in (-0.7, 0.0, 0.3, 1.0, 1.9):
        edited.load_state_dict(moved(base.state_dict(), [vector], scale))
        expected = (1 - scale) * base(x) + scale * tuned(x)
        torch.testing.assert_close(edited(x), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1))
def test_interpolation_ends_in_both_models_bit_for_bit(seed, alpha):
    a, b = state(seed), state(seed + 1)
    a["map.bias"][0], b["map.bias"][0] = -0.0, torch.inf
    assert same(between(a, b, 0), a) and same(between(a, b, 1), b)
    assert torch.signbit(between(a, b, 0.0)["map.bias"][0])
    found = between(a, b, alpha)["map.weight"]
    low, high = (f(a["map.weight"], b["map.weight"]) for f in (torch.minimum, torch.maximum))
    assert ((low <= found) & (found <= high)).all()
    assert torch.equal(found, between(b, a, 1 - alpha)["map.weight"]) or 1 - (1 - alpha) != alpha


def lora(seed: int, rank: int = 2):
    """A tiny encoder with a LoRA update that is not zero."""
    model = tiny.backbone()
    method = resolve(f"lora[rank={rank},alpha=3]", "bert")
    tiny.prepared(method, model, tiny.ToyRun())
    source = torch.Generator().manual_seed(seed)
    for parameter in model.task_parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=source)
    return method, model.eval()


def folded(method, model):
    """The dense state behind it."""
    model = copy.deepcopy(model)
    method.finalize(model)
    return model.state_dict()


def layers(model):
    return [site.module for site in model.sites(("q", "v"))]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_scaled_lora_update_is_the_interpolation_of_the_dense_weights(alpha):
    method, model = lora(1)
    base = copy.deepcopy(model)
    for layer in layers(base):
        layer.scale = 0.0
    dense = between(folded(method, base), folded(method, model), alpha)
    for layer in layers(model):
        layer.scale *= alpha
    batch = tiny.batch(8)
    other = copy.deepcopy(model)
    method.finalize(other)
    other.load_state_dict(dense)
    with torch.no_grad():
        torch.testing.assert_close(model(batch), other(batch), rtol=0, atol=1e-6)
    for name, tensor in folded(method, model).items():
        torch.testing.assert_close(tensor, dense[name], rtol=0, atol=1e-6)


def test_lora_merged_by_its_factors_is_not_lora_merged_dense():
    ones = [lora(seed) for seed in (1, 2)]
    dense = mean([folded(*one) for one in ones])
    factors = mean([model.state_dict() for _, model in ones])
    method, model = ones[0]
    model.load_state_dict(factors)
    found = folded(method, model)
    name = next(n for n in dense if n.endswith("query.weight"))
    assert (found[name] - dense[name]).abs().max() > 0.05


@pytest.fixture(scope="module")
def adapted():
    """peft's model with two LoRA adapters of its own on a tiny BERT, and their weights."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=["query", "value"])
    model = peft.get_peft_model(tiny.backbone().net, config, "one")
    model.add_adapter("two", config)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = 0.3 * torch.randn_like(parameter)
    return model


WEIGHTS = (0.7, 0.4)


def factors(model, adapter: str, kind: str):
    """Tensors of one adapter by layer."""
    return {
        name: module[adapter].weight.detach()
        for name, module in model.named_modules()
        if name.endswith(f"lora_{kind}")
    }


def updates(model, adapter: str):
    """What an adapter adds to each map: scale * B A, in float64."""
    return {
        name: module.scaling[adapter]
        * (
            module.lora_B[adapter].weight.detach().double()
            @ module.lora_A[adapter].weight.detach().double()
        )
        for name, module in model.named_modules()
        if hasattr(module, "lora_A") and adapter in module.lora_A
    }


def test_peft_concatenates_adapters_into_our_sum_of_deltas(adapted):
    adapted.add_weighted_adapter(["one", "two"], list(WEIGHTS), "cat", combination_type="cat")
    ours = combined([updates(adapted, "one"), updates(adapted, "two")], WEIGHTS)
    theirs = updates(adapted, "cat")
    assert len(ours) == 4
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["A", "B"])
def test_peft_combines_adapters_linearly_into_our_sum_of_factors(adapted, kind):
    name = f"linear{kind}"
    adapted.add_weighted_adapter(["one", "two"], list(WEIGHTS), name, combination_type="linear")
    roots = [(weight * 3 / 2) ** 0.5 for weight in WEIGHTS]  # peft shares scale and weight evenly
    ours = combined([factors(adapted, "one", kind), factors(adapted, "two", kind)], roots)
    theirs = factors(adapted, name, kind)
    assert len(ours) == 4
    for layer in ours:
        torch.testing.assert_close(ours[layer], theirs[layer], rtol=1e-5, atol=1e-6)


def test_task_arithmetic_is_peft_s():
    utils = pytest.importorskip("peft.utils.merge_utils")
    vectors = [state(n) for n in range(3)]
    weights = torch.tensor([0.2, -0.5, 1.3])
    ours = combined(vectors, weights.tolist())
    for name in ours:
        theirs = utils.task_arithmetic([one[name] for one in vectors], weights)
        torch.testing.assert_close(ours[name], theirs, rtol=1e-6, atol=1e-6)
