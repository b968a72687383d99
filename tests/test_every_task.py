"""What every task promises, checked on the generated sample."""

import dataclasses
import math
from collections import Counter
from functools import cache

import pytest

from bench import spec
from tasks import task
from tasks.base import Decoding
from tasks.metrics import metric
from tasks.sources import Source

SAMPLE = Source("sample")
DOCUMENTS = ("language", "masked")  # formulations without labels


def options(name):
    return [field.name for field in dataclasses.fields(task[name])]


PLAIN = [name for name in task.names() if not task[name].composed]  # the others: test_mix.py
every_task = pytest.mark.parametrize("name", PLAIN)
every_classification, every_generation, every_language = (
    pytest.mark.parametrize("name", [n for n in PLAIN if task[n]().formulation in kinds])
    for kinds in (("classification", "prompt"), ("generation",), ("language", "masked"))
)
every_large = pytest.mark.parametrize("name", [n for n in task.names() if "rows" in options(n)])
every_few = pytest.mark.parametrize("name", [n for n in task.names() if "draw" in options(n)])


@cache
def loaded(name, seed=0):
    return task[name]().load(SAMPLE, seed)


def splits(data):
    return [data.train, data.selection, *data.test.values()]


def inputs(row):
    """What a row is an example of; a document has no input and stands for itself."""
    return row.text if any(row.text) else row.label


def prefixes(name):
    """ "ROUGE_L_seen": itself, "ROUGE_L" and "ROUGE"."""
    parts = name.split("_")
    return ["_".join(parts[:end]) for end in range(len(parts), 0, -1)]


def references(name):
    return {split: [row.label for row in rows] for split, rows in loaded(name).test.items()}


def test_the_eight_tasks_of_the_paper_are_there():
    assert {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"} <= set(task.names())


@every_task
def test_a_task_loads_and_says_what_it_read(name):
    data = loaded(name)
    sizes = {split: len(rows) for split, rows in data.test.items()}
    sizes |= {"train": len(data.train), "selection": len(data.selection)}
    assert min(sizes.values()) > 0
    assert data.facts["used"] == sizes
    assert data.facts["source"] == "sample"
    assert {"train", *data.test} <= set(data.facts["fingerprint"])
    assert any("generated sample" in said for said in data.facts["partial"])


@every_large
def test_what_is_not_trained_on_is_selected_on(name):
    data = loaded(name)
    assert data.facts["rows"]["train"] == len(data.train) + len(data.selection)
    assert set(data.facts["fingerprint"]) == {"train", *data.test}


@every_few
def test_few_rows_are_drawn_from_many_and_known_by_their_fingerprints(name):
    data = loaded(name)
    assert data.facts["rows"]["train"] > 10 * len(data.train + data.selection)
    assert set(data.facts["fingerprint"]) == {"train", "selection", *data.test}


@every_task
def test_the_splits_of_a_task_share_no_row(name):
    data = loaded(name)
    parts = [{inputs(row) for row in rows} for rows in splits(data)]
    assert sum(map(len, parts)) == len(set().union(*parts))


@every_task
def test_no_row_of_a_task_stands_twice(name):
    rows = [row for rows in splits(loaded(name)) for row in rows]
    assert len(set(rows)) == len(rows)


@every_task
def test_the_same_seed_gives_the_same_rows(name):
    assert task[name]().load(SAMPLE, 0) == loaded(name)


@every_task
def test_another_seed_gives_other_training_rows_and_the_same_reported_rows(name):
    one, two = loaded(name), loaded(name, 1)
    assert set(one.selection) != set(two.selection)
    assert set(one.train) != set(two.train)
    assert one.test == two.test


@every_large
def test_fewer_training_rows_change_nothing_else(name):
    few, all_rows = task[name](rows=100).load(SAMPLE, 0), loaded(name)
    assert few.train == all_rows.train[:100]
    assert (few.selection, few.test) == (all_rows.selection, all_rows.test)


@every_classification
def test_perfect_predictions_score_one(name):
    scores = task[name]().score(references(name), references(name))
    assert tuple(scores) == task[name].metrics
    assert scores == pytest.approx(dict.fromkeys(scores, 1.0), abs=1e-12)


@every_classification
def test_the_labels_of_neighbouring_rows_score_less(name):
    wrong = {split: [*labels[1:], labels[0]] for split, labels in references(name).items()}
    assert all(score < 0.9 for score in task[name]().score(wrong, references(name)).values())


@every_classification
def test_the_first_reported_split_alone_gives_the_primary_metric(name):
    first = next(iter(loaded(name).test))
    labels = {first: [row.label for row in loaded(name).selection]}
    assert task[name]().score(labels, labels)[task[name].primary] == pytest.approx(1)


@every_classification
def test_the_labels_of_a_task_are_valid(name):
    data, built = loaded(name), task[name]()
    for rows in (data.train, data.selection, *data.test.values()):
        labels = Counter(row.label for row in rows)
        if built.labels:
            assert set(labels) == set(range(built.outputs))
            assert all(type(label) is int for label in labels)
        else:
            assert built.outputs == 1
            assert all(type(label) is float and math.isfinite(label) for label in labels)


@every_generation
def test_a_reported_row_of_generation_is_a_distinct_input_with_all_its_references(name):
    data, built = loaded(name), task[name]()
    assert (built.outputs, built.labels) == (0, ())
    assert all(type(row.label) is str for row in data.train + data.selection)
    for split, rows in data.test.items():
        groups = [row.label for row in rows]
        assert all(type(text) is str and text for group in groups for text in group)
        assert min(map(len, groups)) > 1
        assert data.facts["references"][split] == sum(map(len, groups))
        assert data.facts["rows"][split] == len({row.text for row in rows}) == len(rows)


@every_generation
def test_generation_names_its_protocol_and_how_it_is_printed(name):
    cls = task[name]
    assert cls.protocol and cls.spread
    assert set(cls.shown) <= set(cls.units)


@every_generation
def test_the_options_of_decoding_reach_the_decoding(name):
    asked = spec.build(task, f"{name}[beams=3,length_penalty=0.9,no_repeat=0,new_tokens=20]")
    assert asked.decoding == Decoding(3, 0.9, 0, 20)
    assert task[name]().decoding == Decoding()


@every_language
def test_a_document_is_one_text_after_another(name):
    for rows in splits(loaded(name)):
        assert all(len(row.text) == 1 and type(row.label) is str and row.label for row in rows)


@every_task
def test_every_row_of_a_task_has_as_many_texts(name):
    data = loaded(name)
    rows = [*data.train, *data.selection, *(row for rows in data.test.values() for row in rows)]
    assert {len(row.text) for row in rows} <= {1, 2}
    assert len({len(row.text) for row in rows}) == 1
    if task[name]().formulation not in DOCUMENTS:
        assert all(text.strip() for row in rows for text in row.text)


@every_task
def test_a_task_names_itself_its_source_and_its_official_rows(name):
    cls = task[name]
    assert cls.name == name
    assert cls.title and cls.source and cls.__doc__
    assert cls.version >= 1
    if cls().formulation not in DOCUMENTS:
        assert set(cls.official) == {"train", *loaded(name).test}
    assert all(type(count) is int and count > 0 for count in cls.official.values())


@every_task
def test_the_metrics_of_a_task_are_declared(name):
    cls = task[name]
    assert cls.primary in cls.metrics
    assert set(cls.shown) <= set(cls.metrics)
    if cls().formulation not in DOCUMENTS:  # whose loss the runner measures
        assert all(any(m in metric.names() for m in prefixes(n)) for n in cls.metrics)


@every_task
def test_a_task_is_built_again_from_its_text(name):
    caps = [option for option in ("rows", "k", "test_rows", "dev_rows") if option in options(name)]
    assert len(caps) == 2
    for built in (task[name](**dict.fromkeys(caps[:count], 7)) for count in range(3)):
        assert spec.build(task, spec.text(built)) == built
        assert spec.build(task, spec.text(built, full=False)) == built


@every_task
def test_the_options_of_a_task_are_fixed_once_built(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        task[name]().rows = 3


@every_task
def test_a_stamp_of_the_sample_names_its_version(name):
    kind, version = task[name]().stamp(SAMPLE).split("@")
    assert kind == "sample"
    assert all(int(part) >= 1 for part in version.split("."))
