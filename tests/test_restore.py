"""A finished cell of data-to-text: what was saved writes what was recorded, merged or not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from bench import spec
from bench.job import Job
from bench.plan import jobs
from bench.predict import write
from bench.record import WEIGHTS
from bench.restore import restored
from bench.run import attempt
from bench.store import Store
from bench.suite import load, request
from bench.text import tokenizer
from bench.weights import known
from tasks import task
from tasks.sources import Source
from tests.test_pretrain import SMALL

METHODS = ["full", "lora[rank=4,alpha=32]", "prefix", "adamix-lora"]
RARER = ["top[layers=1]", "adapter[width=8]", "adamix-adapter", "bitfit", "head"]
SETS = {"steps": "6", "batch": "8", "precision": "fp32", "new_tokens": "8", "test_rows": "4"}
PARENT = {"pretrain.steps": "30", "pretrain.batch": "16", "pretrain.dev_rows": "5"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[Callable[[str], tuple[Job, Store]]]:
    """Runs the cell of a method on the sample of E2E once, and before the first makes its model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")  # METEOR starts a machine of its own, which takes seconds
        small = {**known()["gpt2-mini"], **SMALL, "n_embd": 32, "n_positions": 128}
        patch.setitem(known(), "gpt2-mini", small)
        store = Store(tmp_path_factory.mktemp("store"))
        asked = request(load("nlg"), methods=[*METHODS, *RARER], tasks=["e2e"], sets=SETS | PARENT)
        maker, *rows = jobs(asked, Source("sample"), store)

        def of(label: str) -> tuple[Job, Store]:
            (own,) = (job for job in rows if job.cell.label == label)
            for job in (maker, own):
                if store.get(job.cell) is None:
                    with store.writing(job.cell) as folder:
                        record = attempt(job, folder)
                    assert record.status == "ok", record.reason
            return own, store

        yield of


def predictions(folder) -> list[str]:
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prediction"] for line in lines]


def written(model, job: Job) -> list[str]:
    from bench.pairs import Pairs

    asked = spec.build(task, job.cell.task)
    tokens = tokenizer(job.weights)
    rows = Pairs(asked.load(job.source, 0).test["test"], tokens, 256, "causal")
    return write(model, rows, tokens, asked.decoding, torch.device("cpu"), "fp32")


@pytest.mark.parametrize("label", ["full", "adamix-lora"])
def test_what_is_written_counts_among_the_tokens_of_evaluation(finished, label):
    job, store = finished(label)
    cost = store.get(job.cell).cost
    rows = cost["eval_rows_per_second"] * cost["eval_seconds"]
    tokens = cost["eval_tokens_per_second"] * cost["eval_seconds"]
    assert round(rows) == len(predictions(store.folder(job.cell))) > 0
    assert tokens / rows == pytest.approx(cost["inference_tokens"], abs=1.01)
    assert cost["eval_flops_per_second"] is None  # beams share what they have read


@pytest.mark.parametrize(
    "label", [*METHODS, *(pytest.param(label, marks=pytest.mark.slow) for label in RARER)]
)
def test_saved_model_writes_what_was_recorded_before_and_after_merging(finished, label):
    job, store = finished(label)
    recorded = predictions(store.folder(job.cell))
    assert any(recorded)
    method, model = restored(job, store.folder(job.cell))
    assert written(model, job) == recorded
    method.finalize(model)
    assert written(model.eval(), job) == recorded


def test_record_of_a_text_says_how_it_was_written_and_scored(finished):
    job, store = finished("adamix-lora")
    record = store.get(job.cell)
    assert record.where["protocol"] == "e2e-metrics"
    assert record.where["lacks"] == dict.fromkeys(["METEOR", "ROUGE_L", "CIDEr"], "no Java")
    assert record.metrics["METEOR"] is None and 0 <= record.metrics["BLEU"] <= 1
    assert record.primary == "BLEU"
    assert record.cost["head_params"] == 0
    assert record.cost["train_flops"] > 0 and record.cost["inference_flops"] > 0
    assert record.cell.parents and store.at(record.cell.parents[0]).metrics["loss"] > 0


def test_files_of_another_cell_are_refused(finished, tmp_path):
    job, _ = finished("prefix")
    save_file({"net.other": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=r"does not fit prefix.*net\.other"):
        restored(replace(job), tmp_path)
