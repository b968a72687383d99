"""What the recipe's `order` and `report` change in a cell, and what they leave."""

import json
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from bench.cellrun import CellRun
from bench.record import WEIGHTS
from bench.run import attempt
from tasks.glue import RTE
from tests.jobs import job


def ran(asked, folder):
    folder.mkdir()
    return attempt(asked, folder), load_file(folder / WEIGHTS)


def test_another_order_trains_other_weights_from_the_same_head_on_the_same_rows(
    tiny_folder, tmp_path
):
    once, weights = ran(job(tiny_folder), tmp_path / "0")
    other, others = ran(job(tiny_folder, order=1), tmp_path / "1")
    assert once.where["head_init"] == other.where["head_init"]
    assert once.where["data"] == other.where["data"]
    assert any(not tensor.equal(others[name]) for name, tensor in weights.items())


def test_another_order_starts_from_the_same_modules(tiny_folder, tmp_path):
    frozen = {"lr": 1e-30, "decay": 0.0, "warmup": 0.0}
    _, weights = ran(job(tiny_folder, "adapter", **frozen), tmp_path / "0")
    _, others = ran(job(tiny_folder, "adapter", order=1, **frozen), tmp_path / "1")
    for name, tensor in weights.items():
        assert tensor.allclose(others[name], rtol=0, atol=1e-25)


def test_another_order_routes_otherwise(tiny_folder, tmp_path):
    def draws(order: int) -> list[int]:
        run = CellRun(job(tiny_folder, order=order), tmp_path, lambda **_: None)
        return run.generator("routing").get_state().tolist()

    assert draws(0) == draws(0) != draws(1)


def test_a_trial_is_scored_on_selection_rows_alone(tiny_folder, tmp_path):
    trial, weights = ran(job(tiny_folder, report="selection"), tmp_path / "trial")
    final, same = ran(job(tiny_folder), tmp_path / "final")
    assert all(tensor.equal(same[name]) for name, tensor in weights.items())
    rows = trial.where["data"]["used"]["selection"]
    right = trial.metrics["accuracy"] * rows
    assert right == pytest.approx(round(right)) and set(trial.metrics) == {"accuracy"}
    assert (tmp_path / "trial" / "predictions.jsonl").read_text() == ""
    shown = (tmp_path / "final" / "predictions.jsonl").read_text().splitlines()
    assert {json.loads(line)["split"] for line in shown} == {"dev"}
    assert len(shown) == final.where["data"]["used"]["dev"]


@pytest.mark.parametrize("options", [{"report": "selection"}, {"select": "best"}])
def test_rows_to_select_on_are_asked_for_where_there_are_none(
    tiny_folder, tmp_path, monkeypatch, options
):
    whole = RTE.load

    def without(task, source, seed):
        return replace(whole(task, source, seed), selection=[])

    monkeypatch.setattr(RTE, "load", without)
    record = attempt(job(tiny_folder, **options), tmp_path)
    expected = "expected rows to select on, got none: rte keeps none"
    assert (record.status, record.reason) == ("failed", f"ValueError: {expected}")
