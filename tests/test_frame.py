import json
from csv import DictReader
from dataclasses import fields, replace
from io import StringIO

import pandas as pd
import pytest

from bench.record import Record
from reports.compare import comparisons
from reports.layout import COSTS, Fact
from reports.published import published
from reports.render import csv
from reports.render.frame import facts_frame
from reports.tables import tables
from tests.records import SST2, cell, scored, small

COST = {
    "trained_params": 7,
    "train_flops": 10**15 + 1,
    "forward_flops": 3,
    "train_seconds": 1.5,
    "train_rows_per_second": 0.1 + 0.2,
    "peak_memory_bytes": 2**40,
    "memory_source": "CUDA allocator",
    "energy_joules": None,
    "energy_source": "not measured",
    "energy_kind": "unavailable",
}


def made(records, columns=(SST2,), **options):
    return tables(records, columns, title="T", **options)


def lines(text):
    return list(DictReader(StringIO(text)))


def test_frame_has_a_line_a_fact_and_a_column_a_field():
    table = made(small())
    frame = facts_frame(table)
    assert list(frame.columns) == [field.name for field in fields(Fact)]
    assert len(frame) == len(table[0].facts) == 4


def test_frame_keeps_whole_numbers_whole_and_missing_ones_missing():
    records = [scored(cell(seed=0), 0.5, COST), scored(cell(seed=1), 0.25, {})]
    frame = facts_frame(made(records))
    assert frame.dtypes[["seed", "trained_params", "train_flops"]].eq("Int64").all()
    assert frame.dtypes[["value", "train_seconds", "energy_joules"]].eq("float64").all()
    assert frame["train_flops"].tolist() == [10**15 + 1, pd.NA]
    assert frame["train_seconds"].isna().tolist() == [False, True]
    first, second = lines(csv(*made(records)))
    assert (first["train_flops"], first["seed"], first["value"]) == (str(10**15 + 1), "0", "0.5")
    assert (second["train_flops"], second["train_seconds"], second["energy_kind"]) == ("", "", "")


def test_csv_has_the_costs_of_a_record_by_their_names():
    (found,) = lines(csv(*made([scored(cell(), 0.5, COST)])))
    told = {name: found[name] for name in COST}
    assert told == {name: "" if value is None else str(value) for name, value in COST.items()}
    assert set(COST) <= set(COSTS)


def test_costs_are_fields_of_a_fact_that_a_paper_leaves_empty():
    assert set(COSTS) <= {field.name for field in fields(Fact)} and len(COSTS) == 28
    ours = [scored(cell(model="roberta-base"), 0.9)]
    rows = published("roberta-base")
    theirs = [x for x in lines(csv(*made(ours, published=rows))) if x["source"] == "paper"]
    assert theirs and all(x["train_flops"] == x["peak_memory_bytes"] == "" for x in theirs)


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "a\0b", "a\ud800b", 'a"b,c\nd'])
def test_csv_reads_back_any_text(text):
    table = made([replace(scored(cell(), 0.5), reason=text)])
    written = csv(*table).encode("utf-8").decode("utf-8")
    (found,) = lines(written)
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    assert found["reason"] == clean.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert found["key"] == cell().key


def foreign(**cost):
    """A record as another program's JSON may hold it: NaN and all."""
    known = json.loads(scored(cell(), 0.5, {}).to_json())
    known["cost"] = cost
    return Record.from_json(json.dumps(known))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1e300, "1e+300"),
        (2**70, str(2**70)),
        ("many", "many"),
        (3, "3"),
    ],
)
def test_number_of_a_foreign_record_is_written_as_it_is(value, told):
    (found,) = lines(csv(*made([foreign(inference_flops=value)])))
    assert found["inference_flops"] == told


def test_huge_and_negative_zero_scores_are_kept():
    records = [scored(cell(seed=i), v) for i, v in enumerate((1e300, -0.0, 5e-324))]
    assert [x["value"] for x in lines(csv(*made(records)))] == ["1e+300", "-0.0", "5e-324"]


def test_frame_of_a_comparison_has_its_fields():
    frame = facts_frame(comparisons(small(), [SST2], title="T", baseline="adapter"))
    assert frame["seeds"].dtype == "Int64" and frame["difference"].dtype == "float64"


def test_frame_of_nothing_has_the_columns_of_a_fact():
    assert list(facts_frame([]).columns) == [field.name for field in fields(Fact)]
    assert csv().startswith("method,model,task,seed,") and csv().count("\n") == 1
