"""Linear maps merged so that each keeps its outputs on its own inputs."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.text import Batch
from methods import resolve
from methods.merging.algebra import mean
from methods.merging.grams import merged, solved
from methods.merging.statistics import grams, pooled
from tests import tiny
from tests.tiny import EchoRun, Toy, ToyRun, backbone, prepared, writer

IN, OUT = 5, 3
EXACT = {"alpha": 1.0, "ridge": 0.0}


def maps(count: int = 3, seed: int = 0):
    """Weights and the inputs of each, of different number and spread."""
    source = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=source, dtype=torch.float64)  # noqa: E731
    weights = [draw(OUT, IN) for _ in range(count)]
    inputs = [(n + 1) * draw(20 + 15 * n, IN) @ draw(IN, IN) for n in range(count)]
    return weights, inputs


def told(inputs):
    return [x.T @ x for x in inputs], [len(x) for x in inputs]


def least_squares(weights, inputs, sizes=None):
    """The joint fit of all models' outputs on their own inputs: by rows, not by Gram matrices."""
    sizes = sizes or [1.0] * len(weights)
    x = torch.cat([size**0.5 * one for size, one in zip(sizes, inputs, strict=True)])
    y = torch.cat([s**0.5 * o @ w.T for s, o, w in zip(sizes, inputs, weights, strict=True)])
    return torch.linalg.lstsq(x, y).solution.T


def close(found, expected, bound=1e-12):
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("seed", range(3))
def test_summed_gram_matrices_give_the_joint_least_squares(seed):
    weights, inputs = maps(seed=seed)
    found = solved(weights, *told(inputs), normalise="none", **EXACT)
    close(found, least_squares(weights, inputs))
    assert (found - mean([{"": w} for w in weights])[""]).abs().max() > 0.1


def test_normalised_rows_are_least_squares_with_each_data_set_weighed_down_by_its_size():
    weights, inputs = maps()
    found = solved(weights, *told(inputs), normalise="rows", **EXACT)
    close(found, least_squares(weights, inputs, [1 / len(x) for x in inputs]))
    assert (found - least_squares(weights, inputs)).abs().max() > 1e-3


def test_coefficients_weigh_the_data_sets():
    weights, inputs = maps()
    sizes = [0.5, 2.0, 7.0]
    found = solved(weights, *told(inputs), normalise="none", coefficients=sizes, **EXACT)
    close(found, least_squares(weights, inputs, sizes))


def test_a_ridge_is_least_squares_with_a_few_more_rows_of_each_model():
    weights, inputs = maps()
    ridge = 0.01
    size = ridge * sum(float(g.diagonal().mean()) for g in told(inputs)[0])
    more = [(size / 3) ** 0.5 * torch.eye(IN, dtype=torch.float64)] * 3
    both = [torch.cat(pair) for pair in zip(inputs, more, strict=True)]
    found = solved(weights, *told(inputs), normalise="none", alpha=1.0, ridge=ridge)
    close(found, least_squares(weights, both))


@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.3, 0.0])
def test_equal_gram_matrices_give_the_mean(alpha):
    weights, inputs = maps()
    gram, count = told(inputs[:1])
    close(solved(weights, gram * 3, count * 3, alpha=alpha), sum(weights) / 3)
    parts = [0.2, 0.5, 0.3]
    found = solved(weights, gram * 3, count * 3, alpha=alpha, coefficients=parts)
    close(found, sum(p * w for p, w in zip(parts, weights, strict=True)))


def test_alpha_of_0_is_a_weighted_mean_for_each_input_feature():
    weights, inputs = maps()
    grams_, counts = told(inputs)
    sizes = torch.stack([gram.diagonal() for gram in grams_])
    expected = sum(w * s for w, s in zip(weights, sizes / sizes.sum(0), strict=True))
    close(solved(weights, grams_, counts, normalise="none", alpha=0.0, ridge=0.0), expected)


def test_alpha_shrinks_what_stands_off_the_diagonal():
    weights, inputs = maps()
    shrunk = [0.3 * gram + 0.7 * torch.diag(gram.diagonal()) for gram in told(inputs)[0]]
    found = solved(weights, *told(inputs), normalise="none", alpha=0.3, ridge=0.0)
    right = sum(gram @ w.T for gram, w in zip(shrunk, weights, strict=True))
    close(found, torch.linalg.solve(sum(shrunk), right).T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normalise", ["rows", "none"])
def test_one_model_is_itself_bit_for_bit(dtype, normalise):
    weights, inputs = maps(1)
    found = solved([weights[0].to(dtype)], *told(inputs), normalise=normalise, alpha=0.9)
    assert torch.equal(found, weights[0].to(dtype)) and found.dtype == dtype


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.sampled_from(["rows", "none"]))
def test_the_order_of_the_models_does_not_matter(seed, alpha, normalise):
    weights, inputs = maps(seed=seed)
    grams_, counts = told(inputs)
    options = {"alpha": alpha, "normalise": normalise}
    first = solved(weights, grams_, counts, **options)
    assert torch.equal(solved(weights[::-1], grams_[::-1], counts[::-1], **options), first)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_the_unit_of_the_inputs_does_not_matter(seed, unit):
    weights, inputs = maps(seed=seed)
    grams_, counts = told(inputs)
    scaled = [unit * gram for gram in grams_]
    close(solved(weights, scaled, counts), solved(weights, grams_, counts), 1e-7)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.0])
def test_a_feature_that_no_input_has_gets_the_mean(alpha):
    weights, inputs = maps()
    for x in inputs:
        x[:, 2] = 0
    found = solved(weights, *told(inputs), alpha=alpha)
    close(found[:, 2], (sum(weights) / 3)[:, 2])
    others = [0, 1, 3, 4]
    alone = [w[:, others] for w in weights], [x[:, others] for x in inputs]
    close(found[:, others], solved(alone[0], *told(alone[1]), alpha=alpha, ridge=8e-7), 1e-10)


def test_no_inputs_at_all_give_the_mean():
    weights, _ = maps()
    close(solved(weights, [torch.zeros(IN, IN)] * 3, [0] * 3), sum(weights) / 3)


def test_fewer_rows_than_features_leave_what_they_do_not_settle_at_the_mean():
    weights, inputs = maps()
    few = [x[:1] for x in inputs]
    found = solved(weights, *told(few), alpha=1.0)
    centre = sum(weights) / 3
    free = torch.linalg.svd(torch.cat(few))[2][3:]  # directions that no row has
    close((found - centre) @ free.T, torch.zeros(OUT, IN - 3, dtype=torch.float64), 1e-8)
    for x, weight in zip(few, weights, strict=True):
        close(x @ found.T, x @ weight.T, 1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.1}, r"expected alpha in \[0, 1\], got 1.1"),
        ({"ridge": -1.0}, "expected a ridge of at least 0, got -1.0"),
        ({"normalise": "row"}, "expected normalise=rows or normalise=none, got 'row'"),
        ({"coefficients": [1.0]}, "expected 2 coefficients, got 1"),
        ({"counts": [3]}, "expected as many weights as Gram matrices and counts, got 2, 2 and 1"),
        ({"grams": [torch.eye(4)] * 2}, r"expected Gram matrices of 5 inputs, got \(4, 4\)"),
        ({"grams": [torch.eye(5) / 0] * 2}, "expected finite Gram matrices"),
        (
            {"grams": [torch.zeros(5, 5).fill_diagonal_(1).index_fill(0, torch.tensor(1), 0)] * 2}
            | {"ridge": 0.0},
            "expected inputs that settle every weight, or a ridge above 0",
        ),
    ],
)
def test_what_cannot_be_solved_is_refused_in_one_line(options, message):
    weights, _ = maps(2)
    given = {"grams": [torch.eye(5)] * 2, "counts": [9, 9], **options}
    with pytest.raises(ValueError, match=message) as caught:
        solved(weights, given.pop("grams"), given.pop("counts"), **given)
    assert "\n" not in str(caught.value)


def test_only_what_has_statistics_is_solved_for_and_all_else_is_the_mean():
    weights, inputs = maps()
    biases = torch.arange(3.0)
    states = [{"a": w, "b": w + 1, "c": b} for w, b in zip(weights, biases, strict=True)]
    stats = [{"a": (x.T @ x, len(x))} for x in inputs]
    parts = [0.5, 0.25, 0.25]
    found = merged(states, stats, alpha=0.7, normalise="none", coefficients=parts, ridge=1e-3)
    expected = solved(
        weights, *told(inputs), alpha=0.7, normalise="none", coefficients=parts, ridge=1e-3
    )
    assert torch.equal(found["a"], expected)
    close(found["b"], sum(p * w for p, w in zip(parts, weights, strict=True)) + 1)
    assert float(found["c"]) == 0.75 and list(found) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="expected the weight 'a' and its Gram matrix in every"):
        merged(states, [*stats[:2], {}])
    with pytest.raises(ValueError, match="expected the weight 'x' and its Gram matrix in every"):
        merged(states, [{"x": one["a"]} for one in stats])
    with pytest.raises(ValueError, match="expected statistics of 3 models, got 2"):
        merged(states, stats[:2])


class Reading(nn.Module):
    """Two maps over embedded tokens in float64, one called by keyword; a mean over the text."""

    outputs, regression, prompt = 3, False, None

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.words = nn.Embedding(40, IN)
        self.first = nn.Linear(IN, IN)
        self.head = nn.Linear(IN, OUT)
        self.double()

    def forward(self, batch: Batch):
        hidden = self.first(input=self.words(batch.ids)).relu()
        weight = batch.mask.unsqueeze(-1).double()
        return self.head((hidden * weight).sum(1) / weight.sum(1))


def test_models_read_by_hooks_merge_into_the_joint_least_squares():
    models, data = [Reading(0), Reading(1)], [Toy(60, 0), Toy(90, 1)]
    names = ["first.weight", "first.bias", "head.weight", "words.weight"]
    stats = [grams(m, list(d.in_order(16)), names) for m, d in zip(models, data, strict=True)]
    assert list(stats[0]) == ["first.weight", "head.weight"]
    assert [one["first.weight"][1] for one in stats] == [int(d.lengths.sum()) for d in data]
    assert [one["head.weight"][1] for one in stats] == [60, 90]
    tokens = [torch.cat([torch.tensor(ids) for ids in d.ids]) for d in data]
    inputs = [m.words(t).detach() for m, t in zip(models, tokens, strict=True)]
    states = [model.state_dict() for model in models]
    found = merged(states, stats, normalise="none", **EXACT)
    close(found["first.weight"], least_squares([s["first.weight"] for s in states], inputs))
    close(found["words.weight"], (states[0]["words.weight"] + states[1]["words.weight"]) / 2)


def unpadded(data):
    """Every row as a batch of its own."""
    return list(data.in_order(1))


def alike(found, expected):
    assert found.keys() == expected.keys() and found
    for name, (gram, count) in expected.items():
        assert found[name][1] == count, name
        assert (count > 0) == (".experts." not in name), name  # their mean runs, not they
        bound = 1e-5 * float(gram.abs().max())
        torch.testing.assert_close(found[name][0], gram, rtol=0, atol=bound)


def every(model):
    return [name for name, _ in model.named_parameters()]


def reader(name):
    """A model and rows of different lengths."""
    if name in ("gpt2", "t5"):
        return writer(name), shortened(EchoRun(name).data)
    if name in ("bert", "roberta"):
        return backbone(name), Toy(21)
    model = backbone(pool="mean")
    prepared(resolve(name, "bert"), model, ToyRun())
    return model, Toy(21)


def shortened(data):
    """The first rows, of different lengths where sources and targets are."""
    data.sources = [s[: 1 + n % len(s)] if n % 2 else s for n, s in enumerate(data.sources[:21])]
    data.targets = [t[: 1 + n % len(t)] for n, t in enumerate(data.targets[:21])]
    data.labels, data.lengths = data.labels[:21], data.lengths[:21]
    return data


METHODS = ("lora[targets=q+v]", "adapter", "prefix", "prompt", "adamix")


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "t5", *METHODS])
def test_padding_does_not_enter_gram_matrices(name):
    model, data = reader(name)
    rows = [name for name in every(model) if "prefix" not in name]
    padded = list(data.in_order(21))
    assert len(padded) == 1 and (padded[0].mask == 0).any()
    found = grams(model, padded, rows)
    alike(found, grams(model, unpadded(data), rows))
    alike(found, grams(model, list(data.in_order(5)), rows))


def test_texts_read_and_written_of_the_same_shape_are_told_apart():
    model, data = writer("t5"), EchoRun("t5").data
    batch = data.batch(torch.arange(4).numpy())
    width = batch.written.shape[1]
    shorter = replace(batch, ids=batch.ids[:, :width], mask=batch.mask[:, :width].clone())
    shorter.mask[0, -1] = 0
    wider = replace(
        shorter,
        ids=nn.functional.pad(shorter.ids, (0, 2)),
        mask=nn.functional.pad(shorter.mask, (0, 2)),
    )
    assert shorter.ids.shape == batch.written.shape
    found = grams(model, [shorter], every(model))
    alike(found, grams(model, [wider], every(model)))
    counts = {count for _, count in found.values()}
    assert counts == {4 * width, 4 * width - 1}  # what is written, and what is read


def test_the_maps_of_gpt2_have_a_gram_matrix_each():
    model = writer("gpt2")
    found = grams(model, list(shortened(EchoRun("gpt2").data).in_order(8)), every(model))
    assert len([name for name in found if ".h." in name]) == 12  # q, k, v, o, up, down twice


def test_a_gram_matrix_is_that_of_the_inputs_themselves():
    model, data = backbone(pool="mean"), Toy(30)
    batches = list(data.in_order(7))
    features = pooled(model, batches).double()
    assert features.shape == (30, 16)
    gram, count = grams(model, batches, ["head.out.weight"])["head.out.weight"]
    close(gram, features.T @ features)
    assert count == 30
    seen = []
    site = model.sites(("down",))[0]
    handle = site.module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.eval()(batches[0])
    handle.remove()
    x = seen[0].detach()[batches[0].mask.bool()].double()
    name = next(n for n, p in model.named_parameters() if p is site.module.weight)
    gram, count = grams(model, batches[:1], [name])[name]
    close(gram, x.T @ x)
    assert count == int(batches[0].mask.sum())


def test_relative_positions_of_deberta_count_whole_once_a_batch():
    model, data = backbone("deberta-v2"), Toy(12)
    names = [name for name in every(model) if "query_proj.weight" in name]
    positions = 2 * 8
    for size, batches in ((12, 1), (4, 3)):
        found = grams(model, list(data.in_order(size)), names)
        expected = int(data.lengths.sum()) + batches * positions
        assert [count for _, count in found.values()] == [expected] * 2


def test_a_map_that_is_not_reached_has_no_rows():
    model = backbone(pool="mean")
    model.head.unread = nn.Linear(4, 4)
    name = "head.unread.weight"
    gram, count = grams(model, list(Toy(4).in_order(4)), [name])[name]
    assert count == 0 and not gram.any()


def test_what_was_kept_of_the_layers_does_not_stand_for_them():
    model, (batch,) = backbone(), Toy(6).in_order(6)
    kept = replace(batch, features=torch.zeros(6, 16))
    alike(grams(model, [kept], every(model)), grams(model, [batch], every(model)))


def hooks(model):
    return sum(len(m._forward_pre_hooks) for m in model.modules())


def test_reading_leaves_no_trace_even_where_it_fails():
    model = backbone().train()
    model.net.encoder.layer[0].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    modes = [m.training for m in model.modules()]
    before = {name: p.clone() for name, p in model.state_dict().items()}
    noise = torch.get_rng_state()
    (batch,) = Toy(6).in_order(6)

    def broken():
        torch.rand(3)
        yield batch
        raise KeyboardInterrupt

    grams(model, [batch], every(model))
    pooled(model, [batch])
    with pytest.raises(KeyboardInterrupt):
        grams(model, broken(), every(model))
    assert torch.equal(noise, torch.get_rng_state()) and hooks(model) == 0
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert all((p.grad == 1).all() for p in model.parameters())


def test_dropout_is_off():
    model, (batch,) = backbone().train(), Toy(6).in_order(6)
    first, second = (grams(model, [batch], every(model)) for _ in range(2))
    assert all(torch.equal(first[name][0], second[name][0]) for name in first)
    assert torch.equal(pooled(model, [batch]), model.eval().features(batch))


def test_names_that_are_no_parameters_and_no_batches_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^expected names of the model's parameters, got 'x'$"):
        grams(tiny.backbone(), [], ["x"])
    with pytest.raises(ValueError, match=r"^expected at least one batch, got none$"):
        pooled(tiny.backbone(), [])
