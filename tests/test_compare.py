import json
from csv import DictReader
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from bench.desk import Plan
from bench.reporting import View, of_plan, text
from bench.store import Store
from bench.suite import Profile, Suite, request
from reports import scores, stats
from reports.blocks import grouped
from reports.compare import comparisons
from reports.examples import Examples, read
from reports.files import Files
from reports.pairing import LEVEL, Outcome, Pair, Verdict, pairs, verdicts
from reports.render import csv, latex, markdown
from reports.tables import tables
from tasks.metrics import metric
from tasks.sources import Source
from tests.records import E2E, MRPC, SST2, STSB, cell, lost, scored, text_cell

BASE = (0.80, 0.82, 0.81, 0.79, 0.83, 0.80, 0.81, 0.82, 0.80)


def runs(method, values, task="sst2", start=0, **fields):
    """A run of `method` for each of the accuracies, at seeds from `start` on."""
    return [
        scored(cell(method, task, seed, **fields), value)
        for seed, value in enumerate(values, start=start)
    ]


def beside(gains, base=BASE, task="sst2"):
    """Runs of "adapter" that are `gains` above those of "lora"."""
    ours = [b + g for b, g in zip(base, gains, strict=False)]
    return [*runs("lora", base[: len(ours)], task), *runs("adapter", ours, task)]


def pair(records, columns=(SST2,), baseline="lora", column=0) -> Pair:
    ((_, block),) = grouped(records, columns, "GLUE", ())
    return pairs(block, baseline)[column][0]


def examples(right, rows=100, **by_method):
    """Answers with `right` of all rows right, the first ones; `by_method` says otherwise."""
    labels = np.arange(rows) % 2

    def answer(record):
        count = by_method.get(record.cell.label, right)
        return Examples(np.where(np.arange(rows) < count, labels, 1 - labels), labels)

    return answer


def silent(record):
    return None


def compared(records, columns=(SST2,), baseline="lora", answers=silent, **options):
    return comparisons(
        records, columns, title="GLUE", baseline=baseline, answers=answers, **options
    )


def lines(*made):
    return list(DictReader(StringIO(csv(*made))))


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews", "pearson", "spearman"])
def test_scores_of_resamples_are_those_of_records(name):
    draw = np.random.default_rng(0)
    numbers = name in ("pearson", "spearman")
    for rows in (2, 5, 40):
        ours, truth = draw.integers(6 if numbers else 2, size=(2, 30, rows))
        found = scores.SCORES[name](ours, truth)
        for score, a, b in zip(found, ours.tolist(), truth.tolist(), strict=True):
            expected = metric[name](a, b)
            assert score == pytest.approx(np.nan if expected is None else expected, nan_ok=True)


def test_pearson_of_a_constant_is_undefined_whatever_its_rounding():
    assert np.isnan(scores.pearson(np.full(3, 0.1), np.array([1.0, 2.0, 4.0])))


def test_scores_broadcast_labels_over_seeds():
    draw = np.random.default_rng(0)
    ours, truth = draw.integers(2, size=(3, 7, 20)), draw.integers(2, size=(7, 20))
    for score in scores.SCORES.values():
        assert score(ours, truth).shape == (3, 7)


def test_matthews_of_more_than_two_classes_is_undefined():
    assert np.isnan(scores.matthews(np.array([0, 1, 2]), np.array([0, 1, 2])))


def test_pair_takes_the_seeds_that_both_have():
    found = pair([*runs("lora", (0.5, 0.6, 0.7)), *runs("adapter", (0.8, 0.9), start=1)])
    assert found.seeds == (1, 2)
    assert found.difference == pytest.approx(0.2)


def test_pair_leaves_out_seeds_that_failed_or_are_undefined():
    ours = [
        scored(cell("adapter", "stsb", seed), {"pearson": v}) for seed, v in [(0, 0.5), (1, None)]
    ]
    theirs = [scored(cell("lora", "stsb", seed), {"pearson": 0.4}) for seed in range(3)]
    found = pair([*theirs, *ours, lost(cell("adapter", "stsb", 2), "NaN")], [STSB])
    assert (found.seeds, found.difference) == ((0,), pytest.approx(0.1))


def test_pair_of_the_average_is_over_seeds_with_every_task():
    records = [*beside((0.02, 0.04)), *beside((0.01,), task="rte")]
    rte = replace(SST2, task="rte", title="RTE")
    found = pair(records, [SST2, rte], column=2)
    assert (found.title, found.seeds) == ("Avg.", (0,))
    assert found.difference == pytest.approx(0.015)


def test_pairs_are_none_for_a_label_without_a_row():
    ((_, block),) = grouped(beside((0.1,)), [SST2], "GLUE", ())
    assert pairs(block, "prefix") == []


@pytest.mark.parametrize(
    ("seeds", "methods", "by"),
    [(3, 1, "t"), (5, 1, "t"), (6, 1, "permutation"), (6, 2, "t"), (9, 7, "permutation")],
)
def test_seeds_are_tested_by_what_can_reach_the_level(seeds, methods, by):
    gains = (0.01, 0.03, 0.02, 0.02, 0.01, 0.03, 0.02, 0.01, 0.02)[:seeds]
    found = replace(pair(beside(gains)), methods=methods)
    assert found.over_seeds().by == by
    expected = stats.paired_t(gains) if by == "t" else stats.permutation([gains])
    assert found.over_seeds().p == pytest.approx(expected)
    assert found.decided(silent) == found.over_seeds()


def test_one_seed_is_tested_by_mcnemar():
    records = [*runs("lora", [0.6]), *runs("adapter", [0.7])]
    answers = examples(60, adapter=70)
    assert pair(records).decided(answers) == Outcome("McNemar", stats.mcnemar(10, 0))
    assert pair(records).over_seeds() == Outcome("fewer than 3 common seeds")


def test_two_seeds_are_tested_by_the_bootstrap_over_rows():
    records = [*runs("lora", [0.6, 0.6]), *runs("adapter", [0.7, 0.7])]
    found = pair(records).decided(examples(60, adapter=70))
    assert found.by == "bootstrap"
    assert found.p < 0.01


def test_other_metrics_of_one_seed_are_tested_by_the_bootstrap_over_rows():
    labels = np.arange(30) % 7
    noise = np.random.default_rng(0).normal(size=(2, 30)) * [[4.0], [0.5]]
    said = {m: labels + n for m, n in zip(("lora", "adapter"), noise, strict=True)}
    records = [
        scored(cell(m, "stsb"), {"pearson": metric["pearson"](said[m], labels)}) for m in said
    ]
    found = pair(records, [STSB]).decided(lambda r: Examples(said[r.cell.label], labels))
    assert found.by == "bootstrap"
    assert found.p < 0.05


def test_texts_of_one_seed_are_not_tested():
    values = dict.fromkeys(E2E.shown, 0.5)
    records = [scored(text_cell(m), values) for m in ("lora", "adapter")]
    found = pair(records, [E2E]).decided(silent)
    assert found == Outcome("fewer than 3 common seeds and no test over rows")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (silent, "no stored predictions"),
        (lambda r: examples(60)(r) if r.cell.label == "lora" else None, "no stored predictions"),
        (
            lambda r: examples(60, 100 + (r.cell.label == "lora"))(r),
            "predictions are of other rows",
        ),
        (examples(60, adapter=69), "do not give the recorded score"),
    ],
)
def test_rows_that_cannot_be_paired_are_not_tested(answers, told):
    records = [*runs("lora", [0.6]), *runs("adapter", [0.7])]
    found = pair(records).decided(answers)
    assert found.p is None
    assert told in found.by


def test_average_is_tested_over_pairs_of_task_and_seed():
    rte = replace(SST2, task="rte", title="RTE")
    gains = (0.02, 0.01, 0.03)
    found = pair([*beside(gains), *beside(gains, task="rte")], [SST2, rte], column=2)
    assert found.decided(silent) == Outcome("permutation", 2 / 2**6)
    few = replace(found, methods=2)
    assert few.decided(silent) == Outcome("too few pairs of task and seed: 6")
    assert few.over_seeds().p == 2 / 2**6


def test_verdicts_are_corrected_over_the_methods_that_are_tested():
    records = [*runs("lora", BASE[:4]), *runs("c", [0.9])]
    records += runs("a", [b + g for b, g in zip(BASE, (0.10, 0.11, 0.12, 0.11), strict=False)])
    records += runs("b", [b + g for b, g in zip(BASE, (0.01, -0.01, 0.02, 0.0), strict=False)])
    ((_, block),) = grouped(records, [SST2], "GLUE", ())
    found = verdicts(pairs(block, "lora")[0], silent)
    raw = [stats.paired_t(v.pair.differences[0]) for v in found[:2]]
    assert [v.adjusted for v in found] == [*stats.holm(raw), None]
    assert [v.sense for v in found] == ["better", "", ""]
    assert [v.told for v in found] == ["better", "no difference seen", ""]


def test_verdict_of_a_metric_that_falls_is_turned_round():
    falls = replace(E2E.each()[0], primary="TER", shown=("TER",))
    up = pair(beside((0.1, 0.1, 0.1)))
    assert Verdict(up, Outcome("t", 0.01), 0.01).sense == "better"
    assert Verdict(replace(up, column=falls), Outcome("t", 0.01), 0.01).sense == "worse"


def test_verdict_needs_the_level():
    up = pair(beside((0.1, 0.1, 0.1)))
    assert Verdict(up, Outcome("t", LEVEL), LEVEL).sense == "better"
    assert Verdict(up, Outcome("t", 0.051), 0.051).sense == ""


def test_comparison_gives_the_numbers_of_the_pair():
    gains = (0.03, 0.01, 0.02, 0.04, 0.02)
    (line,) = lines(*compared(beside(gains)))
    numbers = {name: float(line[name]) for name in ("difference", "low", "high", "p_seeds")}
    low, high = stats.interval(pair(beside(gains)).differences)
    assert numbers == pytest.approx(
        {"difference": 0.024, "low": low, "high": high, "p_seeds": stats.paired_t(gains)}
    )
    expected = stats.detectable(stats.spread(gains), 5)
    assert float(line["detectable"]) == pytest.approx(expected)
    assert (line["method"], line["baseline"], line["task"]) == ("adapter", "lora", "sst2")
    assert (line["by_seeds"], line["by_rows"]) == ("t", "no stored predictions")
    assert (line["seeds"], line["verdict"]) == ("5", "better")


def test_comparison_tells_how_likely_a_run_is_better():
    records = [*runs("lora", (0.5, 0.7)), *runs("adapter", (0.6, 0.8))]
    assert float(lines(*compared(records))[0]["improvement"]) == 0.75
    falls = replace(E2E, shown=("TER",), primary="TER")
    texts = [
        scored(text_cell(r.cell.label, seed=r.cell.seed), {"TER": r.metrics["accuracy"]})
        for r in records
    ]
    assert float(lines(*compared(texts, [falls]))[0]["improvement"]) == 0.25


def test_comparison_of_the_average_spreads_over_seeds():
    rte = replace(SST2, task="rte", title="RTE")
    records = [*beside((0.02, 0.01, 0.03)), *beside((-0.02, 0.03, 0.02), task="rte")]
    *_, line = lines(*compared(records, [SST2, rte]))
    assert line["task"] == "average"
    by_seed = stats.spread([0.0, 0.02, 0.025])
    assert float(line["detectable"]) == pytest.approx(stats.detectable(by_seed, 3))


def test_comparison_prints_the_unit_of_tables_and_reads_it():
    gains = (0.03, 0.01, 0.02, -0.04, 0.02)
    (table,) = compared(beside(gains))
    assert table.title == "GLUE, against lora, minilm, 5 seeds"
    (row,) = [[entry.text for entry in row] for row in table.rows]
    size = 100 * stats.detectable(stats.spread(gains), 5)
    assert row[:4] == ["adapter", "SST-2", "5", "+0.80"]
    assert row[-2:] == [f"{size:.2f}", "no difference seen"]
    told = f"adapter against lora: no difference seen on SST-2 (smallest detectable {size:.2f})."
    assert table.footnotes[0] == told


def test_comparison_reads_every_place_once_and_says_why_there_is_no_test():
    rte = replace(SST2, task="rte", title="RTE")
    records = [*beside((0.1, 0.11, 0.1)), *beside((-0.1, -0.11, -0.1), task="rte")]
    records += [scored(cell(m, "stsb"), {"pearson": 0.5}) for m in ("lora", "adapter")]
    (table,) = compared(records, [SST2, rte, STSB])
    assert table.footnotes[0] == (
        "adapter against lora: better on SST-2; worse on RTE; not tested on STS-B (no stored "
        "predictions); not tested on Avg. (too few pairs of task and seed: 3)."
    )


def test_comparison_keeps_a_place_without_a_common_seed():
    records = [*runs("lora", BASE[:3]), lost(cell("adapter"), "NaN")]
    (table,) = compared(records)
    assert [entry.text for entry in table.rows[0]][1:4] == ["SST-2", "0", "\N{EN DASH}"]
    assert table.footnotes[0] == "adapter against lora: not tested on SST-2 (no seed in common)."


def test_comparison_names_a_method_on_its_first_line_alone():
    records = [*beside((0.1,)), *beside((0.1,), task="mrpc")]
    (table,) = compared(
        [replace(r, metrics={"accuracy": 0.5, "f1": 0.5}) for r in records], [SST2, MRPC]
    )
    assert [row[0].text for row in table.rows] == ["adapter", "", ""]


def test_comparison_tells_generated_data_loudly():
    records = [*runs("lora", [0.5], data="sample@1"), *runs("adapter", [0.6], data="sample@1")]
    (table,) = compared(records)
    assert table.title.endswith("(GENERATED DATA)")
    assert any(footnote.startswith("GENERATED DATA") for footnote in table.footnotes)


@pytest.mark.parametrize("make", [compared, lambda r, **o: tables(r, [SST2], title="G", **o)])
def test_unknown_baseline_names_the_nearest_row(make):
    with pytest.raises(
        ValueError, match="no method of this report named 'lorra'; did you mean 'lora'"
    ):
        make(beside((0.1,)), baseline="lorra")


def test_comparison_is_written_in_every_form():
    made = compared(beside((0.1, 0.12, 0.11)))
    assert "95 % interval" in markdown(*made)
    assert r"95 \% interval" in latex(*made)


def store_with(tmp_path, *texts):
    store = Store(tmp_path / "results")
    for record, told in texts:
        with store.writing(record.cell) as folder:
            (folder / "record.json").write_text(record.to_json())
            if told is not None:
                (folder / "predictions.jsonl").write_text(told)
    return store


def line(row, prediction=1, label=1, split="dev"):
    return json.dumps({"split": split, "row": row, "prediction": prediction, "label": label}) + "\n"


def test_stored_predictions_are_those_of_the_first_split_by_row(tmp_path):
    record = scored(cell(), 0.5)
    text = line(1, 0) + line(0) + line(0, 5, 5, "other")
    found = Files(store_with(tmp_path, (record, text))).answers(record)
    assert (found.predictions.tolist(), found.labels.tolist()) == ([1, 0], [1, 1])


def test_stored_predictions_may_be_missing_or_empty(tmp_path):
    records = [scored(cell(seed=seed), 0.5) for seed in (0, 1)]
    stored = Files(store_with(tmp_path, *zip(records, (None, ""), strict=True))).answers
    assert [stored(record) for record in records] == [None, None]


def test_stored_predictions_are_read_once(tmp_path):
    record = scored(cell(), 0.5)
    store = store_with(tmp_path, (record, line(0)))
    stored = Files(store).answers
    first = stored(record)
    (store.folder(record.cell) / "predictions.jsonl").unlink()
    assert stored(record) is first


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (line(0) + "{", "predictions.jsonl:2: expected a prediction, got '{'"),
        ('{"row": 0}\n', "predictions.jsonl:1: expected a prediction"),
        ("[]\n", "predictions.jsonl:1: expected a prediction"),
        (line(0) + line(2), "expected the rows 0 to 1, got others"),
    ],
)
def test_damaged_predictions_are_named(tmp_path, text, told):
    path = tmp_path / "predictions.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read(path)
    assert told in str(error.value)


def answered(method, right, seed=0, rows=40):
    """A run and its stored predictions, of which the first `right` are right."""
    text = "".join(line(row, int(row < right)) for row in range(rows))
    return scored(cell(method, seed=seed, data="files@0a"), right / rows), text


def test_command_line_compares_from_stored_predictions(bench, tmp_path):
    store_with(tmp_path, answered("lora", 20), answered("adapter", 32))
    code, out, err = bench("report", "--compare", "lora")
    assert (code, err) == (0, "")
    assert "| adapter | SST-2 |     1 |     +30.00 |" in out
    assert r"\<0.001 (McNemar)" in out
    assert "adapter against lora: better on SST-2." in out
    assert (
        bench("report", "--compare", "adapter", "--format", "csv")[1]
        .splitlines()[1]
        .startswith("lora,adapter,minilm,sst2,accuracy,1,-0.3")
    )


def test_command_line_writes_the_comparison_beside_the_table(bench, tmp_path):
    store_with(tmp_path, answered("lora", 20), answered("adapter", 32))
    assert bench("report", "--to", "out")[1] == "wrote out/report.md\n"
    assert (
        bench("report", "--to", "out", "--compare", "lora")[1] == "wrote out/report-compared.md\n"
    )


def test_command_line_marks_against_a_baseline(bench, tmp_path):
    store_with(tmp_path, answered("lora", 20), answered("adapter", 32), answered("full", 21))
    code, out, err = bench("report", "--baseline", "lora")
    assert (code, err) == (0, "")
    assert "80.0**▲ |" in out
    assert out.count("▲") == 2
    assert "▲" not in bench("report")[1]


def planned(tmp_path, baseline, methods=()):
    """A plan of three methods at three seeds, all run; "head" is far behind."""
    quick = Profile(models=["minilm"], seeds=[0, 1, 2])
    names = ["head", "lora", "bitfit"]
    suite = Suite(
        name="small",
        title="Small",
        methods=names,
        tasks=["rte"],
        baseline=baseline,
        profiles={"quick": quick},
    )
    asked = request(suite, methods=methods)
    known = Plan(request(suite), Source("sample"), Store(tmp_path))
    for planned in known.cells:
        cell = planned.job.cell
        value = {"head": 0.5, "lora": 0.8, "bitfit": 0.79}[cell.label]
        value += 0.001 * (cell.label != "lora" and cell.seed == 1)
        with known.store.writing(cell) as folder:
            (folder / "record.json").write_text(scored(cell, value).to_json())
    return Plan(asked, Source("sample"), known.store)


def test_suite_names_the_baseline_of_its_table(tmp_path):
    plan = planned(tmp_path, "lora")
    assert "▼" in text(of_plan(plan), "md")
    assert "worse than lora at" in text(of_plan(plan), "md")
    assert "worse than head at" in text(of_plan(plan, View(baseline="head")), "md")
    assert "▼" not in text(of_plan(planned(tmp_path, "")), "md")


def test_suite_without_its_baseline_among_the_methods_is_not_marked(tmp_path):
    assert "▼" not in text(of_plan(planned(tmp_path, "lora", ["head", "bitfit"])), "md")


def test_suite_is_compared_in_the_order_of_its_methods(tmp_path):
    made = DictReader(
        StringIO(text(of_plan(planned(tmp_path, "lora")), "csv", View(compare="lora")))
    )
    assert [line["method"] for line in made] == ["head", "bitfit"]


def test_command_line_refuses_a_row_that_there_is_not(bench, tmp_path):
    store_with(tmp_path, answered("lora", 20))
    told = "bench: no method of this report named 'lroa'; did you mean 'lora'?\n"
    for option in ("--compare", "--baseline"):
        assert bench("report", option, "lroa") == (2, "", told)
    code, _, err = bench("report", "--compare", "lora", "--baseline", "lora")
    assert (code, err) == (2, "bench: expected --compare or --baseline, got both\n")
