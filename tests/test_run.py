import gc
import json
import math
import re
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import spec
from bench.backbone import Backbone
from bench.energy import Energy
from bench.job import Job
from bench.predict import predict
from bench.record import Record
from bench.run import REASON, attempt, derived
from bench.text import Encoded, tokenizer
from methods import method, resolve
from methods.base import Method
from tasks import task
from tasks.sources import Source
from tests.jobs import SAMPLE, job
from tests.tiny import backbone, prepared

COST = {
    "trained_params",
    "head_params",
    "served_params",
    "train_flops",
    "inference_flops",
    "train_seconds",
    "eval_seconds",
    "peak_memory_bytes",
    "checkpoint_bytes",
    "energy_joules",
    "energy_kind",
    "energy_source",
    "forward_flops",
    "activation_gradient_flops",
    "weight_gradient_flops",
    "optimizer_flops",
    "memory_source",
    *(
        f"{phase}_{what}_per_second"
        for phase in ("train", "eval")
        for what in ("flops", "rows", "tokens")
    ),
}
WHERE = {"commit", "dirty", "versions", "device", "threads", "precision", "data", "selection"}
FILES = {"record.json", "weights.safetensors", "predictions.jsonl", "log.txt"}
BROKEN = {
    "memory": (MemoryError, "no room"),
    "allocator": (RuntimeError, "[enforce fail] you tried to allocate memory: 9 bytes"),
    "long": (ValueError, "far too long " * 99),
    "silent": (ValueError, ""),
}


@dataclass(frozen=True)
class Broken(Method):
    how: str = "memory"

    name = "broken"

    def fit(self, model, run):
        run.tell(step=1)
        if self.how in BROKEN:
            kind, text = BROKEN[self.how]
            raise kind(text)

    def measure(self, model, run):
        return {"accuracy": math.nan}


@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setitem(method._entries, "broken", Broken)


class Finished(NamedTuple):
    asked: Job
    folder: Path
    record: Record
    told: list[dict]


@pytest.fixture(scope="module")
def lively(tiny_folder, tmp_path_factory) -> Path:
    """The tiny model with larger weights, so that rows do not all look the same to it."""
    folder = shutil.copytree(tiny_folder, tmp_path_factory.mktemp("models") / "lively")
    tensors = load_file(folder / "model.safetensors")
    loud = {name: tensor * (8 if tensor.dim() > 1 else 1) for name, tensor in tensors.items()}
    save_file(loud, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def run(asked: Job, folder: Path, *tell) -> Record:
    folder.mkdir()
    return attempt(asked, folder, *tell)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def results(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("weights.safetensors", "predictions.jsonl")]


def stored(folder: Path) -> Record:
    return Record.from_json((folder / "record.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(lively, tmp_path_factory) -> Finished:
    asked, folder = job(lively, "adapter", "stsb"), tmp_path_factory.mktemp("runs") / "cell"
    told: list[dict] = []
    record = run(asked, folder, lambda **event: told.append(event))
    return Finished(asked, folder, record, told)


def test_finished_cell_leaves_its_four_files_and_a_whole_record(finished):
    asked, folder, record, _ = finished
    assert (record.status, record.reason, record.cell) == ("ok", "", asked.cell)
    assert names(folder) == FILES
    assert stored(folder) == record
    assert record.cost.keys() >= COST
    assert record.where.keys() >= WHERE
    assert record.primary in record.metrics
    assert record.where["data"]["used"] == {"train": 32, "selection": 200, "dev": 20}
    assert record.where["threads"] == 1 and record.where["precision"] == "fp32"
    assert record.cost["checkpoint_bytes"] == (folder / "weights.safetensors").stat().st_size


def test_record_counts_the_steps_that_were_told_and_logged(finished):
    _, folder, record, told = finished
    assert record.where["steps"] == told[-1]["step"] == 4
    assert record.where["train_loss"] == told[-1]["loss"]
    assert lines(folder / "log.txt") == told
    assert record.cost["train_flops"] > 4 * 16 * record.cost["inference_flops"]
    assert record.cost["train_seconds"] > 0 and record.cost["eval_seconds"] > 0


def test_record_says_what_training_cost_by_parts_and_how_fast_it_was(finished):
    cost, rows = finished.record.cost, finished.record.where["data"]["used"]
    parts = ("forward_flops", "activation_gradient_flops", "weight_gradient_flops")
    assert sum(cost[part] for part in parts) == cost["train_flops"]
    assert cost["forward_flops"] < cost["train_flops"] / 2
    assert cost["optimizer_flops"] == 4 * 18 * (cost["trained_params"] + cost["head_params"])
    seconds, evaluation = cost["train_seconds"], cost["eval_seconds"]
    steps = finished.record.where["steps"]
    assert cost["train_flops_per_second"] * seconds == pytest.approx(cost["train_flops"])
    epochs = steps * 16 / rows["train"]
    assert cost["train_rows_per_second"] * seconds == pytest.approx(epochs * rows["train"])
    assert cost["eval_rows_per_second"] * evaluation == pytest.approx(rows["dev"])
    tokens = cost["eval_tokens_per_second"] * evaluation
    assert round(round(tokens) / rows["dev"]) == cost["inference_tokens"]
    done = cost["eval_flops_per_second"] * evaluation
    assert done == pytest.approx(rows["dev"] * cost["inference_flops"], rel=0.5)  # padding counted
    assert cost["memory_source"] == "resident set above the start"


def test_nothing_in_a_record_names_a_place_on_this_machine(finished):
    text = (finished.folder / "record.json").read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(Path(finished.asked.weights.location).parent) not in text


def test_record_of_the_last_weights_says_that_no_score_was_looked_at(finished):
    where = finished.record.where
    assert where["selection"].startswith("last: ")
    assert (where["selected_epoch"], where["selection_scores"]) == (None, [])


def test_regression_predicts_numbers_and_scores_correlations(finished):
    record = finished.record
    assert record.metrics.keys() == {"pearson", "spearman"}
    assert all(-1 <= value <= 1 for value in record.metrics.values())
    found = lines(finished.folder / "predictions.jsonl")
    assert all(type(line["prediction"]) is float for line in found)
    assert record.cost["head_params"] == 16 + 1


def test_saved_weights_give_the_predictions_again(finished):
    asked, folder, _, _ = finished
    model = Backbone.load(asked.weights, 1)
    prepared(resolve("adapter", ""), model)
    saved = load_file(folder / "weights.safetensors")
    assert not model.load_state_dict(saved, strict=False).unexpected_keys
    rows = spec.build(task, asked.cell.task).load(SAMPLE, 0).test["dev"]
    data = Encoded(rows, tokenizer(asked.weights), 128)
    found = [line["prediction"] for line in lines(folder / "predictions.jsonl")]
    assert found == predict(model, data, torch.device("cpu"), "fp32")
    assert len(set(found)) > 5


@pytest.mark.parametrize("text", ["full", "adamix-lora"])
def test_saved_weights_are_what_trained_and_nothing_else(lively, tmp_path, text):
    asked = job(lively, text, epochs=8)  # every expert is drawn
    run(asked, tmp_path / "cell")
    saved = load_file(tmp_path / "cell" / "weights.safetensors")
    model = Backbone.load(asked.weights, 2)
    prepared(resolve(text, ""), model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {name: t.shape for name, t in saved.items()} == {n: p.shape for n, p in trained.items()}
    assert not any(torch.equal(saved[name], trained[name]) for name in saved)


def test_predictions_hold_every_reported_row_in_order_with_its_label(lively, tmp_path):
    asked = job(lively, "head", "mnli")
    record = run(asked, tmp_path / "cell")
    found = lines(tmp_path / "cell" / "predictions.jsonl")
    rows = spec.build(task, asked.cell.task).load(SAMPLE, 0).test
    expected = [(split, i, r.label) for split, many in rows.items() for i, r in enumerate(many)]
    assert [(line["split"], line["row"], line["label"]) for line in found] == expected
    assert record.metrics.keys() == {f"accuracy_{split}" for split in rows}
    for split in rows:
        right = [line["prediction"] == line["label"] for line in found if line["split"] == split]
        assert record.metrics[f"accuracy_{split}"] == pytest.approx(sum(right) / len(right))
    assert record.cost["head_params"] == 16 * 3 + 3


@pytest.mark.parametrize("text", [pytest.param("full", marks=pytest.mark.slow), "adamix-lora"])
def test_cell_run_again_after_another_gives_the_same_bits(lively, tmp_path, text):
    first = run(job(lively, text), tmp_path / "first")
    run(job(lively, "head", "sst2", seed=1), tmp_path / "other")
    again = run(job(lively, text), tmp_path / "again")
    assert first.metrics == again.metrics
    assert results(tmp_path / "first") == results(tmp_path / "again")


def test_another_seed_gives_other_bits(finished, lively, tmp_path):
    other = run(job(lively, "adapter", "stsb", seed=1), tmp_path / "other")
    assert results(tmp_path / "other") != results(finished.folder)
    assert other.where["head_init"] != finished.record.where["head_init"]


def test_head_starts_the_same_whatever_the_method(finished, lively, tmp_path):
    head = run(job(lively, "head", "stsb"), tmp_path / "head")
    assert head.where["head_init"] == finished.record.where["head_init"]


def test_seeds_of_two_purposes_are_two(lively):
    assert derived(0, "head") == derived(0, "head")
    assert len({derived(seed, purpose) for seed in (0, 1) for purpose in ("head", "train")}) == 4


@pytest.mark.parametrize(("select", "metric"), [("best", None), ("dev", "pearson")])
def test_record_says_which_epoch_was_selected_and_by_what(lively, tmp_path, select, metric):
    asked = job(lively, "full", "stsb", select=select, epochs=4)
    record = run(asked, tmp_path / "cell")
    scores, chosen = record.where["selection_scores"], record.where["selected_epoch"]
    assert record.where["selection"].startswith(f"{select}: the epoch that scores best")
    assert len(scores) == 4 and len(set(scores)) > 1
    assert chosen == scores.index(max(scores)) + 1
    if metric:
        assert record.metrics[metric] == max(scores)


def test_recipe_sets_the_backbones_dropout_and_leaves_the_methods_own(lively, tmp_path):
    for name, (text, dropout) in {
        "as configured": ("lora", None),
        "none": ("lora", 0.0),
        "the method's": ("lora[dropout=0.5]", 0.0),
    }.items():
        run(job(lively, text, dropout=dropout), tmp_path / name)
    one, two, three = (
        results(tmp_path / name) for name in ("as configured", "none", "the method's")
    )
    assert one != two != three


def test_bf16_cell_says_so(finished, lively, tmp_path):
    rough = run(job(lively, "adapter", "stsb", precision="bf16"), tmp_path / "rough")
    assert rough.where["precision"] == "bf16"
    assert results(tmp_path / "rough") != results(finished.folder)


def test_energy_is_looked_at_while_training_because_counters_start_again(
    lively, tmp_path, monkeypatch
):
    zone, readings = tmp_path / "intel-rapl:0", iter((900, 100, 900, 100))
    zone.mkdir()
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "1000"), ("energy_uj", "0")):
        (zone / name).write_text(text)
    monkeypatch.setattr("bench.cellrun.Energy", partial(Energy, powercap=tmp_path))
    cost = run(
        job(lively, "head", steps=8),
        tmp_path / "cell",
        lambda **_: (zone / "energy_uj").write_text(str(next(readings, 100))),
    ).cost
    assert cost["energy_joules"] == pytest.approx((900 + 200 + 800 + 200) / 1e6)
    assert cost["energy_source"].startswith("RAPL: 1 CPU package")


def test_unsuited_cell_is_skipped_before_any_weights_are_read(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "deberta")
    backbone("deberta-v2").settings.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    record = run(job(folder, "prefix"), tmp_path / "cell")
    assert record.status == "skipped"
    assert re.search(r"^the attention of 'deberta@\w+' \(deberta-v2\) takes no past", record.reason)
    assert names(tmp_path / "cell") == {"record.json", "log.txt"}
    assert stored(tmp_path / "cell") == record


@pytest.mark.parametrize(
    ("text", "recipe", "reason"),
    [
        ("lora", {"epochs": 3}, r"^loss is (nan|inf) by step \d; a lower learning rate may help$"),
        ("full", {"steps": 1}, r"^the model's outputs are not finite; a lower learning rate"),
    ],
)
def test_diverging_cell_is_failed_with_its_reason(lively, tmp_path, text, recipe, reason):
    record = run(job(lively, text, lr=1e30, **recipe), tmp_path / "cell")
    assert record.status == "failed" and re.search(reason, record.reason)
    assert record.metrics == {} and record.where["versions"]
    assert stored(tmp_path / "cell") == record
    assert "error.txt" not in names(tmp_path / "cell")


def test_cell_without_its_data_is_failed_with_the_files_name(lively, tmp_path):
    asked = job(lively, source=Source("files", tmp_path))
    record = run(asked, tmp_path / "cell")
    assert record.status == "failed"
    assert record.reason == (
        "FileNotFoundError: expected the file glue/RTE/train.tsv in the data directory, got none"
    )
    assert "Traceback" in (tmp_path / "cell" / "error.txt").read_text(encoding="utf-8")
    assert stored(tmp_path / "cell") == record


def test_cell_without_its_weights_is_failed_without_a_path(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "hollow")
    (folder / "model.safetensors").write_bytes(b"")
    record = run(job(folder), tmp_path / "cell")
    assert record.status == "failed"
    assert record.reason.startswith("ValueError: no safetensors weights for model 'hollow@")
    assert str(tmp_path) not in record.reason


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("memory", "out of memory: no room"),
        ("allocator", "out of memory: [enforce fail] you tried to allocate memory: 9 bytes"),
        ("silent", "ValueError: no message"),
        ("number", "ValueError: Out of range float values are not JSON compliant: nan"),
    ],
)
def test_broken_cell_is_failed_with_one_line_and_keeps_its_log(
    lively, tmp_path, broken, how, reason
):
    record = run(job(lively, f"broken[how={how}]"), tmp_path / "cell")
    assert (record.status, record.reason) == ("failed", reason)
    assert lines(tmp_path / "cell" / "log.txt") == [{"step": 1}]
    assert stored(tmp_path / "cell") == record


def test_long_reason_is_cut(lively, tmp_path, broken):
    reason = run(job(lively, "broken[how=long]"), tmp_path / "cell").reason
    assert reason.startswith("ValueError: far too long far")
    assert reason.endswith("...") and len(reason) == REASON + 3


def test_reason_names_no_place_on_this_machine(lively, tmp_path, broken, monkeypatch):
    places = f"{lively}/x, {tmp_path}/y and {Path.home()}/z"
    monkeypatch.setitem(BROKEN, "places", (OSError, f"cannot read {places}"))
    asked = job(lively, "broken[how=places]")
    asked = replace(asked, source=Source("sample", tmp_path))
    reason = run(asked, tmp_path / "cell").reason
    assert reason == f"OSError: cannot read {asked.weights.name}/x, DATA/y and ~/z"


@pytest.mark.parametrize("recipe", [{}, {"lr": 1e30, "epochs": 3}])
def test_model_is_gone_once_its_cell_is_over(lively, tmp_path, recipe):
    gc.collect()
    gc.disable()
    try:
        run(job(lively, "adamix-lora", select="best", **recipe), tmp_path / "cell")
        assert not [thing for thing in gc.get_objects() if type(thing) is Backbone]
    finally:
        gc.enable()
