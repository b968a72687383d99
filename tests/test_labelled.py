"""Subj and MPQA whole, and the topics of WebNLG's texts."""

import csv
import json
from collections import Counter
from functools import cache
from xml.etree import ElementTree

import pytest

from bench import spec
from tasks import sample_topic, sources, task
from tasks.base import Given, Row
from tasks.corpus import letters
from tasks.opinions import MPQA, Subj
from tasks.sources import Source
from tasks.topic import Topic
from tasks.webnlg import SEEN, WebNLG
from tests.test_data_to_text import entry, put, xml
from tests.test_few_shot import hub  # noqa: F401 (a fixture)

SAMPLE = Source("sample")
PHRASES = ("subj", "mpqa")
NAMES = (*PHRASES, "topic")
every = pytest.mark.parametrize("name", NAMES)
every_phrase = pytest.mark.parametrize("name", PHRASES)


def texts(rows):
    return [row.text[0] for row in rows]


def test_tasks_without_descriptions_ask_for_a_head_that_trains():
    assert Subj().heads == (Given(2),)
    assert Topic().heads == (Given(10),)
    assert spec.build(task, "stsb").heads == (Given(1),)
    assert spec.build(task, "few-subj[form=head]").heads == (Given(2),)
    for name in ("few-subj", "e2e", "corpus", "sentences"):
        assert task[name]().heads == ()


@every
@pytest.mark.parametrize("option", ["rows", "dev_rows"])
def test_an_option_below_one_is_refused_in_one_line(name, option):
    with pytest.raises(ValueError, match=f"expected {option} to be at least 1, got 0$"):
        spec.build(task, f"{name}[{option}=0]")


@every
def test_a_capped_reported_split_is_the_same_for_every_seed_and_in_order(name):
    whole, one, two = (
        task[name](dev_rows=most).load(SAMPLE, seed) for most, seed in ((None, 0), (30, 0), (30, 1))
    )
    split = task[name].reported
    assert one.test == two.test
    assert set(one.selection) != set(two.selection)
    kept = set(one.test[split])
    assert [row for row in whole.test[split] if row in kept] == one.test[split]
    assert one.test[split] != whole.test[split][:30]  # files may be sorted by class
    assert one.facts["used"][split] == len(kept) == 30
    assert one.facts["caps"] == {"rows": None, "dev_rows": 30}


# --- phrases


def phrases(root, name, train, test):
    for split, rows in (("train", train), ("test", test)):
        lines = "".join(f"{label},{text}\n" for text, label in rows)
        put(root, f"fewshot/original/{name}/{split}.csv", lines)
    return Source("files", root)


def numbered(count, start=0):
    return [(f"text {i}", i % 2) for i in range(start, start + count)]


def test_phrases_are_read_from_the_files_of_the_few_shot_task(tmp_path):
    data = Subj().load(phrases(tmp_path, "subj", numbered(40), [("his", 1), ("fine", 0)]), 0)
    assert Counter(data.train + data.selection) == Counter(Row((t,), y) for t, y in numbered(40))
    assert (len(data.train), len(data.selection)) == (36, 4)
    assert data.test == {"test": [Row(("his",), 1), Row(("fine",), 0)]}
    assert data.facts["partial"] == [
        "Subj train is partial: 40 of 8,000 rows",
        "Subj test has 2 rows, official 2,000",
    ]


def test_lm_bffs_copy_is_reported_on_where_there_is_no_other(tmp_path):
    source = phrases(tmp_path, "subj", numbered(40), numbered(4, 40))
    (tmp_path / "fewshot/original/subj/test.csv").unlink()
    put(tmp_path, "fewshot/k-shot/subj/16-13/test.csv", "1,copy\n0,of it\n")
    assert texts(Subj().load(source, 0).test["test"]) == ["copy", "of it"]


@pytest.mark.parametrize("seed", range(5))
def test_repeated_phrases_are_trained_or_selected_on_never_both(tmp_path, seed):
    train = [(f"text {i % 25}{' .' * (i % 3 == 0)}", i % 2) for i in range(100)]
    data = MPQA().load(phrases(tmp_path, "mpqa", train, numbered(4, 20)), seed)
    assert Counter(data.train + data.selection) == Counter(Row((t,), y) for t, y in train)
    assert not {*map(letters, texts(data.train))} & {*map(letters, texts(data.selection))}
    assert len(data.selection) == 12  # three texts: the first to hold a tenth


def test_reported_texts_among_the_training_texts_are_counted_and_said(tmp_path):
    source = phrases(tmp_path, "mpqa", numbered(40), [("text 3", 1), ("text 3", 1), ("new", 0)])
    facts = MPQA(rows=1).load(source, 0).facts
    assert facts["shared"] == {"reported": 2}
    assert facts["partial"][-1] == "MPQA: the texts of 2 of 3 test rows stand in train too"


def test_a_phrase_without_a_text_is_left_out_and_said(tmp_path):
    source = phrases(tmp_path, "mpqa", [*numbered(40), ("", 1)], numbered(4, 40))
    facts = MPQA().load(source, 0).facts
    assert (facts["rows"]["train"], facts["skipped"]) == (40, {"train": 1})
    assert "MPQA train: skipped 1 rows without a text" in facts["partial"]


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("0,a\n1,b\n", "0,c\n", "Subj test: expected at least 2 usable rows, got 1"),
        ("0,a\n", "0,c\n1,d\n", "Subj train: expected at least 2 usable rows, got 1"),
        ("0,a\n2,b\n", "0,c\n1,d\n", "train.csv:2: expected the label to be 0 or 1, got '2'"),
        ("0,a\n1,a\n", "0,c\n1,d\n", "Subj train: expected at least 2 distinct inputs .*, got 1"),
    ],
)
def test_a_broken_file_of_phrases_is_refused_in_one_line(tmp_path, train, test, said):
    put(tmp_path, "fewshot/original/subj/train.csv", train)
    put(tmp_path, "fewshot/original/subj/test.csv", test)
    with pytest.raises(ValueError, match=said) as error:
        Subj().load(Source("files", tmp_path), 0)
    assert "\n" not in str(error.value)


def test_absent_phrases_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"fewshot/original/subj/train\.csv"):
        Subj().load(Source("files", tmp_path), 0)


def test_a_stamp_of_phrases_changes_with_either_file(tmp_path):
    source = phrases(tmp_path, "subj", numbered(9), numbered(9))
    stamps = [Subj().stamp(source)]
    for split in ("train", "test"):
        put(tmp_path, f"fewshot/original/subj/{split}.csv", "0,new\n")
        stamps.append(Subj().stamp(source))
    assert len(set(stamps)) == 3
    assert Subj().stamp(Source("hub")) == "hub"


def test_phrases_on_the_hub_are_those_of_the_few_shot_task(hub):  # noqa: F811
    names = ["objective", "subjective"] * 20
    table = {"text": [f"t{i}" for i in range(40)], "label": [0] * 40, "label_text": names}
    hub["SetFit/subj",] = {"train": table, "test": table}
    hub["jxm/mpqa",] = {
        split: {"sentence": table["text"], "label": [0, 1, 0, 0] * 10}
        for split in ("train", "test")
    }
    subj, mpqa = (kind().load(Source("hub"), 0) for kind in (Subj, MPQA))
    assert subj.test["test"][:2] == [Row(("t0",), 1), Row(("t1",), 0)]
    assert "Subj: the hub's copy may be cut otherwise than LM-BFF's" in subj.facts["partial"]
    assert mpqa.test["test"][:2] == [Row(("t0",), 0), Row(("t1",), 1)]
    assert len(mpqa.train + mpqa.selection) == 40


# --- topics


def webnlg(root, **splits):
    """Files of WebNLG: entries of (category, object of the triple, comments with texts)."""
    for split, entries in splits.items():
        found = xml(*(entry(kind, f"It | is | {said}", *lexes) for kind, said, *lexes in entries))
        put(root, f"webnlg_challenge_2017/{split}/1triples/all.xml", found)
    return Source("files", root)


def good(*said):
    return [("good", text) for text in said]


def test_a_text_of_webnlg_has_its_entrys_category(tmp_path):
    train = [("Food", "pie", *good("Pie.", "A pie.")), ("City", "rome", *good("Rome."))]
    dev = [("City", "oslo", *good("Oslo.", "In Oslo."))]
    data = Topic().load(webnlg(tmp_path, train=train, dev=dev), 0)
    names = {row.text[0]: Topic.labels[row.label] for row in data.train + data.selection}
    assert names == {"Pie.": "Food", "A pie.": "Food", "Rome.": "City"}
    assert data.test == {"dev": [Row(("Oslo.",), 3), Row(("In Oslo.",), 3)]}
    assert Topic.labels[3] == "City"


def test_a_text_is_used_once_and_never_both_trained_and_reported_on(tmp_path):
    train = [
        ("Food", "pie", *good("A pie!", "a PIE", "Pie."), ("toFix", "Bad pie.")),
        ("City", "rome", *good("Rome it is.", "Oslo it is.", "Texas.")),
        ("Airport", "texas", *good("Texas", "Bergen.")),
    ]
    dev = [
        ("City", "oslo", *good("Oslo, it is", "Bergen", "Oslo it is"), ("toFix", "No Oslo.")),
        ("Food", "stew", *good("A stew.", "")),
    ]
    data = Topic().load(webnlg(tmp_path, train=train, dev=dev), 0)
    assert set(texts(data.train + data.selection)) == {"A pie!", "Pie.", "Rome it is."}
    assert texts(data.test["dev"]) == ["Oslo, it is", "A stew."]
    assert data.facts["left_out"] == {
        "train": {"told before": 1, "not marked good": 1, "reported on": 1, "of two categories": 3},
        "dev": {"told before": 1, "not marked good": 1, "empty": 1, "of two categories": 1},
    }
    assert data.facts["skipped"] == {"train": 6, "dev": 4}
    why = "texts that are not good, told again, or of two categories"
    assert f"WebNLG topic train: skipped 6 {why}" in data.facts["partial"]
    assert f"WebNLG topic dev: skipped 4 {why}" in data.facts["partial"]


@pytest.mark.parametrize("seed", range(4))
def test_texts_of_the_same_triples_are_trained_or_selected_on_never_both(seed):
    inputs = {pair.text: pair.source for pair in sample_topic.generate()["train"]}
    data = Topic().load(SAMPLE, seed)
    parts = [{inputs[text] for text in texts(rows)} for rows in (data.train, data.selection)]
    assert not parts[0] & parts[1]
    assert len(parts[1]) * 3 == len(data.selection) == 120


@pytest.mark.parametrize("split", ["train", "dev"])
def test_an_unknown_category_is_refused_by_its_name(tmp_path, split):
    entries = {"train": [("Food", "pie", *good("Pie."))], "dev": [("City", "x", *good("Rome."))]}
    entries[split] = [*entries[split], ("Athlete", "ann", *good("Ann."))]
    with pytest.raises(ValueError, match=f"no category of WebNLG {split} .* named 'Athlete'; "):
        Topic().load(webnlg(tmp_path, **entries), 0)


def test_the_folder_of_lora_has_the_topics_too(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the folder webnlg_challenge_2017 or"):
        Topic().load(Source("files", tmp_path), 0)
    for split, category in (("train", "Food"), ("dev", "City")):
        entries = [
            {
                "category": category,
                "lexicalisations": [{"comment": "good", "lex": f"{said} {split}."}],
                "modifiedtripleset": [{"subject": "It", "property": "is", "object": said}],
            }
            for said in ("pie", "tart")
        ]
        text = json.dumps({"entries": [{"1": entries[0], "2": entries[1]}]})
        put(tmp_path, f"lora_nlg/webnlg_challenge_2017/{split}.json", text)
    data = Topic().load(Source("files", tmp_path), 0)
    assert {row.label for row in data.train} == {Topic.labels.index("Food")}
    assert texts(data.test["dev"]) == ["pie dev.", "tart dev."]


def test_topics_on_the_hub_are_those_of_webnlg(monkeypatch):
    def hub_rows(name, split, config):
        assert (name, config) == ("webnlg-challenge/web_nlg", "webnlg_challenge_2017")
        kinds = ("Food", "City")
        return [
            {
                "category": kind,
                "modified_triple_sets": {"mtriple_set": [[f"{kind} | is | {split}"]]},
                "lex": {"comment": ["good"] * 2, "text": [f"{kind} {split}.", f"a {kind} {split}"]},
                "test_category": "",
            }
            for kind in kinds
        ]

    monkeypatch.setattr(sources, "hub_rows", hub_rows)
    data = Topic().load(Source("hub"), 0)
    assert texts(data.test["dev"]) == ["Food dev.", "a Food dev", "City dev.", "a City dev"]
    assert len(data.train + data.selection) == 4
    assert Topic().stamp(Source("hub")) == "hub"


def test_a_stamp_of_topics_changes_with_either_split_but_not_with_test(tmp_path):
    entries = [("Food", "pie", *good("Pie.", "Tart."))]
    source = webnlg(tmp_path, train=entries, dev=entries, test=entries)
    before = Topic().stamp(source)
    other = [("Food", "pie", *good("Stew."))]
    assert Topic().stamp(webnlg(tmp_path, test=other)) == before
    stamps = [Topic().stamp(webnlg(tmp_path, **{split: other})) for split in ("train", "dev")]
    assert len({before, *stamps}) == 3


def test_the_sample_of_topics_is_the_same_in_every_run():
    # Worked out once from the generator: a change means that VERSION must be raised.
    found = Topic().load(SAMPLE, 0).facts
    assert found["fingerprint"] == {"train": "4ba598adb3d8", "dev": "c8ca3f9eedf9"}
    assert found["rows"] == {"train": 1200, "dev": 240}  # all its texts: none stands twice


def test_the_sample_of_topics_is_learnt_from_words():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    data, words = Topic(rows=300).load(SAMPLE, 0), CountVectorizer()
    train = words.fit_transform(texts(data.train))
    model = LogisticRegression().fit(train, [row.label for row in data.train])
    found = model.predict(words.transform(texts(data.test["dev"]))).tolist()
    labels = [row.label for row in data.test["dev"]]
    assert Topic().score({"dev": found}, {"dev": labels})["accuracy"] > 0.95


# --- the real files


@pytest.fixture(scope="module")
def real(real_data):
    """Loads each task once: (name, seed) -> data."""
    for place in ("fewshot/original", "webnlg_challenge_2017"):
        if not (real_data / place).is_dir():
            pytest.skip(f"no {place} beside GLUE")

    @cache
    def load(text, seed=0):
        return spec.build(task, text).load(Source("files", real_data), seed)

    return load


@every_phrase
def test_real_phrases_are_all_rows_of_the_files(real, real_data, name):
    data = real(name)
    for split, rows in (("train", data.train + data.selection), ("test", data.test["test"])):
        with (real_data / f"fewshot/original/{name}/{split}.csv").open(newline="") as file:
            lines = [(label, text) for label, text in csv.reader(file) if text]
        assert Counter((str(row.label), row.text[0]) for row in rows) == Counter(lines)
        assert len(rows) == task[name].official[split]


@every_phrase
def test_real_reported_phrases_are_those_of_the_few_shot_task(real, name):
    assert real(f"few-{name}[form=head]", 13).test == real(name).test
    assert real(f"few-{name}[form=head]", 13).facts["rows"]["test"] == 2000


def test_real_mpqa_says_which_phrases_repeat(real):
    assert real("subj").facts["partial"] == []
    assert real("mpqa").facts["partial"] == [
        "MPQA train: skipped 3 rows without a text",
        "MPQA: the texts of 445 of 2,000 test rows stand in train too",
    ]
    assert Counter(row.label for row in real("mpqa").train + real("mpqa").selection) == {
        0: 6292,
        1: 2311,
    }


@every
def test_real_selection_rows_share_no_text_with_training_rows(real, name):
    data = real(name)
    assert not {*map(letters, texts(data.train))} & {*map(letters, texts(data.selection))}
    assert 800 <= len(data.selection) <= 1010


def test_real_topics_are_those_of_the_files(real, real_data):
    folder = real_data / "webnlg_challenge_2017"
    data = real("topic")
    for split, rows in (("train", data.train + data.selection), ("dev", data.test["dev"])):
        known: dict[str, set[str]] = {}
        for path in (folder / split).glob("*triples/*.xml"):
            for each in ElementTree.parse(path).iter("entry"):
                for lex in each.iter("lex"):
                    known.setdefault(lex.text, set()).add(each.get("category"))
        assert set().union(*known.values()) == set(Topic.labels) == SEEN
        assert all(known[row.text[0]] == {Topic.labels[row.label]} for row in rows)
        assert len(rows) == len(set(rows)) == Topic.official[split]


def test_real_texts_that_are_reported_on_are_not_trained_on(real, real_data):
    data = real("topic")
    reported = {letters(text) for text in texts(data.test["dev"])}
    assert not reported & {letters(text) for text in texts(data.train + data.selection)}
    source = Source("files", real_data)
    trained = [letters(p.text) for p in WebNLG().pairs(source, "train") if p.good]
    dev = {letters(p.text) for p in WebNLG().pairs(source, "dev") if p.good}
    assert sum(text in dev for text in trained) == 13  # nine of them of two categories
    assert data.facts["left_out"] == {
        "train": {
            "told before": 154,
            "of two categories": 70,
            "not marked good": 77,
            "reported on": 4,
        },
        "dev": {"told before": 18, "of two categories": 10, "not marked good": 10},
    }
