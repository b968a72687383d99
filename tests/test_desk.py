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
