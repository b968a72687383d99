"""Several tasks at once: rows side by side, a head for each space of labels, a metric a part."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import spec
from bench.backbone import Backbone
from bench.cells import Cells, Ground, parts
from bench.described import embedded, headed
from bench.heads import Described, Heads
from bench.parts import Nothing, Parts
from bench.store import Store
from bench.suite import load, request
from bench.text import Encoded, tokenizer
from bench.weights import find
from tasks import task as tasks
from tasks.base import Given, Row
from tasks.sources import Source
from tests import tiny

SAMPLE = Source("sample")


def mix(text: str):
    return spec.build(tasks, text)


def test_every_row_is_met_once_in_batches_of_one_part():
    rows = Parts([tiny.Toy(20, seed=1), Nothing(), tiny.Toy(33, seed=2)])
    source = np.random.default_rng(0)
    for batches in (rows.shuffled(8, source), rows.ordered(8)):
        assert sorted(np.concatenate(batches).tolist()) == [*range(53)]
        for numbers in batches:
            batch = rows.batch(numbers)
            assert batch.part == (0 if numbers[0] < 20 else 2)
            assert batch.rows.tolist() == numbers.tolist()
            alone = rows.of[batch.part].batch(numbers - rows.begins[batch.part])
            assert torch.equal(batch.ids, alone.ids) and torch.equal(batch.labels, alone.labels)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(1, 9))
def test_rows_keep_their_numbers_whatever_the_parts(sizes, size):
    rows = Parts([tiny.Toy(n) if n else Nothing() for n in sizes])
    met = [r for numbers in rows.shuffled(size, np.random.default_rng(1)) for r in numbers.tolist()]
    assert sorted(met) == [*range(sum(sizes))]
    assert [len(some) for some in rows.split(range(sum(sizes)))] == sizes


def test_parts_train_alone_under_their_own_numbers():
    rows = Parts([tiny.Toy(10), tiny.Toy(12), tiny.Toy(14)])
    some = rows.only([1, 2])
    assert len(some) == 26 and {some.batch(n).part for n in some.ordered(5)} == {1, 2}
    alone = rows.alone(2)
    assert len(alone) == 14 and alone.batch(np.arange(3)).part == 2


def test_tasks_with_the_same_labels_share_a_head():
    shared = mix("mix[of=sst2+mpqa+cola]").heads
    assert shared[0] == shared[1] != shared[2]
    own = mix("mix[of=sst2+mpqa+cola,head=own]").heads
    assert len({*own}) == 3
    assert len({*mix("mix[of=mrpc+qqp,head=one]").heads}) == 1


def test_scores_are_those_of_the_parts_and_their_mean():
    both = mix("mix[of=cola+sst2]")
    gold = {"cola dev": [0, 1, 1, 0], "sst2 dev": [1, 0]}
    told = {"cola dev": [0, 1, 1, 1], "sst2 dev": [1, 1]}
    cola = tasks["cola"]().score({"dev": told["cola dev"]}, {"dev": gold["cola dev"]})["matthews"]
    assert both.score(told, gold) == {"cola": cola, "sst2": 0.5, "mean": (cola + 0.5) / 2}
    assert both.metrics == ("cola", "sst2", "mean") and both.primary == "mean"


def test_parts_of_one_name_are_told_apart_by_a_number():
    several = mix("mix[of=skew[of=sst2,share=0,shares=2]+skew[of=sst2,share=1,shares=2]]")
    assert several.names == ("skew 1", "skew 2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mix[of=sst2]", "at least two tasks, got 1"),
        ("mix[of=sst2+sst2]", "each task once, got 'sst2' 2 times"),
        ("mix[of=stsb+sst2]", "tasks with classes, got 'stsb'"),
        ("mix[of=e2e+sst2]", "tasks with classes, got 'e2e'"),
        ("mix[of=mix+sst2]", "plain tasks, got 'mix'"),
        ("mix[of=sst2+mnli,head=one]", "as many classes in all tasks for one head, got 2.3"),
        ("mix[of=sst3+mnli]", "did you mean 'sst2'"),
    ],
)
def test_what_cannot_be_mixed_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        mix(text)


def test_options_of_parts_stand_in_brackets_of_their_own():
    text = "mix[of=sst2[rows=4,dev_rows=2]+cola]"
    assert mix(text).of == ("sst2[rows=4,dev_rows=2]", "cola")
    assert parts(text) == ["sst2[rows=4,dev_rows=2]", "cola"] and parts("sst2") == []


def test_rows_of_a_mix_are_those_of_its_tasks():
    whole = mix("mix[of=sst2[rows=12]+rte[rows=9]]")
    data = whole.load(SAMPLE, 3)
    alone = [spec.build(tasks, text).load(SAMPLE, 3) for text in whole.of]
    assert data.train == [row for part in alone for row in part.train]
    assert data.selection == [row for part in alone for row in part.selection]
    assert data.test == {"sst2 dev": alone[0].test["dev"], "rte dev": alone[1].test["dev"]}
    assert whole.stamp(SAMPLE) == whole.parts[0].stamp(SAMPLE)


def test_protocols_are_told_once():
    cosine = mix("zero-sst2").protocol
    assert mix("mix[of=zero-sst2+zero-subj]").protocol == cosine
    assert mix("mix[of=zero-sst2+cola]").protocol == f"zero-sst2: {cosine}"
    assert mix("mix[of=sst2+cola]").protocol == ""


def test_selection_rows_are_capped_part_by_part():
    few, all_rows = mix("mix[of=sst2+rte,select=3]"), mix("mix[of=sst2+rte]")
    found, whole = few.load(SAMPLE, 1), all_rows.load(SAMPLE, 1)
    assert [part.selection for part in found.parts] == [p.selection[:3] for p in whole.parts]
    assert len(found.selection) == 6 and found.train == whole.train and found.test == whole.test
    with pytest.raises(ValueError, match="select of at least 1"):
        mix("mix[of=sst2+rte,select=0]")


def test_a_part_is_the_cell_that_it_would_be_alone(tmp_path, tiny_folder):
    """Rules by task hold for parts, so that a run serves its own suite and every merge."""
    sets = {"rows": "24"}
    ground = Ground(
        request(load("glue"), models=[str(tiny_folder)], sets=sets), SAMPLE, Store(tmp_path)
    )
    model = find(str(tiny_folder))
    together = Cells(ground, model, "mix[of=sst2+cola]")
    (*below, merged) = together.jobs("average", 0)
    for job, name in zip(below, ("sst2", "cola"), strict=True):
        (alone,) = Cells(ground, model, name).jobs("full", 0)
        assert job.cell == alone.cell
    assert merged.cell.parents == tuple(job.cell.key for job in below)
    assert spec.build(tasks, merged.cell.task).of == tuple(job.cell.task for job in below)


def test_each_part_is_read_by_the_head_of_its_space():
    model = tiny.backbone()
    model.rehead((Given(2, space="a"), Given(3, space="b"), Given(2, space="a")))
    model.head.draw(0)
    assert isinstance(model.head, Heads) and model.head.which == (0, 1, 0)
    batch = tiny.batch(4)
    found = [model.eval()(replace(batch, part=part)) for part in range(3)]
    assert [x.shape[1] for x in found] == [2, 3, 2] and torch.equal(found[0], found[2])
    found[1].sum().backward()
    assert model.head.of[0].out.weight.grad is None
    assert model.head.of[1].out.weight.grad is not None


def test_heads_start_as_the_heads_of_the_parts_do_alone():
    alone, model = tiny.backbone(), tiny.backbone()
    model.rehead((Given(2, space="a"), Given(2, space="b")))
    for each in (alone, model):
        each.head.draw(7)
    for head in model.head.of:
        assert torch.equal(head.out.weight, alone.head.out.weight)


def test_described_classes_are_read_by_their_cosine():
    weights = find("minilm")
    tokens, task = tokenizer(weights), mix("zero-sst2")
    model = Backbone.load(weights, task.outputs)
    headed(model, task, tokens)
    assert isinstance(model.head, Described) and not [*model.head.parameters()]
    row = Encoded([Row(("a wonderful , moving film",), 1)], tokens, 32).batch(np.arange(1))
    with torch.no_grad():
        logits, mine = model.eval()(row)[0], model.features(row)[0].double()
    for value, text in zip(logits, task.descriptions, strict=True):
        one = Encoded([Row((text,), 0)], tokens, 32).batch(np.arange(1))
        with torch.no_grad():
            other = model.features(one)[0].double()
        cosine = torch.dot(mine, other) / mine.norm() / other.norm()
        assert float(value) == pytest.approx(20 * float(cosine), abs=1e-4)
    assert logits.argmax() == 1
    kept = embedded(model, task.descriptions, tokens)
    assert torch.equal(kept, model.head.classes) and torch.allclose(kept.norm(dim=1), torch.ones(2))


def test_joint_run_of_a_mix_trains_every_head(bench, tiny_folder, tmp_path):
    words = ("--suite", "glue", "--data", "sample", "--tasks", "mix[of=sst2+cola]", "--seeds", "0")
    small = ("--set", "rows=24", "--set", "dev_rows=10", "--set", "epochs=1", "--jobs", "1")
    code, out, _ = bench("run", *words, *small, "--methods", "full", "--models", str(tiny_folder))
    assert code == 0 and "SST-2" in out and "CoLA" in out
    (path,) = tmp_path.glob("results/*/record.json")
    record = json.loads(path.read_text())
    assert {*record["metrics"]} == {"sst2", "cola", "mean"}
    text = (path.parent / "predictions.jsonl").read_text()
    lines = [*map(json.loads, text.splitlines())]
    assert {line["split"] for line in lines} == {"sst2 dev", "cola dev"} and len(lines) == 20
    assert record["where"]["data"]["parts"].keys() == {"sst2", "cola"}
