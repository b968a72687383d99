"""The contract of a method, over every method there is."""

import re
from collections.abc import Collection

import pytest
import torch

from bench.contract import plugin as check
from bench.contract.declared import declared
from bench.contract.subject import tiny
from bench.cost import size
from bench.families import FAMILIES, Unserved
from methods import alias, method, resolve
from methods.base import Method, Unsuited
from tests.tiny import ENCODERS, WRITERS, ToyRun, backbone, prepared

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
    "cut[layers=1,pool=first,start=random,of=lora]",
    "btuning[of=lora,candidates=none]",
    "rebasin[of=mlp[layers=1,width=8],count=3]",
    "rebasin[of=scratch[layers=1]]",
    "rebasin[of=full]",
]
BARS = {  # what a frozen random encoder, or a merge of independent networks, lets them reach
    "head": 0.65,
    "cut": 0.65,
    "logme": 0.65,
    "btuning[of=lora,candidates=none]": 0.7,
    "prefix": 0.7,
    "rebasin[of=mlp[layers=1,width=8],count=3]": 0.7,
    "rebasin[of=scratch[layers=1]]": 0.65,
    "untuned": 0.0,  # learns nothing
}
NAMES = [*method.names(), *alias.names()]
every_method = pytest.mark.parametrize("text", [*NAMES, *VARIANTS])
RARER = [pytest.param(text, marks=pytest.mark.slow) for text in VARIANTS]
named_first = pytest.mark.parametrize("text", [*NAMES, *RARER])
ITEMS = [item.name for contract in check.CONTRACT for item in contract.items]
MOVES = {"trains-only-returned", "moves-all", "finalize-keeps-outputs", "served-is-counted"}
WHOLE = ["lora", "adamix-adapter"]  # looked at in full among the fast tests
WRITES = ("a prompt serves encoders",)
CANDIDATES = dict.fromkeys(("cut", "logme", "btuning"), ("layers are cut off encoders",))
KNOWN = "rebasin knows the permutations of bert and roberta"
FISHER = ("a Fisher is of models that classify",)
ENCODES = {
    **CANDIDATES,
    "mlp": ("a head for classes",),
    "rebasin": ("a head for classes",),  # as its default runs
    "scratch": ("scratch serves encoders", KNOWN),
    "full": (KNOWN,),  # under rebasin
}
UNSERVED = {  # family: method: what is said of it
    "deberta-v2": {
        "prefix": ("takes no past keys",),
        "full": (KNOWN,),
        "scratch": (KNOWN,),
    },
    "gpt2": {**ENCODES, "fisher": FISHER, "prompt": WRITES, "adapter": ("no place 'ffn_norm'",)},
    "t5": {
        **ENCODES,
        "fisher": FISHER,
        "prompt": WRITES,
        "adapter": ("no place 'ffn_norm'",),
        "bitfit": ("has none",),
    },
}


def slow(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def ready(text: str, family: str = "bert") -> tuple[Method, torch.nn.Module, list]:
    chosen, model = resolve(text, family), backbone(family)
    return chosen, model, prepared(chosen, model)


def broken(text: str, family: str, only: Collection[str] = ()) -> list[str]:
    found = list(check.on_model(text, tiny(family), only))
    if found[0].check == "serves":
        told = found[0].told
        assert any(word in told for word in UNSERVED.get(family, {}).get(stem(text), ())), told
        return []
    assert len(found) == len(only or ITEMS)
    return check.failed(found)


def stem(text: str) -> str:
    """The method that decides which models are served."""
    if text.startswith(tuple(CANDIDATES)):
        return text.partition("[")[0]
    inner = re.search(r"(?:inner|of)=(\w+)", text)
    return inner[1] if inner else text.partition("[")[0]


@every_method
def test_method_is_declared_as_the_contract_has_it(text):
    found = check.findings(text, [])[: len(declared.items)]
    assert [one.outcome for one in found] == ["ok"] * len(declared.items), check.failed(found)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        *((text, "bert") for text in WHOLE),
        *slow((text, "bert") for text in NAMES if text not in WHOLE),
        *slow((text, family) for text in NAMES for family in FAMILIES if family != "bert"),
        *slow((text, family) for text in VARIANTS for family in FAMILIES),
    ],
)
def test_method_keeps_the_contract(text, family):
    assert broken(text, family) == []


@pytest.mark.parametrize("text", [text for text in NAMES if text not in WHOLE])
def test_method_trains_and_serves_as_the_contract_has_it(text):
    assert broken(text, "bert", {*MOVES, "same-seed", "other-seed"}) == []


@pytest.mark.parametrize(
    ("text", "family"),
    [
        *((text, family) for text in [*NAMES, *VARIANTS] for family in ENCODERS),
        *((text, family) for text in NAMES for family in WRITERS),
        *slow((text, family) for text in VARIANTS for family in WRITERS),
    ],
)
def test_method_starts_as_the_contract_has_it(text, family):
    assert broken(text, family, {"prepares", "starts-identical"}) == []


@pytest.mark.parametrize("text", VARIANTS)
def test_variant_trains_and_serves_as_the_contract_has_it(text):
    assert broken(text, "bert", MOVES) == []


@pytest.mark.parametrize("family", ["roberta", "deberta-v2"])
@pytest.mark.parametrize("text", NAMES)
def test_finalize_keeps_outputs_elsewhere(text, family):
    assert broken(text, family, {"finalize-keeps-outputs"}) == []


@named_first
def test_method_learns_the_toy_task(text):
    chosen, model = resolve(text, "bert"), backbone(pool="mean")
    run = ToyRun(epochs=12, lr=2e-2)
    prepared(chosen, model, run)
    chosen.fit(model, run)
    chosen.finalize(model)
    assert run.evaluate(model, "test")["accuracy"] > BARS.get(text, 0.85)


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
