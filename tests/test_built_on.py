"""Cells that build on finished runs, from the command line to the record and back."""

import json
import shutil

import pytest

SUITE = ("--suite", "ablation-merging", "--data", "sample", "--tasks", "sst2", "--seeds", "0,1")
SMALL = ("--set", "rows=40", "--set", "dev_rows=30", "--set", "epochs=1", "--jobs", "1")
ROWS = "adamix-adapter,random routing,fixed module"


@pytest.fixture
def ablation(bench, tiny_folder, tmp_path):
    """Runs the suite's rows on the tiny model: the records by row and seed."""
    words = ("run", *SUITE, *SMALL, "--models", str(tiny_folder))

    def run(rows=ROWS):
        code, out, _ = bench(*words, "--methods", rows)
        assert code == 0
        found = map(json.loads, (p.read_text() for p in tmp_path.glob("results/*/record.json")))
        return {(r["cell"]["label"], r["cell"]["seed"]): r for r in found}, out

    return run


def test_one_trained_run_serves_every_way_of_inference(ablation):
    found, out = ablation()
    for seed in (0, 1):
        trained = found["adamix-adapter", seed]
        for row in ("random routing", "fixed module"):
            record = found[row, seed]
            assert len(record["cell"]["parents"]) == 1 and record["where"]["made_by"] == []
            assert record["cell"]["recipe"] == trained["cell"]["recipe"]
            cost = record["cost"]
            assert (cost["train_flops"], cost["train_seconds"]) == (0, 0)
            for name in ("train_flops", "train_seconds"):
                assert cost[f"needed_{name}"] == trained["cost"][name] > 0
        draws = found["random routing", seed]["where"]["draws"]["accuracy"]
        assert len(draws) == 10
        score = found["random routing", seed]["metrics"]["accuracy"]
        assert score == pytest.approx(sum(draws) / 10)
    assert len({r["cell"]["parents"][0] for (row, _), r in found.items() if "module" in row}) == 2
    assert "made by record" not in out


def test_a_run_built_on_another_is_reproduced_beside_it_and_not_without(
    ablation, bench, tiny_folder, tmp_path
):
    ablation("adamix-adapter,fixed module")
    child = next(
        path.parent
        for path in tmp_path.glob("results/*/record.json")
        if json.loads(path.read_text())["cell"]["label"] == "fixed module"
    )
    words = ("reproduce", str(child), "--data", "sample", "--model", str(tiny_folder))
    assert bench(*words)[:2] == (0, "identical: metrics, predictions and weights\n")
    for path in tmp_path.glob("results/*"):
        if path != child:
            shutil.rmtree(path)
    code, _, complaint = bench(*words)
    assert code == 2 and "beside the record, which builds on it" in complaint


@pytest.mark.slow
def test_comparison_of_rows_says_what_could_have_been_seen(ablation, bench, tiny_folder):
    ablation()
    words = ("report", *SUITE, *SMALL[:-2], "--models", str(tiny_folder), "--methods", ROWS)
    code, out, _ = bench(*words, "--compare", "adamix-adapter")
    assert code == 0 and "random routing" in out and "smallest detectable" in out
    code, _, complaint = bench(*words, "--compare", "adamix-adaptor")
    assert code == 2 and "did you mean 'adamix-adapter'" in complaint
