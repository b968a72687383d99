import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.examples import Examples
from reports.layout import Column
from reports.published import PublishedRow, Score, published
from reports.tables import tables
from tests.records import COST, LAST, MNLI, MRPC, SST2, STSB, cell, lost, scored, small

GLUE = [
    MNLI,
    *(Column(t, t.upper(), ("accuracy",), "accuracy") for t in ("qnli", "sst2", "qqp", "mrpc")),
    Column("cola", "CoLA", ("matthews",), "matthews"),
    Column("rte", "RTE", ("accuracy",), "accuracy"),
    STSB,
]


def one(records, columns=(SST2,), **options):
    (table,) = tables(records, columns, title="GLUE", **options)
    return table


def texts(table):
    return [[entry.text for entry in row] for row in table.rows]


def sentences(table):
    return [f"{remark.sentence} ({remark.places})" for remark in table.remarks]


def test_table_puts_methods_down_and_tasks_across():
    table = one(small(), [MRPC, SST2], methods=["lora", "adapter"])
    assert table.columns == ("Method", "Trained / served", "MRPC Acc/F1", "SST-2 Acc", "Avg.")
    assert texts(table) == [
        ["lora", "0.15M / 0", "88.0±0.0/91.0±1.4", "92.0±1.4", "90.0±0.7"],
        ["adapter", "0.22M / 0.22M", "89.0/91.0", "92.0±0.0", "90.5"],
    ]


def test_table_of_one_seed_prints_no_spread():
    table = one([scored(cell(), 0.9149)])
    assert (texts(table)[0][2], table.title) == ("91.5", "GLUE, minilm")
    assert "One run a place, seed 0." in table.footnotes


def test_table_of_one_task_has_no_average():
    assert one(small()).columns == ("Method", "Trained / served", "SST-2 Acc")


def test_table_names_rows_without_a_label_by_their_method():
    assert texts(one([scored(cell(label=""), 0.9)]))[0][0] == "lora[rank=8]"


def test_table_keeps_rows_that_methods_does_not_list():
    table = one(small(), methods=["lora"])
    assert [row[0] for row in texts(table)] == ["lora", "adapter"]


def test_table_leaves_out_tasks_without_a_column():
    other = scored(cell("bitfit", "rte", seed=7, data="sample@1"), 0.5)
    assert one([*small(), other], [SST2, MRPC]) == one(small(), [SST2, MRPC])


def test_tables_make_one_for_each_model():
    records = [scored(cell(model=model), 0.9) for model in ("roberta-base", "minilm")]
    assert [table.title for table in tables(records, [SST2], title="GLUE")] == [
        "GLUE, minilm",
        "GLUE, roberta-base",
    ]


def test_tables_of_no_records_are_none():
    assert tables([], [SST2], title="GLUE", methods=["lora"]) == []


@given(st.permutations(small()))
def test_table_does_not_depend_on_the_order_of_records(records):
    assert tables(records, [SST2, MRPC], title="GLUE") == tables(
        small(), [SST2, MRPC], title="GLUE"
    )


@pytest.mark.parametrize(
    "count, text",
    [
        (0, "0"),
        (770, "770"),
        (48_200, "48.2K"),
        (102_912, "0.10M"),
        (811_392, "0.81M"),
        (355_359_744, "355.4M"),
    ],
)
def test_table_writes_parameters_as_people_do(count, text):
    cost = {"trained_params": count, "served_params": 0}
    assert texts(one([scored(cell(), 0.9, cost)]))[0][1] == f"{text} / 0"


def test_table_prints_a_range_where_tasks_train_different_counts():
    more = {**COST, "trained_params": 1_200_000, "head_params": 1_155}
    records = [scored(cell(), 0.9), scored(cell(task="mrpc"), {"accuracy": 1, "f1": 1}, more)]
    table = one(records, [SST2, MRPC])
    assert texts(table)[0][1] == "0.15M\N{EN DASH}1.20M / 0"
    assert "Head of a task: 770 to 1,155 parameters." in table.footnotes


def test_average_is_of_the_primary_metrics():
    by_f1 = replace(MRPC, primary="f1")
    records = [scored(cell(), 0.9), scored(cell(task="mrpc"), {"accuracy": 0.7, "f1": 0.8})]
    assert texts(one(records, [SST2, by_f1]))[0][-1] == "85.0"
    assert any(note.endswith("taking MRPC F1.") for note in one(records, [SST2, by_f1]).footnotes)


def test_average_spreads_over_the_averages_of_seeds():
    scores = {"sst2": (0.80, 0.90), "mnli": (0.70, 0.60)}
    records = [scored(cell(seed=seed), scores["sst2"][seed]) for seed in (0, 1)]
    for seed, score in enumerate(scores["mnli"]):
        halves = {"accuracy_matched": score, "accuracy_mismatched": 0.0}
        records.append(scored(cell(task="mnli", seed=seed), halves))
    assert texts(one(records, [SST2, MNLI]))[0][2:] == [
        "85.0±7.1",
        "65.0±7.1/0.0±0.0",
        "75.0±0.0",
    ]


@pytest.mark.parametrize("hole", ["missing", "failed", "undefined"])
def test_average_is_not_printed_without_every_task(hole):
    there = [scored(cell(), 0.9)]
    there += {
        "missing": [],
        "failed": [lost(cell(task="stsb"), "out of memory")],
        "undefined": [scored(cell(task="stsb"), {"pearson": None})],
    }[hole]
    table = one(there, [SST2, STSB])
    assert texts(table)[0][-1] == "\N{EN DASH}"
    assert any("needs a score on every task" in footnote for footnote in table.footnotes)


def test_average_says_when_it_is_over_fewer_seeds():
    records = [scored(cell(seed=seed), 0.9) for seed in (0, 1)]
    records.append(scored(cell(task="stsb", seed=1), {"pearson": 0.5}))
    table = one(records, [SST2, STSB])
    assert texts(table)[0][2:] == ["90.0±0.0", "50.0", "70.0"]
    assert sentences(table) == ["1 of 2 seeds: 1 (STS-B, Avg.)"]
    assert table.title == "GLUE, minilm, up to 2 seeds"


def test_bold_marks_every_tie_at_the_printed_precision():
    records = [scored(cell(m), v) for m, v in {"a": 0.9004, "b": 0.8996, "c": 0.899}.items()]
    assert [row[2].best for row in one(records).rows] == [True, True, False]


def test_bold_is_by_the_primary_metric():
    scores = {"a": {"accuracy": 0.9, "f1": 0.5}, "b": {"accuracy": 0.5, "f1": 0.9}}
    records = [scored(cell(m, "mrpc"), v) for m, v in scores.items()]
    assert [row[2].best for row in one(records, [MRPC]).rows] == [True, False]
    by_f1 = replace(MRPC, primary="f1")
    assert [row[2].best for row in one(records, [by_f1]).rows] == [False, True]


def test_bold_needs_two_to_compare():
    assert not one([scored(cell(), 0.9)]).rows[0][2].best


def test_column_shows_its_primary_metric():
    with pytest.raises(ValueError, match="primary metric of 'mrpc' among those shown"):
        Column("mrpc", "MRPC", ("accuracy",), "f1")


def test_undefined_metric_is_not_available():
    table = one([scored(cell(task="stsb"), {"pearson": None})], [STSB])
    assert texts(table)[0][2] == "n/a"
    assert table.remarks[0].sentence == "n/a: pearson is undefined"


def test_undefined_metric_of_one_seed_spoils_the_mean_and_is_named():
    runs = [scored(cell(task="stsb", seed=s), {"pearson": p}) for s, p in [(0, 0.5), (1, None)]]
    table = one(runs, [STSB])
    assert texts(table)[0][2] == "n/a"
    assert table.remarks[0].sentence == "n/a: pearson is undefined at seed 1"


def test_score_that_rounds_to_nothing_has_no_sign():
    table = one([scored(cell(task="stsb"), {"pearson": -0.0001})], [STSB])
    assert texts(table)[0][2] == "0.0"


def test_failed_and_skipped_runs_stand_in_their_place_with_the_reason():
    reason = "expected classes,\n  got numbers"
    records = [
        lost(cell("a"), reason),
        lost(cell("a", "stsb"), reason),
        lost(cell("b"), "", "skipped"),
        scored(cell("b", "stsb"), {"pearson": 0.5}),
    ]
    table = one(records, [SST2, STSB])
    assert [row[2:4] for row in texts(table)] == [["failed", "failed"], ["skipped", "50.0"]]
    assert sentences(table) == [
        "failed: expected classes, got numbers (a)",
        "skipped: no reason given (b on SST-2)",
    ]


def test_failed_seed_is_told_beside_the_mean_of_the_others():
    records = [scored(cell(seed=0), 0.8), scored(cell(seed=1), 0.9), lost(cell(seed=2), "NaN")]
    table = one(records)
    assert texts(table)[0][2] == "85.0±7.1"
    assert [r.sentence for r in table.remarks] == ["failed: NaN", "2 of 3 seeds: 0, 1"]
    assert table.numbers(table.rows[0][2]) == [1, 2]


def test_place_of_failed_and_skipped_seeds_is_failed():
    records = [lost(cell(seed=0), "too large", "skipped"), lost(cell(seed=1), "NaN")]
    assert texts(one(records))[0][2] == "failed"


def test_failure_of_every_run_of_a_task_is_told_by_the_task():
    records = [lost(cell("a"), "NaN"), scored(cell("a", "stsb"), {"pearson": 0.5})]
    records.append(scored(cell("b", "stsb"), {"pearson": 0.5}))
    assert sentences(one(records, [SST2, STSB])) == ["failed: NaN (SST-2)"]


def test_failure_under_other_options_does_not_hide_a_result():
    failed = lost(cell(recipe="adamw[batch=64,lr=10]"), "NaN")
    table = one([scored(cell(), 0.9), failed])
    assert texts(table)[0][2] == "90.0"
    assert [r.sentence for r in table.remarks] == ["failed: NaN"]


def test_place_without_a_record_is_a_dot():
    table = one([scored(cell(), 0.9)], [SST2, STSB], methods=["lora", "adapter"])
    assert texts(table)[1] == ["adapter", "\N{EN DASH}", "·", "·", "\N{EN DASH}"]
    assert "· is not run." in table.footnotes


def test_table_refuses_to_mix_data_sources():
    records = [scored(cell(data="hub"), 0.9), scored(cell(task="mrpc", data="sample@1"), 0.9)]
    with pytest.raises(ValueError, match="one data source, got 1 from hub, 1 from sample"):
        one(records, [SST2, MRPC])


def test_table_refuses_two_versions_of_the_data_of_a_task():
    records = [scored(cell(seed=seed, data=f"files@{seed}a"), 0.9) for seed in (0, 1)]
    with pytest.raises(ValueError, match=r"'sst2', got 1 from files@0a, 1 from files@1a"):
        one(records)


def test_table_takes_different_digests_for_different_tasks():
    records = [scored(cell(data="files@0a"), 0.9)]
    records.append(scored(cell(task="stsb", data="files@1b"), {"pearson": 0.5}))
    assert texts(one(records, [SST2, STSB]))[0][-1] == "70.0"


@pytest.mark.parametrize(
    "other, field, pieces",
    [
        ({"recipe": "adamw[batch=64,lr=0.1]"}, "recipe", {"lr=0.0004", "lr=0.1"}),
        ({"method": "lora[rank=16]"}, "method", {"rank=8", "rank=16"}),
        ({"method": "lora[rank=16]", "seed": 1}, "method", {"rank=8", "rank=16"}),
        ({"task": "sst2[dev_rows=9,rows=none]"}, "task", {"dev_rows=9", "dev_rows=none"}),
        ({"parents": ("0a1b",)}, "parents", {"0a1b", "less"}),
    ],
)
def test_table_refuses_two_results_for_one_place(other, field, pieces):
    records = [scored(c, 0.9) for c in (cell(), replace(cell(), **other))]
    messages = set()
    for order in (records, records[::-1]):
        with pytest.raises(
            ValueError, match=r"two results for 'lora' on 'sst2' \(minilm\)"
        ) as error:
            one(order)
        messages.add(str(error.value))
    (message,) = messages
    told = re.search(rf"differ in {field} \((.*) or (.*)\); narrow", message)
    assert told and set(told.groups()) == pieces


def test_table_refuses_results_that_differ_in_nesting_alone():
    nested = ("soup[inner=lora[rank=8],k=2]", "soup[inner=lora[rank=8,k=2]]")
    records = [scored(replace(cell(seed=i), method=text), 0.9) for i, text in enumerate(nested)]
    with pytest.raises(ValueError, match="differ in method"):
        one(records)


def test_table_takes_parents_that_differ_by_seed():
    records = [scored(cell(seed=s, parents=(f"{s}a",)), 0.9) for s in (0, 1)]
    assert texts(one(records))[0][2] == "90.0±0.0"


def test_table_takes_a_record_twice_as_once():
    assert one([scored(cell(), 0.9)] * 2) == one([scored(cell(), 0.9)])


def test_table_names_a_metric_that_a_record_lacks():
    with pytest.raises(ValueError, match="has no metric 'accuracy'; it has f1"):
        one([scored(cell(), {"f1": 0.9})])


def test_generated_data_are_told_loudly():
    table = one([scored(cell(data="sample@1"), 0.9)])
    assert table.title == "GLUE, minilm (GENERATED DATA)"
    assert table.footnotes[0].startswith("GENERATED DATA: ")
    assert table.footnotes[0].endswith("NOT GLUE scores.")


def test_selection_on_the_reported_split_stands_in_the_title():
    rule = "dev: the best epoch on the reported split, as the papers did; scores are optimistic"
    table = one([scored(cell(), 0.9, selection=rule)])
    assert table.title == "GLUE, minilm (selected on the reported split)"
    assert f'Selection "dev": {rule[5:]}.' in table.footnotes


def test_footnotes_tell_caps_and_partial_data_of_the_tasks_they_hold_for():
    facts = {
        "caps": {"rows": 1024, "dev_rows": 1000, "other": 3},
        "partial": ["no test split."],
        "else": 1,
    }
    records = [scored(cell(), 0.9), scored(cell(task="stsb"), {"pearson": 0.5}, data=facts)]
    footnotes = one(records, [SST2, STSB]).footnotes
    assert "Partial data: no test split (STS-B)." in footnotes
    told = "Capped: trained on at most 1,024 rows; scored on at most 1,000 dev rows (STS-B)."
    assert told in footnotes


def test_footnotes_tell_rules_apart_by_method():
    other = "best: the best epoch on a slice of the training split"
    records = [scored(cell("a"), 0.9), scored(cell("b"), 0.9, selection=other)]
    footnotes = one(records).footnotes
    assert f'Selection "last": {LAST[6:]} (a).' in footnotes
    assert f'Selection "best": {other[6:]} (b).' in footnotes


def test_footnotes_tell_the_circumstances_of_finished_runs():
    failed = replace(lost(cell("b"), "NaN"), where={"selection": "best: another rule"})
    assert not any(
        "another rule" in note for note in one([scored(cell("a"), 0.9), failed]).footnotes
    )


def test_footnotes_name_the_weights():
    table = one([scored(cell(), 0.9, weights_sha256="53aa51172d142c89")])
    assert "Model: minilm, weights 53aa51172d14." in table.footnotes


def test_footnotes_need_nothing_of_a_record():
    bare = replace(scored(cell(), 0.9), cost={}, where={})
    assert texts(one([bare]))[0][1:] == ["\N{EN DASH}", "90.0"]


def paper(*scores, model="RoBERTa-base", params="0.3"):
    return PublishedRow(
        "P (Doe et al. 2020, arXiv 1)", "Table 9", model, "LoRA", params, tuple(scores)
    )


def beneath(*scores, columns=(SST2, MRPC), **options):
    ours = [scored(cell(model="x/roberta-base"), 0.9)]
    return one(ours, columns, published=[paper(*scores, **options)])


def test_papers_rows_stand_beneath_as_printed():
    table = beneath(Score("sst2", "accuracy", "95.10", "0.2"), Score("mrpc", "f1", "91"))
    (row,) = table.papers
    assert [entry.text for entry in row] == [
        "LoRA (Doe et al. 2020)",
        "0.3M",
        "95.10±0.2",
        "\N{EN DASH}/91",
        "\N{EN DASH}",
    ]
    assert not any(entry.best for entry in row)
    assert table.footnotes[-1] == "Doe et al. 2020: P (Doe et al. 2020, arXiv 1), Table 9."


def test_papers_rows_of_another_model_are_left_out():
    assert beneath(Score("sst2", "accuracy", "95"), model="BERT-base").papers == ()


def test_papers_rows_never_stand_beneath_generated_data():
    ours = [scored(cell(model="roberta-base", data="sample@1"), 0.9)]
    table = one(ours, published=published("roberta-base"))
    assert table.papers == ()
    assert table.footnotes[-1] == "Rows of papers are left out: our data are generated."


def test_papers_number_for_both_halves_is_printed_once_with_its_note():
    table = beneath(Score("mnli", "accuracy", "87.5", note="together"), columns=[SST2, MNLI])
    (entry,) = [entry for entry in table.papers[0] if entry.remarks]
    assert (entry.text, table.remarks[0].sentence) == ("87.5", "together")


def test_papers_number_of_another_metric_is_not_taken():
    table = beneath(Score("sst2", "acc", "87.5"))
    assert table.papers[0][2].text == "\N{EN DASH}"


def test_papers_average_needs_the_tasks_it_is_over():
    ours = [scored(cell(model="roberta-large"), 0.9)]
    averages = [
        [row[-1].text for row in one(ours, columns, published=published("roberta-large")).papers]
        for columns in (GLUE, GLUE[1:])
    ]
    assert averages[0][6] == "89.9"
    assert set(averages[1]) == {"\N{EN DASH}"}


def test_papers_protocol_is_told_for_every_table():
    for model in ("bert-base-uncased", "roberta-base", "roberta-large"):
        rows = published(model)
        table = one([scored(cell(model=model), 0.9)], published=rows)
        sources = {(row.paper, row.table) for row in rows}
        told = [f for f in table.footnotes if "reported development split" in f]
        assert len(told) == len(sources)


def senses(table):
    return [[entry.sense for entry in row[2:]] for row in table.rows]


def against(**gains):
    """Three runs of "lora" at 0.8 and so much better ones of others."""
    noise = (0.001, 0.0, 0.002)
    records = [scored(cell("lora", seed=seed), 0.8) for seed in range(3)]
    for name, gain in gains.items():
        records += [scored(cell(name, seed=s), 0.8 + gain + n) for s, n in enumerate(noise)]
    return records


def test_marks_need_a_baseline():
    assert senses(one(against(a=0.1))) == [[""], [""]]
    assert not any("▲" in footnote for footnote in one(against(a=0.1)).footnotes)


def test_marks_tell_better_and_worse_and_never_the_baseline():
    table = one(against(a=0.1, b=-0.1, c=-0.001), baseline="lora")
    assert texts(table)[0][0] == "a"
    assert senses(table) == [["better"], ["worse"], [""], [""]]


def test_marks_follow_metrics_that_fall():
    falls = Column("sst2", "SST-2", ("TER",), "TER")
    records = [replace(r, metrics={"TER": r.metrics["accuracy"]}) for r in against(a=0.1, b=-0.1)]
    assert senses(one(records, [falls], baseline="lora"))[:2] == [["worse"], ["better"]]


def test_marks_are_corrected_over_the_methods_of_a_column():
    nearly = {"a": (0.83, 0.80, 0.84)}
    records = against()
    records += [scored(cell("a", seed=s), v + 0.035) for s, v in enumerate(nearly["a"])]
    assert senses(one(records, baseline="lora"))[0] == ["better"]
    assert senses(one([*records, *against(b=0.0)], baseline="lora"))[0] == [""]


def test_marks_of_the_average_are_by_pairs_of_task_and_seed():
    noise = (0.010, 0.011, 0.012)
    records = []
    for task in ("sst2", "rte"):
        for seed, gain in enumerate(noise):
            records += [
                scored(cell("lora", task, seed), 0.8 - gain),
                scored(cell("a", task, seed), 0.8),
            ]
    rte = replace(SST2, task="rte", title="RTE")
    table = one(records, [SST2, rte], baseline="lora")
    assert senses(table) == [["better"] * 3, [""] * 3]
    (told,) = [footnote for footnote in table.footnotes if footnote.startswith("▲")]
    assert told == (
        "▲, ▼: significantly better, worse than lora at the 5% level, corrected by Holm over the "
        "methods of a column; no mark: no difference seen. By Student's paired t over common seeds "
        "(SST-2, RTE); permutation of signs over pairs of task and seed (Avg.)."
    )


def test_marks_of_single_runs_say_that_training_noise_is_left_out():
    labels = np.arange(80) % 2
    said = {"lora": 40, "a": 70, "b": 42}

    def answers(record):
        return Examples(
            np.where(np.arange(80) < said[record.cell.label], labels, 1 - labels), labels
        )

    records = [scored(cell(name), right / 80) for name, right in said.items()]
    records += [scored(cell("c", seed=1), 0.9)]
    table = one(records, baseline="lora", answers=answers)
    assert senses(table) == [["better"], [""], [""], [""]]
    (told,) = [footnote for footnote in table.footnotes if footnote.startswith("▲")]
    assert told.endswith("one run, which says nothing of training noise (SST-2 of a and b).")
    assert "Not compared with lora: no seed in common (SST-2 of c)." in table.footnotes


def test_marks_of_a_baseline_that_stands_alone_are_none():
    table = one(against(), baseline="lora")
    assert table.footnotes[-1] == "Nothing is marked: no run stands beside one of lora."


def test_facts_of_the_primary_metric_carry_the_verdict():
    facts = one(against(a=0.1), baseline="lora").facts
    ours = [fact for fact in facts if fact.method == "a"]
    assert {(f.baseline, f.verdict, f.test) for f in ours} == {("lora", "better", "t")}
    assert 0 < ours[0].p < 0.05
    assert {(f.baseline, f.verdict, f.p) for f in facts if f.method == "lora"} == {("", "", None)}


def test_marks_do_not_depend_on_the_order_of_records():
    records = against(a=0.1, b=-0.1)
    assert one(records[::-1], baseline="lora") == one(records, baseline="lora")


def test_marks_say_nothing_of_a_place_without_a_score():
    records = [*against(a=0.1), lost(cell("b"), "NaN")]
    footnotes = one(records, baseline="lora").footnotes
    assert not any(footnote.startswith("Not compared") for footnote in footnotes)


@pytest.mark.parametrize(
    ("draw", "k", "form", "told"),
    [
        ("lm-bff", 16, "prompt", "16 training rows of every class (LM-BFF)"),
        ("list", 30, "head", "30 training rows in total (as LiST)"),
    ],
)
def test_few_shot_rows_are_told_with_their_number_and_how_they_are_put(draw, k, form, told):
    data = {"draw": draw, "k": k}
    cells = [replace(cell("lora", "sst2", s), task=f"sst2[form={form}]") for s in (13, 21)]
    (table,) = tables([scored(one, 0.6, data=data) for one in cells], [SST2], title="T")
    put = {"prompt": "as prompts", "head": "to a head"}[form]
    assert f"Few-shot: {told}, other rows for each seed; put {put}." in table.footnotes


@pytest.mark.parametrize(
    ("used", "official", "told"),
    [
        ({"train": 1024, "selection": 1000, "dev": 872}, {"train": 67_349, "dev": 872}, True),
        ({"train": 66_349, "selection": 1000, "dev": 500}, {"train": 67_349, "dev": 872}, True),
        ({"train": 66_349, "selection": 1000, "dev": 872}, {"train": 67_349, "dev": 872}, False),
    ],
)
def test_title_over_rows_of_papers_says_where_ours_are_of_other_rows(used, official, told):
    facts = {"used": used, "official": official, "partial": []}
    record = scored(cell(model="roberta-large"), 0.96, data=facts)
    (table,) = tables([record], [SST2], title="GLUE", published=published("roberta-large"))
    assert table.papers
    assert ("not on the papers' rows: no reproduction" in table.title) == told
    (alone,) = tables([record], [SST2], title="GLUE")
    assert "reproduction" not in alone.title
