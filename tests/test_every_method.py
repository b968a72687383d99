"""The contract of a method, over every method there is."""

import pytest
import torch

from bench import spec
from bench.cost import size
from bench.families import Unserved
from methods import alias, method, resolve
from methods.base import Method, Unsuited
from tests.tiny import ToyRun, backbone, batch, prepared

VARIANTS = [
    "adapter[position=houlsby]",
    "adapter[position=pfeiffer]",
    "lora[targets=q+k+v+o+up+down]",
    "prefix[mlp=none]",
    "adamix[inner=lora,routing=sentence,share=down]",
    "adamix[inner=adapter[position=houlsby],share=none,idle=moving]",
    "adamix[inner=adapter[position=pfeiffer],init=copies]",
    "adamix[inner=adapter[position=lin]]",
    "prompt[init=normal]",
    "ia3[targets=q+o+up]",
    "adamix[inner=ia3,experts=2]",
    "adamix[inner=bitfit]",
    "adamix[inner=prompt]",
    "adamix[inner=prefix[mlp=24]]",
    "adamix[inner=prefix[mlp=none]]",
]
BARS = {"head": 0.65, "prefix": 0.7}  # what a frozen random encoder lets them reach
NAMES = [*method.names(), *alias.names()]
every_method = pytest.mark.parametrize("text", [*NAMES, *VARIANTS])
RARER = [pytest.param(text, marks=pytest.mark.slow) for text in VARIANTS]
named_first = pytest.mark.parametrize("text", [*NAMES, *RARER])
families = pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])


def ready(text: str, family: str = "bert", run=None) -> tuple[Method, torch.nn.Module, list]:
    chosen, model = resolve(text, family), backbone(family)
    return chosen, model, prepared(chosen, model, run)


def output(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(batch())


def copies(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@every_method
@families
def test_method_starts_identical_or_says_it_does_not(text, family):
    before = output(backbone(family))
    try:
        chosen, model, _ = ready(text, family)
    except Unserved:
        assert "prefix" in text and family == "deberta-v2"
        return
    same = torch.equal(output(model), before)
    assert same == chosen.starts_identical


@every_method
def test_prepare_returns_a_list_with_every_parameter_it_adds_once(text):
    chosen, model = resolve(text, "bert"), backbone()
    before = {id(p) for p in model.parameters()}
    trained = chosen.prepare(model, ToyRun())
    assert isinstance(trained, list)
    returned = {id(p) for p in trained}
    assert len(returned) == len(trained)
    held = {id(p) for p in model.parameters()}
    assert held - before <= returned <= held


@every_method
def test_fit_moves_all_that_prepare_returned_and_nothing_else_but_the_head(text):
    run = ToyRun()
    chosen, model, trained = ready(text, run=run)
    mine = {id(p) for p in trained} | {id(p) for p in model.head.parameters()}
    before = copies(model)
    chosen.fit(model, run)
    for name, parameter in model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == (id(parameter) in mine), name


ELSEWHERE = [
    pytest.param(text, family, marks=pytest.mark.slow)
    for text in VARIANTS
    for family in ("roberta", "deberta-v2")
]


@pytest.mark.parametrize(
    ("text", "family"),
    [
        *((text, family) for text in NAMES for family in ("bert", "roberta", "deberta-v2")),
        *((text, "bert") for text in VARIANTS),
        *ELSEWHERE,
    ],
)
def test_finalize_keeps_outputs(text, family):
    run = ToyRun(epochs=1)
    try:
        chosen, model, _ = ready(text, family, run)
    except Unserved:
        pytest.skip("the attention takes no prefix")
    chosen.fit(model, run)
    before = output(model)
    chosen.finalize(model)
    torch.testing.assert_close(output(model), before, rtol=1e-4, atol=1e-5)


@every_method
def test_finalize_leaves_no_more_parameters_than_it_says_are_served(text):
    chosen, model, _ = ready(text)
    plain = size(backbone().parameters())
    served = size(chosen.finalize(model))
    assert size(model.parameters()) - plain <= served


@named_first
def test_same_seed_gives_the_same_weights_and_another_seed_others(text):
    def weights(seed: int) -> torch.Tensor:
        run = ToyRun(seed=seed, epochs=1)
        chosen, model, _ = ready(text, run=run)
        chosen.fit(model, run)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@named_first
def test_method_learns_the_toy_task(text):
    chosen, model = resolve(text, "bert"), backbone(pool="mean")
    run = ToyRun(epochs=12, lr=2e-2)
    prepared(chosen, model, run)
    chosen.fit(model, run)
    chosen.finalize(model)
    assert run.evaluate(model, "test")["accuracy"] > BARS.get(text, 0.85)


@every_method
def test_method_text_builds_an_equal_method(text):
    chosen = resolve(text, "minilm")
    assert resolve(spec.text(chosen), "") == chosen


@pytest.mark.parametrize("name", NAMES)
def test_method_names_its_source(name):
    entry = method[name] if name in method.names() else alias[name]
    assert "20" in entry.source and entry.__doc__.splitlines()[0].endswith(".")


# Worked out by hand for width 16, 2 layers, 2 heads, FFN 32, 40 words.
@pytest.mark.parametrize(
    ("text", "trained", "served"),
    [
        ("head", 0, 0),
        # a layer: q k v o and both LayerNorms 6 x 16, up 32, down 16; embeddings' norm, pooler
        ("bitfit", 2 * (6 * 16 + 32 + 16) + 16 + 16, 2 * (6 * 16 + 32 + 16) + 16 + 16),
        ("adapter[width=4]", 2 * (2 * 16 * 4 + 4 + 16), 2 * (2 * 16 * 4 + 4 + 16)),
        ("adapter[width=4,position=houlsby]", 4 * 148, 4 * 148),
        ("adapter[width=4,position=pfeiffer]", 2 * 148, 2 * 148),
        ("lora[rank=3]", 2 * 2 * 2 * 16 * 3, 2 * 2 * 2 * 16 * 3),
        ("lora[rank=3,targets=up]", 2 * 3 * (16 + 32), 2 * 3 * (16 + 32)),
        ("prefix[length=5,mlp=none]", 5 * 2 * 2 * 16, 5 * 2 * 2 * 16),
        ("prefix[length=5,mlp=7]", 5 * 16 + 16 * 7 + 7 + 7 * 64 + 64, 5 * 64),
        ("adamix[inner=adapter[width=4],experts=3]", 2 * (3 * 68 + 80), 2 * 148),
        ("adamix[inner=adapter[width=4],experts=3,share=down]", 2 * (68 + 3 * 80), 2 * 148),
        ("adamix[inner=adapter[width=4],experts=3,share=none]", 2 * 3 * 148, 2 * 148),
        ("adamix[inner=lora[rank=3],experts=5]", 4 * (5 * 48 + 48), 4 * 96),
        ("ia3", 2 * (16 + 16 + 32), 2 * (16 + 16 + 32)),
        ("ia3[targets=q+up]", 2 * (16 + 32), 2 * (16 + 32)),
        ("prompt[length=7]", 7 * 16, 7 * 16),
        ("adamix[inner=ia3,experts=3]", 3 * 128, 128),
        ("adamix[inner=prompt[length=7],experts=3]", 3 * 112, 112),
        ("adamix[inner=bitfit,experts=3]", 3 * 320, 320),
        # the norm's weight and bias are mixed, 32 a layer; the up map is shared
        ("adamix[inner=adapter[width=4,position=lin],experts=3]", 2 * (3 * 100 + 80), 2 * 180),
        ("adamix[inner=prefix[length=5,mlp=none],experts=3]", 3 * 320, 320),
        ("adamix[inner=prefix[length=5,mlp=7],experts=3]", 3 * (5 * 16 + 119) + 8 * 64, 320),
    ],
)
def test_method_trains_and_serves_as_many_entries_as_worked_out_by_hand(text, trained, served):
    chosen, model, parameters = ready(text)
    assert (size(parameters), size(chosen.finalize(model))) == (trained, served)


def test_prefix_does_not_serve_a_model_without_past_keys():
    with pytest.raises(Unserved, match="takes no past keys"):
        ready("prefix", "deberta-v2")


def test_adamix_refuses_an_inner_method_that_trains_nothing_but_the_head():
    with pytest.raises(Unsuited, match="nothing to mix"):
        ready("adamix[inner=head]")
