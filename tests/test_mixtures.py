"""AdaMix around every inner method: maps and tensors that are one of several in training."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import chi2_contingency, chisquare
from torch import nn

from bench.cost import account
from bench.flops import Flops
from bench.weights import find
from methods import resolve
from methods.base import Unsuited
from methods.layers.mixture import Mixture, mixtures
from methods.layers.tensors import MixedTensor
from tests.test_resume import Killed
from tests.test_resume import trained as interrupted
from tests.tiny import ToyRun, backbone, batch, prepared, writer

ADAPTERS = ["adapter", "adapter[position=houlsby]", "adapter[position=pfeiffer]"]
TENSORS = ["bitfit", "ia3", "prompt", "prompt[init=normal]", "prefix[mlp=none]", "top[layers=1]"]
BOTH = ["adapter[position=lin]", "prefix[mlp=24]"]  # maps and other tensors
INNER = [*ADAPTERS, "lora", "lora[targets=o]", "lora[dropout=0.1]", *TENSORS, *BOTH, "full"]
FAST = ["bitfit", "prefix[mlp=24]"]  # to count; other tests are quick enough for all
EVERY = [pytest.param(i, marks=() if i in FAST else pytest.mark.slow) for i in INNER]
every_inner = pytest.mark.parametrize("inner", EVERY)
with_tensors = pytest.mark.parametrize("inner", [*TENSORS, *BOTH])


def mixed(inner: str, options: str = "experts=3", run=None, trained: bool = False):
    """AdaMix around the inner method, a model it is prepared on, and what trains."""
    chosen, model = resolve(f"adamix[inner={inner},{options}]", ""), backbone()
    run = run or ToyRun(epochs=1)
    parameters = prepared(chosen, model, run)
    if trained:
        chosen.fit(model, run)
    return chosen, model.train(), parameters


def output(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(batch())


def tensors(model) -> dict[str, tuple[MixedTensor, list[nn.Parameter]]]:
    """The mixed tensors with their experts, by the name that the tensor had."""
    return {
        f"{path}.{name}": (parts[0], list(parts.parameters()))
        for path, module in model.named_modules()
        for name, parts in getattr(module, "parametrizations", {}).items()
    }


def plain(text: str) -> tuple[dict[str, torch.Tensor], list[float], torch.Tensor]:
    """What a method leaves after training and finalizing: parameters, losses, an output."""
    run = ToyRun(epochs=1, decay=0.1)
    chosen, model = resolve(text, ""), backbone()
    prepared(chosen, model, run)
    chosen.fit(model, run)
    chosen.finalize(model)
    return dict(model.named_parameters()), run.losses, output(model)


@pytest.mark.parametrize("inner", INNER)
def test_one_expert_without_consistency_trains_bit_for_bit_like_the_inner_method(inner):
    expected = plain(inner)
    found = plain(f"adamix[inner={inner},experts=1,consistency=0,share=none]")
    assert found[1] == expected[1]
    assert torch.equal(found[2], expected[2])
    assert found[0].keys() == expected[0].keys()
    assert all(torch.equal(found[0][name], expected[0][name]) for name in expected[0])


@pytest.mark.parametrize(
    ("inner", "share"), [*((i, "none") for i in INNER), ("lora", "down"), ("prefix[mlp=24]", "up")]
)
def test_finalize_keeps_the_evaluation_output_and_leaves_a_plain_model(inner, share):
    chosen, model, _ = mixed(inner, f"experts=3,share={share}", trained=True)
    before = output(model)
    chosen.finalize(model.train())
    torch.testing.assert_close(output(model), before, rtol=1e-4, atol=1e-5)
    assert not mixtures(model) and not tensors(model) and not model._forward_pre_hooks
    assert not any(type(module).__name__.startswith("Parametrized") for module in model.modules())


@with_tensors
def test_expert_that_was_not_drawn_gets_no_gradient_at_all(inner):
    _, model, _ = mixed(inner, "experts=6,share=none")
    model.loss(batch()).backward()
    assert tensors(model)
    for name, (one, experts) in tensors(model).items():
        has = [index for index, expert in enumerate(experts) if expert.grad is not None]
        assert has == [one.drawn] or ("pooler" in name and not has), name


@with_tensors
def test_mean_is_the_mean_and_a_chosen_expert_stands_alone(inner):
    _, model, _ = mixed(inner, trained=True)
    model.eval()
    for name, (one, experts) in tensors(model).items():
        module, _, attribute = name.rpartition(".")
        owner = model.get_submodule(module)
        mean = (experts[0] + experts[1] + experts[2]) / 3
        torch.testing.assert_close(getattr(owner, attribute), mean, rtol=0, atol=1e-6)
        one.chosen = 2
        assert torch.equal(getattr(owner, attribute), experts[2])


@pytest.mark.parametrize("inner", ["lora", "bitfit", "adapter[position=lin]"])
def test_model_finalized_with_chosen_experts_keeps_them_alone(inner):
    chosen, model, _ = mixed(inner, trained=True)
    mean = output(model)
    for mixture in mixtures(model):
        mixture.chosen = mixture.count - 1
    alone = output(model)
    assert not torch.allclose(alone, mean, atol=1e-4)
    chosen.finalize(model)
    torch.testing.assert_close(output(model), alone, rtol=1e-4, atol=1e-5)


def test_chosen_experts_have_no_say_in_training():
    _, model, _ = mixed("bitfit", "experts=8")
    plain, steered = copy.deepcopy(model), model
    for mixture in mixtures(steered):
        mixture.chosen = 7
    with torch.no_grad():
        for twin in (plain, steered):
            for expert in (e for _, experts in tensors(twin).values() for e in experts[:7]):
                expert += torch.randn(expert.shape, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    expected = plain(batch())
    torch.manual_seed(0)
    assert torch.equal(steered(batch()), expected)


def test_mixtures_come_in_model_order_maps_and_tensors_alike():
    _, model, _ = mixed("adapter[position=lin]", "experts=5,share=none")
    kinds = [type(mixture) for mixture in mixtures(model)]
    assert kinds == 2 * [Mixture, Mixture, MixedTensor, MixedTensor]  # down, up, norm
    assert {mixture.count for mixture in mixtures(model)} == {5}


@pytest.mark.parametrize(
    ("inner", "alike"),
    [("bitfit", True), ("ia3", True), ("prompt", False), ("prefix[mlp=none]", False)],
)
def test_experts_start_as_copies_unless_their_module_draws_them(inner, alike):
    before = dict(backbone().named_parameters())
    for init in ("independent", "copies"):
        _, model, _ = mixed(inner, f"experts=3,init={init}")
        for name, (one, experts) in tensors(model).items():
            pairs = ((0, 1), (0, 2), (1, 2))
            same = [torch.equal(experts[a], experts[b]) for a, b in pairs]
            assert same == [alike or init == "copies"] * 3
            assert one.drawn == 0 and one.training
            if name in before:
                assert torch.equal(experts[2], before[name])


def test_redrawn_prompts_are_rows_of_the_vocabulary():
    _, model, _ = mixed("prompt[length=4]")
    table = model.word_embeddings.weight
    for _, experts in tensors(model).values():
        for expert in experts:
            assert all((table == row).all(-1).any() for row in expert)


@pytest.mark.parametrize("inner", ["bitfit", "ia3", "prompt", "prefix[mlp=none]"])
def test_every_expert_has_the_shape_of_its_tensor(inner):
    _, model, parameters = mixed(inner)
    bare = backbone()
    prepared(resolve(inner, ""), bare)
    shapes = dict(bare.named_parameters())
    for name, (_, experts) in tensors(model).items():
        assert [e.shape for e in experts] == [shapes[name].shape] * 3
    assert len(parameters) == 3 * len(tensors(model))


def _routes(passes: int) -> np.ndarray:
    """The experts that two tensors took, one row a forward pass."""
    _, model, _ = mixed("ia3", "experts=4")
    first, second = (one for one, _ in list(tensors(model).values())[:2])
    taken = []
    with torch.no_grad():
        for _ in range(passes):
            model(batch(rows=1, tokens=2))
            taken.append((first.drawn, second.drawn))
    return np.array(taken)


def test_each_tensor_is_routed_uniformly_and_on_its_own():
    routes = _routes(400)
    table, successive = np.zeros((4, 4), dtype=int), np.zeros((4, 4), dtype=int)
    np.add.at(table, (routes[:, 0], routes[:, 1]), 1)
    np.add.at(successive, (routes[:-1, 0], routes[1:, 0]), 1)
    assert chisquare(table.sum(1)).pvalue > 0.01
    assert chisquare(table.sum(0)).pvalue > 0.01
    assert chi2_contingency(table).pvalue > 0.01
    assert chi2_contingency(successive).pvalue > 0.01


def test_tensor_is_the_same_however_often_it_is_read_in_a_pass():
    _, model, _ = mixed("bitfit", "experts=8")
    model(batch())
    bias = model.layers[0].output.dense.bias
    repr(model)
    assert model.layers[0].output.dense.bias is bias


def test_consistency_is_between_two_routings_of_tensors():
    chosen, model, _ = mixed("bitfit", "experts=8")
    seen: list[list[int]] = []
    model.register_forward_hook(
        lambda *_: seen.append([one.drawn for one, _ in tensors(model).values()])
    )
    chosen.loss(model, batch())
    assert len(seen) == 2 and seen[0] != seen[1]


def test_evaluation_draws_nothing():
    _, model, _ = mixed("bitfit")
    before = [one.drawn for one, _ in tensors(model).values()]
    assert all(torch.equal(output(model), output(model)) for _ in range(3))
    assert [one.drawn for one, _ in tensors(model).values()] == before


def test_mixed_modules_are_still_of_their_class():
    _, model, _ = mixed("bitfit")
    layer = model.layers[0]
    assert isinstance(layer.output.dense, nn.Linear)
    assert isinstance(layer.output.LayerNorm, nn.LayerNorm)


@pytest.mark.parametrize("inner", ["bitfit", "prompt", "prefix[mlp=24]", "lora"])
def test_copy_of_a_mixed_model_lives_on_its_own(inner):
    chosen, model, _ = mixed(inner, "experts=4", trained=True)
    expected, twin = output(model), copy.deepcopy(model)
    state = [one.drawn for one, _ in tensors(model).values()]
    for _ in range(3):
        twin.train()(batch())
    assert [one.drawn for one, _ in tensors(model).values()] == state
    assert len(mixtures(twin)) == len(mixtures(model))
    chosen.finalize(twin)
    torch.testing.assert_close(output(twin), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(output(model), expected)
    model.train()(batch())
    chosen.finalize(model)
    torch.testing.assert_close(output(model), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", ["lora", "bitfit", "prompt", "prefix[mlp=24]"])
def test_saved_parameters_by_name_make_the_same_model_again(inner, tmp_path):
    _, model, _ = mixed(inner, trained=True)
    trained = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    save_file(trained, tmp_path / "weights.safetensors")
    _, again, _ = mixed(inner, run=ToyRun(seed=5))
    own = dict(again.named_parameters())
    with torch.no_grad():
        for name, tensor in load_file(tmp_path / "weights.safetensors").items():
            own[name].copy_(tensor)
    assert torch.equal(output(again), output(model))


def test_killed_run_with_mixed_tensors_goes_on_to_the_same_weights(tmp_path):
    text = "adamix[inner=adapter[position=lin]]"
    whole, _ = interrupted(text, tmp_path / "whole")
    with pytest.raises(Killed):
        interrupted(text, tmp_path / "cut", dies_at=5)
    again, _ = interrupted(text, tmp_path / "cut")
    assert all(torch.equal(again[name], whole[name]) for name in whole)


@every_inner
def test_mixture_costs_two_passes_at_most_to_train_and_nothing_more_to_serve(inner, tiny_folder):
    weights = find(str(tiny_folder))
    one = account(resolve(inner, ""), weights, 2)
    two = account(resolve(f"adamix[inner={inner},experts=3]", ""), weights, 2)
    assert two.serve == one.serve and two.served_params == one.served_params
    forward, *backward = (Flops(*(2 * n for n in part)) for part in one.step)
    assert list(two.step[1:]) == backward
    assert all(a <= b for a, b in zip(two.step.forward, forward, strict=True))
    assert (two.step.forward == forward) == (inner not in [*ADAPTERS, "lora[targets=o]"])
    if inner in [*TENSORS, "full"]:
        assert two.trained_params == 3 * one.trained_params


@pytest.mark.parametrize("width", [4, 16, 40])
def test_shared_side_is_told_by_what_a_map_does_and_not_by_its_width(width):
    _, model, _ = mixed(f"adapter[width={width}]", "experts=3,share=up")
    adapter = model.layers[0].output.dense[1]
    assert isinstance(adapter.down, Mixture) and isinstance(adapter.up, nn.Linear)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("adamix[inner=head]", "nothing to mix: 'head' trains nothing"),
        ("adamix[inner=bitfit,routing=sentence]", "linear maps only; 'bitfit' trains 18 other"),
        ("adamix[inner=prefix,routing=sentence]", "linear maps only; 'prefix' trains 1 other"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_one_line(text, why):
    with pytest.raises(Unsuited, match=why):
        prepared(resolve(text, ""), backbone())


def test_tensor_that_two_modules_hold_is_refused():
    with pytest.raises(Unsuited, match="held by two"):
        prepared(resolve("adamix[inner=full]", ""), writer("gpt2"))
    with pytest.raises(Unsuited, match="'head' shares all that it adds"):
        prepared(resolve("adamix[inner=head]", ""), writer("gpt2"))
