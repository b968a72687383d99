import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import reproduce
from bench.reproduce import again
from bench.run import attempt
from tasks.sources import Source
from tests.jobs import SAMPLE, job


@pytest.fixture(scope="module")
def made(tiny_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert attempt(job(tiny_folder, "adapter", "stsb"), folder).status == "ok"
    return folder


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "copy")


def edit(folder: Path, part: str, **changes) -> None:
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record[part] = {**record[part], **changes} if changes else changes
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("name", ["", "record.json"])
def test_record_is_the_same_again(made, tiny_folder, name):
    assert again(made / name, SAMPLE, str(tiny_folder)) == []


def test_every_difference_is_a_line(copy, tiny_folder):
    edit(copy, "metrics", pearson=2.0, extra=1.0)
    weights = load_file(copy / "weights.safetensors")
    weights["head.out.bias"] += 2.0**-20
    save_file(weights, copy / "weights.safetensors")
    (copy / "predictions.jsonl").unlink()
    found = again(copy, SAMPLE, str(tiny_folder))
    assert found[0] == "extra: 1.0 in the record, None now"
    assert found[1].startswith("pearson: 2.0 in the record, ")
    assert found[2:] == ["weights.safetensors differs", "predictions.jsonl differs"]


def test_differences_come_with_the_circumstances_that_may_be_why(copy, tiny_folder):
    edit(copy, "where", device="abacus")
    assert again(copy, SAMPLE, str(tiny_folder)) == []
    edit(copy, "metrics", pearson=2.0)
    assert again(copy, SAMPLE, str(tiny_folder))[-1].startswith("device: abacus in the record, ")


def test_every_circumstance_that_is_another_one_is_a_line(copy, tiny_folder):
    record = json.loads((copy / "record.json").read_text(encoding="utf-8"))
    versions = record["where"]["versions"] | {"torch": "1.0"}
    others = {"commit": "0", "precision": "bf16", "plugins": {"old": "old 1"}}
    digests = record["where"]["data"]["fingerprint"]
    rows = record["where"]["data"] | {"fingerprint": digests | {"train": "ff"}}
    edit(copy, "where", versions=versions, data=rows, **others)
    edit(copy, "metrics", pearson=2.0)
    _, *found = again(copy, SAMPLE, str(tiny_folder))
    names = ["commit", "plugins old", "precision", "rows train", "versions torch"]
    assert sorted(line.partition(":")[0] for line in found) == names
    assert f"rows train: ff in the record, {digests['train']} now" in found


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_damaged_record_is_named_in_one_line(copy, text):
    (copy / "record.json").write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]*record\.json is not a record: [^\n]*$"):
        again(copy, SAMPLE)


def test_run_that_fails_now_says_why(copy, tiny_folder, tmp_path):
    hollow = shutil.copytree(tiny_folder, tmp_path / "tiny")
    broken = json.loads((copy / "record.json").read_text(encoding="utf-8"))
    broken["cell"]["recipe"] = "adamw[lr=1e30,steps=9]"
    (copy / "record.json").write_text(json.dumps(broken), encoding="utf-8")
    found = again(copy, SAMPLE, str(hollow))
    assert any(line.startswith("status: ok in the record, failed now: loss is") for line in found)


def test_run_takes_as_many_threads_as_the_record_had_and_gives_them_back(
    copy, tiny_folder, monkeypatch
):
    seen: list[int] = []

    def noted(*args):
        seen.append(torch.get_num_threads())
        torch.set_num_threads(1)
        record = attempt(*args)
        torch.set_num_threads(3)
        return record

    edit(copy, "where", threads=3)
    monkeypatch.setattr(reproduce, "attempt", noted)
    assert again(copy, SAMPLE, str(tiny_folder)) == []
    assert seen == [3] and torch.get_num_threads() == 1


def test_other_rows_are_refused(made, tiny_folder, tmp_path):
    with pytest.raises(ValueError, match="expected the rows 'sample@1' of the record, got 'files@"):
        again(made, Source("files", tmp_path), str(tiny_folder))


def test_model_of_a_directory_has_to_be_given(made):
    with pytest.raises(
        ValueError, match=r"expected the directory of the model 'tiny@\w+', got none"
    ):
        again(made, SAMPLE)


def test_other_model_is_refused(made):
    with pytest.raises(ValueError, match=r"expected the model 'tiny@\w+', got 'minilm'"):
        again(made, SAMPLE, "minilm")


@pytest.mark.parametrize("name", ["", "record.json"])
def test_folder_without_a_record_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected a record\.json or its folder, got "):
        again(tmp_path / "nowhere" / name, SAMPLE)


def test_run_without_a_result_is_refused(copy):
    record = json.loads((copy / "record.json").read_text(encoding="utf-8"))
    (copy / "record.json").write_text(json.dumps({**record, "status": "failed"}), encoding="utf-8")
    with pytest.raises(ValueError, match="expected a run with a result, got one that failed"):
        again(copy, SAMPLE)
