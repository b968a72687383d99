from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

from bench.backbone import Backbone
from bench.cost import Peak, Planless, account, free, size
from bench.counting import counts
from bench.families import Unserved
from bench.flops import Flops, Step
from bench.weights import Weights, find
from methods import resolve
from tests import tiny
from tests.tiny import ENCODERS

BERT, LARGE = "bert-base-uncased", "roberta-large"
SHAPES = ((1, 128), (16, 128), (7, 31), (64, 512))
CONVOLVED = {"conv_kernel_size": 3, "conv_act": "gelu"}
FOUR = "adamix[inner=adapter[width={}],share={}]"


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> dict[str, Weights]:
    found = {}
    for family in ENCODERS:
        folder = tmp_path_factory.mktemp(family)
        more = CONVOLVED if family == "deberta-v2" else {}
        sizes = {**tiny.SIZES, **tiny.EXTRA.get(family, {}), **more, "max_position_embeddings": 80}
        AutoConfig.for_model(family, **sizes).save_pretrained(folder)
        found[family] = find(str(folder))
    return found


def params(text: str, name: str) -> tuple[int, int]:
    chosen, model = resolve(text, name), Backbone.empty(find(name), 2)
    with torch.device("meta"):
        trained = chosen.prepare(model, Planless())
        free(model, trained)
        return size(trained), size(chosen.finalize(model))


def bert(rows: int, tokens: int) -> int:
    d, f, layers = 768, 3072, 12
    maps = 2 * rows * tokens * layers * (4 * d**2 + 2 * d * f)
    return maps + 4 * rows * tokens**2 * d * layers + 2 * rows * (d**2 + 2 * d)


def counted(call) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


# microsoft/AdaMix and the baselines of its tables 1 and 2, worked out from the configurations
@pytest.mark.parametrize(
    ("name", "text", "trained", "served"),
    [
        (LARGE, "adamix-adapter", 1_992_192, 811_392),
        (LARGE, FOUR.format(16, "none"), 3_245_568, 811_392),
        (LARGE, "adapter[width=16]", 811_392, 811_392),
        (LARGE, "adapter[width=64,position=pfeiffer]", 24 * 132_160, 24 * 132_160),
        (LARGE, "adapter[width=64,position=houlsby]", 48 * 132_160, 48 * 132_160),
        (LARGE, "lora", 786_432, 786_432),
        (LARGE, "adamix-lora", 48 * 5 * 8 * 1024, 786_432),
        (LARGE, "head", 0, 0),
        (BERT, "adamix-adapter", 2_223_360, 894_528),
        (BERT, FOUR.format(48, "none"), 3_578_112, 894_528),
        (BERT, FOUR.format(48, "down"), 12 * (36_912 + 4 * 37_632), 894_528),
        (BERT, "adapter", 894_528, 894_528),
        (BERT, "lora", 294_912, 294_912),
        (BERT, "bitfit", 102_912, 102_912),
        (BERT, "prefix[mlp=none]", 184_320, 184_320),
        (BERT, "prefix", 10 * 768 + 768 * 512 + 512 + 513 * 24 * 768, 184_320),
        (BERT, "full", 109_482_240, 109_482_240),
    ],
)
def test_method_has_as_many_parameters_as_published(name, text, trained, served):
    assert params(text, name) == (trained, served)


@pytest.mark.parametrize(
    ("name", "backbone", "head"),
    [
        (BERT, 109_482_240, 768 * 3 + 3),
        ("roberta-base", 124_055_040, 768 * 768 + 768 + 768 * 3 + 3),
        (LARGE, 354_310_144, 1024 * 1024 + 1024 + 1024 * 3 + 3),
        ("minilm", 22_565_376, 384 * 3 + 3),
    ],
)
def test_backbone_and_head_have_as_many_parameters_as_their_configuration_says(
    name, backbone, head
):
    model = Backbone.empty(find(name), 3)
    assert (size(model.net.parameters()), size(model.head.parameters())) == (backbone, head)


def test_deberta_xxlarge_loads_from_its_configuration():
    model = Backbone.empty(find("deberta-v2-xxlarge"), 2)
    d, f = 1536, 6144
    norm, layer = 2 * d, 4 * (d * d + d) + 2 * d * f + f + d
    embeddings = 128_100 * d + norm + 512 * d + norm  # words, and distances up to 256 either way
    convolution = 3 * d * d + d + norm
    assert size(model.net.parameters()) == embeddings + convolution + 48 * (layer + 2 * norm)
    assert len(model.sites(["q", "ffn_out"])) == 96


@pytest.mark.parametrize("shape", SHAPES)
def test_flops_of_bert_equal_the_closed_form(shape):
    full = account(resolve("full", BERT), find(BERT), 2)
    assert full.serve.of(*shape) == bert(*shape)
    assert full.step.of(*shape) == 3 * bert(*shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_flops_of_lora_equal_the_closed_form(shape):
    (rows, tokens), d, f = shape, 768, 3072
    lora = account(resolve("lora", BERT), find(BERT), 2)
    maps, attention = (
        2 * rows * tokens * 12 * (4 * d * d + 2 * d * f),
        4 * rows * tokens**2 * d * 12,
    )
    updates = 2 * rows * tokens * 12 * 2 * (2 * d * 8)
    head, head_weights = 2 * rows * (d * d + 2 * d), 2 * rows * 2 * d
    # nothing trains below the first layer's q, k, v and updates, nor in its keys
    below = 2 * rows * tokens * (3 * d * d + 2 * d * 8) + 2 * rows * tokens**2 * d
    frozen = 2 * maps + 2 * head + head_weights
    assert lora.serve.of(*shape) == maps + attention + head
    assert lora.step.of(*shape) == frozen + 3 * attention + 3 * updates - below


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("bert", "prefix"),
        ("bert", "adamix"),
        ("roberta", "adamix[inner=lora,routing=sentence,share=none]"),
        ("deberta-v2", "full"),
    ],
)
def test_flops_equal_a_direct_count_at_shapes_that_were_not_probed(configs, family, text):
    chosen, model = resolve(text, ""), Backbone.empty(configs[family], 2, "cpu")
    found = account(chosen, configs[family], 2)
    free(model, chosen.prepare(model, Planless()))
    for shape in ((3, 7), (5, 33)):
        rows = tiny.batch(*shape)
        direct = counted(lambda rows=rows: chosen.loss(model.train(), rows).backward())
        assert direct == found.step.of(*shape)
    chosen.finalize(model)
    model.eval().requires_grad_(False)
    for shape in ((3, 7), (5, 33)):
        rows = tiny.batch(*shape)
        assert counted(lambda rows=rows: model(rows)) == found.serve.of(*shape)


def test_prefix_has_no_account_on_a_model_that_takes_none(configs):
    with pytest.raises(Unserved, match="takes no past keys"):
        account(resolve("prefix", ""), configs["deberta-v2"], 2)


def test_adamix_costs_two_passes_to_train_but_below_its_first_expert(configs):
    plain, one, two = (
        account(resolve(text, ""), configs["bert"], 2)
        for text in ("adapter", "adamix[consistency=0]", "adamix")
    )
    assert plain.step == one.step
    forward, *backward = (Flops(*(2 * n for n in part)) for part in one.step)
    width, inner = tiny.SIZES["hidden_size"], tiny.SIZES["intermediate_size"]
    shared = {  # the first layer up to its adapter: six maps, and two products of attention
        "token": 2 * (4 * width * width + 2 * width * inner),
        "square": 2 * 2 * width,
    }
    less = {name: getattr(forward, name) - size for name, size in shared.items()}
    assert two.step == Step(forward._replace(**less), *backward)
    assert plain.serve == one.serve == two.serve


def test_account_counts_what_the_method_trains_and_serves(configs):
    found = account(resolve("adapter", ""), configs["bert"], 2)
    model = Backbone.empty(configs["bert"], 2)
    assert found.params == {
        "trained_params": 2 * (16 * 48 + 48 + 48 * 16 + 16),
        "served_params": 2 * (16 * 48 + 48 + 48 * 16 + 16),
        "head_params": 16 * 2 + 2,
        "backbone_params": size(model.net.parameters()),
    }


def test_counting_again_counts_the_same_and_draws_nothing(configs):
    before, adapter = torch.random.get_rng_state(), resolve("adapter", "")
    again = account.__wrapped__(adapter, configs["bert"], 2)
    assert again == account(adapter, configs["bert"], 2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_equal_methods_are_counted_once(configs):
    first = account(resolve("adamix", ""), configs["bert"], 2)
    assert account(resolve("adamix[experts=4]", "x"), configs["bert"], 2) is first


def test_shared_parameters_count_once():
    shared = torch.nn.Linear(3, 2)
    assert size([*shared.parameters(), shared.weight, torch.nn.Parameter(torch.ones(5))]) == 13


def test_freezing_leaves_the_given_parameters_and_the_head():
    model = tiny.backbone()
    kept = [model.layers[0].output.dense.bias]
    free(model, kept)
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in [*kept, *model.head.parameters()]}


def test_peak_memory_is_what_came_and_went_since_the_start():
    before = torch.ones(2**25)  # 128 MiB that were there already
    peak = Peak(torch.device("cpu"))
    assert peak.source == "resident set above the start"
    assert peak.read() < 2**25
    block = torch.ones(2**25)
    del block
    assert 0.99 < peak.read() / 2**27 < 1.25
    assert Peak(torch.device("cpu")).read() < 2**25
    del before


def test_peak_memory_counts_what_earlier_work_has_given_up():
    def small() -> list[torch.Tensor]:
        return [torch.ones(2**13) for _ in range(2**12)]  # 128 MiB in pieces that are kept

    before = small()
    del before
    peak = Peak(torch.device("cpu"))
    after = small()
    assert peak.read() > 2**26
    del after


def test_peak_memory_that_cannot_start_anew_says_what_it_is(monkeypatch):
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", forbidden)
    peak = Peak(torch.device("cpu"))
    assert peak.source == "greatest resident set of the process"
    assert peak.read() > 2**25


def test_counts_are_flat_rows_and_name_what_cannot_be_served(configs):
    weights = configs["bert"]
    rows = counts(weights.location, ["adapter", "adamix[inner=head]"], 2, 16)
    found = account(resolve("adapter", ""), weights, 2)
    assert rows[0] == {
        "method": "adapter",
        "model": weights.name,
        "reason": "",
        **found.params,
        "forward_flops": found.step.forward.of(1, 16),
        "activation_gradient_flops": found.step.activations.of(1, 16),
        "weight_gradient_flops": found.step.weights.of(1, 16),
        "train_flops": found.step.of(1, 16),
        "optimizer_flops": 18 * (found.trained_params + found.head_params),
        "inference_flops": found.serve.of(1, 16),
    }
    assert rows[1]["method"] == "adamix[inner=head]" and rows[1]["reason"]
    assert not rows[1].keys() & {"trained_params", "train_flops"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [LARGE, "deberta-v2-xxlarge"])
def test_large_models_are_counted_whole(name):
    found = account(resolve("adamix-adapter", name), find(name), 3)
    plain = account(resolve("adamix[inner=adapter,consistency=0]", name), find(name), 3)
    assert (found.trained_params, found.served_params) == params("adamix-adapter", name)
    assert found.step.of(16, 128) > 1.9 * plain.step.of(16, 128)
