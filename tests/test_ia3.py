"""(IA)^3 against peft on the same weights, and against its own definition."""

import numpy as np
import peft
import pytest
import torch
from torch import nn

from bench.backbone import Backbone
from bench.cost import Planless
from methods import resolve
from methods.base import Unsuited
from methods.layers.scaled import Scaled, ScaledInput
from tests.test_cost import params
from tests.test_second_routes import inputs, theirs
from tests.test_writers import pairs
from tests.tiny import backbone, batch, language_model, prepared, writer

# what peft reads of transformers is on its way out there
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

DOWN = r".*(?<!attention)\.output\.dense"
THEIRS = {  # what peft scales, and where it scales what goes in
    "bert": (rf".*\.(key|value)|{DOWN}", DOWN),
    "roberta": (rf".*\.(key|value)|{DOWN}", DOWN),
    "deberta-v2": (rf".*\.(key_proj|value_proj)|{DOWN}", DOWN),
    "gpt2": (r".*\.attn\.c_attn|.*\.mlp\.c_proj", r".*\.mlp\.c_proj"),
    "t5": (r".*\.(k|v|wo)", r".*\.wo"),
}
WRITERS = ["gpt2", "t5"]


def wrapped(family: str, net: nn.Module):
    """peft's model with scales drawn at random; GPT-2's fused map leaves queries alone."""
    targets, feedforward = THEIRS[family]
    config = peft.IA3Config(
        target_modules=targets, feedforward_modules=feedforward, fan_in_fan_out=family == "gpt2"
    )
    model = peft.get_peft_model(net, config).eval()
    for name, parameter in model.named_parameters():
        if "ia3_l" in name:
            nn.init.normal_(parameter.data, mean=1.0, std=0.3)
            if "c_attn" in name:
                parameter.data[: len(parameter) // 3] = 1.0
    return model


def scales(model: Backbone, other) -> list[tuple[nn.Parameter, nn.Parameter, slice]]:
    """Our vectors, each with peft's and the part of it that is the same vector."""
    found = []
    for name, layer in model.net.named_modules():
        if not isinstance(layer, Scaled):
            continue
        fused = name.endswith(("c_attn.k", "c_attn.v"))
        path = name.rpartition(".")[0] if fused else name
        base = other.base_model.model
        inner = path if hasattr(base, path.split(".")[0]) else f"{base.base_model_prefix}.{path}"
        their = base.get_submodule(inner).ia3_l["default"]
        start = {"k": 16, "v": 32}[name[-1]] if fused else 0
        found.append((layer.scale, their, slice(start, start + len(layer.scale))))
    return found


def both(family: str):
    """Our model and peft's with the same weights and scales, and what gives their logits."""
    if family in WRITERS:
        model, net = writer(family).eval(), language_model(family)
        rows = pairs(family).batch(np.arange(3))
        given = {"input_ids": rows.ids, "attention_mask": rows.mask}
        if family == "t5":
            given["decoder_input_ids"] = rows.written
        select = lambda logits: logits.flatten(0, 1)[rows.targets]  # noqa: E731
    else:
        model, rows = backbone(family), batch()
        net, given, select = theirs(family, model), inputs(rows), lambda logits: logits
    method = resolve("ia3", "")
    prepared(method, model)
    other = wrapped(family, net)
    with torch.no_grad():
        for mine, their, part in scales(model, other):
            mine.copy_(their.flatten()[part])
    model.eval()
    return method, model, rows, other, lambda net: select(net(**given).logits)


@pytest.mark.parametrize("family", THEIRS)
def test_ia3_equals_peft_forward_gradients_and_merged(family):
    method, model, rows, other, logits = both(family)
    mine, expected = model(rows), logits(other)
    torch.testing.assert_close(mine, expected, rtol=0, atol=1e-6)
    nn.functional.cross_entropy(mine, rows.labels).backward()
    nn.functional.cross_entropy(expected, rows.labels).backward()
    paired = scales(model, other)
    sites = {"bert": 6, "roberta": 6, "deberta-v2": 6, "gpt2": 6, "t5": 2 * 3 + 2 * 5}
    assert len(paired) == sites[family]
    for scale, their, part in paired:
        assert scale.grad.abs().max() > 0
        torch.testing.assert_close(scale.grad, their.grad.flatten()[part], rtol=0, atol=1e-6)
    method.finalize(model)
    torch.testing.assert_close(model(rows), mine, rtol=0, atol=1e-5)
    assert not scales(model, other)
    torch.testing.assert_close(model(rows), logits(other.merge_and_unload()), rtol=0, atol=1e-6)


def test_scales_stand_on_keys_values_and_the_inner_activations():
    model = backbone()
    prepared(resolve("ia3", ""), model)
    attention, output = model.layers[1].attention, model.layers[1].output
    assert type(attention.self.key) is type(attention.self.value) is Scaled
    assert type(output.dense) is ScaledInput and len(output.dense.scale) == 32
    assert isinstance(attention.self.query, nn.Linear)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [Scaled, ScaledInput])
def test_folding_a_scale_leaves_the_map(kind, bias):
    torch.manual_seed(0)
    layer, x = kind(nn.Linear(3, 2, bias=bias)), torch.randn(5, 3)
    nn.init.normal_(layer.scale)
    before = layer(x).detach()
    torch.testing.assert_close(layer.folded()(x), before)


def test_ia3_has_as_many_parameters_as_its_formula_says():
    layers, width, inner = 12, 768, 3072
    count = layers * (2 * width + inner)
    assert params("ia3", "bert-base-uncased") == (count, count) == (55_296, 55_296)


@pytest.mark.parametrize("targets", ["k+k", ""])
def test_targets_must_be_distinct_and_some(targets):
    with pytest.raises(ValueError, match="distinct targets"):
        resolve("ia3", "").__class__(targets=tuple(filter(None, targets.split("+"))))


def test_place_that_is_no_linear_map_is_refused():
    with pytest.raises(ValueError, match="'ffn_norm' is none"):
        prepared(resolve("ia3[targets=ffn_norm]", ""), backbone())


@pytest.mark.parametrize("text", ["lora[targets=q+ffn_out]", "ia3[targets=ffn_norm]"])
def test_what_is_folded_stands_around_linear_maps_alone(text):
    with pytest.raises(Unsuited, match="is for linear maps only; 'ffn_"):
        resolve(text, "").prepare(backbone(), Planless())
