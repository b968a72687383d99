"""Few-shot cells, from plan to record: a head is made once, then every method fills gaps."""

import json
import shutil

import pytest
from transformers import AutoConfig, AutoModelForMaskedLM

from bench.plan import jobs
from bench.store import Store
from bench.suite import load, request
from tasks.sources import Source

SMALL = (
    *("--suite", "few-shot", "--data", "sample", "--tasks", "few-sst2", "--seeds", "1"),
    *("--set", "steps=2", "--set", "words=bad+good", "--set", "dev_rows=20"),
    *("--jobs", "1", "--methods", "head,adapter[width=4]"),
)
MADE = ("--set", "pretrain.steps=3", "--set", "pretrain.rows=60", "--set", "pretrain.dev_rows=20")
SAMPLE = Source("sample")


@pytest.fixture
def run(bench, tiny_folder, tmp_path):
    def again(*more: str):
        return bench("run", "--models", str(tiny_folder), *SMALL, *MADE, *more)

    return again


def records(folder):
    found = [json.loads(path.read_text()) for path in folder.glob("results/*/record.json")]
    return {record["cell"]["label"]: record for record in found}


def test_the_head_is_made_once_and_every_method_fills_gaps_with_it(
    run, bench, tiny_folder, tmp_path
):
    code, out, _ = run()
    assert code == 0 and "few SST-2 Acc" in out and "pretraining" not in out
    found = records(tmp_path)
    made = found.pop("pretraining")
    assert made["cell"]["task"].startswith("sentences[")
    assert made["cell"]["method"] == "top[layers=2]"
    key = next(path.parent.name for path in tmp_path.glob("results/*/model"))
    assert set(found) == {"head", "adapter[width=4]"}
    for record in found.values():
        assert record["cell"]["parents"] == [key] and record["where"]["made_by"] == [key]
        assert record["cost"]["head_params"] == 16 * 16 + 16 + 2 * 16 + 2
        assert record["where"]["head_init"] == found["head"]["where"]["head_init"]
    assert f"made by record {key}" in out
    assert "3 cells, 3 done" in run()[2]
    child = next(p for p in tmp_path.glob("results/*") if p.name != key)
    again = ("reproduce", str(child), "--data", "sample", "--model", str(tiny_folder))
    code, out, _ = bench(*again)
    assert (code, out.strip()) == (0, "identical: metrics, predictions and weights")


def test_a_word_that_is_not_one_token_skips_the_cells_and_says_so(run, tmp_path):
    code, _, _ = run("--set", "words=awful+great")
    assert code == 1
    record = records(tmp_path)["head"]
    assert record["status"] == "skipped"
    assert "label words of one token" in record["reason"]


def test_a_model_with_the_head_fills_gaps_with_its_own(bench, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "masked")
    whole = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder))
    whole.save_pretrained(folder)
    code, _, _ = bench("run", "--models", str(folder), *SMALL)
    assert code == 0
    found = records(tmp_path)
    assert "pretraining" not in found
    assert found["head"]["cell"]["parents"] == []
    sizes = {record["cost"]["head_params"] for record in found.values()}
    assert sizes == {16 * 16 + 16 + 2 * 16 + 2}


def planned(*, model="minilm", sets=None):
    asked = request(load("few-shot"), models=[model], seeds=[13], sets=sets)
    return jobs(asked, SAMPLE, Store("nowhere"))


def test_one_head_serves_all_six_tasks():
    cells = [job.cell for job in planned()]
    made = cells[0]
    assert made.task.startswith("sentences[") and made.method == "top[layers=6]"
    assert len(cells) == 1 + 6 * 7
    assert all(cell.parents == (made.key,) for cell in cells[1:])
    assert all(job.weights.location.endswith(f"{made.key}/model") for job in planned()[1:])
    assert not {"sha256", "gaps"} & planned()[1].weights.known.keys()


@pytest.mark.parametrize("options", [{"model": "roberta-large"}, {"sets": {"form": "head"}}])
def test_no_head_is_made_where_there_is_one_or_none_is_asked_for(options):
    assert all(not job.cell.parents for job in planned(**options))


def test_another_recipe_of_the_head_is_another_parent():
    first, other = planned()[0].cell, planned(sets={"pretrain.lr": "0.001"})[0].cell
    assert first.key != other.key and "lr=0.001," in other.recipe
