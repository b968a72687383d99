import math
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from bench import spec
from bench.recipe import SELECTION, AdamW
from methods import resolve as method_of
from reports.material import laid_out
from reports.published import MODELS, PublishedRow, Score, beside, protocols, published
from reports.published.likeness import checks
from reports.published.matched import AGREES, HIGHER, LOWER
from reports.published.prediction import centre, interval
from reports.render import csv, html, latex, markdown
from tests.records import COST, E2E, MRPC, SST2, cell, lost, scored, text_cell

BERT, GPT2 = "bert-base-uncased", "gpt2-medium"
RTE = replace(SST2, task="rte", title="RTE")
PUBLISHED = (*published(BERT), *published("roberta-large"), *published(GPT2))
DATA = {
    "official": {"train": 2490, "dev": 277},
    "used": {"train": 2241, "selection": 249, "dev": 277},
    "partial": ["RTE train: skipped 3 malformed lines"],
    "caps": {"rows": None, "dev_rows": None},
}
RECIPE = AdamW(lr=5e-4, epochs=80, batch=32, select="dev")


def resolve(text: str, model: str) -> str:
    return spec.text(method_of(text, model))


def run(value, seed=0, method="adamix-adapter", model=BERT, task="rte", recipe=RECIPE, **where):
    """A run as the paper's; `value` is its accuracy."""
    asked = cell(method, task, seed, model=model, recipe=spec.text(recipe), data="files@0a")
    asked = replace(asked, method=resolve(method, model))
    facts = {"selection": SELECTION["dev"], "data": DATA, **where}
    return scored(asked, value, COST, **facts)


def runs(values, **more):
    return [run(value, seed, **more) for seed, value in enumerate(values)]


def compared(records, columns=(RTE,), title="GLUE", rows=PUBLISHED):
    (table,) = beside.of_parts(laid_out(records, columns, title, []), rows, resolve)
    return table


def line(records, columns=(RTE,), published="AdaMix (adapter)", metric="accuracy", **more):
    facts = compared(records, columns, **more).facts
    (found,) = [f for f in facts if f.published == published and f.metric == metric]
    return found


CLOSE = (0.74, 0.75, 0.75)  # printed: 74.7


def test_prediction_interval_is_that_worked_out_by_hand():
    low, high = interval([1.0, 2.0, 3.0], 1)  # t of 2 degrees: 4.302653; sqrt(1 + 1/3)
    assert low == pytest.approx(2 - 4.302653 * math.sqrt(4 / 3), abs=1e-5)
    assert high == pytest.approx(2 + 4.302653 * math.sqrt(4 / 3), abs=1e-5)
    low, high = interval([1.0, 2.0, 3.0, 4.0], 4)  # 3.182446; s2 is 5/3, its factor 1/2
    assert (high - low) / 2 == pytest.approx(3.182446 * math.sqrt(5 / 3 / 2), abs=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "statistic"),
    [(3, 1, "mean"), (5, 3, "mean"), (5, 5, "median"), (9, 5, "median"), (6, 2, "median")],
)
def test_prediction_interval_holds_theirs_19_times_of_20(ours, theirs, statistic):
    random, inside, tries = np.random.default_rng(1), 0, 1500
    for _ in range(tries):
        low, high = interval(random.normal(size=ours).tolist(), theirs, statistic)
        inside += low <= centre(random.normal(size=theirs).tolist(), statistic) <= high
    assert 0.93 <= inside / tries <= 0.97


@pytest.mark.parametrize(
    ("values", "runs", "told"),
    [([1.0, 2.0], 1, "at least 3 values, got 2"), ([1.0] * 3, 0, "at least 1 run, got 0")],
)
def test_prediction_from_too_little_is_refused(values, runs, told):
    with pytest.raises(ValueError, match=told):
        interval(values, runs)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (CLOSE, AGREES),
        ((0.90, 0.901, 0.902), HIGHER),
        ((0.60, 0.601, 0.602), LOWER),
        ((0.747, 0.747, 0.747), AGREES),
        ((0.74651, 0.74651, 0.74651), AGREES),  # is printed so
        ((0.7459, 0.7459, 0.7459), LOWER),
    ],
)
def test_verdict_is_by_the_interval_of_runs_like_theirs(values, verdict):
    found = line(runs(values))
    assert (found.verdict, found.differs, found.runs) == (verdict, "", 3)
    assert found.alike == "model, data, selection, seeds, settings"
    low, high = interval([100 * v for v in values], 1)
    assert (found.low, found.high) == pytest.approx((low - 0.05, high + 0.05))


def test_line_has_ours_theirs_and_the_gap_in_the_printed_unit():
    table = compared(runs(CLOSE))
    (row,) = [row for row in table.rows if "AdaMix" in row[6].text]
    assert [entry.text for entry in row] == [
        "adamix-adapter",
        "RTE",
        "Acc",
        "74.7±0.6 (3)",
        "74.7",
        "0.0",
        "AdaMix (adapter) (Wang et al. 2022), one run",
        "model, data, selection, seeds, settings",
        AGREES,
    ]
    assert line(runs(CLOSE)).gap == pytest.approx(74.6667 - 74.7, abs=1e-3)


@pytest.mark.parametrize(("value", "shown"), [(0.75, "+0.3"), (0.7396, "-0.7"), (0.7471, "0.0")])
def test_gap_is_between_the_numbers_as_shown(value, shown):
    (row,) = [r for r in compared([run(value)]).rows if "AdaMix" in r[6].text]
    assert row[5].text == shown


@pytest.mark.parametrize("count", [1, 2])
def test_few_runs_have_no_verdict(count):
    table = compared(runs(CLOSE[:count]))
    assert table.rows[0][-1].text == ("no verdict: 1 run" if count == 1 else "no verdict: 2 runs")
    assert table.title.endswith("not a reproduction (runs)")
    assert [fact.verdict for fact in table.facts] == [""]


def data(**changes):
    return {"data": {**DATA, **changes}}


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        (
            {"selection": SELECTION["last"]},
            "selection: ours 'last', theirs 'dev'",
        ),
        (
            data(used={"train": 512, "selection": 249, "dev": 277}),
            "data: trains on 512 of 2,490 rows",
        ),
        (
            data(used={"train": 2241, "selection": 249, "dev": 100}),
            "data: dev: scored on 100 of 277 rows",
        ),
        (data(partial=["RTE dev is absent"]), "data: RTE dev is absent"),
        (data(official={}), "data: counts of rows are not recorded"),
        ({"data": None}, "data: counts of rows are not recorded"),
        ({"tuning": {"trials": 3}}, "selection: our settings were searched for"),
    ],
)
def test_what_differs_is_told_and_leaves_no_verdict(changes, differs):
    table = compared(runs(CLOSE, **changes))
    (fact,) = table.facts
    assert (fact.differs, fact.verdict, fact.low) == (differs, "", None)
    name = differs.partition(":")[0]
    assert table.rows[0][-1].text == f"no verdict: {name}"
    assert [remark.sentence for remark in table.remarks] == [differs]
    assert name not in fact.alike.split(", ")
    assert table.title.endswith(f": not a reproduction ({name})")


@pytest.mark.parametrize(
    ("recipe", "differs"),
    [
        (replace(RECIPE, lr=1e-3), "settings: lr: ours 0.001, theirs 0.0005"),
        (replace(RECIPE, batch=16), "settings: batch: ours 16, theirs 32"),
        (replace(RECIPE, times=2.0), "settings: times: ours 2.0, theirs 1"),
    ],
)
def test_other_settings_than_the_released_ones_are_told(recipe, differs):
    assert line(runs(CLOSE, recipe=recipe)).differs == differs


def test_generated_rows_never_match():
    records = [
        replace(r, cell=replace(r.cell, data="sample@1")) for r in runs((0.747, 0.748, 0.746))
    ]
    table = compared(records)
    assert table.facts[0].differs == "data: rows are of 'sample', not official"
    assert "GENERATED DATA" in table.title and "not a reproduction (data)" in table.title


def test_a_title_with_one_reproduction_does_not_say_there_is_none():
    assert "not a reproduction" not in compared(runs(CLOSE)).title


def test_a_method_with_other_options_is_not_the_row():
    table = compared(runs(CLOSE, method="adamix-adapter[experts=2]"))
    assert table.rows == () and len(table.footnotes) == 1
    assert table.footnotes[0].endswith("on rte: no row of ours is the method of one.")


def test_either_text_of_a_row_is_the_row():
    same = [line(runs(CLOSE, method=text)) for text in ("adamix-adapter",)]
    same.append(line(runs(CLOSE, method="adamix-adapter[consistency=0]")))
    assert {fact.verdict for fact in same} == {AGREES}


def test_a_model_of_no_paper_has_one_footnote():
    table = compared(runs(CLOSE, model="minilm"))
    assert (table.rows, table.facts, table.remarks) == ((), (), ())
    assert table.footnotes == (
        "No published number stands beside minilm on rte: no paper here reports them.",
    )
    for write in (markdown, latex, html, csv):
        assert write(table)


def test_medians_are_compared_with_a_median_of_as_many_runs():
    more = {"model": "roberta-large", "method": "lora", "recipe": replace(RECIPE, length=128)}
    four = line(runs((0.85, 0.86, 0.84, 0.85), **more), published="LoRA (Houlsby-like setup)")
    assert four.differs == "seeds: 4 of ours, 5 of theirs"
    values = (0.84, 0.85, 0.853, 0.86, 0.95)
    five = line(runs(values, **more), published="LoRA (Houlsby-like setup)")
    assert (five.ours, five.statistic) == (85.3, "median of 5")
    assert (five.verdict, five.theirs) == (AGREES, 85.2)


def test_a_start_that_no_run_of_ours_has_is_told():
    found = line(
        runs(CLOSE * 2, model="roberta-large", method="lora"),
        published="LoRA",
        rows=[r for r in PUBLISHED if r.authors == "Hu et al. 2021"],
    )
    assert found.differs == "start: theirs starts from weights trained on MNLI"


def test_a_number_that_is_doubted_has_no_verdict():
    score = Score("rte", "accuracy", "74.7", note="probable misprint")
    rows = [replace(r, scores=(score,)) for r in published(BERT) if r.method.startswith("AdaMix")]
    assert line(runs(CLOSE), rows=rows).differs == "number: probable misprint"
    copied = [replace(r, scores=(replace(score, note="copied from X"),)) for r in rows]
    assert line(runs(CLOSE), rows=copied).verdict == AGREES


def test_a_paper_that_does_not_tell_its_runs_has_no_verdict():
    found = line(runs(CLOSE, method="bitfit"), published="BitFit")
    assert found.differs == (
        "selection: how theirs was selected is not told; "
        "seeds: how many runs theirs are is not told"
    )


def test_a_failed_run_is_none_of_ours():
    failed = [lost(replace(record.cell, seed=9), "no memory") for record in runs(CLOSE[:1])]
    assert line([*runs(CLOSE), *failed]).runs == 3
    alone = compared(failed)
    assert [e.text for e in alone.rows[0][3:6]] == ["\N{EN DASH}", "74.7", "\N{EN DASH}"]


def glue():
    """Runs of every task of GLUE, accuracy and F1 apart by 0.1."""
    tasks = {"cola": ("matthews",), "stsb": ("pearson", "spearman"), "sst2": ("accuracy",)}
    tasks |= {"qnli": ("accuracy",), "rte": ("accuracy",), "mrpc": ("accuracy", "f1")}
    tasks |= {"qqp": ("accuracy", "f1"), "mnli": ("accuracy_matched",)}
    columns = [
        replace(MRPC, task=task, title=task, shown=metrics, primary=metrics[0])
        for task, metrics in tasks.items()
    ]
    records = [
        run({m: 0.8 + 0.1 * (m == "f1") for m in metrics}, seed, task=task)
        for task, metrics in tasks.items()
        for seed in (0, 1)
    ]
    return records, columns


def test_average_takes_the_metric_that_the_paper_averages():
    records, columns = glue()
    found = line(records, columns, metric="mean_of_8")
    assert found.ours == pytest.approx((6 * 80 + 2 * 90) / 8)  # table 2 averages F1
    assert (found.theirs, found.runs, found.task) == (84.5, 2, "average")
    assert "number: ours is accuracy_matched" in found.differs and found.verdict == ""


def test_average_needs_every_task():
    records, columns = glue()
    short = [record for record in records if not record.cell.task.startswith("cola")]
    for there in (columns[1:], columns):
        assert "mean_of_8" not in {f.metric for f in compared(short, there).facts}


def test_average_takes_its_metric_wherever_it_stands_in_the_row():
    records, columns = glue()
    rows = [replace(row, scores=row.scores[::-1]) for row in published(BERT)]
    found = line(records, columns, metric="mean_of_8", rows=rows)
    assert found.ours == pytest.approx((6 * 80 + 2 * 90) / 8)


def test_average_is_over_the_seeds_that_have_every_task():
    records, columns = glue()
    found = line(records[1:], columns, metric="mean_of_8")  # of cola, seed 1 alone
    assert (found.runs, found.ours) == (1, pytest.approx(82.5))


def test_a_row_of_two_methods_is_no_row_of_a_paper():
    other = replace(run(0.7, 9).cell, method=resolve("lora", BERT))
    assert compared([*runs(CLOSE), lost(other, "no memory")]).rows == ()


def test_one_number_for_mnli_is_set_beside_matched_rows_with_no_verdict():
    records, columns = glue()
    (mnli,) = [f for f in compared(records, columns).facts if f.task == "mnli"]
    assert mnli.ours == pytest.approx(80) and "ours is accuracy_matched" in mnli.differs


TEXT = {
    "official": {"train": 42061, "test": 630},
    "used": {"train": 41061, "selection": 1000, "test": 630},
}
NLG = AdamW(
    **{"lr": 2e-4, "batch": 8, "epochs": 5, "warmup_steps": 500, "decay": 0.01},
    **{"smoothing": 0.1, "length": 512},
)
LORA = "lora[rank=4,alpha=32,dropout=0.1]"


def written(text="lora", protocol="e2e-metrics", penalty="0.8", seeds=3):
    found = []
    for seed in range(seeds):
        asked = text_cell(LORA, "e2e", seed, model=GPT2)
        task = asked.task.replace("penalty=0.8", f"penalty={penalty}").replace(
            "]", f",text={text}]"
        )
        asked = replace(asked, task=task, recipe=spec.text(NLG), method=resolve(LORA, GPT2))
        metrics = {"BLEU": 0.69, "NIST": 8.0, "NIST_p": 8.7, "METEOR": 0.46, "ROUGE_L": 0.7}
        where = {"selection": SELECTION["last"], "data": TEXT, "protocol": protocol}
        found.append(scored(asked, {**metrics, "CIDEr": 2.4}, **where))
    return found


def text_line(records, published, metric="BLEU"):
    return line(records, (E2E,), published, metric)


def test_scoring_and_decoding_of_texts_are_compared():
    same = text_line(written(), "LoRA, reproduced by the AdaMix authors")
    assert same.alike == "model, data, selection, scoring, decoding, settings"
    assert same.differs == "seeds: how many runs theirs are is not told"
    other = text_line(written("official", "lora"), "LoRA, reproduced by the AdaMix authors")
    assert "scoring: ours 'lora', theirs 'e2e-metrics'" in other.differs
    assert "decoding: text: ours official, theirs lora" in other.differs
    penalty = [
        f
        for f in compared(written(), (E2E,)).facts
        if (f.published, f.metric, f.table[:7]) == ("LoRA", "BLEU", "Table 3")
    ]
    assert all("length_penalty: ours 0.8, theirs 0.9" in fact.differs for fact in penalty)


def test_nist_is_that_of_the_variant_which_the_papers_use():
    found = text_line(written(), "LoRA, reproduced by the AdaMix authors", "NIST")
    assert (found.ours, found.metric) == (8.7, "NIST")
    older = [
        replace(r, metrics={k: v for k, v in r.metrics.items() if k != "NIST_p"}) for r in written()
    ]
    found = text_line(older, "LoRA, reproduced by the AdaMix authors", "NIST")
    assert found.ours == 8.0 and "number: theirs is NIST_p, ours NIST" in found.differs


def test_fraction_is_set_beside_the_printed_unit():
    found = text_line(written(), "LoRA, reproduced by the AdaMix authors", "METEOR")
    assert found.ours == pytest.approx(46.0)


def test_unknown_facts_of_a_foreign_record_break_nothing():
    strange = {"data": {"used": {"train": "many"}, "official": [1], "partial": "?"}, "selection": 3}
    protocol = published(BERT)[0].known.protocol
    found = dict(checks([run(0.7, **strange)], protocol, "rte"))
    assert found["data"] == ("counts of rows are not recorded",)
    assert found["selection"] == ("ours '3', theirs 'dev'",)


@pytest.mark.parametrize("model", MODELS)
def test_every_text_of_a_published_row_is_a_method(model):
    for row in published(model):
        texts = [resolve(text, model) for text in row.known.ours]
        assert len(set(texts)) == len(row.known.ours)


def test_csv_has_a_line_a_number():
    from csv import DictReader

    found = list(DictReader(StringIO(csv(compared(runs(CLOSE))))))
    assert [(f["published"], f["verdict"], f["runs"]) for f in found] == [
        ("AdaMix (adapter)", AGREES, "3")
    ]


def test_every_published_row_has_one_entry_and_every_entry_a_row():
    from reports.published import _all

    rows = [row.key for row in _all()]
    book = protocols.shipped(tuple(rows))
    assert len(rows) == len(set(rows)) == len(book.rows) and set(rows) == set(book.rows)
    assert all(isinstance(row, PublishedRow) for row in _all())
