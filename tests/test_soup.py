"""The mean of several runs' weights."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.contract.toys import ToyParent
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


def as_runs(method, runs, run) -> list[ToyParent]:
    """Runs that trained those tensors."""
    needs = method.needs()
    return [ToyParent(one, need, run.data) for one, need in zip(runs, needs, strict=True)]


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
    run.runs = lambda: as_runs(method, runs, run)
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
    run.runs = lambda: as_runs(method, runs, run)
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


class Scored(tiny.ToyRun):
    """A run whose parents have one number in every entry, scored by a function of it."""

    def __init__(self, at, score):
        super().__init__()
        self.at, self.score, self.asked = at, score, []

    def evaluate(self, model, split):
        self.asked.append(split)
        return {"accuracy": self.score(float(model.head.out.bias[0].detach()))}


def stirred(text: str, at, score):
    """A soup of runs whose every entry is `at` its number."""
    method, model = resolve(text, "bert"), tiny.backbone()
    run = Scored(at, score)
    tiny.prepared(method, model, run)
    own = trained(model)
    runs = [
        ToyParent({n: torch.full_like(p, x) for n, p in own.items()}, need, run.data)
        for x, need in zip(at, method.needs(), strict=True)
    ]
    run.runs = lambda: runs
    method.fit(model, run)
    return model, run


def test_a_sweep_is_a_run_for_every_combination():
    method = resolve("soup[of=full,count=2,lr=0.1+0.2,epochs=1]", "bert")
    assert method.recipes == [
        {"lr": rate, "epochs": 1.0, "order": order} for rate in (0.1, 0.2) for order in (0, 1)
    ]
    assert [need.recipe for need in method.needs()] == method.recipes


def test_greedy_soup_of_a_parabola_is_worked_out_by_hand():
    """The loss x**2 at -1, +1 and 10: the mean of the first two has none, the third is refused."""
    text = f"soup[of={OF},count=3,by=greedy]"
    model, run = stirred(text, [-1.0, 1.0, 10.0], lambda x: -(x**2))
    soup = model.facts["soup"]
    assert soup["kept"] == [0, 1] and soup["trace"] == [-1.0, 0.0]
    assert [r["selection"] for r in soup["runs"]] == [-1.0, -1.0, -100.0]
    assert all(float(p.abs().max()) == 0 for p in trained(model).values())
    assert {*run.asked} == {"selection"}


@pytest.mark.parametrize(("accept", "kept"), [("gt", [0]), ("ge", [0, 1, 2])])
def test_identical_runs_are_a_tie(accept, kept):
    text = f"soup[of={OF},count=3,by=greedy,accept={accept}]"
    model, _ = stirred(text, [0.5, 0.5, 0.5], lambda x: 1 - x)
    assert model.facts["soup"]["kept"] == kept
    assert all(torch.equal(p, torch.full_like(p, 0.5)) for p in trained(model).values())


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=5), st.sampled_from(["gt", "ge"]))
@settings(max_examples=15, deadline=None)
def test_greedy_trace_never_falls(at, accept):
    text = f"soup[of={OF},count={len(at)},by=greedy,accept={accept}]"
    model, _ = stirred(text, at, lambda x: -abs(x - 1))
    soup = model.facts["soup"]
    assert soup["trace"] == sorted(soup["trace"])
    assert soup["trace"][0] == max(r["selection"] for r in soup["runs"])


def test_learned_soup_leans_to_the_run_that_is_right():
    run = tiny.ToyRun(epochs=12, lr=2e-2)
    method, model = ready("soup[of=head,count=2,by=learned]", run)
    good = run.runs()[0].tensors
    bad = {name: -tensor for name, tensor in good.items()}
    needs = method.needs()
    both = [ToyParent(t, n, run.data) for t, n in zip((bad, good), needs, strict=True)]
    run.runs = lambda: both
    method.fit(model, run)
    weights = model.facts["soup"]["weights"]
    assert weights[1] > 0.7 and sum(weights) == pytest.approx(1)


def test_uniform_soup_scores_its_runs_and_itself_on_selection_rows():
    model, _ = stirred(f"soup[of={OF},count=2]", [0.0, 2.0], lambda x: x)
    soup = model.facts["soup"]
    assert [r["selection"] for r in soup["runs"]] == [0.0, 2.0] and soup["trace"] == [1.0]
    assert [r["told"] for r in soup["runs"]] == ["order=0", "order=1"]


def test_runs_with_another_head_at_the_start_are_refused():
    run = tiny.ToyRun(epochs=1)
    method, model = ready(f"soup[of={OF},count=2]", run)
    runs = run.runs()
    runs[1].head_init = "other"
    run.runs = lambda: runs
    with pytest.raises(ValueError, match="one head to start from"):
        method.fit(model, run)
