"""Merges of a suite and of a store, from the command line to the record and back."""

import json

import pytest

from bench.record import Cell

SMALL = ("--set", "rows=40", "--set", "dev_rows=20", "--set", "epochs=1", "--jobs", "1")
TASK = "mix[of=zero-sst2+zero-subj]"
SUITE = """
name = "small"
title = "Small"
tasks = ["{task}"]
methods = ["single", "average", "regmean", "chosen", "joint"]
[variants]
chosen = "taskvector[most=1,step=0.5]"
joint = "full"
[profiles.quick]
models = ["{model}"]
seeds = [0]
recipe = {{ lr = 1e-3, batch = 16, epochs = 1 }}
options = {{ rows = 40, dev_rows = 20 }}
rules = [{{ task = "zero-subj", recipe = {{ epochs = 2 }} }}]
[profiles.paper]
like = "glue"
"""


@pytest.fixture
def merged(bench, tiny_folder, tmp_path):
    """The suite run once: the records by row and task, and what was printed."""
    suite = tmp_path / "small.toml"
    suite.write_text(SUITE.format(task=TASK, model=tiny_folder), encoding="utf-8")
    code, out, _ = bench("run", "--suite", str(suite), "--data", "sample", "--jobs", "1")
    assert code == 0, out
    found = map(json.loads, (p.read_text() for p in tmp_path.glob("results/*/record.json")))
    return {(r["cell"]["label"], r["cell"]["task"].partition("[")[0]): r for r in found}, out


def key(record) -> str:
    return Cell(**{**record["cell"], "parents": tuple(record["cell"]["parents"])}).key


def test_runs_are_made_once_and_merges_cost_no_training(merged, tmp_path):
    found, out = merged
    runs = [found["full", "zero-sst2"], found["full", "zero-subj"]]
    for row in ("single", "average", "regmean", "chosen"):
        record = found[row, "mix"]
        assert record["cell"]["parents"] == [key(run) for run in runs]
        cost = record["cost"]
        assert cost["train_flops"] == cost["train_seconds"] == 0 and cost["merge_seconds"] > 0
        assert cost["needed_train_seconds"] == sum(r["cost"]["train_seconds"] for r in runs)
        assert cost["peak_memory_bytes"] >= 0
        assert {*record["metrics"]} == {"zero-sst2", "zero-subj", "mean"}
    assert len(found) == 7 and "single" in out
    assert found["joint", "mix"]["cell"]["parents"] == []
    assert "epochs=2.0" in runs[1]["cell"]["recipe"] and "epochs=1.0" in runs[0]["cell"]["recipe"]
    for run, part in zip(runs, ("zero-sst2", "zero-subj"), strict=True):
        assert found["single", "mix"]["metrics"][part] == run["metrics"]["accuracy"]
        assert (tmp_path / "results" / key(run) / "gram-delta-256.safetensors").is_file()
    sweep = found["chosen", "mix"]["where"]["sweep"]
    assert sweep["values"] == [0.0, 0.5, 1.0] and sweep["chosen"] in sweep["values"]
    assert {*sweep["selection"]} == {"zero-sst2", "zero-subj", "mean"}


def test_a_merge_is_reproduced_with_statistics_kept_and_without(
    merged, bench, tiny_folder, tmp_path
):
    found, _ = merged
    path = tmp_path / "results" / key(found["regmean", "mix"])
    words = ("reproduce", str(path), "--data", "sample", "--model", str(tiny_folder))
    for _ in range(2):
        assert bench(*words)[:2] == (0, "identical: metrics, predictions and weights\n")
        for kept in tmp_path.glob("results/*/gram-*.safetensors"):
            kept.unlink()


def test_statistics_are_read_where_they_are_kept(merged, bench, tiny_folder, monkeypatch):
    found, _ = merged
    monkeypatch.setattr("methods.merging.statistics.grams", None)
    parents = found["regmean", "mix"]["cell"]["parents"]
    words = ("--data", "sample", "--method", "regmean[alpha=0.5]", *parents)
    code, out, _ = bench("merge", *words, "--model", str(tiny_folder))
    assert code == 0, out


def test_runs_of_a_store_are_merged_by_their_keys(merged, bench, tiny_folder):
    found, _ = merged
    parents = found["average", "mix"]["cell"]["parents"]
    words = ("merge", "--data", "sample", "--model", str(tiny_folder), *parents)
    code, out, _ = bench(*words, "--method", "average", "--json")
    record = json.loads(out)
    assert code == 0 and record["cell"]["task"] == found["average", "mix"]["cell"]["task"]
    assert record["metrics"] == found["average", "mix"]["metrics"]
    code, out, _ = bench(*words, "--method", "fisher")
    assert code == 0 and "merged in delta space in" in out and "nothing trained" in out
    assert "  of full on zero-sst2" in out and "mean" in out
    code, out, _ = bench("report")
    assert code == 0 and "fisher" in out


def test_runs_that_do_not_go_together_are_refused_in_one_line(merged, bench, tiny_folder, tmp_path):
    found, _ = merged
    first, second = found["average", "mix"]["cell"]["parents"]
    again = ("--suite", "glue", "--data", "sample", "--tasks", "zero-subj", "--seeds", "1", *SMALL)
    assert bench("run", *again, "--methods", "full,lora", "--models", str(tiny_folder))[0] == 0
    others = map(json.loads, (p.read_text() for p in tmp_path.glob("results/*/record.json")))
    other = next(r for r in others if r["cell"]["seed"] == 1 and "full" in r["cell"]["label"])

    def refused(*words: str) -> str:
        code, _, said = bench("merge", "--data", "sample", "--model", str(tiny_folder), *words)
        assert code == 2 and said.count("\n") == 1, said
        return said

    assert "one seed" in refused("--method", "average", first, key(other))
    assert "did you mean 'average'" in refused("--method", "avarage", first, second)
    assert "no method that merges runs" in refused("--method", "lora", first, second)
    assert "expected 2 runs" in refused("--method", "average", "--on", TASK, first)
    assert "expected a record.json or its folder" in refused(
        "--method", "average", first, "nowhere"
    )
    assert "expected a run on" in refused("--method", "average", "--on", TASK, second, first)
    path = tmp_path / "results" / second / "record.json"
    record = json.loads(path.read_text())
    record["where"]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    assert "one base weights" in refused("--method", "average", first, second)
