"""The mean of several runs' weights."""

import copy

import pytest
import torch
from torch import nn

from methods import resolve
from methods.base import Need
from methods.soup import uniform
from tests import tiny

OF = "adapter[width=4]"


def ready(text: str, run=None):
    method, model = resolve(text, "bert"), tiny.backbone()
    tiny.prepared(method, model, run or tiny.ToyRun())
    return method, model


def output(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(tiny.batch(8))


def trained(model) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def test_soup_needs_runs_that_differ_in_their_order_alone():
    needs = resolve(f"soup[of={OF},count=3]", "bert").needs()
    assert needs == tuple(Need(OF, {"order": order}) for order in range(3))


def test_soup_of_one_is_the_run_itself():
    run = tiny.ToyRun(epochs=1)
    alone, own = ready(OF, run)
    alone.fit(own, run)
    method, model = ready(f"soup[of={OF},count=1]", run)
    method.fit(model, run)
    assert torch.equal(output(model), output(own))


def test_soup_has_the_mean_of_its_runs_in_every_tensor_that_trained():
    method, model = ready(f"soup[of={OF},count=3]")
    start = trained(model)
    runs = [{n: p + torch.randn_like(p) for n, p in start.items()} for _ in range(3)]
    run = tiny.ToyRun()
    run.parents = lambda: runs
    frozen = copy.deepcopy(model.net.embeddings.word_embeddings.weight)
    method.fit(model, run)
    assert "head.out.weight" in start
    for name, parameter in trained(model).items():
        by_hand = (runs[0][name] + runs[1][name] + runs[2][name]) / 3
        torch.testing.assert_close(parameter, by_hand)
    assert torch.equal(model.net.embeddings.word_embeddings.weight, frozen)


def test_soup_of_linear_models_is_the_mean_of_their_outputs():
    maps = [nn.Linear(5, 3) for _ in range(4)]
    x, soup = torch.randn(7, 5), nn.Linear(5, 3)
    soup.load_state_dict(uniform([m.state_dict() for m in maps]))
    by_hand = torch.stack([m(x) for m in maps]).mean(0)
    torch.testing.assert_close(soup(x), by_hand)


def test_soup_of_heads_on_a_frozen_model_is_the_mean_of_their_logits():
    run = tiny.ToyRun(epochs=1)
    method, model = ready("soup[of=head,count=2]", run)
    runs = [{n: torch.randn_like(p) for n, p in trained(model).items()} for _ in range(2)]
    logits = []
    for tensors in runs:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in tensors:
                    parameter.copy_(tensors[name])
        logits.append(output(model))
    run.parents = lambda: runs
    method.fit(model, run)
    torch.testing.assert_close(output(model), (logits[0] + logits[1]) / 2, rtol=1e-4, atol=1e-5)


def test_finalize_is_that_of_the_runs():
    run = tiny.ToyRun(epochs=1)
    method, model = ready("soup[of=lora[rank=2],count=2]", run)
    method.fit(model, run)
    before = output(model)
    method.finalize(model)
    torch.testing.assert_close(output(model), before, rtol=1e-4, atol=1e-5)
    assert not any("down" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_runs_that_do_not_match_are_refused_by_the_name_of_the_tensor(fault):
    runs = [{"a": torch.zeros(2), "b": torch.zeros(3)} for _ in range(3)]
    if fault == "missing":
        del runs[2]["b"]
    elif fault == "extra":
        del runs[0]["b"]
    else:
        runs[1]["b"] = torch.zeros(3, 1)
    with pytest.raises(ValueError, match="expected 'b' of shape"):
        uniform(runs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soup[count=0]", "expected count of at least 1, got 0"),
        ("soup[of=soup]", "expected a method that trains, got of=soup"),
        ("soup[of=infer]", "expected a method that trains, got of=infer"),
        ("soup[of=adaptor]", "did you mean"),
    ],
)
def test_wrong_option_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        resolve(text, "minilm")
