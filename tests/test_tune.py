"""Settings found by a search: trials first, then the rows by what they told."""

import importlib.util
import subprocess
import sys

import pytest
from rich.console import Console

from bench import rounds
from bench.desk import Plan
from bench.job import Job
from bench.plan import outline
from bench.recipe import recipe
from bench.record import Record
from bench.reporting import of_plan, text
from bench.store import Store
from bench.suite import Profile, Rule, Span, Suite, Tune, request
from bench.tune import Trial, search
from bench.weights import Weights
from tasks.sources import Source
from tests.records import cell

SAMPLE, NOWHERE = Source("sample"), Store("nowhere")
RATES = [1e-3, 3e-3]
GRID = {"search": "grid", "trials": 2, "recipe": {"lr": RATES}}
with_optuna = pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="no optuna")


def tuned(ranges, told=lambda options: None, seed=0, **tune):
    """The search over those ranges where `told` gives a trial's score, if it has ended."""

    def trial(options):
        asked = cell(recipe=f"adamw[x={sorted(options.items())}]")
        job = Job(asked, SAMPLE, Weights("minilm", ""))
        score = told(options)
        if score is None:
            return Trial(options, job, None)
        if isinstance(score, str):
            return Trial(options, job, Record(asked, score, "for a reason"))
        return Trial(options, job, Record(asked, "ok", primary="f1", metrics=score))

    return search(Tune(**tune), seed, ranges, trial)


def options(found):
    return [trial.options for trial in found.trials]


def grid(told):
    return tuned(
        {"lr": [1, 2, 3]}, lambda options: told[options["lr"] - 1], search="grid", trials=3
    )


def f1(*scores):
    return [{"f1": score, "accuracy": -score} for score in scores]


def test_grid_has_every_combination():
    found = tuned({"lr": [1, 2], "rank": [4, 8]}, search="grid", trials=4)
    pairs = [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert options(found) == [{"lr": lr, "rank": rank} for lr, rank in pairs]


@pytest.mark.parametrize(
    ("ranges", "tune", "told"),
    [
        ({"lr": [1]}, ("grid", 2), "a grid of 2 points, as many as trials; the lists have 1 of lr"),
        ({"lr": [1, 2], "x": [1, 2]}, ("grid", 2), "the lists have 2 of lr, 2 of x"),
        ({"lr": [1, 1]}, ("grid", 2), r"expected different values of 'lr', got \[1, 1\]"),
        ({"lr": []}, ("grid", 1), "expected different values of 'lr', got"),
        ({"lr": Span(low=1, high=2)}, ("grid", 1), "a grid needs a list of values of 'lr'"),
        ({}, ("grid", 1), "expected options to search over, got none"),
        ({}, ("random", 1), "expected options to search over, got none"),
        ({"lr": [1, 2]}, ("random", 3), "expected at least 3 points, one a trial; the lists have"),
    ],
)
def test_ranges_that_give_another_number_of_trials_are_refused(ranges, tune, told):
    with pytest.raises(ValueError, match=told):
        tuned(ranges, search=tune[0], trials=tune[1])


def test_random_search_of_lists_takes_different_points():
    ranges = {"lr": [1, 2, 3], "rank": [4, 8]}
    drawn = [options(tuned(ranges, search="random", trials=5, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({tuple(point.items()) for point in drawn[0]}) == 5


def test_random_search_of_spans_stays_within_them():
    spans = {
        "lr": Span(low=1e-5, high=1e-2, log=True),
        "width": Span(low=2, high=4),
        "rate": Span(low=0.0, high=0.5),
        "kind": ["a", "b"],
    }
    points = options(tuned(spans, search="random", trials=400))
    assert all(1e-5 <= point["lr"] <= 1e-2 and 0 <= point["rate"] <= 0.5 for point in points)
    assert {point["width"] for point in points} == {2, 3, 4}
    assert {point["kind"] for point in points} == {"a", "b"}
    assert 0.4 < sum(point["lr"] < 10**-3.5 for point in points) / 400 < 0.6
    assert all(len(f"{point['rate']:g}".lstrip("0.").rstrip("0")) <= 3 for point in points)


def test_random_search_over_whole_numbers_on_a_log_scale_reaches_both_ends():
    span = {"rank": Span(low=1, high=4, log=True)}
    ranks = [point["rank"] for point in options(tuned(span, search="random", trials=200))]
    assert set(ranks) == {1, 2, 3, 4} and ranks.count(1) > ranks.count(4)


@with_optuna
def test_tpe_proposes_a_trial_once_the_one_before_has_ended():
    spans = {"lr": Span(low=1e-5, high=1e-1, log=True)}

    def told(known):
        return lambda options: {"f1": 1.0 - abs(options["lr"] - 0.01)} if known else None

    first = tuned(spans, told(False), search="tpe", trials=6)
    assert len(first.trials) == 1 and first.waits
    whole, again = (tuned(spans, told(True), search="tpe", trials=6) for _ in range(2))
    assert options(whole) == options(again) and len(whole.trials) == 6
    assert options(whole)[0] == options(first)[0]
    assert len({point["lr"] for point in options(whole)}) == 6
    assert all(1e-5 <= point["lr"] <= 1e-1 for point in options(whole))


@with_optuna
def test_tpe_goes_by_the_scores_of_its_trials():
    spans = {"lr": Span(low=0.0, high=1.0), "width": Span(low=1, high=9), "kind": ["a", "b"]}

    def last(best):
        found = tuned(spans, lambda o: {"f1": -abs(o["lr"] - best)}, search="tpe", trials=30)
        return options(found)[-8:]

    low, high = (sum(point["lr"] for point in last(best)) / 8 for best in (0.1, 0.9))
    assert low < 0.35 and high > 0.65


@with_optuna
def test_tpe_goes_on_after_a_trial_that_failed():
    spans = {"lr": Span(low=0.0, high=1.0)}
    found = tuned(
        spans, lambda o: "failed" if o["lr"] > 0.5 else {"f1": 1.0}, search="tpe", trials=8
    )
    assert len(found.trials) == 8 and found.chosen["lr"] <= 0.5


def test_search_without_optuna_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        ValueError, match=r"a tpe search needs optuna: pip install 'peftbench\[tune\]'"
    ):
        tuned({"lr": Span(low=0, high=1)}, search="tpe", trials=1)


@pytest.mark.parametrize(
    ("told", "best"),
    [
        (f1(0.1, 0.3, 0.2), 2),
        (f1(0.3, 0.1, 0.3), 1),
        (["failed", *f1(0.1, 0.2)], 3),
        (["skipped", *f1(-0.1), "failed"], 2),
        ([{"f1": None}, *f1(0.1, 0.0)], 2),
        ([{"loss": 3.0}, {"loss": 1.0}, {"loss": 2.0}], 2),
    ],
)
def test_best_is_the_highest_primary_metric_or_the_lowest_loss(told, best):
    found = grid(told)
    assert (found.chosen, found.waits, found.lost) == ({"lr": best}, False, "")


def test_search_waits_for_every_trial():
    found = grid([*f1(0.1, 0.2), None])
    assert (found.waits, found.account, len(found.trials)) == (True, None, 3)


def test_search_without_a_score_has_no_best():
    found = grid(["failed", "failed", "skipped"])
    key = found.trials[0].job.cell.key
    told = f"none of 3 trials has a score; the first, {key}: failed: for a reason"
    assert (found.lost, found.account) == (told, None)
    assert grid([{"f1": None}] * 3).lost.endswith(": no f1")


def test_unsuited_method_is_left_to_say_so_itself():
    found = grid(["skipped"] * 3)
    assert (found.lost, found.chosen, found.waits) == ("", {"lr": 1}, False)


def test_account_says_how_the_settings_were_found():
    found = grid(["failed", *f1(0.1, 0.2)])
    assert found.account == {
        "search": "grid",
        "trials": 3,
        "over": ["lr"],
        "seed": 0,
        "split": "selection",
        "chosen": {"lr": 3},
        "keys": [trial.job.cell.key for trial in found.trials],
        "scores": [None, 0.1, 0.2],
    }


def asked(*names, seeds=(0, 1), tasks=("rte",), sets=None, tune=GRID, variants=None, **profile):
    chosen = Profile(models=["minilm"], seeds=list(seeds), tune=Tune(**tune), **profile)
    suite = Suite(
        name="small",
        title="A small suite",
        variants=variants or {},
        methods=list(names or ["head", "lora"]),
        tasks=list(tasks),
        profiles={"quick": chosen},
    )
    return request(suite, sets=sets)


def known(asking, store=NOWHERE):
    return outline(asking, SAMPLE, store)


def refused(*names, **given):
    with pytest.raises(ValueError) as error:
        known(asked(*names, **given))
    assert "\n" not in str(error.value)
    return str(error.value)


def score(store, job, value=0.5, status="ok"):
    metrics = {} if value is None else {"accuracy": value}
    record = Record(job.cell, status, "" if status == "ok" else "for a reason", "accuracy", metrics)
    with store.writing(job.cell) as folder:
        (folder / "record.json").write_text(record.to_json())


def trials(found):
    return [job for job in found.jobs if job.role == "trial"]


def rows(found):
    return [job for job in found.jobs if job.role == "row"]


def test_trials_are_planned_before_the_rows_that_wait_for_them():
    found = known(asked(seeds=[3, 4], tasks=["rte", "cola"]))
    assert (len(trials(found)), rows(found), len(found.waiting)) == (8, [], 8)
    used = [recipe(job.cell.recipe) for job in trials(found)]
    assert [one.lr for one in used] == RATES * 4
    assert {(one.report, job.cell.seed) for one, job in zip(used, trials(found), strict=True)} == {
        ("selection", 3)
    }
    assert trials(found)[1].cell.label == "head, trial lr=0.003"
    assert {job.cell.seed for job in trials(known(asked(tune={**GRID, "seed": 9})))} == {9}


def test_rows_are_trained_by_the_options_of_their_best_trial(tmp_path):
    store, asking = Store(tmp_path), asked()
    for job, value in zip(trials(known(asking)), (0.1, 0.2, 0.4, 0.3), strict=True):
        score(store, job, value)
    found = known(asking, store)
    assert found.waiting == []
    used = [(job.cell.label, job.cell.seed, recipe(job.cell.recipe)) for job in rows(found)]
    assert [(label, seed, one.lr, one.report) for label, seed, one in used] == [
        ("head", 0, 3e-3, "test"),
        ("lora", 0, 1e-3, "test"),
        ("head", 1, 3e-3, "test"),
        ("lora", 1, 1e-3, "test"),
    ]
    account = rows(found)[1].tuning
    assert account["chosen"] == {"lr": 1e-3} and account["scores"] == [0.4, 0.3]
    assert account["keys"] == [job.cell.key for job in trials(found)[2:]]
    assert all(job.tuning is None for job in trials(found))


def test_rows_whose_trials_have_ended_do_not_wait_for_others(tmp_path):
    store, asking = Store(tmp_path), asked()
    for job in trials(known(asking))[:3]:
        score(store, job)
    found = known(asking, store)
    assert ([job.cell.label for job in rows(found)], found.waiting) == (["head"] * 2, ["lora"] * 2)


def test_rules_of_a_search_give_other_ranges():
    rules = [{"method": "full", "recipe": {"lr": [1e-5, 1e-4]}}]
    rules += [
        {"method": "lo*", "task": "rte", "recipe": {"lr": [5]}, "method_options": {"rank": [1, 2]}}
    ]
    found = trials(known(asked("head", "full", "lora[alpha=1]", tune={**GRID, "rules": rules})))
    assert [recipe(job.cell.recipe).lr for job in found] == [*RATES, 1e-5, 1e-4, 5, 5]
    assert ["rank=1," in job.cell.method for job in found[4:]] == [True, False]
    assert found[5].cell.label == "lora[alpha=1], trial lr=5, rank=2"


def test_options_of_the_method_reach_its_rows_and_those_that_build_on_it(tmp_path):
    store = Store(tmp_path)
    tune = {"search": "grid", "trials": 2, "method_options": {"width": [4, 8]}}
    asking = asked("soup[of=adapter,count=2]", "adapter", seeds=[0], tune=tune)
    first, second = trials(known(asking))
    assert len(known(asking).waiting) == 2
    score(store, first, 0.1)
    score(store, second, 0.2)
    one, two, soup = (job for job in known(asking, store).jobs if job.role != "trial")
    assert all("width=8]" in job.cell.method for job in (one, two, soup))
    assert soup.tuning == one.tuning and soup.tuning["chosen"] == {"width": 8}
    assert (one.role, two.role, soup.role) == ("row", "parent", "row")


def test_row_that_needs_others_is_not_searched_for_itself():
    variants = {"averaged": "soup[of=adapter,count=2]"}
    found = known(asked("averaged", variants=variants))
    assert [job.cell.label for job in found.jobs] == [
        "adapter, trial lr=0.001",
        "adapter, trial lr=0.003",
    ]
    assert found.waiting == ["averaged"] * 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sets": {"lr": "1"}}, "--set lr fixes what is searched over; leave one of them out"),
        ({"names": ["lora[rank=1]"]}, "'rank' is typed with the method and searched over"),
        ({"names": ["own"]}, "'rank' is typed with the method and searched over"),
        ({"recipe": {"dropout": [0, 0.1]}}, "'dropout' is searched over in the recipe and in the"),
        ({"recipe": {"lrr": [1]}}, "no option of recipe 'adamw' named 'lrr'; did you mean 'lr'?"),
        ({"rules": [Rule(recipe={"select": "dev"})]}, "trials see selection rows alone, but"),
    ],
)
def test_search_that_cannot_be_is_refused_by_row_and_task(given, told):
    ranges = {"recipe": given.pop("recipe", {"lr": [1]}), "trials": 2, "search": "random"}
    names = given.pop("names", ["lora"])
    tune = {**ranges, "method_options": {"rank": [1, 2], "dropout": [0.0, 0.5]}}
    variants = {"own": "lora[rank=2]"}
    said = refused(*names, tune=tune, variants=variants, **given)
    assert said.startswith(f"tune, {names[0]!r} on 'rte': {told}")


def test_option_that_a_method_lacks_is_refused():
    tune = {"search": "grid", "trials": 1, "method_options": {"rank": [1]}}
    told = "tune, 'head' on 'rte': method 'head' takes no options, got 'rank'"
    assert refused("head", tune=tune) == told


def test_setting_that_is_not_searched_over_reaches_trials_too():
    found = trials(known(asked(sets={"epochs": "3", "rows": "7"})))
    assert {(recipe(job.cell.recipe).epochs, job.cell.task) for job in found} == {
        (3, "rte[dev_rows=none,rows=7]")
    }


def test_group_without_a_best_trial_is_reported_as_failed_and_others_go_on(tmp_path):
    store, asking = Store(tmp_path), asked("head", "lora", "soup[of=lora,count=1]", seeds=[0])
    for job in trials(known(asking)):
        lora = job.cell.label.startswith("lora")
        score(store, job, None if lora else 0.5, "failed" if lora else "ok")
    desk = Plan(asking, SAMPLE, store)
    assert [job.role for job in desk.todo(False)] == ["trial", "trial", "row"]
    score(store, rows(known(asking, store))[0], 0.7)
    kept = [(record.cell.label, record.status) for record in desk.again().records()]
    assert kept == [("head", "ok"), ("lora", "failed"), ("soup[of=lora,count=1]", "failed")]
    assert "failed: for a reason" in desk.again().records()[1].reason
    table = text(of_plan(desk.again()), "md")
    assert "none of 2 trials has a score" in table
    assert [job.role for job in desk.again().todo(force=True)] == ["trial", "trial", "row"]


def test_trials_are_in_no_table_and_the_budget_is_in_its_footnote(tmp_path):
    store, asking = Store(tmp_path), asked("head", seeds=[0])
    first, second = trials(known(asking))
    score(store, first, 0.75)
    score(store, second, 0.1)
    (row,) = rows(known(asking, store))
    score(store, row, 0.25)
    desk = Plan(asking, SAMPLE, store)
    (record,) = desk.records()
    assert record.where["tuning"] == row.tuning and record.metrics == {"accuracy": 0.25}
    table = text(of_plan(desk), "md")
    assert "25.0" in table and "75.0" not in table
    told = "Tuned: lr by a grid of 2 trials a method and task, seed 0, on the selection rows."
    assert told in table


def test_plan_says_how_many_cells_wait_for_trials(tmp_path):
    desk = Plan(asked(), SAMPLE, Store(tmp_path))
    assert desk.opening(False).startswith("small: 4 cells, 0 done, 4 cells wait for the trials; ")
    assert desk.listing().count("todo") == 4
    desk = Plan(asked("head", seeds=[0]), SAMPLE, Store(tmp_path))
    assert "0 done, 1 cell waits for the trials; " in desk.opening(False)


def test_row_that_waits_is_a_row_that_is_not_run(tmp_path):
    store, asking = Store(tmp_path), asked("lora", "head", seeds=[0])
    for job in trials(known(asking))[2:]:
        score(store, job)
    score(store, rows(known(asking, store))[0], 0.25)
    lines = text(of_plan(Plan(asking, SAMPLE, store)), "md").splitlines()
    assert [line.split("|")[1].strip() for line in lines if "| " in line][2:4] == ["lora", "head"]


@pytest.fixture
def runner(monkeypatch):
    """Stands in for those who run cells: what it ran, with scores by label."""
    ran: list[str] = []
    outcomes: dict[str, str] = {}

    def execute(jobs, store, workers, tell):
        for job in jobs:
            ran.append(job.cell.label)
            status = outcomes.get(job.cell.label, "ok")
            rate = recipe(job.cell.recipe).lr
            cost = {"train_seconds": 1.0, "eval_seconds": 1.0}
            primary = {"accuracy": rate} if status == "ok" else {}
            record = Record(job.cell, status, "why", "accuracy", primary, cost)
            with store.writing(job.cell) as folder:
                (folder / "record.json").write_text(record.to_json())
            yield record

    monkeypatch.setattr(rounds, "execute", execute)
    return ran, outcomes


def finish(store, asking, force=False):
    return rounds.finished(Plan(asking, SAMPLE, store), force, 1, Console(quiet=True))


def test_rows_are_run_after_the_trials_in_one_command(tmp_path, runner):
    ran, _ = runner
    plan = finish(Store(tmp_path), asked("head", "lora", seeds=[0]))
    assert ran == [
        *(f"{name}, trial lr={rate}" for name in ("head", "lora") for rate in RATES),
        "head",
        "lora",
    ]
    assert [recipe(record.cell.recipe).lr for record in plan.records()] == [3e-3, 3e-3]
    ran.clear()
    finish(Store(tmp_path), asked("head", "lora", seeds=[0]))
    assert ran == []
    finish(Store(tmp_path), asked("head", "lora", seeds=[0]), force=True)
    assert ran == ["head", "lora"]


def test_failed_trial_is_tried_once_a_command_and_loses(tmp_path, runner):
    ran, outcomes = runner
    outcomes["head, trial lr=0.003"] = "failed"
    asking = asked("head", seeds=[0])
    for expected in (
        ["head, trial lr=0.001", "head, trial lr=0.003", "head"],
        ["head, trial lr=0.003"],
    ):
        ran.clear()
        (record,) = finish(Store(tmp_path), asking).records()
        assert (ran, recipe(record.cell.recipe).lr) == (expected, 1e-3)
    outcomes.clear()
    ran.clear()
    (record,) = finish(Store(tmp_path), asking).records()
    assert (ran, recipe(record.cell.recipe).lr) == (["head, trial lr=0.003", "head"], 3e-3)


def test_search_that_was_broken_off_goes_on_from_the_store(tmp_path, runner):
    ran, _ = runner
    store, asking = Store(tmp_path), asked("head", "lora", seeds=[0])
    score(store, trials(known(asking))[0], 0.9)
    plan = finish(store, asking)
    assert len(ran) == 5 and "head, trial lr=0.001" not in ran
    assert [recipe(record.cell.recipe).lr for record in plan.records()] == [1e-3, 3e-3]


@with_optuna
def test_tpe_runs_a_trial_a_round(tmp_path, runner):
    ran, _ = runner
    tune = {
        "search": "tpe",
        "trials": 4,
        "recipe": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    }
    (record,) = finish(Store(tmp_path), asked("head", seeds=[0], tune=tune)).records()
    assert [label.partition(" lr")[0] for label in ran] == ["head, trial"] * 4 + ["head"]
    assert max(record.where["tuning"]["scores"]) == recipe(record.cell.recipe).lr


SUITE = """
name = "own"
title = "Own"
methods = ["head", "lora"]
tasks = ["rte"]

[profiles.quick]
models = ["{model}"]
seeds = [0, 1]
recipe = {{ batch = 16, epochs = 2, precision = "fp32", length = 32 }}
options = {{ rows = 64, dev_rows = 20 }}

[profiles.quick.tune]
search = "grid"
trials = 2
recipe = {{ lr = [1e-2, 1e-9] }}
"""


@pytest.mark.slow
def test_tuned_suite_runs_from_trials_to_table(tiny_folder, tmp_path):
    (tmp_path / "own.toml").write_text(SUITE.format(model=tiny_folder))
    words = ["run", "--suite", "own.toml", "--data", "sample", "--jobs", "1", "--store", "store"]
    command = [sys.executable, "-m", "bench", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Tuned: lr by a grid of 2 trials a method and task, seed 0" in done.stdout
    found = list(Store(tmp_path / "store").records())
    tried = {r.cell.key: r for r in found if recipe(r.cell.recipe).report == "selection"}
    final = [r for r in found if r.cell.key not in tried]
    assert (len(tried), len(final)) == (4, 4)
    for record in tried.values():
        lines = (tmp_path / "store" / record.cell.key / "predictions.jsonl").read_text()
        assert lines == "" and set(record.metrics) == {"accuracy"}
    for record in final:
        tuning = record.where["tuning"]
        assert [tried[key].metrics["accuracy"] for key in tuning["keys"]] == tuning["scores"]
        best = tuning["keys"][tuning["scores"].index(max(tuning["scores"]))]
        assert recipe(tried[best].cell.recipe).lr == recipe(record.cell.recipe).lr
        assert tried[best].cell.method == record.cell.method
