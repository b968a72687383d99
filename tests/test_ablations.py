"""The ablation suites: what stands in the files, and what is planned from them."""

from dataclasses import replace
from itertools import product

import pytest

from bench import spec
from bench.plan import jobs
from bench.recipe import recipe
from bench.store import Store
from bench.suite import load, names, request
from methods import resolve
from methods.adamix import AdaMix
from tasks.sources import Source

SUITES = [name for name in names() if name.startswith("ablation-")]
EVALUATED = {"random routing", "fixed module", "logit ensemble"}
every_suite = pytest.mark.parametrize("name", SUITES)


def planned(name: str, folder, profile: str = "quick", **asked):
    asked = {"seeds": [0], **asked}
    return jobs(request(load(name), profile, **asked), Source("sample"), Store(folder))


def settings(name: str, method: str, task: str, model: str, profile: str = "quick"):
    return request(load(name), profile).settings(method, task, model)


def test_there_is_a_suite_for_every_ablation():
    about = {"merging", "consistency", "sharing", "experts", "width", "routing", "budget", "inner"}
    assert {f"ablation-{word}" for word in about} == set(SUITES)


@every_suite
def test_suite_compares_with_an_adamix_row_over_five_seeds(name):
    suite = load(name)
    assert suite.baseline in suite.methods
    assert isinstance(resolve(suite.baseline, "minilm"), AdaMix)
    assert suite.variants.keys() <= set(suite.methods)
    for profile in suite.profiles.values():
        assert profile.seeds == [0, 1, 2, 3, 4]


@every_suite
def test_all_quick_profiles_train_alike(name):
    first, profile = load(SUITES[0]).profiles["quick"], load(name).profiles["quick"]
    assert (profile.recipe, profile.options) == (first.recipe, first.options)
    for row, task in product(("adapter", "adamix-adapter"), load("glue").tasks):
        assert settings(name, row, task, "minilm") == settings(SUITES[0], row, task, "minilm")


@every_suite
def test_passes_of_one_module_differ_by_dropout(name, tmp_path):
    found = planned(name, tmp_path)
    assert {recipe(job.cell.recipe).dropout for job in found} == {None}


@every_suite
def test_paper_profile_trains_as_that_of_glue(name):
    for task, model in product(load("glue").tasks, ("bert-base-uncased", "roberta-large")):
        for row in ("full", "adapter", "adamix-adapter"):
            expected = settings("glue", row, task, model, "paper").recipe
            assert settings(name, row, task, model, "paper").recipe == expected


@every_suite
@pytest.mark.parametrize("model", ["bert-base-uncased", "roberta-large"])
def test_plain_adapter_is_as_wide_as_that_of_adamix(name, model, tmp_path):
    if not {"adapter", "adamix-adapter"} <= set(load(name).methods):
        return
    found = planned(name, tmp_path, "paper", models=[model], tasks=["rte"])
    method = {job.cell.label: resolve(job.cell.method, "") for job in found}
    assert method["adamix-adapter"].wrapped == method["adapter"]


def test_one_trained_run_serves_every_way_of_inference(tmp_path):
    found = planned("ablation-merging", tmp_path, tasks=["mrpc"])
    by_label = {job.cell.label: job.cell for job in found}
    assert list(by_label) == load("ablation-merging").methods
    (of,) = {by_label[row].parents for row in EVALUATED}
    assert of == (by_label["adamix-adapter"].key,)
    assert resolve(by_label["random routing"].method, "").of == by_label["adamix-adapter"].method


def test_cells_are_shared_between_the_suites(tmp_path):
    keys = {}
    for name in (name for name in SUITES if load(name).profiles["quick"].tune is None):
        for job in planned(name, tmp_path, tasks=["mrpc"]):
            keys.setdefault(job.cell.key, []).append((name, job.cell.label))
    uses = {tuple(label for _, label in used) for used in keys.values()}
    assert ("R-Drop", "adamix-adapter[experts=1]") in uses
    assert ("adamix-adapter",) * 6 in uses  # all suites without a search but that of widths
    assert ("random routing",) * 2 in uses


def test_soup_is_of_runs_in_other_orders_the_first_of_which_is_the_row_itself(tmp_path):
    found = planned("ablation-budget", tmp_path, tasks=["mrpc"])
    by_label = {job.cell.label: job.cell for job in found}
    soup = [by_label["adapter"], *(by_label[f"adapter, order={n}"] for n in (1, 2, 3))]
    assert by_label["soup of four"].parents == tuple(cell.key for cell in soup)
    assert [recipe(cell.recipe).order for cell in soup] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("model", "width", "layers"),
    [("minilm", 384, 6), ("bert-base-uncased", 768, 12), ("roberta-large", 1024, 24)],
)
def test_adapter_of_equal_size_trains_as_many_parameters_as_adamix(model, width, layers, tmp_path):
    profile = "quick" if model == "minilm" else "paper"
    found = planned("ablation-budget", tmp_path, profile, models=[model], tasks=["rte"])
    method = {job.cell.label: resolve(job.cell.method, "") for job in found}
    mixed, single = method["adamix-adapter"], method["adapter of equal size"]
    r, w, experts = mixed.wrapped.width, single.width, mixed.experts
    trained = layers * ((experts + 1) * width * r + experts * r + width)
    assert layers * (2 * width * w + w + width) == pytest.approx(trained, rel=1e-3)


@pytest.mark.parametrize("model", ["minilm", "bert-base-uncased", "roberta-large"])
def test_adapter_twice_as_long_differs_in_its_length_alone_on_every_task(model, tmp_path):
    profile = "quick" if model == "minilm" else "paper"
    rows = ["adapter", "adapter twice as long"]
    asked = {"models": [model], "tasks": load("glue").tasks, "methods": rows}
    once, twice = [], []
    for job in planned("ablation-budget", tmp_path, profile, **asked):
        (once, twice)[rows.index(job.cell.label)].append(job.cell)
    assert len(once) == len(twice) == len(load("glue").tasks)
    for short, long in zip(once, twice, strict=True):
        assert (long.task, long.method) == (short.task, short.method)
        assert recipe(long.recipe) == replace(recipe(short.recipe), times=2.0)


@every_suite
def test_every_row_is_a_method_of_its_own(name, tmp_path):
    every = planned(name, tmp_path, "paper", tasks=["rte"], models=["roberta-large"])
    found = [job.cell for job in every if job.role == "row"]
    assert [cell.label for cell in found] == load(name).methods
    assert len({cell.key for cell in found}) == len(found)
    for cell in found:
        assert spec.text(resolve(cell.method, "")) == cell.method
