from functools import cache

import pytest

from bench import spec
from tasks import sample, task
from tasks.corpus import letters
from tasks.sources import Source
from tests.test_data_to_text import put

SAMPLE = Source("sample")
generate = cache(sample.generate)
FEW = ("mnli", "rte", "qqp", "sst2", "subj", "mpqa")
OTHERS = ("cola", "mrpc", "qnli", "stsb")


def load(text="sentences", source=SAMPLE, seed=0):
    return spec.build(task, text).load(source, seed)


def rows(data):
    return [*data.train, *data.selection, *data.test["dev"]]


def texts(data):
    return {row.label for row in rows(data)}


def told(name, reported=False):
    """The letters of all texts of a task of the sample, or of its reported splits."""
    parts = [part for split, part in generate(name).items() if not reported or split != "train"]
    return {letters(text) for part in parts for row in part for text in row.text}


@pytest.fixture(autouse=True)
def generated_once(monkeypatch):
    monkeypatch.setattr(sample, "generate", generate)


@pytest.fixture(scope="module")
def usual():
    return load()


def test_sentences_are_read_by_a_masked_language_model(usual):
    built = task["sentences"]()
    assert (built.formulation, built.outputs, built.metrics) == ("masked", 0, ("loss",))
    assert {row.text for row in rows(usual)} == {("",)}


def test_the_six_few_shot_tasks_are_left_out_unless_told_otherwise(usual):
    assert tuple(usual.facts["documents"]) == OTHERS
    held = set(map(letters, texts(usual)))
    assert all(held.isdisjoint(told(name)) for name in FEW)
    assert all(held.isdisjoint(told(name, reported=True)) for name in OTHERS)


def test_every_text_stands_once(usual):
    assert len(rows(usual)) == len(set(map(letters, texts(usual))))
    assert sum(usual.facts["documents"].values()) == len(rows(usual))


def test_other_tasks_may_be_left_out():
    data = load("sentences[without=cola+qnli+stsb]")
    assert set(data.facts["documents"]) == {"mrpc", *FEW}
    assert all(count > 1000 for count in data.facts["documents"].values())
    assert task["sentences"](without=None) == spec.build(task, "sentences[without=none]")


def test_a_task_without_sentences_cannot_be_left_out():
    with pytest.raises(
        ValueError, match="no task with sentences named 'sst-2'; did you mean 'sst2"
    ):
        spec.build(task, "sentences[without=sst-2]")


def test_reported_sentences_and_their_order_ignore_the_seed(usual):
    other = load(seed=5)
    assert other.test == usual.test
    assert other.facts["fingerprint"] == usual.facts["fingerprint"]
    assert other.train != usual.train


def test_sentences_of_all_tasks_are_mixed(usual):
    cola = {row.text[0] for row in generate("cola")["train"]}
    half = usual.test["dev"][len(usual.test["dev"]) // 2 :]  # in the order read
    assert any(row.label in cola for row in half)


def test_sentences_are_capped():
    data = load("sentences[without=none,rows=30,dev_rows=20]")
    assert set(data.facts["documents"]) == {*FEW, *OTHERS}
    assert (len(data.train), len(data.test["dev"])) == (30, 20)


def test_the_hub_has_no_sentences():
    with pytest.raises(ValueError, match="sentences: expected a data directory or the sample"):
        load(source=Source("hub"))


# --- files


@pytest.fixture
def folder(tmp_path):
    """CoLA and MRPC; RTE and Subj, which are left out, and repeat some of their texts."""
    cola = "".join(f"a\t1\t\tcola {n}\n" for n in range(60))
    put(tmp_path, "glue/CoLA/train.tsv", f"{cola}a\t0\t*\tSaid, in RTE!\na\t1\t\tin a draw\n")
    put(tmp_path, "glue/CoLA/dev.tsv", "a\t1\t\tCola 7.\n")
    pairs = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    put(tmp_path, "glue/MRPC/train.tsv", f"{pairs}1\t1\t2\tcola 3\tmrpc\n1\t1\t2\tsubj\tmrpc\n")
    header = "index\tsentence1\tsentence2\tlabel\n"
    put(tmp_path, "glue/RTE/train.tsv", f"{header}0\tnew\tcola 4\tentailment\n")
    put(tmp_path, "glue/RTE/dev.tsv", f"{header}0\told\tsaid in rte\tentailment\n")
    put(tmp_path, "fewshot/k-shot/RTE/2-1/dev.tsv", f"{header}0\ta\tIn a draw\tentailment\n")
    put(tmp_path, "fewshot/original/subj/test.csv", "1,subj\n")
    return Source("files", tmp_path)


def test_texts_of_tasks_left_out_and_of_reported_splits_are_dropped(folder):
    kept = {f"cola {n}" for n in range(60)} - {"cola 4", "cola 7"}
    assert texts(load(source=folder)) == kept | {"mrpc"}
    assert load(source=folder).facts["skipped"] == {"train": 7}


def test_texts_of_a_task_that_is_in_are_kept(folder):
    held = texts(load("sentences[without=subj]", folder))
    assert {"new", "cola 4"} <= held
    assert {"old", "subj", "in a draw", "Said, in RTE!", "cola 7"}.isdisjoint(held)


def test_absent_tasks_are_named_for_sentences(folder):
    assert load(source=folder).facts["partial"] == [
        "Sentences hold nothing of qnli",
        "Sentences hold nothing of stsb",
        "Sentences are not compared with mnli, which is absent",
        "Sentences are not compared with qqp, which is absent",
        "Sentences are not compared with sst2, which is absent",
        "Sentences are not compared with mpqa, which is absent",
    ]


def test_a_data_directory_without_sentences_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="sentences: expected files of cola or mrpc or qnli"
    ):
        load(source=Source("files", tmp_path))


def test_the_stamp_of_sentences_covers_what_must_not_be_in(folder, tmp_path):
    before = task["sentences"]().stamp(folder)
    put(tmp_path, "fewshot/k-shot/MNLI/16-1/train.tsv", "new\n")
    between = task["sentences"]().stamp(folder)
    put(tmp_path, "glue/CoLA/train.tsv", "new\n")
    assert len({before, between, task["sentences"]().stamp(folder)}) == 3


@pytest.mark.slow
def test_real_sentences_hold_no_text_of_the_six_tasks(real_data):
    source = Source("files", real_data)
    data = load(source=source)
    held = set(map(letters, texts(data)))
    assert len(held) == len(rows(data)) > 40_000
    barred = set()
    for name in FEW:
        for draw in ("lm-bff", "list"):
            found = task[f"few-{name}"](draw=draw, form="head").load(source, 13)
            parts = [found.train, found.selection, *found.test.values()]
            barred |= {letters(text) for part in parts for row in part for text in row.text}
    for name in ("mnli", "rte", "qqp", "sst2"):
        found = task[name]().load(source, 0)
        parts = [found.train, found.selection, *found.test.values()]
        barred |= {letters(text) for part in parts for row in part for text in row.text}
    assert len(barred) > 80_000
    assert held.isdisjoint(barred)
