"""Tuners of the library peft, beside the library's own route and our own methods."""

import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch

from bench import cli, spec
from bench.cellrun import derived
from bench.contract import plugin as contract
from bench.contract.subject import tiny as subject
from bench.cost import account, size
from bench.restore import restored
from bench.run import attempt
from bench.weights import find
from methods import method, peft_options, resolve
from methods.base import Unsuited
from tests.jobs import job
from tests.tiny import backbone, batch, prepared, save

TUNERS = [  # one of each way to be put in: beside a map, sharing vectors, around a norm, in front
    "peft[type=dora[r=2]]",
    "peft[type=vera[r=4],targets=q+up+down]",
    "peft[type=ln_tuning]",
    "peft[type=p_tuning[num_virtual_tokens=3]]",
    "adamix[inner=peft[type=dora[r=2]]]",
]
RARER = [pytest.param(t, marks=pytest.mark.slow) for t in TUNERS if t != TUNERS[2]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("tiny"))


def shaken(parameters) -> None:
    """Moves every parameter by its own random step, so that nothing is left at a start of zero."""
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in parameters:
            p.add_(0.3 * torch.randn(p.shape, generator=source))


def gradients(model, names) -> dict[str, torch.Tensor]:
    model.loss(batch()).backward()
    return {name: p.grad for name, p in model.named_parameters() if id(p) in names}


@pytest.mark.parametrize("text", [TUNERS[2], *RARER])
def test_tuner_keeps_the_contract_of_a_method(text):
    assert contract.failed(contract.on_model(text, subject("bert"))) == []


@pytest.mark.parametrize("text", TUNERS)
def test_tuner_starts_and_is_served_as_it_says(text):
    items = {"starts-identical", "finalize-keeps-outputs"}
    assert contract.failed(contract.on_model(text, subject("deberta-v2"), items)) == []


THEIRS = {
    "lora[r=4,lora_alpha=6]": peft.LoraConfig(r=4, lora_alpha=6, target_modules=["query", "value"]),
    "dora[r=4]": peft.LoraConfig(r=4, use_dora=True, target_modules=["query", "value"]),
    "pissa[r=4]": peft.LoraConfig(
        r=4, init_lora_weights="pissa", target_modules=["query", "value"]
    ),
    "vera[r=8]": peft.VeraConfig(r=8, target_modules=["query", "value"]),
    "ia3": peft.IA3Config(
        target_modules=r".*(key|value|layer\.\d+\.output\.dense)",
        feedforward_modules=r".*layer\.\d+\.output\.dense",
    ),
    "ln_tuning": peft.LNTuningConfig(target_modules=["LayerNorm"]),
    "tinylora[u=5]": peft.TinyLoraConfig(u=5, target_modules=["query", "value"]),
}


@pytest.mark.parametrize("text", THEIRS)
@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # what peft calls a norm
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
def test_outputs_and_gradients_are_those_of_peft_itself(text):
    ours, theirs = backbone(), backbone()
    added = prepared(resolve(f"peft[type={text}]", ""), ours)
    torch.manual_seed(derived(0, "prepare"))
    whole = peft.get_peft_model(theirs.net, THEIRS[text])
    free = [p for p in whole.parameters() if p.requires_grad]
    assert size(added) == size(free) == whole.get_nb_trainable_parameters()[0]
    order = dict(ours.net.named_parameters())
    inside = {name: p for name, p in theirs.net.named_parameters() if p.requires_grad}
    shaken(order[name] for name in inside)
    shaken(inside.values())
    torch.testing.assert_close(ours.eval()(batch()), theirs.eval()(batch()), rtol=0, atol=0)
    mine = gradients(ours, {id(p) for p in added})
    again = gradients(theirs, {id(p) for p in free})
    assert mine.keys() == again.keys() and mine
    for name, gradient in mine.items():
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, again[name], rtol=0, atol=0)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_lora_of_peft_is_our_lora(family):
    ours, theirs = backbone(family), backbone(family)
    factors = prepared(resolve("lora[rank=3,alpha=5]", ""), ours)
    others = prepared(resolve("peft[type=lora[r=3,lora_alpha=5]]", ""), theirs)
    assert [p.shape for p in factors] == [p.shape for p in others]
    shaken(factors)
    with torch.no_grad():
        for p, other in zip(factors, others, strict=True):
            other.copy_(p)
    torch.testing.assert_close(ours.eval()(batch()), theirs.eval()(batch()))
    ours.loss(batch()).backward()
    theirs.loss(batch()).backward()
    for p, other in zip(factors, others, strict=True):
        torch.testing.assert_close(p.grad, other.grad)


def test_lora_of_peft_costs_what_our_lora_costs(tiny):
    weights = find(str(tiny))
    ours = account(resolve("lora[rank=3,targets=q+up]", ""), weights, 2)
    theirs = account(resolve("peft[type=lora[r=3],targets=q+up]", ""), weights, 2)
    assert theirs == ours


def test_tuner_that_looks_into_tensors_is_counted_on_the_cpu_and_as_it_would_be_without(tiny):
    weights = find(str(tiny))
    assert resolve("peft[type=lora[r=3]]", "").counts_on == "meta"
    assert resolve("peft[type=boft]", "").counts_on == "cpu"
    state = torch.get_rng_state()
    counted = account(resolve("peft[type=vblora[vector_length=4,r=2]]", ""), weights, 2)
    assert torch.equal(torch.get_rng_state(), state)
    # a bank of 256 vectors of 4; for q and v of 2 layers 2 ranks of 16 / 4 parts in A and in B
    assert counted.trained_params == counted.served_params == 256 * 4 + 4 * 2 * 2 * 4 * 256
    assert counted.step.of(1, 8) > account(resolve("head", ""), weights, 2).step.of(1, 8)


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        ("peft[type=lora[r=3]]", 2 * 2 * 2 * 16 * 3),
        ("peft[type=dora[r=3]]", 2 * 2 * (2 * 16 * 3 + 16)),
        ("peft[type=vera[r=5]]", 2 * 2 * (5 + 16)),
        ("peft[type=ia3]", 2 * (16 + 16 + 32)),
        ("peft[type=ln_tuning]", (1 + 2 * 2) * 2 * 16),
        ("peft[type=prompt_tuning[num_virtual_tokens=7]]", 7 * 16),
        ("peft[type=prefix_tuning[num_virtual_tokens=7]]", 7 * 2 * 2 * 16),
        ("peft[type=trainable_tokens[token_indices=5+9]]", 2 * 16),
        ("adamix[experts=3,share=none,inner=peft[type=lora[r=3]]]", 3 * 2 * 2 * 2 * 16 * 3),
    ],
)
def test_tuner_trains_as_many_entries_as_worked_out_by_hand(text, trained):
    assert size(prepared(resolve(text, ""), backbone())) == trained


def test_p_tuning_serves_its_rows_without_what_made_them():
    model = backbone()
    chosen = resolve("peft[type=p_tuning[num_virtual_tokens=3]]", "")
    assert size(prepared(chosen, model)) > 3 * 16
    assert size(chosen.finalize(model)) == 3 * 16


def test_every_tuner_and_variant_of_peft_has_a_text_form():
    refused = set()
    for name in peft_options.names():
        try:
            chosen = resolve(f"peft[type={name}]", "")
        except ValueError as error:
            refused.add(name)
            assert f"peft's '{name}' is not served: it " in str(error)
            continue
        assert resolve(spec.text(chosen), "") == chosen
        assert chosen.release == peft.__version__
    assert refused == {
        *("adalora", "adaption_prompt", "cartridge", "cpt", "shadow", "xlora"),
        *("corda", "eva", "loftq"),
    }
    assert {kind.value.lower() for kind in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING} < set(
        peft_options.names()
    )


def test_variant_is_the_tuner_with_its_options_spelled_out():
    dora = resolve("peft[type=DoRA[r=4]]", "")
    assert dora == resolve("peft[type=lora[use_dora=true,r=4]]", "")
    assert "lora_alpha=8" in dora.type and "use_dora=true" in dora.type
    assert dora != resolve("peft[type=lora[r=4]]", "")
    assert f"release={peft.__version__}" in spec.text(dora)


@pytest.mark.parametrize("value", ["true", "false", "uniform"])
def test_option_that_may_be_a_word_is_told_from_true(value):
    tuner = peft_options.read(f"tinylora[init_weights={value}]")
    known = {"true": True, "false": False}
    assert peft_options.configuration(tuner).init_weights == known.get(value, value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("peft[type=lorra]", "no tuner of peft named 'lorra'; did you mean 'lora'"),
        ("peft[type=vera[rr=3]]", "no option of tuner 'vera' named 'rr'; did you mean 'r'?"),
        ("peft[type=lora[r=x]]", "tuner 'lora', r: expected a valid integer, got 'x'"),
        ("peft[type=lora[init_lora_weights=pisa]]", "or 'mica', got 'pisa'"),
        ("peft[type=lora[target_modules=query]]", "named 'target_modules'"),
        ("peft[type=lora[lora_dropout=nan]]", "expected a finite number, got nan"),
        ("peft[type=shira[mask_type=x]]", "mask_type: expected 'random', got 'x'"),
        ("peft[type=ln_tuning,targets=q]", "expected no targets, for 'ln_tuning' has none"),
        ("peft[targets=q+q]", "expected distinct targets such as q+v, got 'q+q'"),
        ("peft[release=0.1.0]", f"expected release={peft.__version__}, the peft at hand"),
        ("peft[type=adalora]", "'adalora' is not served: it moves its budget"),
        ("peft[type=eva]", "'eva' is not served: it starts from activations"),
        ("adamix[inner=peft[type=lorra]]", "no tuner of peft named 'lorra'"),
    ],
)
def test_wrong_text_is_told_in_one_line(text, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "params", "--model", "minilm", "--methods", text])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert told in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("peft[type=c3a]", "peft's 'c3a': "),
        ("peft[type=trainable_tokens]", "needs token_indices=1.2, got none"),
        ("peft[type=boft[bias=sometimes]]", "peft's 'boft': Requested bias: sometimes"),
        ("peft[type=lora[r=0]]", "peft's 'lora': "),
    ],
)
def test_tuner_that_does_not_fit_the_model_is_unsuited_in_one_line(text, told):
    with pytest.raises(Unsuited, match=told.replace("'", ".")) as refused:
        prepared(resolve(text, ""), backbone())
    assert "\n" not in str(refused.value)


def test_without_peft_methods_are_listed_and_using_it_is_one_line():
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "from bench import cli\n"
        "sys.argv = ['bench', *sys.argv[1:]]\n"
        "cli.main()"
    )

    def run(*words: str):
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, capture_output=True, text=True)

    listed = run("list", "methods")
    assert listed.returncode == 0 and "peft" in listed.stdout
    planned = ["plan", "--suite", "glue", "--data", "sample", "--methods", "peft[type=vera]"]
    for words in (planned, ["list", "peft"]):
        asked = run(*words)
        assert asked.returncode == 2
        assert "needs the library peft" in asked.stderr and asked.stderr.count("\n") == 1


RANDOM = ["shira[r=2]", "pissa[r=2]", "vera[r=4]", "unilora", "vblora[vector_length=4]", "tinylora"]


@pytest.mark.parametrize("text", RANDOM)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_what_trained_is_enough_to_restore_a_tuner_whatever_is_drawn_meanwhile(text):
    chosen = resolve(f"peft[type={text}]", "")
    model, again = backbone(), backbone()
    shaken(prepared(chosen, model))
    torch.manual_seed(99)
    chosen.prepare(again, None)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    own = dict(again.named_parameters())
    with torch.no_grad():
        for name, p in trained.items():
            own[name].copy_(p)
    assert any(not name.startswith("head.") for name in trained)
    torch.testing.assert_close(again.eval()(batch()), model.eval()(batch()))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_cell_of_a_tuner_is_trained_recorded_and_restored(tiny, tmp_path):
    asked = job(tiny, "peft[type=shira[r=2]]", seed=3)
    record = attempt(asked, tmp_path)
    assert record.status == "ok", record.reason
    assert f"release={peft.__version__}" in record.cell.method
    assert record.cost["trained_params"] == record.cost["served_params"] == 4 * 2 * (16 + 16)
    chosen, model = restored(asked, tmp_path)
    before = model(batch())
    assert before.std() > 0
    chosen.finalize(model)
    torch.testing.assert_close(model(batch()), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", ["dora[r=2]", "vera[r=4]", "ln_tuning", "ia3"])
def test_nothing_of_peft_is_left_in_a_merged_model(text):
    chosen, model = resolve(f"peft[type={text}]", ""), backbone()
    prepared(chosen, model)
    assert any(type(module).__module__.startswith("peft.") for module in model.modules())
    chosen.finalize(model)
    kinds = [type(module) for module in model.modules()]
    assert kinds == [type(module) for module in backbone().modules()]


def test_source_is_the_paper_that_peft_names():
    assert peft_options.paper("vera[r=4]") == "arXiv:2310.11454"
    assert peft_options.paper("dora") == "arXiv:2402.09353"
    assert peft_options.paper("ln_tuning") == "arXiv:2312.11420"
    assert peft_options.paper("olora") == f"huggingface/peft {peft.__version__}"
    assert "2022" in method["peft"].source
