"""Rows under names of their own, and rows that build on others."""

from dataclasses import dataclass, replace

import pytest

from bench import spec
from bench.desk import Plan
from bench.plan import jobs, plan
from bench.recipe import recipe
from bench.record import Record
from bench.reporting import of_plan, text
from bench.store import Store
from bench.suite import Profile, Rule, Suite, request
from methods import method
from methods.base import Method, Need
from tasks.sources import Source

SAMPLE, NOWHERE = Source("sample"), Store("nowhere")
MIX = "adamix-adapter"
DRAWN = f"infer[of={MIX},by=random,draws=3]"
VARIANTS = {"random routing": DRAWN, "long adapter": "adapter", "averaged": "soup[count=2]"}


def asked(methods, variants=None, tasks=("rte",), seeds=(0,), models=("minilm",), **profile):
    chosen = Profile(models=list(models), seeds=list(seeds), **profile)
    suite = Suite(
        name="small",
        title="A small suite",
        variants=VARIANTS if variants is None else variants,
        methods=list(methods),
        tasks=list(tasks),
        profiles={"quick": chosen},
    )
    return request(suite)


def planned(*methods, store=NOWHERE, **given):
    return jobs(asked(methods, **given), SAMPLE, store)


def shown(found):
    return [(job.cell.label, job.role) for job in found]


def put(store, cell, status="ok", **where):
    metrics = {"accuracy": 0.5} if status == "ok" else {}
    record = Record(cell, status, primary="accuracy", metrics=metrics, where=where)
    with store.writing(cell) as folder:
        (folder / "record.json").write_text(record.to_json())


def refused(*methods, **given):
    with pytest.raises(ValueError) as error:
        planned(*methods, **given)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_variant_is_its_method_under_another_label():
    plain, named = planned("adapter", "long adapter", rules=[_long()])
    assert plain.cell.method == named.cell.method
    assert (plain.cell.label, named.cell.label) == ("adapter", "long adapter")
    assert [recipe(job.cell.recipe).epochs for job in (plain, named)] == [20, 40]


def _long():
    return Rule(method="long*", recipe={"epochs": 40})


def test_rule_goes_by_the_name_of_a_variant_and_not_by_its_method():
    rules = [Rule(method="adapter", recipe={"lr": 1}, method_options={"width": 4})]
    (named,) = planned("long adapter", rules=rules)
    assert recipe(named.cell.recipe).lr == 4e-4 and "width=48" in named.cell.method
    rules = [Rule(method="long adapter", method_options={"width": 4})]
    (named,) = planned("long adapter", rules=rules)
    assert "width=4]" in named.cell.method


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        ({"own": "lorra"}, "variant 'own': no method named 'lorra'; did you mean 'lora'?"),
        ({"own": "lora[rnk=1]"}, "variant 'own': no option of method 'lora' named 'rnk'"),
        ({"own": "lora[rank"}, "variant 'own': expected name[option=value,...], got 'lora[rank'"),
        ({"lora": "adapter", "own": "lora"}, "variant 'lora' has the name of a method; call it"),
        ({"own": "soup[of=own]"}, "'own' builds on itself: own <- own"),
        (
            {"own": "infer[of=other]", "other": "infer[of=own]"},
            "'own' builds on itself: own <- other <- own",
        ),
    ],
)
def test_wrong_variant_is_named(variants, told):
    assert refused("own", variants=variants).startswith(told)


SUITE = """
name = "small"
title = "A small suite"
methods = ["lora"]
tasks = ["rte"]

[variants]
"random routing" = "infer[of=adamix-adapter,by=random]"

[profiles.quick]
models = ["minilm"]
seeds = [0]
"""


def test_variants_may_be_typed_among_methods(bench, tmp_path):
    (tmp_path / "own.toml").write_text(SUITE)
    words = ("plan", "--suite", "own.toml", "--data", "sample", "--methods")
    code, out, _ = bench(*words, "lora[rank=2], random routing")
    assert code == 0
    *lines, last = out.splitlines()
    names = [line.split(" rte ")[0].partition("todo")[2].strip() for line in lines]
    assert names == ["lora[rank=2]", "adamix-adapter", "random routing"]
    assert last.startswith("small: 3 cells, 0 done; data: ")
    code, _, err = bench(*words, "randm routing")
    told = "no method or variant named 'randm routing'; did you mean 'random routing'?"
    assert (code, err) == (2, f"bench: {told}\n")


def test_run_that_a_method_needs_is_planned_before_it():
    parent, child = planned("random routing", rules=[Rule(method=MIX, recipe={"lr": 0.5})])
    (row,) = planned(MIX, rules=[Rule(method=MIX, recipe={"lr": 0.5})])
    assert shown([parent, child]) == [(MIX, "parent"), ("random routing", "row")]
    assert parent.cell == row.cell and parent.cell.key == row.cell.key
    assert child.cell.parents == (parent.cell.key,)
    assert child.cell.recipe == parent.cell.recipe and recipe(child.cell.recipe).lr == 0.5
    assert spec.parse(child.cell.method)[1]["of"] == parent.cell.method
    assert child.built_on == (NOWHERE.folder(parent.cell),)


def test_run_that_is_needed_and_asked_for_is_one_row():
    found = planned("random routing", MIX, "averaged", "adapter", seeds=[0, 1])
    assert shown(found)[:5] == [
        (MIX, "row"),
        ("random routing", "row"),
        ("adapter", "row"),
        ("adapter, order=1", "parent"),
        ("averaged", "row"),
    ]
    assert [job.cell.seed for job in found] == [0] * 5 + [1] * 5
    assert len({job.cell.key for job in found}) == 10


def test_runs_of_a_soup_differ_in_what_it_says_alone():
    first, second, soup = planned("averaged", rules=[Rule(method="adapter", recipe={"lr": 0.5})])
    assert [recipe(job.cell.recipe).order for job in (first, second, soup)] == [0, 1, 0]
    assert replace(second.cell, recipe=first.cell.recipe) == first.cell
    assert soup.cell.parents == (first.cell.key, second.cell.key)
    assert soup.cell.recipe == first.cell.recipe


def test_need_may_be_a_variant_with_its_own_rules():
    variants = {"wide": "adapter[width=99]", "averaged": "soup[of=wide,count=1]"}
    rules = [Rule(method="wide", recipe={"lr": 0.25}, options={"rows": 9})]
    parent, child = planned("averaged", variants=variants, rules=rules)
    assert parent.cell.label == "wide" and recipe(parent.cell.recipe).lr == 0.25
    assert "width=99" in child.cell.method and "wide" not in child.cell.method
    assert child.cell.task == parent.cell.task == "rte[dev_rows=none,rows=9]"


def test_options_of_a_rule_for_the_needed_run_reach_the_one_that_builds_on_it():
    rules = [Rule(method=MIX, method_options={"experts": 8})]
    variants = {"last": f"infer[of={MIX},by=fixed,expert=7]"}
    parent, child = planned("last", variants=variants, rules=rules)
    assert "experts=8" in parent.cell.method and parent.cell.method in child.cell.method


def test_cell_that_builds_on_others_comes_after_the_one_that_makes_the_model():
    maker, parent, child = planned("random routing", models=["gpt2-mini"])
    assert maker.weights.fresh and parent.cell.parents == (maker.cell.key,)
    assert child.cell.parents == (maker.cell.key, parent.cell.key)
    assert child.built_on == (NOWHERE.folder(parent.cell),)
    assert child.weights == parent.weights


@dataclass(frozen=True)
class Judge(Method):
    """Builds on a run that itself builds on one."""

    name = "judge"
    of: str = DRAWN

    def needs(self):
        return (Need(self.of), Need("adapter", {"lr": 0.125}))


@pytest.fixture
def judge(monkeypatch):
    method.names()
    monkeypatch.setitem(method._entries, "judge", Judge)


def test_needs_may_need_others(judge):
    mix, drawn, plain, top = planned("judge")
    assert shown([mix, drawn, plain, top]) == [
        (MIX, "parent"),
        (DRAWN, "parent"),
        ("adapter, lr=0.125", "parent"),
        ("judge", "row"),
    ]
    assert top.cell.parents == (drawn.cell.key, plain.cell.key)
    assert drawn.cell.parents == (mix.cell.key,)
    assert top.cell.method == f"judge[of={drawn.cell.method}]"


def test_need_beside_the_first_may_not_lead_back(judge, monkeypatch):
    monkeypatch.setattr(Judge, "needs", lambda self: (Need(self.of), Need("judge")))
    assert refused("judge") == "'judge' builds on itself: judge <- judge"


def test_cell_that_builds_on_others_is_evaluated_only(tmp_path):
    parent, child = plan(planned("random routing", options={"rows": 100}), Store(tmp_path))
    assert (parent.row_passes, child.row_passes) == (2000, 0)
    desk = Plan(asked(["random routing"]), SAMPLE, Store(tmp_path))
    assert "random routing rte minilm seed=0" in desk.listing()
    assert desk.listing().count("evaluation only") == 1


def test_table_has_the_rows_that_were_asked_for(tmp_path):
    store = Store(tmp_path)
    for job in planned("averaged", "random routing"):
        put(store, job.cell)
    table = text(of_plan(Plan(asked(["averaged", "random routing"]), SAMPLE, store)), "csv")
    names = [line.split(",")[0] for line in table.splitlines()]
    assert names == ["method", "averaged", "random routing"]


@pytest.mark.parametrize(
    ("statuses", "todo", "forced"),
    [
        ((None, None, None, None), "abcd", "abcd"),
        (("ok", None, None, None), "bcd", "bcd"),
        (("ok", "ok", "ok", "ok"), "", "d"),
        (("ok", "ok", "ok", "failed"), "d", "d"),
        ((None, "ok", None, None), "cd", "cd"),  # what is needed by what is there is not
        (("failed", "failed", "failed", "failed"), "abcd", "abcd"),
        ((None, None, None, "ok"), "", "abcd"),
    ],
)
def test_runs_are_made_where_a_row_needs_them(tmp_path, judge, statuses, todo, forced):
    store = Store(tmp_path)
    found = planned("judge")
    for status, job in zip(statuses, found, strict=True):
        if status:
            put(store, job.cell, status)
    letters = {job.cell.key: letter for job, letter in zip(found, "abcd", strict=True)}
    desk = Plan(asked(["judge"]), SAMPLE, store)
    for force, expected in ((False, todo), (True, forced)):
        assert "".join(letters[job.cell.key] for job in desk.todo(force)) == expected
