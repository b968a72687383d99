"""Weights merged by how much each model cares; how much it cares, row by row."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.heads import Gap
from bench.text import Batch
from methods import resolve
from methods.merging.fishers import merged
from methods.merging.statistics import _roots, fisher
from tests.tiny import Toy, ToyRun, backbone, batch, prepared, writer

RAW = {"normalise": False, "floor": 0.0}
seeds = st.integers(0, 10**6)


def state(*values: float):
    return {"x": torch.tensor(values, dtype=torch.float64)}


def draw(seed: int, count: int = 3):
    """States of two tensors with Fishers of very different sizes."""
    source = torch.Generator().manual_seed(seed)
    shapes = {"a": (4, 3), "b": (5,)}
    normal = lambda shape: torch.randn(shape, generator=source, dtype=torch.float64)  # noqa: E731
    states = [{n: normal(s) for n, s in shapes.items()} for _ in range(count)]
    return states, [{n: (3 * normal(s)).exp() for n, s in shapes.items()} for _ in range(count)]


def close(found, expected, bound=1e-12):
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=bound, atol=bound)


def test_two_normal_distributions_merge_into_the_mode_of_their_product():
    """N(1, 0.5) and N(3, 2), told by their variances."""
    found = merged([state(1), state(3)], [state(1 / 0.5), state(1 / 2)], **RAW)
    close(found, state(1.4))


@pytest.mark.parametrize("normalise", [True, False])
def test_equal_fishers_give_the_mean(normalise):
    states, (one, *_) = draw(0)
    mean = {name: sum(s[name] for s in states) / 3 for name in states[0]}
    close(merged(states, [one] * 3, normalise=normalise, floor=0.0), mean)
    parts = [0.2, 0.5, 0.3]
    weighted = {n: sum(p * s[n] for p, s in zip(parts, states, strict=True)) for n in states[0]}
    close(merged(states, [one] * 3, coefficients=parts, floor=0.0), weighted)


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(1e-6, 1e6))
def test_a_fisher_times_t_and_its_coefficient_over_t_change_nothing(seed, t):
    states, fishers = draw(seed)
    other = [{n: t * f for n, f in fishers[0].items()}, *fishers[1:]]
    first = merged(states, fishers, coefficients=[1, 1, 1], **RAW)
    close(merged(states, other, coefficients=[1 / t, 1, 1], **RAW), first, 1e-9)
    close(
        merged(states, other, coefficients=[1, 1, 1], floor=0.0),
        merged(states, fishers, floor=0.0),
        1e-9,
    )


def test_normalised_fishers_have_norm_1_over_all_tensors():
    states, fishers = draw(1, 2)
    norms = [torch.cat([f.flatten() for f in one.values()]).norm() for one in fishers]
    units = [
        {n: f / norm for n, f in one.items()} for one, norm in zip(fishers, norms, strict=True)
    ]
    close(merged(states, fishers, floor=0.0), merged(states, units, **RAW))
    differ = merged(states, fishers, **RAW)["a"] - merged(states, fishers, floor=0.0)["a"]
    assert differ.abs().max() > 1e-3


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_order_of_the_models_does_not_matter_and_none_leaves_what_they_span(seed):
    states, fishers = draw(seed)
    found = merged(states, fishers, favour="all")
    again = merged(states[::-1], fishers[::-1], favour="all")
    for name in found:
        assert torch.equal(found[name], again[name])
        stack = torch.stack([s[name] for s in states])
        assert (found[name] >= stack.amin(0) - 1e-12).all()
        assert (found[name] <= stack.amax(0) + 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_model_is_itself_bit_for_bit(dtype):
    (one,), fishers = draw(2, 1)
    one = {name: tensor.to(dtype) for name, tensor in one.items()}
    for found in (merged([one], fishers), merged([one], fishers, **RAW)):
        assert all(torch.equal(found[n], one[n]) and found[n].dtype == dtype for n in one)


def test_the_floor_favours_the_first_model_alone_or_none():
    states = [state(1.0, 5.0), state(2.0, 7.0)]
    fishers = [state(0.0, 4.0), state(0.0, 4.0)]
    assert merged(states, fishers)["x"].tolist() == [1.0, 6.0]
    assert merged(states, fishers, favour="all")["x"].tolist() == [1.5, 6.0]
    assert merged(states, fishers, floor=0.0)["x"].tolist() == [1.5, 6.0]
    assert merged(states[::-1], fishers)["x"].tolist() == [2.0, 6.0]
    assert merged(states, fishers, coefficients=[1, 3], floor=0.0)["x"].tolist() == [1.75, 6.5]


def test_the_floor_is_that_of_the_fisher_before_it_is_normalised():
    states, fishers = [state(0.0, 0.0), state(1.0, 1.0)], [state(0.1, 30.0), state(0.3, 0.4)]
    first, second = 0.2 / (0.1**2 + 30**2) ** 0.5, 0.3 / 0.5
    close({"x": merged(states, fishers, floor=0.2)["x"][:1]}, state(second / (first + second)))


def test_what_has_no_fisher_is_the_mean_and_integers_are_copied():
    states = [
        {"x": torch.ones(1), "y": torch.tensor(v), "n": torch.tensor(i)}
        for i, v in ((3, 1.0), (4, 2.0))
    ]
    fishers = [{"x": torch.ones(1)}] * 2
    found = merged(states, fishers, coefficients=[1, 3])
    assert float(found["y"]) == 1.75 and int(found["n"]) == 3 and float(found["x"]) == 1.0


@pytest.mark.parametrize(
    ("fishers", "options", "message"),
    [
        ([state(1)], {}, "expected Fishers of 2 models, got 1"),
        ([state(1), state(-1)], {}, "expected a Fisher of finite numbers of at least 0 for 'x'"),
        ([state(1), state(torch.nan)], {}, "expected a Fisher of finite numbers of at least 0"),
        ([state(1), state(1, 2)], {}, r"expected 'x' of shape \(1,\) as in the first Fisher"),
        ([state(1, 2)] * 2, {}, r"expected 'x' of shape \(1,\) as in the states, got \(2,\)"),
        ([{"z": torch.ones(1)}] * 2, {}, "expected 'z' of shape none as in the states"),
        ([state(1), {}], {}, r"expected 'x' of shape \(1,\) as in the first Fisher, got none"),
        ([state(1)] * 2, {"favour": "last"}, "expected favour=first or favour=all, got 'last'"),
        ([state(1)] * 2, {"floor": -1.0}, "expected a floor of at least 0, got -1.0"),
        ([state(1)] * 2, {"coefficients": [1]}, "expected 2 coefficients, got 1"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_one_line(fishers, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        merged([state(1), state(2)], fishers, **options)
    assert "\n" not in str(caught.value)


class Features(nn.Module):
    """Softmax or linear regression in float64 on features of the first token and the second."""

    prompt = None

    def __init__(self, outputs: int, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.outputs, self.regression = outputs, outputs == 1
        self.words = nn.Embedding(40, 6)
        self.out = nn.Linear(6, outputs)
        self.double()

    def features(self, batch: Batch) -> Tensor:
        return (self.words(batch.ids) * batch.mask.unsqueeze(-1)).sum(1)

    def forward(self, batch: Batch) -> Tensor:
        return self.out(self.features(batch))


def rows(outputs: int, count: int = 40):
    data = Toy(count, regression=outputs == 1)
    data.labels = [label if outputs == 1 else n % outputs for n, label in enumerate(data.labels)]
    return data


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_softmax_regression_has_the_fisher_of_its_closed_form(classes):
    """F_cj = E[x_j^2 p_c (1 - p_c)]."""
    model, batches = Features(classes), list(rows(classes).in_order(16))
    found = fisher(model, batches, ["out.weight", "out.bias"])
    with torch.no_grad():
        x = torch.cat([model.features(one) for one in batches])
        p = model.out(x).softmax(-1)
    spread = p * (1 - p)
    expected = {"out.weight": spread.T @ x.square() / len(x), "out.bias": spread.mean(0)}
    close(found, expected)


def test_regression_has_the_fisher_of_a_normal_distribution_of_variance_1():
    model, batches = Features(1), list(rows(1).in_order(16))
    with torch.no_grad():
        x = torch.cat([model.features(one) for one in batches])
        residual = torch.cat([one.labels for one in batches]) - model.out(x).squeeze(-1)
    names = ["out.weight", "out.bias"]
    one = torch.ones(1, dtype=torch.float64)
    close(fisher(model, batches, names), {names[0]: x.square().mean(0)[None], names[1]: one})
    weighted = (x * residual[:, None]).square().mean(0)[None]
    expected = {names[0]: weighted, names[1]: residual.square().mean()[None]}
    close(fisher(model, batches, names, sample="empirical"), expected)


def by_hand(model, data, names, sample):
    """From the definition: for each row and each class, p times the squared slope of log p."""
    own = dict(model.named_parameters())
    sums = {name: torch.zeros_like(own[name], dtype=torch.float64) for name in names}
    for one in data.in_order(1):
        shares = model.eval()(one)[0].double().log_softmax(-1)
        for label in range(len(shares)) if sample == "exact" else [int(one.labels[0])]:
            slopes = torch.autograd.grad(
                shares[label], [own[n] for n in names], retain_graph=True, allow_unused=True
            )
            part = float(shares[label].detach().exp()) if sample == "exact" else 1.0
            for name, slope in zip(names, slopes, strict=True):
                if slope is not None:
                    sums[name] += part * slope.double().square() / len(data)
    return sums


FAMILIES = ("bert", "roberta", "deberta-v2")
METHODS = ("lora", "adapter", "bitfit", "prefix", "prompt", "ia3", "adamix")


@pytest.mark.parametrize("name", [*FAMILIES, *METHODS])
def test_the_exact_fisher_is_that_of_its_definition_for_any_model(name):
    model, data = backbone(name if name in FAMILIES else "bert", outputs=3), rows(3, 9)
    if name in METHODS:
        prepared(resolve(name, "bert"), model, ToyRun())
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    found = fisher(model, list(data.in_order(4)), names)
    expected = by_hand(model, data, names, "exact")
    assert found.keys() == expected.keys() and any(one.any() for one in found.values())
    for one in names:
        bound = 1e-5 * float(expected[one].max()) + 1e-15
        torch.testing.assert_close(found[one], expected[one], rtol=1e-3, atol=bound)


def test_a_frozen_model_has_a_fisher_too():
    model, batches = backbone(), list(rows(2, 6).in_order(4))
    names = [n for n, _ in model.named_parameters()]
    expected = fisher(model, batches, names)
    found = fisher(model.requires_grad_(False), batches, names)
    assert all(torch.equal(found[name], expected[name]) for name in names)


def test_the_empirical_fisher_is_that_of_the_labels():
    model, data = backbone(outputs=3), rows(3, 9)
    names = ["head.out.weight", "net.embeddings.word_embeddings.weight"]
    found = fisher(model, list(data.in_order(4)), names, sample="empirical")
    expected = by_hand(model, data, names, "empirical")
    close(found, expected, 1e-5)
    exact = fisher(model, list(data.in_order(4)), names)
    assert (exact[names[0]] - found[names[0]]).abs().max() > 0.05 * found[names[0]].max()


def test_a_model_that_fills_gaps_reads_its_embeddings_twice():
    model, data = backbone(outputs=2), rows(2, 6)
    model.head = Gap(model.settings, "gelu")
    model.head.choose([5, 6])
    batches = [
        replace(one, targets=torch.arange(len(one.ids)) * one.ids.shape[1] + 2)
        for one in data.in_order(4)
    ]
    name = "net.embeddings.word_embeddings.weight"
    found = fisher(model, batches, [name])[name]
    total = torch.zeros_like(found)
    for one in batches:
        logits = model.eval()(one)
        for row in logits.log_softmax(-1):
            for share in row:
                slope = torch.autograd.grad(share, model.word_embeddings.weight, retain_graph=True)
                total += share.detach().exp() * slope[0].double().square() / 6
    torch.testing.assert_close(found, total, rtol=1e-4, atol=1e-7)
    assert found[5].sum() > found[39].sum()


@pytest.mark.parametrize("size", [4, 16])
def test_the_batch_does_not_shrink_the_fisher(size):
    model, data = backbone(outputs=3), rows(3, 32)
    names = [n for n, _ in model.named_parameters()]
    alone = fisher(model, list(data.in_order(1)), names)
    found = fisher(model, list(data.in_order(size)), names)
    for name in names:
        assert torch.equal(found[name], alone[name]), name
    trap = {name: torch.zeros(()) for name in names}  # what squaring a batch's mean slope gives
    batches = list(data.in_order(size))
    for one in batches:
        logits = model.eval()(one).log_softmax(-1)
        label = torch.multinomial(logits.exp().detach(), 1)
        model.zero_grad()
        logits.gather(1, label).mean().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                trap[name] = trap[name] + parameter.grad.square().sum() / len(batches)
    assert float(sum(trap.values())) < 0.6 * float(sum(f.sum() for f in alone.values()))


def test_rows_are_cut_where_their_text_ends():
    model = backbone(outputs=2)
    one = batch(4, 6)
    wider = replace(
        one, ids=nn.functional.pad(one.ids, (0, 5)), mask=nn.functional.pad(one.mask, (0, 5))
    )
    names = [n for n, _ in model.named_parameters()]
    found, expected = fisher(model, [wider], names), fisher(model, [one], names)
    assert all(torch.equal(found[name], expected[name]) for name in names)
    shut = replace(one, features=torch.zeros(4, 16))
    found = fisher(model, [shut], names)
    assert all(torch.equal(found[name], expected[name]) for name in names)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-60, 60), min_size=2, max_size=7))
def test_fewer_vectors_than_classes_make_up_the_fisher_of_the_logits(logits):
    shares = torch.tensor(logits, dtype=torch.float64).softmax(-1)
    roots = _roots(shares)
    assert roots.shape == (len(shares) - 1, len(shares))
    expected = torch.diag(shares) - shares[:, None] * shares
    torch.testing.assert_close(roots.T @ roots, expected, rtol=1e-9, atol=1e-12)


def test_a_class_that_is_certain_has_no_fisher():
    assert not _roots(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)).any()


def test_what_nothing_depends_on_has_a_fisher_of_0():
    model = backbone(outputs=2, pool="mean")
    model.head.unread = nn.Linear(2, 2)
    found = fisher(model, [batch()], ["head.unread.weight"])
    assert not found["head.unread.weight"].any()


def test_a_fisher_leaves_no_trace_even_where_it_fails():
    model = backbone().train()
    model.net.encoder.layer[0].eval()
    model.net.embeddings.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    modes = [m.training for m in model.modules()]
    free = [p.requires_grad for p in model.parameters()]
    before = {name: p.clone() for name, p in model.state_dict().items()}
    same = list(model.parameters())
    noise = torch.get_rng_state()

    def broken():
        yield batch()
        torch.rand(3)
        raise KeyboardInterrupt

    names = [n for n, _ in model.named_parameters()]
    fisher(model, [batch()], names)
    with pytest.raises(KeyboardInterrupt):
        fisher(model, broken(), names)
    assert torch.equal(noise, torch.get_rng_state())
    assert modes == [m.training for m in model.modules()]
    assert free == [p.requires_grad for p in model.parameters()]
    assert all(a is b for a, b in zip(same, model.parameters(), strict=True))
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert all((p.grad == 1).all() for p in model.parameters())
    assert not any(m.sparse for m in model.modules() if isinstance(m, nn.Embedding))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fisher(writer(), [], []), "expected a model of classes or numbers for its Fisher"),
        (
            lambda: fisher(backbone(), [], ["x"]),
            "expected names of the model's parameters, got 'x'",
        ),
        (lambda: fisher(backbone(), [], []), "expected at least one row, got none"),
        (
            lambda: fisher(backbone(), [], [], sample="one"),
            "expected sample=exact or sample=empirical, got 'one'",
        ),
    ],
)
def test_what_has_no_fisher_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
