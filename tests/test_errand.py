"""A cell on another machine, which is this one with its folders elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.executors.errand import Errand, Reply, located, packed, run, unpack
from bench.made import placed
from bench.store import Store
from bench.weights import find
from tasks.sources import Source
from tests.jobs import job
from tests.test_execute import heir, silent


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path):
    """A store with a token in it."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".token-a").touch()
    return Store(tmp_path / "store")


def test_worker_that_sees_the_store_writes_there(tiny_folder, store):
    asked, told = job(tiny_folder, "head"), []
    reply = run(Errand(asked, store, ".token-a", 1), {}, lambda *event: told.append(event))
    assert reply == Reply(store.get(asked.cell)) and reply.record.status == "ok"
    assert {key for key, _ in told} == {asked.cell.key}


def test_worker_that_does_not_see_the_store_asks_for_parents_and_sends_the_folder(
    tiny_folder, store, tmp_path
):
    parent = job(tiny_folder, "bitfit")
    asked = heir(job(tiny_folder, "head"), parent)
    errand = Errand(asked, store, ".token-b", 1)
    assert run(errand, {}, silent) == Reply()
    run(Errand(parent, store, ".token-a", 1), {}, silent)
    files = packed(store.folder(parent.cell))
    reply = run(errand, {parent.cell.key: lambda: files}, silent)
    assert reply.record.status == "ok" and store.get(asked.cell) is None
    unpack(reply.files, store.folder(asked.cell))
    assert store.get(asked.cell) == reply.record
    assert {"record.json", "weights.safetensors", "log.txt"} <= reply.files.keys()


def test_folder_arrives_as_it_was(tmp_path):
    (tmp_path / "a" / "model").mkdir(parents=True)
    contents = {"record.json": b"{}", "model/x.bin": bytes(range(256)) * 99, "log.txt": b""}
    for name, content in contents.items():
        (tmp_path / "a" / name).write_bytes(content)
    files = packed(tmp_path / "a")
    assert files.keys() == contents.keys() and all(f.dtype == np.uint8 for f in files.values())
    unpack(files, tmp_path / "b")
    assert {name: (tmp_path / "b" / name).read_bytes() for name in contents} == contents


def test_another_version_of_the_package_is_refused(tiny_folder, store):
    errand = Errand(job(tiny_folder, "head"), store, ".token-a", 1, version="0.0.1")
    with pytest.raises(ValueError, match=r"expected peftbench 0\.0\.1 on every machine, got"):
        run(errand, {}, silent)


def test_places_in_the_store_are_found_in_the_worker_s_own(tiny_folder, tmp_path):
    here, there = Store(tmp_path / "here"), Store("/there")
    maker, parent = job(tiny_folder, "full"), job(tiny_folder, "bitfit")
    asked = replace(
        heir(job(tiny_folder, "head"), maker, parent),
        weights=placed(there.folder(maker.cell), find("gpt2-mini")),
        built_on=(there.folder(parent.cell),),
    )
    asked = replace(asked, part=there.part(asked.cell))
    found = located(asked, here)
    assert found.weights.location == str(here.folder(maker.cell).resolve() / "model")
    assert found.built_on == (here.folder(parent.cell),)
    assert found.part == here.part(asked.cell)
    assert located(replace(asked, part=None), here).part is None


def test_package_and_hub_models_are_looked_for_where_the_worker_is(tiny_folder, tmp_path):
    asked, store = job(tiny_folder, "head"), Store(tmp_path)
    elsewhere = replace(find("minilm"), location="/elsewhere/minilm")
    assert located(replace(asked, weights=elsewhere), store).weights == find("minilm")
    hub = find("owner/model")
    assert located(replace(asked, weights=hub), store).weights == hub


def test_model_that_is_missing_or_another_fails_the_cell(tiny_folder, store, tmp_path):
    asked = job(tiny_folder, "head")
    for location, got in [
        ("/elsewhere/tiny", "got no such directory"),
        (str(find("minilm").location), f"got {Path(find('minilm').location).name}@"),
    ]:
        wrong = replace(asked, weights=replace(asked.weights, location=location))
        record = run(Errand(wrong, store, ".token-a", 1), {}, silent).record
        assert record.status == "failed" and store.get(asked.cell) == record
        assert f"expected the model {asked.cell.model}, {got}" in record.reason


@pytest.fixture
def folders(tmp_path):
    """Two directories with other rows."""
    for name, line in [("one", "sentence\tlabel\n"), ("two", "sentence\tlabel\na film\t1\n")]:
        (tmp_path / name / "glue" / "RTE").mkdir(parents=True)
        (tmp_path / name / "glue" / "RTE" / "train.tsv").write_text(line)
    return tmp_path / "one", tmp_path / "two"


def test_rows_are_those_of_the_directory_or_of_the_worker_s_own(
    tiny_folder, folders, tmp_path, monkeypatch
):
    one, two = folders
    asked, store = job(tiny_folder, "head", source=Source("files", one)), Store(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(two))
    assert located(asked, store).source.path == one
    moved = replace(asked, source=Source("files", Path("/elsewhere")))
    with pytest.raises(ValueError, match=f"expected the data {asked.cell.data}, got files@"):
        located(moved, store)
    monkeypatch.setenv("BENCH_DATA", str(one))
    assert located(moved, store).source.path == one
    other = replace(asked, source=Source("files", two))
    assert located(other, store).source.path == one
    monkeypatch.delenv("BENCH_DATA")
    with pytest.raises(ValueError, match="got none where the command has it nor in BENCH_DATA"):
        located(moved, store)
