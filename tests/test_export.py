"""Adapters loaded by peft from disk, beside the models they were exported from."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging

from bench.backbone import Backbone
from bench.export import CONFIG, HEAD, TENSORS, adapter
from bench.heads import Gap
from bench.job import Job
from bench.pairs import Pairs
from bench.peft_adapters import adapter as exported
from bench.peft_adapters import counterpart
from bench.peft_places import suffixes
from bench.plan import jobs
from bench.reader import Reader
from bench.record import WEIGHTS
from bench.restore import restored
from bench.run import attempt
from bench.spec import build
from bench.store import Store
from bench.suite import load, request
from bench.text import tokenizer
from bench.unfuse import fuse, unfuse
from bench.weights import config, known
from methods import resolve
from tasks import task as tasks
from tests import tiny
from tests.jobs import SAMPLE, job
from tests.test_pretrain import SMALL

# what peft reads of transformers is on its way out there
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

FOLDING = [
    "lora[rank=3,alpha=12]",
    "lora[rank=2,targets=q+v+o+down]",
    "adamix[inner=lora[rank=3],experts=3]",
    "ia3",
    "ia3[targets=o+down+k]",
    "adamix[inner=ia3]",
]
PREFIXES = ["prefix[length=4,mlp=8]", "adamix[inner=prefix[length=3,mlp=none]]"]
PROMPTS = ["prompt[length=3]", "adamix[inner=prompt[length=3]]"]
ENCODERS = [
    *(("bert", method) for method in FOLDING + PREFIXES),
    *(("roberta", method) for method in (FOLDING[2], FOLDING[4], PREFIXES[0])),
    *(("deberta-v2", method) for method in (FOLDING[1], FOLDING[3])),
]


@pytest.fixture(autouse=True, scope="module")
def quiet():
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def trained(model: Backbone, method: str, folder: Path) -> dict:
    """Saves the base model, trains as it were, exports; returns the configuration."""
    net = copy.deepcopy(model.net)
    fuse(net)
    net.save_pretrained(folder / "base")
    tiny.prepared(resolve(method, ""), model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.normal_(std=0.3)
    made = exported(resolve(method, ""), model.train())
    save_file(made.tensors, folder / TENSORS)
    told = {**made.config, "base_model_name_or_path": "base"}
    (folder / CONFIG).write_text(json.dumps(told), encoding="utf-8")
    return {**made.config, "head": made.head, "remarks": made.remarks}


def wrapped(kind, folder: Path, **options) -> PeftModel:
    """The base model with the adapter, both from disk."""
    return PeftModel.from_pretrained(
        kind.from_pretrained(folder / "base", **options), folder
    ).eval()


def inputs(batch) -> dict[str, torch.Tensor]:
    return {"input_ids": batch.ids, "attention_mask": batch.mask}


def agree(model: Backbone, rows, theirs: torch.Tensor) -> None:
    """They are ours, and what was trained is not without effect on ours."""
    mine = model(rows)
    torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-5)
    for parameter in model.task_parameters():
        parameter.zero_()
    assert not torch.allclose(model(rows), mine, atol=1e-3)


@pytest.mark.parametrize(("family", "method"), ENCODERS)
@torch.no_grad()
def test_classifier_loads_whole_in_peft(family, method, tmp_path):
    model, rows = tiny.backbone(family, outputs=3), tiny.batch()
    told = trained(model, method, tmp_path)
    assert told["task_type"] == "SEQ_CLS" and not told["head"]
    moved, pooler = ["position_embeddings"] * ("prefix" in method), ["pooler"] * ("deb" in family)
    assert told["modules_to_save"] == [*moved, *pooler, "classifier"]
    net = wrapped(AutoModelForSequenceClassification, tmp_path, num_labels=3)
    agree(model, rows, net(**inputs(rows)).logits)


@torch.no_grad()
def test_regression_loads_whole_in_peft(tmp_path):
    model, rows = tiny.backbone("bert", outputs=1), tiny.batch()
    assert trained(model, "lora", tmp_path)["task_type"] == "SEQ_CLS"
    net = wrapped(AutoModelForSequenceClassification, tmp_path, num_labels=1)
    agree(model, rows, net(**inputs(rows)).logits)


def features(model, told, hidden, rows, pooler=None):
    """What our head, from the file it is kept in, makes of peft's hidden states."""
    hidden = hidden[:, hidden.shape[1] - rows.mask.shape[1] :]
    head = copy.deepcopy(model.head)
    head.load_state_dict(told["head"])
    return head(head.pooled(hidden, pooler and pooler(hidden), rows.mask))


@pytest.mark.parametrize("method", [FOLDING[2], PREFIXES[0], *PROMPTS])
@torch.no_grad()
def test_mean_head_stands_apart(method, tmp_path):
    model, rows = tiny.backbone("bert", pool="mean"), tiny.batch()
    told = trained(model, method, tmp_path)
    assert told["task_type"] == "FEATURE_EXTRACTION" and "mean over the text" in told["remarks"][-1]
    hidden = wrapped(AutoModel, tmp_path)(**inputs(rows)).last_hidden_state
    agree(model, rows, features(model, told, hidden, rows))


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
@torch.no_grad()
def test_head_that_reads_behind_a_prompt_stands_apart(family, tmp_path):
    model, rows = tiny.backbone(family), tiny.batch()
    told = trained(model, PROMPTS[0], tmp_path)
    assert told["task_type"] == "FEATURE_EXTRACTION" and "behind the prompt" in told["remarks"][0]
    hidden = wrapped(AutoModel, tmp_path)(**inputs(rows)).last_hidden_state
    pooler = model.net.get_submodule("pooler") if family == "bert" else None
    agree(model, rows, features(model, told, hidden, rows, pooler))


@pytest.mark.parametrize("method", [FOLDING[1], FOLDING[4], PREFIXES[0]])
@torch.no_grad()
def test_head_with_a_bias_on_gpt2_stands_apart(method, tmp_path):
    net, rows = tiny.language_model("gpt2").transformer, tiny.batch()
    unfuse(net)
    model = Backbone("tiny", net, 2)
    model.head.draw(0)
    told = trained(model, method, tmp_path)
    hidden = wrapped(AutoModel, tmp_path)(**inputs(rows)).last_hidden_state
    agree(model, rows, features(model, told, hidden, rows))


@torch.no_grad()
def test_head_for_gaps_stands_apart(tmp_path):
    gap = torch.tensor([1, 8, 13, 20])
    net, rows = tiny.backbone("bert").net, replace(tiny.batch(), targets=gap)
    head = Gap(net.config, "")
    head.choose([6, 9])
    head.draw(0)
    model = Backbone("tiny", net, 2, gap=head)
    told = trained(model, FOLDING[0], tmp_path)
    assert told["task_type"] == "FEATURE_EXTRACTION" and "the gap" in told["remarks"][0]
    hidden = wrapped(AutoModel, tmp_path)(**inputs(rows)).last_hidden_state.flatten(0, 1)[gap]
    kept = copy.deepcopy(head)
    kept.load_state_dict(told["head"])
    agree(model, rows, kept(hidden, model.word_embeddings.weight))


@pytest.mark.parametrize("method", FOLDING + PREFIXES)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
@torch.no_grad()
def test_writer_writes_alike_in_peft(family, method, tmp_path):
    model = tiny.writer(family)
    told = trained(model, method, tmp_path)
    assert told["task_type"] == {"gpt2": "CAUSAL_LM", "t5": "SEQ_2_SEQ_LM"}[family]
    rows = tiny.Echo(model.family.writes, 6).batch(np.arange(4))
    asked = inputs(rows) | ({"decoder_input_ids": rows.written} if family == "t5" else {})
    net = wrapped(type(model.net), tmp_path)
    agree(model, rows, net(**asked).logits.flatten(0, 1)[rows.targets])


def test_fused_map_has_one_adapter_of_the_summed_rank(tmp_path):
    told = trained(tiny.writer("gpt2"), "lora[rank=2,alpha=8,targets=q+v+o]", tmp_path)
    assert (told["r"], told["lora_alpha"]) == (4, 16)
    assert set(told["rank_pattern"].values()) == {2}
    tensors = load_file(tmp_path / TENSORS)
    up = tensors["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"]
    assert up.shape == (48, 4) and not up[16:32].any()
    assert not up[:16, 2:].any() and not up[32:, :2].any() and up[:16, :2].all()


@pytest.mark.parametrize("method", ["adapter", "bitfit", "full", "head", "top", "adamix", "soup"])
def test_method_that_peft_lacks_is_refused(method):
    with pytest.raises(ValueError, match=r"lora, ia3, prefix, prompt, or adamix around .* got "):
        counterpart(resolve(method, ""))


def test_ends_of_paths_are_the_shortest_that_mean_no_other_module():
    known = {"a.0.x.q", "a.0.y.q", "a.1.x.q", "a.1.y.q", "k", "q.k"}
    assert suffixes({"a.0.x.q", "a.1.x.q"}, known) == ["x.q"]
    assert suffixes({"a.0.x.q"}, known) == ["0.x.q"]
    assert suffixes({"a.0.x.q", "a.0.y.q", "a.1.x.q", "a.1.y.q"}, known) == ["q"]
    assert suffixes({"q.k"}, known) == ["q.k"] and suffixes({"k"}, known) == ["k"]


@pytest.fixture(scope="module")
def cell(tiny_folder, tmp_path_factory) -> tuple[Job, Path]:
    """A finished run of AdaMix around LoRA, in its store."""
    made = job(tiny_folder, "adamix[inner=lora[rank=4,targets=q+v+down]]", "stsb", lr=0.05)
    store = Store(tmp_path_factory.mktemp("store"))
    with store.writing(made.cell) as folder:
        assert attempt(made, folder).status == "ok"
    return made, store.folder(made.cell)


def test_exported_run_predicts_in_peft_what_was_recorded(cell, tiny_folder, tmp_path):
    made, folder = cell
    lines = list(adapter(folder / "record.json", tmp_path / "out", str(tiny_folder)))
    base = AutoModelForSequenceClassification.from_pretrained(tiny_folder, num_labels=1)
    net = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    asked, tokens = build(tasks, made.cell.task), tokenizer(made.weights)
    reader = Reader(tokens, 128, config(made.weights), made.weights.name)
    rows = reader.splits(asked, asked.load(SAMPLE, 0))["dev"]
    found = {}
    for batch in rows.in_order(8):
        kinds = {} if batch.kinds is None else {"token_type_ids": batch.kinds}
        with torch.no_grad():
            answers = net(**inputs(batch), **kinds).logits.squeeze(-1)
        found |= dict(zip(batch.rows.tolist(), answers.tolist(), strict=True))
    text = (folder / "predictions.jsonl").read_text(encoding="utf-8")
    recorded = [json.loads(line)["prediction"] for line in text.splitlines()]
    assert [found[row] for row in range(20)] == pytest.approx(recorded, abs=1e-6)
    assert max(recorded) - min(recorded) > 1e-4
    told = json.loads((tmp_path / "out" / CONFIG).read_text(encoding="utf-8"))
    assert told["base_model_name_or_path"] == "tiny" and not (tmp_path / "out" / HEAD).exists()
    assert "AutoModelForSequenceClassification" in lines[-1] and "num_labels=1" in lines[-1]


def test_base_can_be_named(cell, tiny_folder, tmp_path):
    lines = list(adapter(cell[1], tmp_path, str(tiny_folder), base="owner/model"))
    told = json.loads((tmp_path / CONFIG).read_text(encoding="utf-8"))
    assert told["base_model_name_or_path"] == "owner/model" and "'owner/model'" in lines[-1]
    assert str(tiny_folder) not in "".join(lines) + json.dumps(told)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "expected the directory of the model 'tiny@"),
        ({"status": "failed"}, "expected a run with a result, got one that failed"),
        ({"method": "bitfit"}, "got bitfit"),
        ({"file": WEIGHTS}, "expected weights.safetensors beside the record of"),
        ({"file": "record.json"}, "expected a record.json or its folder, got"),
        ({"parents": ["0123456789ab"]}, "got no 0123456789ab/model beside the record"),
    ],
)
def test_run_that_cannot_be_exported_is_told_in_one_line(
    cell, tiny_folder, tmp_path, change, message
):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in cell[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record["cell"] |= {k: v for k, v in change.items() if k in record["cell"]}
    record |= {k: v for k, v in change.items() if k in record}
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    if "file" in change:
        (folder / change["file"]).unlink()
    with pytest.raises(ValueError, match=message) as error:
        list(adapter(folder, tmp_path / "out", str(tiny_folder) if change else ""))
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_model_of_another_name_is_refused(cell, tiny_folder, tmp_path):
    other = tiny.save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"expected the model 'tiny@.*got 'other@"):
        list(adapter(cell[1], tmp_path / "out", str(other)))


def test_made_model_goes_beside_its_adapter(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # METEOR starts a machine of its own, which takes seconds
    small = {**known()["gpt2-mini"], **SMALL, "n_embd": 32, "n_positions": 128}
    monkeypatch.setitem(known(), "gpt2-mini", small)
    sets = {"steps": "3", "batch": "8", "precision": "fp32", "new_tokens": "4", "test_rows": "2"}
    sets |= {"pretrain.steps": "3", "pretrain.batch": "8", "pretrain.dev_rows": "2"}
    store = Store(tmp_path / "store")
    asked = request(load("nlg"), methods=["lora[rank=4,alpha=32]"], tasks=["e2e"], sets=sets)
    for made in jobs(asked, SAMPLE, store):
        with store.writing(made.cell) as folder:
            record = attempt(made, folder)
        assert record.status == "ok", record.reason
    out = tmp_path / "out"
    lines = list(adapter(store.folder(made.cell), out))
    assert "AutoModelForCausalLM.from_pretrained('gpt2-mini')" in lines[-1]
    monkeypatch.chdir(out)
    name = json.loads((out / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    net = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(name), out).eval()
    _, model = restored(made, store.folder(made.cell))
    task, tokens = build(tasks, made.cell.task), tokenizer(made.weights)
    batch = Pairs(task.load(SAMPLE, 0).train, tokens, 64, "causal").batch(np.arange(3))
    with torch.no_grad():
        theirs = net(**inputs(batch)).logits.flatten(0, 1)[batch.targets]
        torch.testing.assert_close(theirs, model(batch), rtol=0, atol=1e-5)
