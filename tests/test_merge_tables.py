"""The table of a composite task: a column a part, what merges say beneath it, shares."""

from csv import DictReader
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import reporting
from bench.reporting import _column, of_store, text
from reports import checks, merged, shares
from reports.blocks import blocks
from reports.layout import NO_VALUE, NOT_RUN, Column
from reports.measures import Measure
from reports.render import csv, html, latex, markdown
from reports.tables import tables
from tests.merges import MIX, PARTS, SIBLINGS, TASK, Mix, merge, mixed, sweep, table
from tests.pages import kept
from tests.records import SST2, cell, lost, scored

NUMBERS = st.floats(0.01, 1)


def one(records, **options):
    (made,) = tables(records, [MIX], title="Suite", **options)
    return made


def column(made, heading="% of single"):
    at = made.columns.index(heading)
    return {row[0].text: row[at].text for row in made.rows}


def beneath(made, start):
    return [line for line in made.footnotes if line.startswith(start)]


def of(records):
    (block,) = blocks(records, MIX.each(), [])
    return block


def single(seed=0, scores=0.8, of="full", label="single"):
    found = mixed(label, scores, seed)
    return replace(found, cell=replace(found.cell, method=f"single[of={of}]"))


def test_parts_are_headings_by_their_titles_and_the_mean_is_last():
    made = one([mixed("mean", [0.5, 0.6, 0.7])])
    assert made.title == "SST-2 + Subj + TREC, minilm"
    assert made.columns == ("Method", "Trained / served", "SST-2", "Subj", "TREC", "Mean")
    assert [entry.text for entry in made.rows[0]][2:] == ["50.0", "60.0", "70.0", "60.0"]
    told = "SST-2: accuracy; Subj: accuracy; TREC: accuracy; Mean: mean over these."
    assert beneath(made, "SST-2") == [
        f"{told} Higher is better. Printed times 100: SST-2, Subj, TREC, Mean."
    ]


def test_column_is_read_from_the_task_and_its_parts():
    record = replace(
        mixed(), cell=replace(mixed().cell, task="mix[of=sst2[rows=9]+cola,dev_rows=none]")
    )
    record = replace(record, metrics={"sst2": 0.5, "cola": 0.25, "mean": 0.375})
    found = _column(Mix(), [record])
    assert (found.task, found.title) == (checks.task(record), "Mix of SST-2 and CoLA")
    assert [part.heading for part in found.each()] == ["SST-2", "CoLA", "Mean"]
    assert [found.measure(name).name for name in found.shown] == [
        *("accuracy", "Matthews correlation", "mean over these"),
    ]
    (made,) = tables([record], [found], title="x")
    assert [entry.text for entry in made.rows[0]][2:] == ["50.0", "25.0", "37.5"]


def test_parts_of_one_title_go_by_their_metrics():
    class Twice(Mix):
        parts = (Mix.parts[0], Mix.parts[0], Mix.parts[1])
        metrics = ("sst2", "sst2 2", "cola", "mean")

    found = _column(Twice(), [])
    assert found.title == "Mix of sst2, sst2 2 and CoLA"
    assert [m.short for m in found.measures.values()] == ["sst2", "sst2 2", "CoLA", "Mean"]


def test_part_is_not_taken_for_a_part_of_the_data():
    of = {"a_seen": Measure("A", "accuracy"), "mean": Measure("Mean", "mean over these")}
    odd = Column("mix[of=a_seen+b]", "Mix", tuple(of), "mean", spread=True, measures=of)
    (made,) = tables(
        [replace(mixed_of("mix[of=a_seen+b]"), metrics=dict.fromkeys(of, 0.5))], [odd], title="x"
    )
    assert made.columns[2:] == ("A", "Mean")
    assert "A: accuracy; Mean: mean over these. Higher is better. Printed times 100: A, Mean." in (
        made.footnotes
    )


@pytest.mark.parametrize(
    "text, name",
    [
        ("sst2", "sst2"),
        ("sst2[rows=9]", "sst2"),
        ("mix[of=a+b]", "mix[of=a+b]"),
        ("mix[rows=9,of=a[of=x,k=2]+b[of=y+z],dev=1]", "mix[of=a+b]"),
        ("mix[rows=few[of=a]]", "mix"),
        ("mix[of=a+b", "mix"),
        ("of=a+b]", "of=a+b]"),
        ("", ""),
    ],
)
def test_composite_tasks_go_by_what_they_are_made_of(text, name):
    assert checks.task(mixed_of(text)) == name


def mixed_of(task, **fields):
    return replace(mixed(**fields), cell=replace(mixed(**fields).cell, task=task))


@given(st.text("[]of=+,ab", max_size=40))
def test_any_text_is_a_task(text):
    assert checks.task(mixed_of(text)).partition("[")[0] == text.partition("[")[0]


def test_two_mixes_of_a_store_are_not_taken_for_one(tmp_path):
    both = [mixed_of("mix[of=a+b]"), mixed_of("mix[of=a+c]", method="fisher")]
    made = of_store(kept(tmp_path, both))
    heads = [line for line in text(made, "md").splitlines() if line.startswith("|")]
    assert [part.block.tasks for part in made.parts] == [["mix[of=a+b]", "mix[of=a+c]"]]
    assert "mix[of=a+b] mean" in heads[0] and "mix[of=a+c] mean" in heads[0]
    assert not any("(of=" in row[0].label for part in made.parts for row in part.block.rows)


def test_mix_of_a_store_has_a_table_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(
        reporting, "_task", lambda record: Mix() if "mix" in record.cell.task else None
    )
    scores = {"sst2": 0.5, "cola": 0.25, "mean": 0.375}
    found = replace(mixed_of("mix[of=sst2+cola]"), metrics=scores)
    made = of_store(kept(tmp_path, [found, scored(cell(task="x", data="files@0a"), 0.5)]))
    assert [part.title for part in made.parts] == ["All records", "Mix of SST-2 and CoLA"]
    assert "| mean   |        0 / 22.7M |  50.0 | 25.0 | 37.5 |" in text(made, "md")


def test_merge_says_its_space_and_of_what_it_was_merged():
    spaces = [
        *(mixed(name, merge=merge()) for name in ("mean", "fisher")),
        mixed("soup", merge=merge("factor", ["lora on trec"] * 4)),
        single(),
    ]
    assert beneath(one(spaces), "Merged") == [
        "Merged in delta space (what training added to the weights), of full on sst2, full on "
        "subj and full on trec (fisher, mean).",
        "Merged in factor space (the trained tensors themselves), of 4 times lora on trec (soup).",
    ]
    assert "one encoder for all parts, and a head for each" in " ".join(one(spaces).footnotes)


def test_coefficient_says_that_selection_rows_chose_it():
    found = [mixed("taskvector", 0.8, seed, sweep=sweep(seed, 0.8)) for seed in range(2)]
    rule = "rule: the highest mean (taskvector)."
    assert beneath(one(found), "Chosen") == [
        f"Chosen on selection rows: scale 0.8, of 21 values from 0 to 2; {rule}"
    ]
    found[1] = mixed("taskvector", 0.8, 1, sweep=sweep(1, 1.1))
    assert beneath(one(found), "Chosen") == [
        f"Chosen on selection rows: scale 0.8 and 1.1 by seed, of 21 values from 0 to 2; {rule}"
    ]


def test_cost_of_a_merge_is_told_in_seconds_means_over_seeds():
    cost = {"train_flops": 0, "train_seconds": 0.0, "needed_train_seconds": 312.4}
    found = [
        mixed("regmean", 0.8, seed, {**cost, "merge_seconds": 10.0 + seed}, merge=merge())
        for seed in range(2)
    ]
    assert beneath(one([*found, mixed("mean", 0.7, 0, cost, merge=merge())]), "A merge has") == [
        "A merge has no training of its own; seconds of training of its own / merging / training "
        "of the runs it needs: mean 0 / – / 312, regmean 0 / 10.5 / 312."  # noqa: RUF001
    ]
    assert beneath(one([mixed("mean", 0.8, 0, {"train_flops": 0}, merge=merge())]), "A merge") == [
        "A merge has no training of its own.",
        "A merge serves one encoder for all parts, and a head for each of them.",
    ]


@pytest.mark.parametrize("cost", [{}, {"train_flops": 5}])
def test_merge_that_trained_or_does_not_say_is_not_told_to_be_free(cost):
    cost = {**cost, "train_seconds": 3.0, "needed_train_seconds": 1234.0}
    made = one([mixed("soup", 0.8, 0, cost, merge=merge())])
    assert not beneath(made, "A merge has")
    assert beneath(made, "Seconds") == [
        "Seconds of training of its own / training of the runs it needs: soup 3.0 / 1,234."
    ]


def test_other_tables_say_nothing_of_merges():
    (made,) = tables([scored(cell(), 0.5)], [SST2], title="x")
    assert merged.footnotes(of([single()])) == []
    assert "% of single" not in made.columns


def test_merge_in_a_table_of_other_tasks_is_told_too():
    (made,) = tables([scored(cell("soup"), 0.5, merge=merge())], [SST2], title="x")
    assert beneath(made, "Merged") and not beneath(made, "A merge serves")


@pytest.mark.parametrize("bad", [None, "x", 3, [], {"space": 7, "parents": 5}, {"parents": []}])
def test_damaged_facts_are_passed_over(bad):
    made = one([mixed("mean", merge=bad, sweep=bad)])
    assert not beneath(made, "Merged") and not beneath(made, "Chosen")
    odd = {**sweep(), "chosen": bad, "values": bad}
    assert not beneath(one([mixed("mean", sweep=odd)]), "Chosen")


def test_share_is_of_the_single_runs_at_the_same_seed():
    found = [single(0, 0.8), single(1, 0.5), mixed("mean", 0.4, 0), mixed("mean", 0.5, 1)]
    made = one(found)
    assert column(made) == {"mean": "75.0±35.4", "single": "100.0±0.0"}
    assert made.rows[0][-1].value == 75.0 and not any(row[-1].best for row in made.rows)
    assert beneath(made, "% of single") == [shares.TOLD]
    lines = [*DictReader(StringIO(csv(made)))]
    told = {(x["method"], x["seed"], x["metric"]): float(x["of_single"]) for x in lines}
    assert told["mean", "0", "mean"] == 0.5 and told["mean", "1", "sst2"] == 1.0
    assert len(told) == 4 * (1 + len(PARTS))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_share_of_a_row_is_the_mean_of_the_shares_by_seed(pairs):
    found = [single(seed, theirs) for seed, (_, theirs) in enumerate(pairs)]
    found += [mixed("mean", ours, seed) for seed, (ours, _) in enumerate(pairs)]
    by_hand = 100 * sum(ours / theirs for ours, theirs in pairs) / len(pairs)
    (entry, _) = shares.column(of(found))
    assert entry.value == pytest.approx(by_hand, abs=0.051)


def test_share_needs_a_score_of_both():
    bad = [
        *(single(0, 0.0), single(1, 0.5), lost(single(2).cell, "boom")),
        *(mixed("zero", 0.5, 0), mixed("other", 0.5, 2), mixed("null", [None, 1, 1], 1)),
        lost(mixed("dead", 0.5, 1).cell, "boom"),
    ]
    made = one(bad, methods=["absent"])
    assert column(made) == {
        "absent": NOT_RUN,
        **dict.fromkeys(("dead", "null", "other", "single", "zero"), NO_VALUE),
    }


def test_share_is_of_the_single_runs_of_the_same_method():
    two = [single(0, 0.5), single(0, 0.8, "lora[rank=4]", "single (lora)")]
    lora = mixed("mean (lora)", 0.4)
    lora = replace(lora, cell=replace(lora.cell, method="mean[of=lora[rank=4]]"))
    other = mixed("odd", 0.4)
    other = replace(other, cell=replace(other.cell, method="odd"))
    found = column(one([*two, lora, other, mixed("mean", 0.4)]))
    assert (found["mean"], found["mean (lora)"], found["odd"]) == ("80.0", "50.0", NO_VALUE)
    alone = column(one([single(0, 0.8), other]))
    assert alone["odd"] == "50.0"


def test_every_form_has_the_merge_table():
    made = one(table(), baseline="mean")
    for write in (markdown, latex, html):
        told = write(made).replace("\\", "")
        assert "% of single" in told and "TREC" in told and SIBLINGS[0] in told
    (row,) = [r for r in markdown(made).splitlines() if r.startswith("| regmean")]
    assert row.count("|") == 1 + len(made.columns)
    assert all(row[-1].sense == "" for row in made.rows)
    assert any(row[-2].sense == "better" for row in made.rows)


def test_task_text_of_the_records_is_the_columns():
    assert checks.task(mixed()) == MIX.task and TASK.startswith(MIX.task[:-1])
