"""One trained mixture model, evaluated in several ways."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

from bench import spec
from bench.cost import size
from bench.weights import find
from methods import resolve
from methods.base import Need, Unsuited
from methods.layers.ensemble import Ensemble, drawn, routed, spread
from methods.layers.mixture import Mixture, mixtures
from tests import tiny

OF = "adamix[inner=adapter[init=0.3,width=4],experts=3]"
WAYS = ["merged", "fixed", "random", "ensemble"]


def ready(text: str, run=None):
    method, model = resolve(text, "bert"), tiny.backbone()
    trained = tiny.prepared(method, model, run or tiny.ToyRun(epochs=1))
    return method, model, trained


def fitted(text: str, **recipe):
    run = tiny.ToyRun(**{"epochs": 1, **recipe})
    method, model, _ = ready(text, run)
    method.fit(model, run)
    return method, model.eval(), run


def output(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(tiny.batch(8))


def apart(model) -> list[torch.Tensor]:
    """Logits of every network in the model, each made by hand of the experts it consists of."""
    found = []
    for routing in product(*(range(m.count) for m in mixtures(model))):
        one = copy.deepcopy(model)
        for mixture, expert in zip(mixtures(one), routing, strict=True):
            mixture.experts, mixture.chosen = nn.ModuleList([mixture.experts[expert]]), None
        found.append(output(one))
    return found


@pytest.mark.parametrize("by", WAYS)
def test_every_way_has_the_weights_of_the_run_it_builds_on(by):
    method, model, run = fitted(f"infer[of={OF},by={by}]")
    (expected,) = run.parents()
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], expected[name]) for name in own)
    assert any(name.startswith("head.") for name in own)
    assert method.needs() == (Need(OF),)


@pytest.mark.parametrize("by", WAYS)
def test_finalize_keeps_outputs_in_every_way(by):
    method, model, _ = fitted(f"infer[of={OF},by={by}]")
    before = output(model)
    method.finalize(model)
    torch.testing.assert_close(output(model), before, rtol=1e-4, atol=1e-5)


def test_merged_is_what_adamix_itself_ends_with():
    run = tiny.ToyRun(epochs=1)
    trained, own, _ = ready(OF, run)
    trained.fit(own, run)
    trained.finalize(own)
    method, model, _ = fitted(f"infer[of={OF},by=merged]")
    method.finalize(model)
    torch.testing.assert_close(output(model), output(own), rtol=0, atol=0)
    assert not mixtures(model)


@pytest.mark.parametrize("expert", [0, 2])
def test_fixed_is_the_network_of_that_expert_alone(expert):
    method, model, _ = fitted(f"infer[of={OF},by=fixed,expert={expert}]")
    all_experts = apart(model)
    index = sum(expert * 3**i for i in range(len(mixtures(model))))
    method.finalize(model)
    torch.testing.assert_close(output(model), all_experts[index], rtol=1e-5, atol=1e-6)
    assert (output(model) - all_experts[0 if expert else -1]).abs().max() > 1e-3


def test_draws_are_uniform_and_independent_from_mixture_to_mixture():
    model = ready(OF)[1]
    routings = torch.tensor(drawn(mixtures(model), 3000, torch.Generator().manual_seed(0)))
    counts = torch.bincount(routings[:, 0] * 3 + routings[:, 1], minlength=9)
    assert routings.shape == (3000, 2)
    assert (counts - 3000 / 9).abs().max() < 5 * (3000 / 9) ** 0.5


def test_random_draws_follow_the_seed():
    method, model, _ = ready(f"infer[of={OF},draws=6]")
    of_seed = [method.routings(model, tiny.ToyRun(seed=seed)) for seed in (0, 0, 1)]
    assert of_seed[0] == of_seed[1] != of_seed[2]


def test_random_scores_are_the_means_over_networks_drawn_once_each():
    method, model, run = fitted(f"infer[of={OF},draws=4]", lr=2e-2, epochs=2)
    routings = method.routings(model, run)
    expected = []
    for routing in routings:
        with routed(mixtures(model), routing):
            expected.append(run.evaluate(model, "test")["accuracy"])
    found = method.measure(model, run)
    assert model.facts["draws"] == {"accuracy": expected}
    assert found["accuracy"] == pytest.approx(sum(expected) / 4)
    assert len(set(expected)) > 1
    assert all(m.chosen is None for m in mixtures(model))


def test_random_tells_how_far_its_draws_are_apart():
    method, model, run = fitted(f"infer[of={OF},draws=3]", lr=2e-2)
    method.measure(model, run)
    logs = []
    for routing in method.routings(model, run):
        with routed(mixtures(model), routing), torch.no_grad():
            logits = [model.eval()(b) for b in run.data.in_order(64)]
            logs.append(torch.cat(logits).double().log_softmax(-1))
    pairs = [(logs[0], logs[1]), (logs[0], logs[2]), (logs[1], logs[2])]
    by_hand = [((a.exp() - b.exp()) * (a - b)).sum(-1).mean() / 2 for a, b in pairs]
    assert model.facts["draw_kl"] == pytest.approx(float(sum(by_hand)) / 3, rel=1e-4)
    assert model.facts["draw_kl"] > 0


def test_spread_of_one_network_is_none_at_all():
    assert spread([torch.randn(5, 2)]) == 0.0


def test_regression_has_no_spread():
    method, model = resolve(f"infer[of={OF},draws=2]", "bert"), tiny.backbone(outputs=1)
    run = tiny.ToyRun(epochs=1, regression=True)
    run.evaluate = lambda model, split: {"pearson": None}
    tiny.prepared(method, model, run)
    assert method.measure(model, run) == {"pearson": None}
    assert "draw_kl" not in model.facts


def test_ensemble_over_every_routing_is_the_average_of_all_networks():
    model = fitted(f"infer[of={OF},by=random]")[1]
    every = list(product(range(3), repeat=2))
    around = Ensemble(mixtures(model), every).eval()
    with torch.no_grad():
        found = around(model.plain, tiny.batch(8))
    by_hand = torch.stack(apart(model)).mean(0)
    torch.testing.assert_close(found, by_hand, rtol=1e-5, atol=1e-6)
    assert (by_hand - output(model)).abs().max() > 1e-6  # the merged model is something else


def test_ensemble_of_draws_converges_to_the_average_of_all_networks():
    model = fitted(f"infer[of={OF},by=random]", lr=3e-2)[1]
    networks = torch.stack(apart(model))
    source = torch.Generator().manual_seed(0)

    def error(draws: int) -> float:
        means = []
        for _ in range(40):
            picked = [a * 3 + b for a, b in drawn(mixtures(model), draws, source)]
            means.append(networks[picked].mean(0) - networks.mean(0))
        return float(torch.stack(means).square().mean().sqrt())

    assert error(4) / error(400) == pytest.approx(10, rel=0.35)  # as 1/sqrt(draws)
    few, many = (
        Ensemble(mixtures(model), drawn(mixtures(model), draws, source)) for draws in (2, 150)
    )
    with torch.no_grad():
        wrong = [
            (each.eval()(model.plain, tiny.batch(8)) - networks.mean(0)).abs().mean()
            for each in (few, many)
        ]
    assert wrong[1] < 0.5 * wrong[0]


def test_ensemble_around_the_model_is_the_mean_over_its_own_draws():
    method, model, run = fitted(f"infer[of={OF},by=ensemble,draws=5]")
    picked = [a * 3 + b for a, b in method.routings(model, run)]
    found = output(model)
    plain, model.around = model.around, None
    by_hand = torch.stack(apart(model))[picked].mean(0)
    model.around = plain
    torch.testing.assert_close(found, by_hand, rtol=1e-5, atol=1e-6)


def test_random_and_ensemble_keep_all_experts_and_the_others_one():
    once, every = 2 * 148, 2 * (3 * 68 + 80)
    served = {}
    for by in WAYS:
        method, model, trained = ready(f"infer[of={OF},by={by}]")
        served[by] = size(method.finalize(model))
        assert size(trained) == every
    assert served == {"merged": once, "fixed": once, "random": every, "ensemble": every}


def test_ensemble_costs_as_many_passes_as_it_has_draws(tiny_folder):
    from bench.cost import account

    weights = find(str(tiny_folder))
    texts = {by: f"infer[of={OF},by={by},draws=3]" for by in ("merged", "ensemble")}
    serve = {by: account(resolve(text, ""), weights, 2).serve for by, text in texts.items()}
    assert serve["ensemble"].of(1, 32) == 3 * serve["merged"].of(1, 32) > 0


def test_ensemble_does_not_serve_a_model_that_writes():
    model = tiny.writer("gpt2")
    with pytest.raises(Unsuited, match="logits in one pass"):
        tiny.prepared(resolve(f"infer[of={OF},by=ensemble]", "gpt2"), model)


def test_tensors_that_are_not_linear_maps_are_routed_as_well():
    run = tiny.ToyRun(epochs=1, lr=3e-2)
    method, model, _ = ready("infer[of=adamix[inner=bitfit,experts=2],draws=3]", run)
    method.fit(model, run)
    every = mixtures(model)
    assert every and not any(isinstance(m, Mixture) for m in every)
    with routed(every, (0,) * len(every)):
        first = output(model)
    with routed(every, (1,) * len(every)):
        assert not torch.equal(output(model), first)


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_a_run_that_does_not_fit_is_refused_by_the_name_of_the_tensor(fault):
    method, model, _ = ready(f"infer[of={OF}]")
    tensors = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    name = "head.out.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "extra":
        tensors[name := "other.weight"] = torch.zeros(2)
    else:
        tensors[name] = torch.zeros(3, 16)
    run = tiny.ToyRun()
    run.parents = lambda: [tensors]
    with pytest.raises(ValueError, match=f"expected '{name}' of shape"):
        method.fit(model, run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("infer[of=lora]", "expected an AdaMix method to infer with, got of=lora"),
        ("infer[of=adamx]", "did you mean"),
        ("infer[draws=0]", "expected draws of at least 1, got 0"),
        (f"infer[of={OF},expert=3]", "expected expert from 0 to 2, got 3"),
        ("infer[by=first]", "by: expected"),
    ],
)
def test_wrong_option_is_named(text, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        resolve(text, "minilm")


def test_method_keeps_the_name_of_the_run_as_it_was_typed():
    method = resolve("infer[of=adamix-adapter]", "roberta-large")
    assert method.of == "adamix-adapter"
    assert resolve(spec.text(method), "") == method


def test_routing_is_taken_back_where_the_block_fails():
    mixture = Mixture(nn.Linear(2, 3), 2, None, "batch")
    with pytest.raises(RuntimeError), routed([mixture], (1,)):
        assert mixture.chosen == 1
        raise RuntimeError
    assert mixture.chosen is None
