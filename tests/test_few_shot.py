from collections import Counter
from functools import cache

import pytest

from bench import spec
from tasks import glue, sample, shots, task, tsv
from tasks.base import Prompt, Row
from tasks.corpus import letters
from tasks.few_shot import FewMNLI, FewMPQA, FewQQP, FewRTE, FewSubj
from tasks.sources import Source
from tests.test_data_to_text import put

SAMPLE = Source("sample")
NAMES = ("mnli", "rte", "qqp", "sst2", "subj", "mpqa")
SEEDS = (13, 21, 42, 87, 100)  # of LM-BFF's draws
generate = cache(sample.generate)
every_few = pytest.mark.parametrize("name", NAMES)
every_draw = pytest.mark.parametrize("draw", ["lm-bff", "list"])


def few(name, **options):
    return task[f"few-{name}"](**options)


def rows(count, classes=2, rare=0):
    """Distinct rows, classes in turn, or class 1 only `rare` times."""
    labels = [int(i < rare) if rare else i % classes for i in range(count)]
    return [Row((f"text {i}",), label) for i, label in enumerate(labels)]


def lines(found):
    return "".join(f"{row.label},{row.text[0]}\n" for row in found)


@pytest.fixture(autouse=True)
def generated_once(monkeypatch):
    monkeypatch.setattr(sample, "generate", generate)


# --- draws


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_by_class_has_as_many_rows_of_every_class_twice(seed):
    train, selection, _ = shots.per_class(rows(100, 3), 4, seed, 3)
    for part in (train, selection):
        assert Counter(row.label for row in part) == {0: 4, 1: 4, 2: 4}
    assert len(set(train + selection)) == 24


def test_a_draw_by_class_takes_no_text_twice():
    twice = [Row(("same",), 0)] * 50 + rows(100)
    train, selection, _ = shots.per_class(twice, 10, 0, 2)
    assert len({row.text for row in train + selection}) == 40


def test_a_draw_by_class_needs_rows_to_select_on_too():
    with pytest.raises(ValueError, match="expected 4 rows of every class to draw from, got 3"):
        shots.per_class(rows(6), 2, 0, 2)


def test_every_row_is_drawn_by_some_seed():
    for draw in (shots.per_class, shots.in_total):
        met = Counter(row for seed in range(300) for row in draw(rows(20), 4, seed, 2).train)
        assert set(met) == set(rows(20))
        assert max(met.values()) < 2.5 * min(met.values())


def test_a_draw_in_total_takes_classes_as_they_come():
    pool = rows(400, rare=100)
    counts = [sum(row.label for row in shots.in_total(pool, 30, s, 2).train) for s in range(200)]
    assert 6.9 < sum(counts) / 200 < 8.1  # a quarter of 30 is 7.5, of standard error 0.16
    assert len(set(counts)) > 6


def test_a_draw_in_total_is_made_again_until_every_class_is_there():
    drawn = [shots.in_total(rows(60, rare=2), 5, seed, 2) for seed in range(40)]
    assert all({row.label for row in draw.train} == {0, 1} for draw in drawn)
    assert max(draw.tries for draw in drawn) > min(draw.tries for draw in drawn) == 1
    assert all(len(set(draw.train)) == 5 and draw.selection == [] for draw in drawn)


@pytest.mark.parametrize(
    ("pool", "got"), [(rows(4), "4 of 2"), (rows(9, 1), "9 of 1"), ([], "0 of 0")]
)
def test_a_draw_in_total_from_too_little_is_refused(pool, got):
    with pytest.raises(ValueError, match=f"expected 5 rows of 2 classes to draw from, got {got}"):
        shots.in_total(pool, 5, 0, 2)


# --- prompts

PROMPTS = {
    "mnli": Prompt("{0} ? {mask} , {1}", ("Yes", "Maybe", "No")),
    "rte": Prompt("{0} ? {mask} , {1}", ("Yes", "No")),
    "qqp": Prompt("{0} {mask} , {1}", ("No", "Yes")),
    "sst2": Prompt("{0} It was {mask} .", ("terrible", "great")),
    "subj": Prompt("{0} This is {mask} .", ("subjective", "objective")),
    "mpqa": Prompt("{0} It was {mask} .", ("terrible", "great")),
}
LABELS = {
    "mnli": ("entailment", "neutral", "contradiction"),
    "rte": ("entailment", "not_entailment"),
    "qqp": ("not_duplicate", "duplicate"),
    "sst2": ("negative", "positive"),
    "subj": ("subjective", "objective"),
    "mpqa": ("negative", "positive"),
}


@every_few
def test_templates_and_words_are_those_of_lm_bff(name):
    assert few(name).prompt == PROMPTS[name]
    assert few(name).labels == LABELS[name]


def test_other_words_take_the_place_of_the_usual_ones():
    assert spec.build(task, "few-rte[words=True+False]").prompt.words == ("True", "False")


@every_few
def test_a_few_shot_task_is_a_prompt_or_has_a_head(name):
    prompt, head = few(name), few(name, form="head")
    assert (prompt.formulation, head.formulation) == ("prompt", "classification")
    assert prompt.outputs == head.outputs == len(LABELS[name])


@pytest.mark.parametrize(
    ("first", "prepared"),
    [
        ("Is it so?", "Is it so"),
        ("It is . ", "It is"),
        ("Wait...", "Wait.."),
        ("by 5%", "by 5%"),
        ('He said "no."', 'He said "no."'),
        ("C++", "C++"),
        ("?", "?"),
    ],
)
def test_the_first_text_of_a_prompt_loses_one_final_mark(first, prepared):
    row = FewMNLI()._put(Row((first, "THE end. "), 2))
    assert row == Row((prepared, "tHE end."), 2)
    assert FewSubj()._put(Row((first,), 0)) == Row((first.strip(),), 0)


@every_few
@every_draw
def test_a_head_reads_the_rows_as_published_of_which_prompts_are_made(name, draw):
    prompt, head = (few(name, draw=draw, form=form).load(SAMPLE, 3) for form in ("prompt", "head"))
    assert prompt.facts == head.facts
    assert [few(name)._put(row) for row in head.train] == prompt.train
    assert (prompt.train == head.train) == (len(head.train[0].text) == 1)
    assert head.train[0] in sample.generate(name)["train"]


# --- options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("few-mnli[words=Yes+No]", "3 different words, for entailment or neut.*, got 'Yes.No'"),
        ("few-rte[words=Yes+Yes]", "expected 2 different words"),
        ("few-rte[words=Yes+No,form=head]", "expected words only where form=prompt"),
        ("few-rte[k=0]", "expected k to be at least 1, got 0"),
        ("few-mnli[k=2,draw=list]", "expected k to be at least 3, got 2"),
        ("few-rte[dev_rows=0]", "expected dev_rows to be at least 1, got 0"),
        ("few-rte[draw=own]", "draw: expected 'lm-bff' or 'list', got 'own'"),
        ("few-rte[rows=3]", "no option of task 'few-rte' named 'rows'"),
    ],
)
def test_a_wrong_option_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        spec.build(task, text)


# --- the sample


@every_few
def test_few_rows_of_the_sample_are_sixteen_of_every_class_or_thirty(name):
    drawn, total = few(name).load(SAMPLE, 0), few(name, draw="list").load(SAMPLE, 0)
    sixteen = dict.fromkeys(LABELS[name], 16)
    assert drawn.facts["classes"] == sixteen
    assert len(drawn.selection) == sum(sixteen.values())
    assert (len(total.train), total.selection) == (30, [])
    assert total.test == drawn.test
    assert total.facts["used"]["selection"] == 0


@every_few
def test_reported_rows_may_be_capped_and_are_the_same_for_every_seed(name):
    (one,), (two,) = (few(name, dev_rows=50).load(SAMPLE, s).test.values() for s in (1, 2))
    assert one == two
    assert len(one) == 50


@pytest.mark.parametrize("name", ["subj", "mpqa"])
def test_sample_of_phrases_is_learnt_from_words(name):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    data = few(name, k=100).load(SAMPLE, 0)
    words, (test,) = CountVectorizer(ngram_range=(1, 2)), data.test.values()
    train = words.fit_transform(row.text[0] for row in data.train)
    model = LogisticRegression().fit(train, [row.label for row in data.train])
    found = model.predict(words.transform(row.text[0] for row in test))
    expected = [row.label for row in test]
    assert few(name).score({"test": found}, {"test": expected})["accuracy"] > 0.85
    assert set(Counter(expected).values()) == {200}


def test_qqp_has_an_f1_that_tables_do_not_show():
    found = FewQQP().score({"dev": [1, 0, 1, 0]}, {"dev": [1, 0, 0, 0]})
    assert found == {"accuracy": 0.75, "f1": pytest.approx(2 / 3)}
    assert FewQQP.shown == ("accuracy",)
    with pytest.raises(ValueError, match="no reported split of few-qqp named 'matched'"):
        FewQQP().score({"matched": [0]}, {"matched": [0]})


# --- files


@pytest.fixture
def folder(tmp_path):
    """Subj with draws of two rows a class by the seeds 3 and 21."""
    put(tmp_path, "fewshot/original/subj/train.csv", lines(rows(40)))
    put(tmp_path, "fewshot/original/subj/test.csv", '0,"a ""fine"" film , so"\n1,he goes\n')
    for seed, first in ((3, 0), (21, 4)):
        for split, start in (("train", first), ("dev", first + 8)):
            text = lines(rows(40)[start : start + 4])
            put(tmp_path, f"fewshot/k-shot/subj/2-{seed}/{split}.csv", text)
    return Source("files", tmp_path)


def test_the_seed_names_the_folder_of_the_draw(folder):
    data = FewSubj(k=2).load(folder, 21)
    assert (data.train, data.selection) == (rows(40)[4:8], rows(40)[12:16])
    assert data.test == {"test": [Row(('a "fine" film , so',), 0), Row(("he goes",), 1)]}
    assert data.facts["folder"] == "fewshot/k-shot/subj/2-21"
    assert data.facts["partial"] == ["few Subj test has 2 rows, official 2,000"]


def test_a_seed_without_a_folder_names_those_there_are(folder):
    with pytest.raises(FileNotFoundError) as error:
        FewSubj(k=2).load(folder, 1)
    assert str(error.value) == (
        "few-subj: expected the folder fewshot/k-shot/subj/2-1 in the data directory, got the "
        "seeds 3, 21; draw=list takes any seed"
    )
    with pytest.raises(FileNotFoundError, match="subj/16-3 in the data directory, got no seed;"):
        FewSubj().load(folder, 3)


def test_a_draw_without_selection_rows_has_none(folder, tmp_path):
    (tmp_path / "fewshot/k-shot/subj/2-3/dev.csv").unlink()
    assert FewSubj(k=2).load(folder, 3).selection == []


def test_a_draw_that_is_not_what_its_folder_says_is_refused(folder, tmp_path):
    put(tmp_path, "fewshot/k-shot/subj/2-3/train.csv", "0,a\n0,b\n1,c\n")
    with pytest.raises(ValueError, match=r"few Subj train: expected 2 of .*, got 2 subj.*, 1 obj"):
        FewSubj(k=2).load(folder, 3)


def test_draws_in_total_come_from_all_training_rows(folder):
    data = FewSubj(draw="list", k=20).load(folder, 1)
    assert set(data.train) < set(rows(40))
    assert data.facts["rows"] == {"train": 40, "test": 2}
    assert "few Subj train is partial: 40 of 8,000 rows" in data.facts["partial"]


def test_lm_bffs_copy_of_phrases_is_reported_on_where_there_is_no_other(folder, tmp_path):
    put(tmp_path, "fewshot/k-shot/subj/2-21/test.csv", "1,copy\n0,of it\n")
    assert FewSubj(k=2).load(folder, 3).test["test"][1] == Row(("he goes",), 1)
    (tmp_path / "fewshot/original/subj/test.csv").unlink()
    assert FewSubj(k=2).load(folder, 3).test["test"][0] == Row(("copy",), 1)


def test_lm_bffs_copy_of_glue_is_reported_on_where_there_is_one(tmp_path):
    text = "index\tsentence1\tsentence2\tlabel\n0\t{0}\tx\tentailment\n1\t{0}\ty\tnot_entailment\n"
    for name, word in {"train": "many", "dev": "glue"}.items():
        put(tmp_path, f"glue/RTE/{name}.tsv", text.format(word))
    for name, word in {"train": "few", "dev": "other"}.items():
        put(tmp_path, f"fewshot/k-shot/RTE/1-7/{name}.tsv", text.format(word))
    read = [FewRTE(k=1), FewRTE(draw="list", k=2)]
    data = [built.load(Source("files", tmp_path), 7) for built in read]
    assert [each.train[0].text[0] for each in data] == ["few", "many"]
    assert data[0].selection[0].text[0] == "other"
    assert {each.test["dev"][0].text[0] for each in data} == {"glue"}
    put(tmp_path, "fewshot/k-shot/RTE/1-7/test.tsv", text.format("copy"))
    data = [built.load(Source("files", tmp_path), 7) for built in read]
    assert {each.test["dev"][0].text[0] for each in data} == {"copy"}


def test_texts_that_are_trained_and_reported_on_are_counted_and_said(folder, tmp_path):
    put(tmp_path, "fewshot/original/subj/test.csv", "1,text 0\n0,text 9\n0,text 1\n")
    put(tmp_path, "fewshot/k-shot/subj/2-3/dev.csv", "1,text 3\n0,other\n")
    facts = FewSubj(k=2).load(folder, 3).facts
    assert facts["shared"] == {"reported": 2, "selection": 1}
    assert facts["partial"][1:] == [
        "few Subj: some training texts stand among the reported rows too",
        "few Subj: some training texts stand among the selection rows too",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,a\n2,b\n", r"test.csv:2: expected the label to be 0 or 1, got '2'"),
        ("0,a\n1,b,c\n", r"test.csv:2: expected label,text, got 3 cells"),
        ("0,a\n\n", r"test.csv:2: expected label,text, got 0 cells"),
        ('0,"a" b\n', r"test.csv:1: .*expected"),
        ("0,a\n", "few Subj: expected at least 2 reported rows, got 1"),
    ],
)
def test_a_broken_line_of_phrases_is_refused_by_file_and_line(folder, tmp_path, text, message):
    put(tmp_path, "fewshot/original/subj/test.csv", text)
    with pytest.raises(ValueError, match=message):
        FewSubj(k=2).load(folder, 3)


def test_a_phrase_without_a_text_is_skipped_and_counted(folder, tmp_path):
    put(tmp_path, "fewshot/original/subj/test.csv", "0,a\n1,\n1,b\u2028c\n")
    data = FewSubj(k=2).load(folder, 3)
    assert [row.text[0] for row in data.test["test"]] == ["a", "b\u2028c"]
    assert "few Subj test: skipped 1 rows without a text" in data.facts["partial"]


def test_a_stamp_covers_the_draws_of_all_seeds_but_not_what_is_not_read(folder, tmp_path):
    drawn, total = FewSubj(k=2), FewSubj(draw="list", k=2)
    before = drawn.stamp(folder), total.stamp(folder)
    put(tmp_path, "fewshot/k-shot/subj/2-21/dev.csv", "0,new\n")
    assert (drawn.stamp(folder) != before[0], total.stamp(folder)) == (True, before[1])
    between = drawn.stamp(folder)
    put(tmp_path, "fewshot/original/subj/train.csv", "0,new\n")
    assert (drawn.stamp(folder), total.stamp(folder) != before[1]) == (between, True)
    put(tmp_path, "fewshot/original/subj/test.csv", "0,new\n")
    assert drawn.stamp(folder) != between
    assert FewSubj().stamp(Source("hub")) == "hub"


# --- the hub


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the hub: tables by data set and configuration, of real `datasets` objects."""
    import datasets

    tables: dict[tuple[str, ...], dict] = {}

    def load_dataset(*path):
        return {split: datasets.Dataset.from_dict(t) for split, t in tables[path].items()}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return tables


def test_rows_of_glue_on_the_hub_are_drawn_by_the_seed(hub):
    table = {
        "premise": [f"P{i}." for i in range(99)],
        "hypothesis": [f"H{i}." for i in range(99)],
        "label": [i % 3 for i in range(99)],
    }
    splits = ("train", "validation_matched", "validation_mismatched")
    hub["nyu-mll/glue", "mnli"] = dict.fromkeys(splits, table)
    one, two = (FewMNLI().load(Source("hub"), seed) for seed in (1, 2))
    assert Counter(row.label for row in one.train) == {0: 16, 1: 16, 2: 16}
    assert one.train != two.train
    assert one.test["matched"][4] == Row(("P4", "h4."), 1)
    assert list(one.test) == ["matched"]
    assert "few MNLI train is partial: 99 of 392,702 rows" in one.facts["partial"]


def test_subj_on_the_hub_is_told_by_the_names_of_its_labels(hub):
    names = ["objective", "subjective", "subjective", "objective"] * 10
    table = {
        "text": [f"t{i}" for i in range(40)],
        "label": [names[i] == "subjective" for i in range(40)],
        "label_text": names,
    }
    hub["SetFit/subj",] = {"train": table, "test": table}
    data = FewSubj(k=5).load(Source("hub"), 0)
    assert [row.label for row in data.test["test"][:4]] == [1, 0, 0, 1]
    assert "few Subj: the hub's copy may be cut otherwise than LM-BFF's" in data.facts["partial"]
    table["label_text"] = ["neither"] * 40
    with pytest.raises(ValueError, match="SetFit/subj: expected the labels subjective or obj"):
        FewSubj(k=5).load(Source("hub"), 0)


def test_mpqa_on_the_hub_is_mostly_negative_or_refused(hub):
    table = {"sentence": [f"t{i}" for i in range(40)], "label": [0, 1, 0, 0] * 10}
    hub["jxm/mpqa",] = {"train": table, "test": table, "dev": table}
    assert FewMPQA(k=5).load(Source("hub"), 0).test["test"][1] == Row(("t1",), 1)
    table["label"] = [1, 0, 1, 1] * 10
    with pytest.raises(ValueError, match="jxm/mpqa: expected mostly negative training rows"):
        FewMPQA(k=5).load(Source("hub"), 0)


# --- the real files


@pytest.fixture(scope="module")
def real(real_data):
    """Loads each task once: (name, seed, draw) -> data."""
    if not (real_data / "fewshot" / "k-shot").is_dir():
        pytest.skip("no few-shot draws beside GLUE")

    @cache
    def load(name, seed=13, draw="lm-bff"):
        return few(name, draw=draw).load(Source("files", real_data), seed)

    return load


@every_few
def test_real_draws_of_lm_bff_are_sixteen_of_every_class(real, name):
    drawn = [real(name, seed) for seed in SEEDS]
    for seed, data in zip(SEEDS, drawn, strict=True):
        for part in (data.train, data.selection):
            expected = dict.fromkeys(range(len(LABELS[name])), 16)
            assert Counter(row.label for row in part) == expected
        both = {row.text for row in data.train} & {row.text for row in data.selection}
        assert len(both) == (2 if (name, seed) == ("mpqa", 42) else 0)
    assert len({data.facts["fingerprint"]["train"] for data in drawn}) == 5
    assert all(data.test == drawn[0].test for data in drawn)


FIRST = {  # of the seed 13, filled in by hand from the first line of the file
    "mnli": (
        "Price caps may sound more attractive with every passing rate case ? [] , "
        "rate cases make price caps sound more attractive.",
        "entailment",
    ),
    "rte": (
        "Reagan was seriously wounded by a bullet fired by John Hinckley Jr. in an attempted "
        "assassination, but made a remarkably speedy recovery ? [] , "
        "reagan survived an attempted assassin's bullets.",
        "entailment",
    ),
    "qqp": (
        "Can I develope mobile apps with c++ [] , how can I develop mobile apps with C++?",
        "duplicate",
    ),
    "sst2": ("nothing happens , and it happens to flat characters . It was [] .", "negative"),
    "subj": (
        "this is the story of nat banks , an 8th generation virginian gentleman farmer living in "
        "the past , who loses his family farm , greenwood , to a pair of land speculators from "
        "washington , d . c . This is [] .",
        "objective",
    ),
    "mpqa": ("they can not be trusted It was [] .", "negative"),
}


@every_few
def test_real_rows_read_as_lm_bff_puts_them(real, name):
    row = real(name).train[0]
    filled = few(name).prompt.template.format(*row.text, mask="[]")
    assert (filled, LABELS[name][row.label]) == FIRST[name]


@every_few
def test_real_reported_rows_are_the_official_ones_or_said_to_be_fewer(real, real_data, name):
    data = real(name)
    ((split, test),) = data.test.items()
    official = few(name).official[split]
    assert len(test) == (real_dev_rows(real_data) if name == "qqp" else official)
    assert any("official" in said for said in data.facts["partial"]) == (len(test) != official)


def real_dev_rows(path):
    return (path / "glue/QQP/dev.tsv").read_bytes().count(b"\n") - 1


@pytest.mark.parametrize("name", ["rte", "sst2"])
def test_real_copies_of_glues_dev_rows_hold_the_same_rows(real, real_data, name):
    glues = glue.SST2() if name == "sst2" else glue.RTE()
    dev = glues.parse(tsv.read(real_data, glues.file(real_data, "dev")))
    copy = few(name, form="head").load(Source("files", real_data), 13).test["dev"]
    one, two = (  # some differ in how "/" is escaped and in blanks
        Counter((*map(letters, row.text), row.label) for row in rows) for rows in (dev, copy)
    )
    assert one == two


def test_real_mpqa_repeats_phrases_and_that_is_said(real):
    shared = [real("mpqa", seed).facts["shared"]["reported"] for seed in SEEDS]
    assert shared == [4, 5, 5, 1, 4]  # by grep, of the 32 lines of each train.csv in test.csv
    said = "few MPQA: some training texts stand among the reported rows too"
    assert real("mpqa").facts["partial"] == [said]
    assert real("subj").facts["shared"] == {"reported": 0, "selection": 0}


@pytest.mark.parametrize("name", ["subj", "mpqa"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_real_phrases_agree_with_pandas(real_data, name, split):
    import pandas

    from tasks import phrases

    if not (real_data / phrases.file(name, split)).is_file():
        pytest.skip("no phrases beside GLUE")
    plain = {"header": None, "keep_default_na": False}
    table = pandas.read_csv(real_data / phrases.file(name, split), **plain)
    found = phrases.read(real_data, phrases.file(name, split), 2)
    expected = [Row((text,), label) if text else None for label, text in table.values.tolist()]
    assert found == expected
    assert len(found) - found.count(None) == few(name).official[split]


@every_few
def test_real_draws_in_total_are_thirty_of_all_classes(real, name):
    data = real(name, 1, "list")
    assert (len(data.train), data.selection) == (30, [])
    assert {row.label for row in data.train} == set(range(len(LABELS[name])))
    assert data.test == real(name).test


def test_real_draws_in_total_differ_by_seed_and_are_the_same_again(real, real_data):
    again = FewRTE(draw="list").load(Source("files", real_data), 1)
    assert again == real("rte", 1, "list")
    assert len(set(again.train) & set(real("rte", 2, "list").train)) < 8
    classes = [real("rte", seed, "list").facts["classes"]["entailment"] for seed in range(1, 6)]
    assert len(set(classes)) > 1
