import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import tokencache
from bench.cachefolder import CacheFolder
from bench.hidden import Hidden
from bench.pairs import Pairs
from bench.prompts import Prompted
from bench.run import attempt
from bench.text import Encoded, tokenizer
from bench.tokencache import VARIABLE, Remembered, place, remembered
from bench.vocabulary import train_tokenizer
from bench.weights import Weights, find
from tasks.base import Row
from tests.jobs import job

WORDS = ["the film", "a good a good film", "", "Ünïcode ½ 日本 \0", "don't  stop\n", "[MASK] [SEP]"]
MANY = [f"{word} {n}" if n % 3 else word for n in range(12) for word in WORDS]
LINES = [f"name : The Mill , food : {food} . It serves {food} food ." for food in WORDS]
PARTS = ("ids", "kinds", "at", "told", "sources", "targets")
FORMS = {
    "one text": lambda t, length, code: Encoded([Row((a,), 0) for a in MANY], t, length, code),
    "two texts": lambda t, length, code: Encoded(
        [Row((a, b), 0) for a, b in zip(MANY, MANY[5:] + MANY[:5], strict=True)], t, length, code
    ),
    "template": lambda t, length, code: Prompted(
        [Row((a, "it is"), 0) for a in MANY], "{0} ? {mask} , {1}", t, length, code
    ),
    "hidden": lambda t, length, code: Hidden([Row((a,), "") for a in MANY], t, length, code),
}
WRITTEN = {
    f"{kind}, {whole}": (kind, whole) for kind in ("causal", "seq2seq") for whole in (False, True)
}


class Counted:
    """A tokenizer that says how often it was asked for more than a few texts."""

    def __init__(self, tokens):
        self.tokens, self.calls = tokens, 0

    def __call__(self, texts, pairs=None, **options):
        self.calls += len(texts) >= tokencache.FEW
        return self.tokens(texts, pairs, **options)

    def __getattr__(self, name):
        return getattr(self.tokens, name)


@pytest.fixture(scope="module")
def tokens():
    return tokenizer(find("minilm"))


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer")
    train_tokenizer(LINES, "gpt2", 300, folder)
    return tokenizer(Weights("writer", str(folder)))


def keeping(tokens, root: Path):
    return remembered(tokens, {VARIABLE: str(root)})


def key_of(tokens, root: Path, texts=MANY, pairs=None, **options) -> str:
    """The name of the one entry that a call leaves in an empty folder."""
    shutil.rmtree(root, ignore_errors=True)
    keeping(tokens, root)(texts, pairs, **{"truncation": True, "max_length": 16, **options})
    [path] = root.iterdir()
    return path.name


def parts(rows) -> dict:
    found = {name: getattr(rows, name) for name in PARTS if hasattr(rows, name)}
    return found | {"lengths": rows.lengths.tolist(), "labels": rows.labels}


def check(made, tokens, tmp_path) -> None:
    """The same rows with a tokenizer alone, with an empty cache and with a full one."""
    asked = Counted(tokens)
    alone = parts(made(tokens, None))
    for _ in range(2):
        assert parts(made(asked, keeping(asked, tmp_path))) == alone
        first, asked.calls = asked.calls, 0
    assert first == 0
    assert [*tmp_path.iterdir()]
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert parts(made(asked, keeping(asked, tmp_path))) == alone
    assert asked.calls > 0
    asked.calls = 0
    assert parts(made(asked, keeping(asked, tmp_path))) == alone
    assert asked.calls == 0


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_the_same_with_and_without(tokens, tmp_path, form):
    check(lambda t, code: FORMS[form](t, 12, code), tokens, tmp_path)


@pytest.mark.parametrize("form", WRITTEN)
def test_pairs_are_the_same_with_and_without(writer, tmp_path, form):
    rows = [Row((a,), b) for a, b in zip(MANY, MANY[7:] + MANY[:7], strict=True)]
    kind, whole = WRITTEN[form]
    check(lambda t, code: Pairs(rows, t, 40, kind, whole, code), writer, tmp_path)


@settings(max_examples=25)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=5),
    length=st.integers(4, 20),
    special=st.booleans(),
)
def test_any_texts_give_the_same_tokens(tokens, tmp_path_factory, texts, length, special):
    root = tmp_path_factory.mktemp("any")
    options = {"truncation": True, "max_length": length, "add_special_tokens": special}
    many = ["x", *texts] * tokencache.FEW
    expected = tokens(many, **options)
    for _ in range(2):
        found = keeping(tokens, root)(many, **options)
        for name, lists in found.items():
            assert lists == expected[name]
            assert {type(token) for ids in lists for token in ids} <= {int}


@pytest.mark.parametrize("most", [1, 255, 256, 65_535, 65_536, 250_000])
def test_tokens_of_any_vocabulary_come_back(tmp_path, most):
    def large(texts, pairs=None, **options):
        ids = [[most - n % 2, *[most] * (n % 3)] for n, _ in enumerate(texts)]
        return {"input_ids": ids, "token_type_ids": [[n % 2 for n in row] for row in ids]}

    code = Remembered(large, "large", CacheFolder(tmp_path))
    for _ in range(2):
        assert code(MANY) == large(MANY)


def test_few_texts_leave_no_file(tokens, tmp_path):
    few = MANY[: tokencache.FEW - 1]
    assert keeping(tokens, tmp_path)(few)["input_ids"] == tokens(few)["input_ids"]
    assert not [*tmp_path.iterdir()]


def test_entry_is_named_by_all_that_matters(tokens, writer, tmp_path, monkeypatch):
    plain = key_of(tokens, tmp_path)
    others = [
        key_of(tokens, tmp_path, max_length=15),
        key_of(tokens, tmp_path, add_special_tokens=False),
        key_of(tokens, tmp_path, MANY[::-1]),
        key_of(tokens, tmp_path, [*MANY, ""]),
        key_of(tokens, tmp_path, ["".join(MANY[:2]), "", *MANY[2:]]),
        key_of(tokens, tmp_path, pairs=MANY),
        key_of(writer, tmp_path),
    ]
    with monkeypatch.context() as patch:
        patch.setattr("bench.tokencache.tokenizers.__version__", "0.0")
        others.append(key_of(tokens, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("bench.tokencache.transformers.__version__", "0.0")
        others.append(key_of(tokens, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "truncation_side", "left")
        others.append(key_of(tokens, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "split_special_tokens", True)
        others.append(key_of(tokens, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "model_input_names", ["input_ids"])
        others.append(key_of(tokens, tmp_path))
    assert len({plain, *others}) == 1 + len(others)
    assert key_of(tokens, tmp_path) == plain


def test_another_word_in_the_vocabulary_is_another_tokenizer(tiny_folder, tmp_path):
    copy = shutil.copytree(tiny_folder, tmp_path / "model")
    own = key_of(tokenizer(find(str(copy))), tmp_path / "cache")
    words = (copy / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words[words.index("film")] = "films"
    (copy / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    assert key_of(tokenizer(find(str(copy))), tmp_path / "cache") != own


def test_earlier_calls_do_not_rename_entries(tokens, tmp_path):
    fresh = key_of(tokenizer(find("minilm")), tmp_path)
    tokens("a film", truncation=True, max_length=5)
    assert key_of(tokens, tmp_path) == fresh
    tokens("a film", padding="max_length", max_length=9)
    assert key_of(tokens, tmp_path) == fresh


def test_tokenizer_that_cannot_be_told_apart_is_left_as_it_is(tmp_path):
    def unknown(texts, pairs=None, **options):
        return {"input_ids": [[len(text)] for text in texts]}

    assert remembered(unknown, {VARIABLE: str(tmp_path)}) is unknown


def test_empty_variable_turns_the_cache_off(tokens):
    assert remembered(tokens, {VARIABLE: ""}) is tokens


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({VARIABLE: "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({VARIABLE: "~/kept"}, "/home/me/kept"),
        ({VARIABLE: " "}, None),
        ({"XDG_CACHE_HOME": "/c"}, "/c/peftbench/tokens"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "/home/me/.cache/peftbench/tokens"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/peftbench/tokens"),
        ({}, "/home/me/.cache/peftbench/tokens"),
        ({VARIABLE: "~nobody-of-this-name/x"}, None),
    ],
)
def test_place_follows_the_variables(monkeypatch, variables, expected):
    monkeypatch.setenv("HOME", "/home/me")
    assert place(variables) == (None if expected is None else Path(expected))


def test_record_is_the_same_with_and_without(tiny_folder, tmp_path, monkeypatch):
    got = []
    get = CacheFolder.get
    monkeypatch.setattr(CacheFolder, "get", lambda self, key: got.append(get(self, key)) or got[-1])
    monkeypatch.setattr(tokencache, "FEW", 8)
    asked = job(tiny_folder)
    records, files = [], []
    for turn, cache in enumerate(("", str(tmp_path / "cache"), str(tmp_path / "cache"))):
        monkeypatch.setenv(VARIABLE, cache)
        folder = tmp_path / str(turn)
        folder.mkdir()
        record = attempt(asked, folder)
        assert record.status == "ok", record.reason
        counted = {k: v for k, v in record.cost.items() if k.endswith(("flops", "params"))}
        records.append(replace(record, cost=counted))
        names = ("weights.safetensors", "predictions.jsonl")
        files.append([(folder / name).read_bytes() for name in names])
        hits = sum(arrays is not None for arrays in got)
        assert (len(got) > 0, hits > 0) == [(False, False), (True, False), (True, True)][turn]
        got.clear()
    assert records[0] == records[1] == records[2]
    assert files[0] == files[1] == files[2]
