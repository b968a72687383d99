"""Whatever stands in a file or is typed: what it says, or one clear line."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import spec, suite
from bench.record import Cell, Record
from bench.registry import Unknown
from bench.store import Store
from methods import method, resolve
from reports.interchange.foreign import imported
from tasks import task
from tasks.sources import Source

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
EXAMPLES = [40, pytest.param(1500, marks=pytest.mark.slow)]
CELL = Cell("head", "sst2", "tiny", "adamw", 0, "hub")
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
junk = st.sampled_from(
    [
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\n",
        b"\t",
        b'"',
        b"{",
        b"[",
        b"<",
        b"&",
        b"]]>",
    ]
)


def edits(text: bytes) -> st.SearchStrategy[bytes]:
    """The bytes cut off, or with other ones in places."""
    place = st.integers(0, len(text))
    bits = junk | st.binary(max_size=8) | st.just(b"x" * 200_000)
    changed = st.lists(st.tuples(place, place, bits), min_size=1, max_size=4)
    return changed.map(lambda changes: _changed(text, changes)) | place.map(lambda n: text[:n])


def _changed(text: bytes, changes) -> bytes:
    for start, end, bits in changes:
        text = text[: min(start, end)] + bits + text[min(start, end) + abs(end - start) % 9 :]
    return text


@pytest.fixture(params=EXAMPLES)
def fuzz(request):
    """Runs a function on many examples; a ValueError in one line is an answer."""

    def run(strategy, tried):
        @settings(QUICK, max_examples=request.param, derandomize=request.param < 100)
        @given(strategy)
        def one(example):
            try:
                tried(example)
            except (ValueError, Unknown) as error:
                assert str(error) and "\n" not in str(error), repr(error)

        one()

    return run


def test_suite_files(fuzz, tmp_path):
    path = tmp_path / "own.toml"

    def tried(data):
        path.write_bytes(data)
        suite.request(suite.load(str(path)))

    shipped = Path(suite.__file__).with_name("suites")
    whole = st.sampled_from([(shipped / f"{name}.toml").read_bytes() for name in suite.names()])
    fuzz(whole.flatmap(edits), tried)


def test_text_of_plug_ins(fuzz):
    words = st.sampled_from(
        [*method.names(), "rank", "inner", "none", "true", "1e999", "-1", "nan"]
    )
    signs = st.sampled_from([*"[]=,+ ", "\0", "\n", "9" * 5000])
    typed = st.lists(words | signs | st.text(max_size=3), max_size=12).map("".join)

    def tried(text):
        for read in (spec.parse, lambda t: resolve(t, "minilm"), lambda t: spec.build(task, t)):
            try:
                read(text)
            except ValueError as error:
                assert str(error) and "\n" not in str(error).replace(text, ""), repr(error)

    fuzz(typed, tried)


def test_records(fuzz, tmp_path):
    store, cells = Store(tmp_path), [Cell("head", "sst2", "t", "adamw", n, "hub") for n in (0, 1)]
    whole = Record(cells[0], "ok", "r", "acc", {"acc": 0.5}, {"a": 1}, {"data": {"rows": 2}})
    for cell in cells:
        with store.writing(cell) as folder:
            (folder / "record.json").write_text(Record(cell, "ok").to_json())
    path = store.folder(cells[0]) / "record.json"

    def tried(data):
        path.write_bytes(data)
        found = list(store.records())
        assert len(found) + len(store.damaged) == 2
        assert all("\n" not in told for told in store.damaged.values())
        for record in found:
            Record.from_json(record.to_json())

    fuzz(edits(whole.to_json().encode()), tried)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_parts_of_records_of_other_types(fuzz):
    fields = json.loads(Record(CELL, "ok").to_json())
    names = st.sampled_from([*fields, *(("cell", name) for name in fields["cell"])])

    def tried(change):
        name, value = change
        made = json.loads(json.dumps(fields))
        inner = made["cell"] if isinstance(name, tuple) else made
        inner[name[1] if isinstance(name, tuple) else name] = value
        record = Record.from_json(json.dumps(made))
        assert len(record.cell.key) == 12
        record.to_json()

    fuzz(st.tuples(names, values), tried)


def test_results_of_others(fuzz, tmp_path):
    path, store = tmp_path / "result.json", Store(tmp_path / "store")
    run = {"train_config": {"model_id": "m", "seed": 0}, "experiment_name": "e"}
    train = {"status": "success", "metrics": [{"test accuracy": 0.5, "step": 1}]}
    whole = json.dumps({"run_info": run, "train_info": train, "meta_info": {}}).encode()

    def tried(data):
        path.write_bytes(data)
        before = len(list(store.records()))
        with suppress(ValueError):
            list(imported([path], store))
            before += 1
        assert len(list(store.records())) <= before
        assert not store.damaged and not list(store.root.glob(".*"))
        list(imported([path], store))

    fuzz(edits(whole), tried)


ROWS = {  # the file that is changed, those beside it, what stands around the rows, and a row
    "rte": (
        ("glue/RTE/train.tsv", "glue/RTE/dev.tsv"),
        ("index\tsentence1\tsentence2\tlabel\n", ""),
        "1\ta{n}\tb\tentailment\n",
    ),
    "stsb": (
        ("glue/STS-B/train.tsv", "glue/STS-B/dev.tsv"),
        (
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\t"
            "sentence1\tsentence2\tscore\n",
            "",
        ),
        "0\tg\tf\ty\t1\tn\tn\ta\tb{n}\t2.5\n",
    ),
    "cola": (("glue/CoLA/train.tsv", "glue/CoLA/dev.tsv"), ("", ""), "gj04\t1\t\tText {n}.\n"),
    "e2e": (
        ("e2e/trainset.csv", "e2e/devset.csv", "e2e/testset_w_refs.csv"),
        ("mr,ref\n", ""),
        '"name[A{n}], food[B]","A{n} serves B."\n',
    ),
    "webnlg": (
        (
            "webnlg_challenge_2017/train/1triples/x.xml",
            "webnlg_challenge_2017/dev/1triples/x.xml",
            "webnlg_challenge_2017/test/testdata_with_lex.xml",
        ),
        ("<benchmark><entries>", "</entries></benchmark>"),
        '<entry category="Food{n}" eid="1"><modifiedtripleset><mtriple>a{n} | b | c</mtriple>'
        '</modifiedtripleset><lex comment="good">A text.</lex></entry>'
        '<entry category="Food" eid="1"><modifiedtripleset><mtriple>d{n} | b | c</mtriple>'
        '</modifiedtripleset><lex comment="good">A text.</lex></entry>',
    ),
    "dart": (
        tuple(f"dart/dart-v1.1.1-full-{split}.json" for split in ("train", "dev", "test")),
        ("[", "null]"),
        '{"tripleset": [["A{n}", "B", "C"]], "subtree_was_extended": false, '
        '"annotations": [{"source": "s", "text": "A text."}]},',
    ),
}

TEXTS = {
    "webnlg": "lora_nlg/webnlg_challenge_2017/train.json",
    "dart": "dart/dart-v1.1.1-full-train.json",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "7", "[7]", '{"entries": [[7]]}', '{"entries": [7]}', "[[[]]]"]
)
def test_json_of_another_layout_is_one_line(tmp_path, name, text):
    (tmp_path / TEXTS[name]).parent.mkdir(parents=True)
    (tmp_path / TEXTS[name]).write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]*train\.json: expected JSON in [^\n]*$"):
        spec.build(task, name).load(Source("files", tmp_path), 0)


@pytest.mark.parametrize("name", ROWS)
def test_files_of_rows(fuzz, tmp_path, name):
    places, (before, after), row = ROWS[name]
    body = "".join(row.replace("{n}", str(n)) for n in range(12))
    whole = (before + body + after).replace(",null]", "]").encode()
    asked = spec.build(task, name)
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(whole)
    assert len(asked.load(Source("files", tmp_path), 0).train) >= 10

    def tried(data):
        (tmp_path / places[0]).write_bytes(data)
        found = asked.load(Source("files", tmp_path), 0)
        assert all(isinstance(text, str) for row in found.train for text in row.text)

    fuzz(edits(whole) | st.just(whole.replace(b"\n", b"\r\n")), tried)
