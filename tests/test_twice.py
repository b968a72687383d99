"""Two passes as one batch: the same as one after the other, wherever they part."""

import pytest
import torch
from torch import Tensor, nn

from bench.backbone import Backbone
from bench.run import drop
from bench.text import Batch
from bench.weights import find
from methods import resolve
from methods.layers.mixture import Mixture, Router, mixtures
from tests.tiny import ToyRun, backbone, batch, prepared, writer

PARTINGS = {  # of the inner method: the layer, and whether they part inside it
    "adapter[width=4]": (0, True),
    "adapter[width=4,position=houlsby]": (0, True),
    "adapter[width=4,position=pfeiffer]": (0, True),
    "lora[rank=2,targets=o+up]": (0, True),
    "lora[rank=2]": (0, False),
    "lora[rank=2,targets=q+v+o+up+down]": (0, False),
}
ROUTINGS = ["batch", "sentence"]


class Told:
    """Draws what it is told, in order."""

    def __init__(self, draws: list[Tensor]):
        self.left = list(draws)

    def draw(self, experts: int, size: int) -> Tensor:
        drawn = self.left.pop(0)
        assert len(drawn) == size
        return drawn


class Heard:
    """Draws at random and keeps what it drew."""

    def __init__(self) -> None:
        self.drawn: list[Tensor] = []

    def draw(self, experts: int, size: int) -> Tensor:
        self.drawn.append(torch.randint(experts, (size,)))
        return self.drawn[-1]


def mixed(model: Backbone, inner: str, routing: str = "batch") -> Backbone:
    """The model in training with mixtures whose experts are far apart, without dropout."""
    torch.manual_seed(1)
    text = f"adamix[inner={inner},experts=3,share=none,routing={routing}]"
    for parameter in prepared(resolve(text, ""), model, ToyRun()):
        nn.init.normal_(parameter, std=0.3)
    return without_dropout(model)


def without_dropout(model: Backbone) -> Backbone:
    drop(model, 0.0)
    return model.train()


def route(model: Backbone, router: Told | Heard) -> None:
    for mixture in mixtures(model):
        mixture.router = router


def gradients(model: Backbone, value: Tensor) -> list[Tensor | None]:
    trained = [p for p in model.parameters() if p.requires_grad]
    return list(torch.autograd.grad(value.sin().sum(), trained, allow_unused=True))


def both_ways(model: Backbone, rows: Batch) -> None:
    """Logits and gradients of two passes at once, and of one after the other, are the same."""
    heard = Heard()
    route(model, heard)
    at_once = model(rows, 2)
    one_by_one = []
    for half in (0, 1):
        route(model, Told([drawn.chunk(2)[half] for drawn in heard.drawn]))
        one_by_one.append(model(rows))
    assert not torch.allclose(*one_by_one, atol=1e-4), "the passes took other experts"
    expected = torch.cat(one_by_one)
    torch.testing.assert_close(at_once, expected, rtol=1e-6, atol=1e-6)
    for a, b in zip(gradients(model, at_once), gradients(model, expected), strict=True):
        assert (a is None) == (b is None), "an expert that was not drawn has no gradient"
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("inner", PARTINGS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_encoders(family, inner, routing):
    model = mixed(backbone(family, outputs=3), inner, routing)
    assert (model.parting.layer, model.parting.inside) == PARTINGS[inner]
    both_ways(model, batch(outputs=3))


def target(model: Backbone) -> Batch:
    rows = batch(rows=3, tokens=7)
    written = None if model.family.writes == "causal" else rows.ids[:, :4]
    return Batch(
        rows.ids,
        rows.mask,
        None,
        torch.tensor([5, 6, 7]),
        rows.rows,
        written,
        torch.tensor([1, 6, 9]),
    )


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("inner", ["adapter[width=4]", "lora[rank=2]"])
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_models_that_write(family, inner, routing):
    model = mixed(writer(family), inner, routing)
    assert model.parting.layer == {"gpt2": 0, "t5": None}[family]
    both_ways(model, target(model))


def test_a_stack_that_reads_a_class_off_its_last_token():
    both_ways(mixed(backbone_of_gpt2(), "adapter[width=4]"), batch(outputs=3))


def backbone_of_gpt2() -> Backbone:
    net = writer("gpt2").net.transformer
    model = Backbone("tiny-gpt2", net, 3)
    model.head.draw(0)
    return model


@pytest.mark.parametrize(("place", "rows"), [("q", [4, 8]), ("o", [4, 4])])
def test_layers_below_the_first_expert_run_once(place, rows):
    model = backbone()
    for site in model.sites([place])[1:]:  # the second layer's
        site.put(Mixture(site.module, 3, Router(torch.Generator()), "batch"))
        for expert in site.module.experts:
            nn.init.normal_(expert.weight, std=0.3)
    model.part(mixtures(model))
    without_dropout(model)
    seen: list[int] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _, args, out: seen.append(len(args[0])))
    both_ways(model, batch())
    assert model.parting.layer == 1
    assert seen == [*rows, 4, 4, 4, 4]


def test_one_network_is_two_by_its_dropout_alone():
    model = backbone()
    prepared(resolve("adamix[experts=1]", ""), model.train(), ToyRun())
    first, second = model.train()(batch(), 2).chunk(2)
    assert not torch.allclose(first, second)
    without_dropout(model)
    first, second = model(batch(), 2).chunk(2)
    torch.testing.assert_close(first, second)


def test_a_pass_alone_is_as_before_once_two_have_been_made():
    model = mixed(backbone(), "adapter[width=4]")
    route(model, Told([torch.tensor([1]), torch.tensor([2])] * 2))
    before = model(batch())
    seen = [dict(layer._forward_hooks) | dict(layer._forward_pre_hooks) for layer in model.layers]
    failing = model.layers[1].register_forward_hook(_fail)
    route(model, Heard())
    with pytest.raises(KeyError):
        model(batch(), 2)
    failing.remove()
    assert [{**m._forward_hooks, **m._forward_pre_hooks} for m in model.layers] == seen
    route(model, Told([torch.tensor([1]), torch.tensor([2])] * 2))
    assert torch.equal(model(batch()), before)


def _fail(*_: object) -> None:
    raise KeyError("on the way")


@pytest.mark.parametrize("inner", ["bitfit", "prefix[mlp=24]", "adapter[position=lin]", "full"])
def test_tensors_are_drawn_for_a_whole_pass(inner):
    assert mixed(backbone(), inner).parting is None


def test_attention_that_reads_positions_takes_one_pass_at_a_time():
    assert mixed(backbone("deberta-v2"), "lora").parting is None


def test_nothing_parts_once_the_experts_are_merged():
    model, chosen = backbone(), resolve("adamix", "")
    prepared(chosen, model, ToyRun())
    assert model.parting is not None
    chosen.finalize(model)
    assert model.parting is None


@pytest.mark.parametrize("inner", ["adapter", "lora"])
def test_the_real_encoder(inner):
    both_ways(mixed(Backbone.load(find("minilm"), 2), inner), batch(rows=3, tokens=9))
