"""Counting on the meta device and arithmetic on the structure give the same integers."""

from functools import partial

import pytest
import torch
from transformers import AutoConfig

from bench import closed_form
from bench.backbone import Backbone
from bench.cost import Planless, account, free
from bench.families import Unserved
from bench.flops import ONE, PARTS, Flops, Step, batch, count, served, trained
from bench.text import Shape
from bench.weights import Weights, find
from methods import method, resolve
from methods.base import Unsuited
from tests import tiny

FORMS = {  # family: (outputs, whether they fill gaps)
    "bert": [(3, False), (1, False), (3, True)],
    "roberta": [(3, False), (3, True)],
    "gpt2": [(0, False), (2, False)],
    "t5": [(0, False)],
}
SHAPES = {  # none of them is one that accounts are made from
    "": Shape(5, 12),
    "gaps": Shape(5, 12, 0, 9),
    "causal": Shape(5, 12, 0, 9),
    "seq2seq": Shape(5, 12, 6, 9),
}
CASES = [(family, *form) for family, forms in FORMS.items() for form in forms]
WHOLE = (("bert", 3, False), ("gpt2", 0, False), ("t5", 0, False))
FAST = (("bert", 3, True), ("gpt2", 0, False))
FEW = ("full", "head", "bitfit", "adapter", "lora", "ia3", "prompt", "prefix", "adamix-adapter")
MORE = (
    *("adapter[position=houlsby]", "adapter[position=pfeiffer]", "adapter[position=lin]"),
    *("lora[targets=q+k+v+o+up+down]", "ia3[targets=q+o+up]", "prefix[mlp=none]", "top[layers=2]"),
    *("adamix[inner=bitfit]", "adamix[inner=prefix]", "adamix[inner=prefix[mlp=none]]"),
    *("adamix[inner=ia3]", "adamix[inner=prompt]", "adamix[consistency=0]"),
    *("adamix[inner=lora,routing=sentence,share=none]", "infer[by=ensemble,draws=3]"),
)
TEXTS = sorted({*method.names(), *MORE})


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> dict[str, Weights]:
    found = {}
    for family in FORMS:
        folder = tmp_path_factory.mktemp(family)
        more = {"max_position_embeddings": 80} if family in ("bert", "roberta") else {}
        sizes = {**tiny.SIZES, **tiny.EXTRA.get(family, {}), **more}
        AutoConfig.for_model(family, **sizes).save_pretrained(folder)
        found[family] = find(str(folder))
    return found


def prepared(text: str, weights: Weights, outputs: int, gaps: bool):
    """The method, its model as it trains, the loss and the kind of its batches."""
    chosen = resolve(text, weights.name)
    model = Backbone.empty(weights, outputs, words=range(outputs) if gaps else None).train()
    with torch.device("meta"):
        free(model, chosen.prepare(model, Planless()))
    kind = "gaps" if gaps else model.family.writes if model.writes else ""
    return chosen, model, partial(chosen.loss, model), kind


def closed(model: Backbone, loss, kind: str) -> Step:
    """The closed form of a step."""
    passes: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, args: passes.append((*args, 1)[1]))
    loss(batch(ONE[kind]))
    handle.remove()
    return closed_form.step(model, passes)


def finished(chosen, model: Backbone) -> Backbone:
    """The model as it serves."""
    with torch.device("meta"):
        chosen.finalize(model)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(("family", "outputs", "gaps"), CASES)
def test_every_method_is_counted_as_the_closed_form_has_it(configs, family, outputs, gaps):
    compare(configs[family], outputs, gaps, FEW)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "outputs", "gaps"), WHOLE)
def test_every_variant_is_counted_as_the_closed_form_has_it(configs, family, outputs, gaps):
    compare(configs[family], outputs, gaps, TEXTS)


def compare(weights: Weights, outputs: int, gaps: bool, texts) -> None:
    """Counts and closed forms of the methods that serve the model."""
    compared = 0
    for text in texts:
        try:
            chosen, model, loss, kind = prepared(text, weights, outputs, gaps)
        except (Unsuited, Unserved):
            continue
        step = closed(model, loss, kind)
        shape = SHAPES[kind]
        counts = count(model, loss, shape, backward=True)
        assert [part.of(*shape) for part in step] == [counts[part] for part in PARTS], text
        serve = closed_form.serve(finished(chosen, model))
        assert serve.of(*shape) == count(model, model, shape)["forward"], text
        compared += 1
    assert compared > len(texts) / 2


@pytest.mark.parametrize(
    ("family", "outputs", "gaps"),
    [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES if case not in FAST)],
)
def test_counts_at_a_few_shapes_give_the_coefficients_of_the_closed_form(
    configs, family, outputs, gaps
):
    text = "adamix[inner=prefix]"
    chosen, model, loss, kind = prepared(text, configs[family], outputs, gaps)
    assert closed(model, loss, kind) == trained(model, loss, kind)
    finished(chosen, model)
    assert closed_form.serve(model) == served(model, model, kind)


@pytest.mark.parametrize(
    "name", ["roberta-large", pytest.param("gpt2-medium", marks=pytest.mark.slow)]
)
def test_real_configurations_are_counted_as_the_closed_form_has_them(name):
    outputs = 0 if name == "gpt2-medium" else 2
    _, model, loss, kind = prepared("adamix-adapter", find(name), outputs, False)
    counts = count(model, loss, ONE[kind], backward=True)
    found = [part.of(*ONE[kind]) for part in closed(model, loss, kind)]
    assert found == [counts[part] for part in PARTS]


def test_parts_of_a_step_sum_to_the_total(configs):
    step = account(resolve("adamix-lora", ""), configs["roberta"], 2).step
    for shape in ((1, 128), (16, 31)):
        assert sum(part.of(*shape) for part in step) == step.of(*shape) > 0


def test_frozen_weights_cost_no_gradient_and_nothing_is_passed_below_what_trains(configs):
    head, full, bias = (
        account(resolve(text, ""), configs["roberta"], 2).step
        for text in ("head", "full", "bitfit")
    )
    width, outputs = 16, 2
    assert head.weights.of(1, 8) == 2 * (width * width + width * outputs)
    assert head.activations.of(1, 8) == 2 * width * outputs  # between the two maps of the head
    assert bias.weights == head.weights
    assert bias.activations.of(1, 8) > head.activations.of(1, 8)
    assert full.weights.of(1, 8) > 10 * head.weights.of(1, 8)


@pytest.mark.parametrize("family", FORMS)
def test_merged_adamix_serves_like_a_single_module_exactly(configs, family):
    outputs = 0 if family in ("gpt2", "t5") else 2
    for inner in ("adapter", "lora", "ia3", "prefix"):
        one, many = (
            account(resolve(text, ""), configs[family], outputs)
            for text in (inner, f"adamix[inner={inner}]")
        )
        assert (one.serve, one.served_params) == (many.serve, many.served_params)


def test_what_is_not_written_down_is_refused(configs, tmp_path):
    model = Backbone.empty(configs["bert"], 2)
    model.layers[0].output.dropout = torch.nn.Bilinear(16, 16, 16, device="meta")
    with pytest.raises(Unserved, match="no closed form for a module of type Bilinear"):
        closed_form.step(model)
    sizes = {**tiny.SIZES, "max_position_embeddings": 80}
    AutoConfig.for_model("deberta-v2", **sizes).save_pretrained(tmp_path)
    other = Backbone.empty(find(str(tmp_path)), 2)
    with pytest.raises(Unserved, match="there is one for bert, roberta, gpt2, t5"):
        closed_form.step(other)


def test_account_is_counted_where_the_closed_form_is_wrong_or_absent(configs, monkeypatch):
    adapter, weights = resolve("adapter", ""), configs["bert"]
    right = account.__wrapped__(adapter, weights, 2)
    wrong = Step(*(Flops(token=1) for _ in range(3)))
    monkeypatch.setattr(closed_form, "step", lambda *_: wrong)
    assert account.__wrapped__(adapter, weights, 2) == right
    monkeypatch.undo()
    monkeypatch.setattr(closed_form, "PLAIN", ())
    assert account.__wrapped__(adapter, weights, 2) == right
