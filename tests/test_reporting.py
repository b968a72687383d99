from dataclasses import replace

from bench.record import Cell, Record
from bench.reporting import of_store, text
from bench.store import Store

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
