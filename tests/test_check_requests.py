"""Contracts of tasks and suites, and the command that looks at any."""

import random
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from bench.contract import plugin as check
from bench.contract import suite as check_suite
from bench.contract import task as check_task
from bench.suite import names
from tasks import sample, task
from tasks.glue import RTE
from tasks.sources import Source
from tasks.splits import Read
from tests.test_cli import flat

SAMPLE = Source("sample")


class Wrong(RTE):
    """Is it wrong?"""

    title: ClassVar = "Wrong"

    def _sample(self, source):
        return Read(sample.generate("rte"))


class Unnamed(Wrong):
    source: ClassVar = ""


class Stampless(Wrong):
    def stamp(self, source):
        return f"files@{time.perf_counter_ns()}"


class Fresh(Wrong):
    def load(self, source, seed):
        data = super().load(source, seed)
        random.shuffle(data.train)
        return data


class PerSeed(Wrong):
    def load(self, source, seed):
        data = super().load(source, seed)
        return replace(data, test={"dev": data.test["dev"][seed:]}, facts=used(data, seed))


class Uncounted(Wrong):
    def load(self, source, seed):
        return replace(super().load(source, seed), facts={})


class Overlap(Wrong):
    def load(self, source, seed):
        data = super().load(source, seed)
        data.train[0] = data.test["dev"][0]
        return data


class Mislabelled(Wrong):
    def load(self, source, seed):
        data = super().load(source, seed)
        data.train[0] = data.train[0]._replace(label=2)
        return data


class Backwards(Wrong):
    def score(self, predictions, references):
        return {name: 1 - value for name, value in super().score(predictions, references).items()}


class Unscored(Wrong):
    def score(self, predictions, references):
        return {}


def used(data, gone):
    sizes = {**data.facts["used"]}
    return {**data.facts, "used": sizes | {"dev": sizes["dev"] - gone}}


@pytest.mark.parametrize(
    ("faulty", "item", "told"),
    [
        (Unnamed, "declared", "expected source, got none"),
        (Stampless, "stamps-its-rows", "expected one of hub, sample@1, files@<digest> each time"),
        (Fresh, "repeats", "expected the same rows for the same seed, got others"),
        (PerSeed, "repeats", "expected the same reported rows for every seed, got others"),
        (Uncounted, "loads", 'expected facts["used"] to be'),
        (Overlap, "splits-share-no-row", "expected no row in two splits, got"),
        (Mislabelled, "rows-are-valid", "expected labels 0 to 1, got 2 in train"),
        (Backwards, "scores-the-right-higher", "to score above wrong ones, got 0.0 and 1.0"),
        (Unscored, "scores-the-right-higher", "expected scores accuracy, got"),
    ],
)
def test_a_fault_of_a_task_is_caught_by_the_item_that_is_about_it(faulty, item, told, monkeypatch):
    built = dataclass(frozen=True)(
        type("Faulty", (faulty,), {"__doc__": "Is it?", "name": "faulty"})
    )
    monkeypatch.setitem(task._entries, "faulty", built)
    found = check_task.findings("faulty", SAMPLE)
    bad = [one for one in found if one.outcome == "failed"]
    assert [one.check for one in bad] == [item]
    assert told in bad[0].told


@pytest.mark.parametrize("name", task.names())
def test_tasks_keep_their_contract(name, monkeypatch):
    monkeypatch.setenv("PATH", "")  # METEOR starts a machine of its own, which takes seconds
    assert check.failed(check_task.findings(name, SAMPLE)) == []


@pytest.mark.parametrize("name", names())
def test_suites_keep_their_contract(name):
    found = check_suite.findings(name, SAMPLE)
    assert [one.check for one in found] == ["rows-are-distinct", "plans-quick", "plans-paper"]
    assert check.failed(found) == []


SUITE = """
name = "mine"
title = "Mine"
tasks = ["sst2"]
methods = {methods}
[profiles.quick]
models = ["minilm"]
seeds = [0]
recipe = {{ {recipe} }}
"""


@pytest.mark.parametrize(
    ("methods", "recipe", "told"),
    [
        (
            '["lora", "lora"]',
            "lr = 1.0",
            "rows-are-distinct: expected each method once, got 'lo",
        ),
        (
            '["lorra"]',
            "lr = 1.0",
            "plans-quick: expected names, options and values that are valid",
        ),
        ('["lora"]', "lr = -1.0", "recipe 'adamw', options: expected lr above 0, got -1.0"),
    ],
)
def test_a_fault_of_a_suite_is_caught(methods, recipe, told, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(methods=methods, recipe=recipe))
    (line,) = check.failed(check_suite.findings(str(path), SAMPLE))
    assert told in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "expected a method, --task or --suite to check, got none"),
        (["lorra"], "no method named 'lorra'; did you mean 'lora'?"),
        (["lora[rnk=2]"], "no option of method 'lora' named 'rnk'; did you mean 'rank'?"),
        (["lora", "--models", "tiny-brt"], "no model named 'tiny-brt'; did you mean 'tiny-bert'"),
        (["lora", "--models", "gpt2-mini"], "expected a model that has files, got 'gpt2-mini'"),
        (["--task", "sst"], "no task named 'sst'; did you mean 'sst2'?"),
        (["--suite", "glu"], "no suite named 'glu'; did you mean 'glue'?"),
    ],
)
def test_wrong_request_is_refused_in_one_line(bench, words, told):
    code, out, err = bench("check", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"bench: {told}")


def test_command_gives_flat_rows(bench):
    code, out, _ = bench("check", "--task", "rte", "--suite", "glue", "--json")
    rows = flat(out)
    assert code == 0 and {row["of"] for row in rows} == {"rte", "glue"}
    assert rows[0].keys() == {"of", "subject", "check", "outcome", "told"}
