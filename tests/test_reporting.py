from dataclasses import replace

import pytest
import yaml

from bench import papertable
from bench.desk import Plan
from bench.record import Cell, Record
from bench.reporting import of_plan, of_store, text, written
from bench.store import Store
from bench.suite import load, request
from tasks.sources import Source

CELL = Cell("head", "mnli", "minilm", "adamw", 0, "files@0", label="head")


def test_table_leaves_out_the_metric_of_a_split_that_the_data_lack(tmp_path):
    store = Store(tmp_path)
    record = Record(CELL, "ok", primary="accuracy_matched", metrics={"accuracy_matched": 0.5})
    with store.writing(CELL) as folder:
        (folder / "record.json").write_text(record.to_json())
    assert "MNLI m " in text(of_store(store), "md")
    whole = replace(record, metrics={"accuracy_matched": 0.5, "accuracy_mismatched": 0.25})
    with store.writing(CELL) as folder:
        (folder / "record.json").write_text(whole.to_json())
    assert "50.0/25.0" in text(of_store(store), "md")


def test_trials_and_cells_that_make_models_are_in_no_table(tmp_path):
    store = Store(tmp_path)
    shown = replace(CELL, task="rte[rows=none]")
    made = [
        replace(shown, method="lora", label="trial", recipe="adamw[report=selection]"),
        replace(shown, task="sentences[rows=9]", method="top", label="making"),
        replace(shown, task="corpus[rows=9]", method="full", label="pretraining"),
    ]
    for cell in (shown, *made):
        put(store, Record(cell, "ok", primary="accuracy", metrics={"accuracy": 0.5}))
    table = text(of_store(store), "csv")
    assert [line.split(",")[0] for line in table.splitlines()] == ["method", "head"]


def test_runs_of_one_method_that_differ_in_options_stand_apart_under_names_that_tell_them(tmp_path):
    store, cell = Store(tmp_path), replace(CELL, task="rte[rows=none]")
    recipes = ("adamw[epochs=3,lr=0.1]", "adamw[epochs=3,lr=0.2]")
    for recipe, score in zip(recipes, (0.25, 0.75), strict=True):
        for seed in (0, 1):
            record = Record(replace(cell, recipe=recipe, seed=seed), "ok", primary="accuracy")
            put(store, replace(record, metrics={"accuracy": score}))
    table = text(of_store(store), "md")
    assert "| head (lr=0.1) |" in table and "| head (lr=0.2) |" in table
    assert "25.0±0.0" in table and "75.0±0.0" in table and "epochs" not in table


def test_runs_on_other_data_stand_in_other_tables(tmp_path):
    store, cell = Store(tmp_path), replace(CELL, task="rte[rows=none]")
    for data in ("files@0", "files@1", "sample@1", "hub"):
        put(
            store,
            Record(replace(cell, data=data), "ok", primary="accuracy", metrics={"accuracy": 0.5}),
        )
    parts = of_store(store).parts
    found = sorted(tuple(r.cell.data for r in part.block.records) for part in parts)
    assert found == [("files@0",), ("files@1",), ("hub",), ("sample@1",)]


def put(store, record):
    with store.writing(record.cell) as folder:
        (folder / "record.json").write_text(record.to_json())


def test_runs_that_differ_in_what_they_build_on_alone_stand_apart_by_key(tmp_path):
    store, cell = Store(tmp_path), replace(CELL, task="rte[rows=none]")
    for parent, score in (("aa", 0.25), ("bb", 0.75)):
        record = Record(replace(cell, parents=(parent,)), "ok", primary="accuracy")
        put(store, replace(record, metrics={"accuracy": score}))
    (part,) = of_store(store).parts
    labels = [row[0].label for row in part.block.rows]
    keys = {replace(cell, parents=(parent,)).key for parent in ("aa", "bb")}
    assert labels[0] == "head" and labels[1] in {f"head ({key})" for key in keys}


@pytest.mark.parametrize(("name", "profile"), [("e2e", "quick"), ("e2e", "paper")])
def test_table_of_the_paper_is_titled_after_it_and_quick_ones_reproduce_nothing(
    tmp_path, name, profile
):
    plan = Plan(papertable.request(name, profile), Source("sample"), Store(tmp_path))
    for planned in plan.cells:
        if planned.job.role == "row":
            metrics = {"BLEU": 0.5, "NIST": 5.0, "METEOR": 0.3, "ROUGE_L": 0.5, "CIDEr": 1.0}
            record = Record(planned.job.cell, "ok", primary="BLEU", metrics=metrics)
            put(plan.store, replace(record, where={"selection": "last: x"}))
    table = text(of_plan(plan.again()).titled(), "md")
    assert table.startswith(
        "### E2E, after Table 3 (E2E NLG test, GPT-2 medium) of Wang et al. 2022"
    )
    assert ("(quick profile, no reproduction)" in table) == (profile == "quick")


def test_material_of_a_plan_has_the_names_of_classes_and_the_command(tmp_path):
    asked = request(load("glue"), tasks=["rte"], methods=["head"])
    plan = Plan(asked, Source("sample"), Store(tmp_path))
    (planned,) = plan.cells
    put(plan.store, Record(planned.job.cell, "ok", primary="accuracy", metrics={"accuracy": 0.5}))
    made = of_plan(plan.again(), command="python -m bench run")
    assert made.labels == {"rte": ("entailment", "not_entailment")}
    assert made.command == "python -m bench run"


def test_hub_results_name_the_data_set_that_a_task_s_rows_are_of(tmp_path):
    store, found = Store(tmp_path / "store"), {}
    places = {"rte": "nyu-mll/glue", "few-rte": "nyu-mll/glue", "subj": "SetFit/subj"}
    for name in places:
        cell = replace(CELL, task=f"{name}[rows=none]")
        put(store, Record(cell, "ok", primary="accuracy", metrics={"accuracy": 0.5}))
    for path in written(of_store(store), "hub", tmp_path / "to"):
        [entry] = yaml.safe_load(path.read_text())
        found[path.stem] = entry["dataset"]["id"]
    assert found == places
    put(
        store,
        Record(replace(CELL, task="topic"), "ok", primary="accuracy", metrics={"accuracy": 1}),
    )
    with pytest.raises(ValueError, match="no data set of the hub for the task named 'topic'"):
        list(written(of_store(store), "hub", tmp_path / "to"))
