import base64
import hashlib
import itertools
import json
import math
import os
import re
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.record import Record
from bench.reporting import of_store
from bench.store import Store
from reports import render, tables
from reports.files import Files
from reports.layout import Entry
from reports.material import Material, laid_out
from reports.page import about, beside, page, safe
from reports.published import published
from tests.pages import HOSTILE, Reader, hostile, kept, lines, ordinary, runs
from tests.records import MRPC, SST2, cell, lost, scored, small

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
MOST = beside.limits(1)


class Picture:
    name, title, caption = "p", 'Score "<b>"', "What is & is not shown."

    def svg(self) -> str:
        return '<svg xmlns="http://www.w3.org/2000/svg"><script>window.pwned=1</script></svg>'


@pytest.fixture(scope="module")
def ordinary_material(tmp_path_factory) -> Material:
    return ordinary(tmp_path_factory.mktemp("ordinary") / "results")


@pytest.fixture(scope="module")
def plain_page(ordinary_material) -> str:
    return page(ordinary_material, [Picture()])


@pytest.fixture(scope="module")
def hostile_material(tmp_path_factory) -> Material:
    return hostile(tmp_path_factory.mktemp("hostile") / "results")


@pytest.fixture(scope="module")
def hostile_page(hostile_material) -> str:
    return page(hostile_material, [Picture()])


@pytest.fixture(params=["plain_page", "hostile_page"])
def made(request) -> str:
    return request.getfixturevalue(request.param)


def of(records, columns=(SST2, MRPC), **options) -> Material:
    parts = laid_out(records, columns, "GLUE", [])
    return Material("glue", "GLUE", parts, **options)


def names(read: Reader, attribute: str) -> list[str]:
    return [e.attributes[attribute] for e in read.elements if attribute in e.attributes]


def test_page_has_no_id_twice_and_every_reference_has_its_element(made):
    read = Reader(made)
    ids = names(read, "id")
    assert len(ids) == len(set(ids))
    pointed = [*names(read, "for"), *names(read, "aria-labelledby")]
    assert {name for text in pointed for name in text.split()} <= {*ids}
    inside = {address.removeprefix("#") for address in names(read, "href")} - {"data:,"}
    assert {name for name in inside if not re.fullmatch("cell-[0-9a-f]{12}", name)} <= {*ids}


def test_every_control_has_one_label(made):
    read = Reader(made)
    controls = [e.attributes["id"] for tag in ("input", "select") for e in read.all(tag)]
    labelled = [e.attributes["for"] for e in read.all("label")]
    assert len(controls) >= 5
    assert sorted(labelled) == sorted(controls)
    assert all(e.attributes["type"] == "button" and e.text.strip() for e in read.all("button"))


def test_headings_go_down_one_level_at_a_time(made):
    levels = [int(e.tag[1]) for e in Reader(made).elements if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_page_has_its_landmarks_and_a_way_past_them(plain_page):
    read = Reader(plain_page)
    assert [len(read.all(tag)) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    assert read.all("a", "skip")[0].attributes["href"] == "#main"
    assert all(e.attributes.get("alt") is not None for e in read.all("img"))
    assert read.all("html")[0].attributes["lang"] == "en"


def test_page_runs_its_own_script_and_no_other(made):
    read = Reader(made)
    (policy,) = (e.attributes["content"] for e in read.all("meta") if "http-equiv" in e.attributes)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    data, script = read.all("script")
    assert data.attributes["type"] == "application/json"
    for rule, element in (("script-src", script), ("style-src", read.all("style")[0])):
        digest = hashlib.sha256(element.text.encode()).digest()
        assert rules[rule] == f"'sha256-{base64.b64encode(digest).decode()}'"


def test_page_asks_for_nothing_from_outside(made):
    read = Reader(made)
    assert all(
        e.attributes["src"].startswith("data:image/svg+xml;base64,") for e in read.all("img")[:-1]
    )
    assert {a for e in read.elements for a in e.attributes if a.startswith("on")} == set()
    assert names(read, "style") == []
    assert {e.tag for e in read.elements} & {
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "svg",
    } == set()


def test_hostile_records_add_no_element_but_those_of_a_page(hostile_page, plain_page):
    assert {e.tag for e in Reader(hostile_page).elements} <= {
        e.tag for e in Reader(plain_page).elements
    }
    assert not safe.HIDDEN.search(hostile_page)
    assert hostile_page.encode("utf-8")


def test_hostile_texts_are_shown_as_they_are(hostile_page):
    reasons = {e.text for e in Reader(hostile_page).all("td", "why")}
    for text in HOSTILE[2:7]:
        assert any(reason.startswith(text) for reason in reasons)
    assert any("[U+202E]" in reason and "[U+0000]" in reason for reason in reasons)


def test_long_texts_are_cut_with_a_note(hostile_page):
    assert len(hostile_page) < 3_000_000
    assert "longlong… [98,000 more characters]" in hostile_page


def test_script_has_every_field_of_hostile_records(hostile_page, hostile_material):
    found = runs(hostile_page)
    assert found.keys() == {record.cell.key for record in hostile_material.records}
    run = next(run for run in found.values() if run["status"] == "ok" and run["seed"] == 2)
    text = HOSTILE[2]
    assert run["metrics"] == {text: 0.5, "accuracy": None}
    assert run["cost"]["f"] == 1e308
    assert run["cost"]["big"].startswith("1000") and run["cost"]["__proto__"] == {"x": 1}
    assert run["where"]["list"] == [1e308, {text: text}]
    assert run["predictions"][0]["label"] == [text, {text: text}]
    assert run["losses"] == [[], []]


@given(ANY)
def test_whatever_a_record_holds_comes_back_from_the_script(found):
    kept = safe.value(found)
    text = safe.json_text(kept)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == kept
    text.encode("utf-8")


@given(st.text(), st.integers(1, 40))
def test_plain_text_hides_nothing(text, most):
    told = safe.plain(text, most)
    assert not safe.HIDDEN.search(told)
    if len(text) <= most and not safe.HIDDEN.search(text):
        assert told == text


@given(st.text("abc\n<&é漢", max_size=30))
def test_ordinary_text_is_left_as_it_is(text):
    assert safe.value(text) == text


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (0.1 + 0.2, 0.30000000000000004),
        (-math.inf, "-inf"),
        (True, True),
        ([0] * 66, [0] * 64 + ["… 2 more"]),
        ((1, 2), [1, 2]),
    ],
)
def test_numbers_keep_every_digit_and_lists_an_end(found, told):
    assert safe.value(found) == told


def test_nesting_without_end_is_cut():
    deep: list = []
    for _ in range(50):
        deep = [deep]
    assert len(json.dumps(safe.value(deep))) < 200


def test_script_has_numbers_unrounded(plain_page, ordinary_material):
    found = runs(plain_page)
    assert found.keys() == {record.cell.key for record in ordinary_material.records}
    for record in ordinary_material.records:
        run = found[record.cell.key]
        assert run["metrics"] == record.metrics and run["cost"] == record.cost
        assert run["where"] == record.where and run["parents"] == [*record.cell.parents]
        assert (run["method"], run["recipe"]) == (record.cell.method, record.cell.recipe)
        assert (run["status"], run["reason"]) == (record.status, record.reason)


def test_tables_stand_in_the_page_without_a_script(plain_page, ordinary_material):
    read = Reader(plain_page)
    sections = read.all("section", "results")
    made = tables.of_parts(ordinary_material.parts)
    assert len(sections) == len(made) == 2
    for section, table in zip(sections, made, strict=True):
        bodies = section.all("tbody", "ours")[0].all("tr")
        for line, row in zip(bodies, table.rows, strict=True):
            told = [e.text for e in line.inside if e.tag in ("th", "td")]
            assert all(t.startswith(entry.text) for t, entry in zip(told, row, strict=True))
        assert [e.text for e in section.all("thead")[0].all("th")] == [*table.columns]
        assert {*table.footnotes} <= {e.text for e in section.all("li")}


def test_places_carry_the_number_they_sort_by(plain_page):
    body = Reader(plain_page).all("section", "results")[1].all("tbody", "ours")[0]
    by_name = {line.all("th")[0].text: line.all("td") for line in body.all("tr")}
    lora = [e.attributes.get("data-number") for e in by_name["lora"]]
    assert lora == ["147456", "88.0", "92.0", "90.0"]
    assert [e.attributes.get("data-number") for e in by_name["logme"]] == [None] * 4


def test_best_is_bold_and_remarks_are_numbered(plain_page):
    section = Reader(plain_page).all("section", "results")[1]
    assert {e.text for e in section.all("strong")} == {"94.0", "89.0/91.0", "90.5"}
    marks = [e for e in section.all("a") if e.attributes["href"] == "#table-2-note-1"]
    told = {e.attributes["id"]: e.text for e in section.all("li") if "id" in e.attributes}
    assert marks and "loss became NaN" in "".join(told.values())


def test_significance_is_told_in_words_too():
    records = [
        scored(
            cell(method, "sst2", seed),
            0.5 + 0.001 * seed + (method == "good") * (0.3 + 0.01 * (seed % 2)),
        )
        for method in ("base", "good")
        for seed in range(5)
    ]
    html = page(of(records, [SST2], baseline="base"))
    (mark,) = Reader(html).all("span", "mark")
    assert mark.text == "▲ significantly better "


def test_papers_stand_apart_unless_data_are_generated():
    ours = [scored(cell(model="roberta-base"), 0.9)]
    read = Reader(page(of(ours, [SST2], published=published("roberta-base"))))
    assert "Hu et al. 2021" in read.all("tbody", "papers")[0].text
    assert read.all("p", "warning") == []
    generated = [scored(cell(model="roberta-base", data="sample@1"), 0.9)]
    read = Reader(page(of(generated, [SST2], published=published("roberta-base"))))
    assert read.all("tbody", "papers") == []
    assert "Generated data" in read.all("p", "warning")[0].text
    assert "GENERATED" in read.all("dl", "facts")[0].text


def test_facts_say_what_the_page_is_about():
    told = dict(about.facts("glue", small()))
    assert told == {
        "Suite": "glue",
        "Model": "minilm",
        "Seeds": "0\N{EN DASH}1",
        "Data": "the hub",
        "Runs": "7 ok, 1 failed",
    }
    assert "Suite" not in dict(about.facts("report", small()))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([0], "0"),
        ([2, 0, 1], "0\N{EN DASH}2"),
        ([13, 21, 42], "13, 21, 42"),
        ([0, 1, 5], "0\N{EN DASH}1, 5"),
        (range(0, 40, 2), "0, 2, 4, 6, 8, 10 and 14 more"),
    ],
)
def test_seeds_are_told_by_stretches(found, told):
    assert about.seeds(found) == told


def test_what_failed_stands_with_its_reason_and_traceback(plain_page):
    read = Reader(plain_page)
    table = read.all("table", "lost")[0]
    first, second = (line.text for line in table.all("tbody")[0].all("tr"))
    assert "adapter" in first and "loss became NaN\nat step 120" in first
    assert 'File "x/bench/run.py", line 3' in first and "/home" not in plain_page
    assert "logme" in second and "skipped" in second and "needs a head" in second
    key = next(run["key"] for run in runs(plain_page).values() if run["status"] == "failed")
    assert table.all("a")[0].attributes["href"] == f"#cell-{key}"


def test_nothing_failed_means_no_such_section():
    html = page(of(small()[:2], [SST2]))
    assert not [e for e in Reader(html).all("section") if e.attributes.get("id") == "lost"]
    assert 'href="#lost"' not in html and 'href="#pictures"' not in html


def test_many_failures_are_told_in_part():
    found, more = about.lost(Files(), [lost(cell(seed=i), "no") for i in range(230)])
    assert (len(found), more) == (200, 30)


def test_failed_stand_before_skipped():
    records = [lost(cell(seed=0), "a", "skipped"), lost(cell(seed=1), "b"), small()[0]]
    assert [run.status for run in about.lost(Files(), records)[0]] == ["failed", "skipped"]


def test_commands_are_quoted_and_name_no_machine(tmp_path, monkeypatch):
    record = scored(cell(label="lora[rank=4,x='a b']"), 0.9)
    kept(tmp_path / "my results", [record])
    monkeypatch.chdir(tmp_path)
    told = {}
    for root in (tmp_path / "my results", Path("my results")):
        html = page(replace(of_store(Store(root)), command="python -m bench run --suite glue"))
        data = json.loads(Reader(html).all("script")[0].text)
        told[data["reproduce"]] = runs(html)[record.cell.key]["again"]
        assert str(tmp_path) not in html
    label = "'lora[rank=4,x='\"'\"'a b'\"'\"']'"
    assert told == {
        "python -m bench reproduce 'my results/%key%'": "python -m bench run --suite glue "
        f"--methods {label}"
    }


def test_command_is_left_out_where_none_made_the_records():
    html = page(of(small()))
    assert {run["again"] for run in runs(html).values()} == {None}
    data = json.loads(Reader(html).all("script")[0].text)
    assert data["reproduce"] == "python -m bench reproduce results/%key%"


def test_predictions_and_log_are_the_first_and_the_last(plain_page):
    run = next(run for run in runs(plain_page).values() if run["label"] == "soup")
    assert [row["row"] for row in run["predictions"]] == [*range(8)]
    assert [line["step"] for line in run["log"]] == [*range(31, 41)]
    assert run["log"][-1]["loss"] == 0.0243902  # 1/41 to six digits
    assert run["losses"][0] == [*range(1, 41)] and run["losses"][1][0] == 0.5


def test_texts_keep_their_lines_and_some_references(plain_page):
    run = next(run for run in runs(plain_page).values() if run["label"] == "prefix")
    (row,) = run["predictions"]
    assert row["prediction"] == "one\ntwo"
    assert row["label"] == ["a", "b", "c", "… 2 more"]


@pytest.fixture
def near(tmp_path):
    record = small()[0]

    def write(most: beside.Limits = MOST, **texts: str) -> beside.Beside:
        files = {name.replace("_", "."): text for name, text in texts.items()}
        return beside.Beside(
            Files(kept(tmp_path, [record], {record.cell.key: files})), record, most
        )

    return write


def test_long_log_is_read_at_few_places_over_its_whole_length(near, monkeypatch):
    told = lines(*({"step": i, "loss": 10.0 - i / 10_000} for i in range(100_000)))
    monkeypatch.setattr(beside, "LINE", 200)
    files = near(log_txt=told)
    read = []
    loads = json.loads
    monkeypatch.setattr(beside.json, "loads", lambda text: read.append(text) or loads(text))
    steps, losses = files.losses()
    assert len(read) == len(steps) == MOST.points
    assert steps[0] == 0 and steps[-1] == 99_999
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert max(gaps) < 1.25 * 100_000 / MOST.points
    assert losses[-1] == 0.0001
    assert [line["step"] for line in files.log()][-1] == 99_999


def test_log_of_any_length_costs_little_memory(near, tmp_path):
    files = near(log_txt=lines({"step": 1, "loss": 2.0}))
    (path,) = tmp_path.rglob("log.txt")
    os.truncate(path, 64 * 2**20)
    tracemalloc.start()
    try:
        assert files.losses() == ([1], [2.0]) and files.log() == []
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [79, 80, 81, 400])
def test_short_log_is_drawn_from_its_first_to_its_last_line(near, count):
    steps, _ = near(log_txt=lines(*({"step": i, "loss": 1.0} for i in range(count)))).losses()
    assert len(steps) == min(count, 80) and (steps[0], steps[-1]) == (0, count - 1)
    assert steps == sorted(set(steps))


def test_damaged_files_cost_their_lines_alone(near):
    deep = "[" * 20_000
    row = lines({"split": "dev", "row": 0, "prediction": 1, "label": 1})
    told = f"{deep}\n[1]\n" + lines({"step": 1, "loss": 2.0}, {"step": "x", "loss": 1.0}) + '{"st'
    files = near(log_txt=told, predictions_jsonl="\0\n" + row)
    assert files.losses() == ([1], [2.0])
    assert files.log() == [{"step": 1, "loss": 2.0}, {"step": "x", "loss": 1.0}]
    assert [row["row"] for row in files.predictions()] == [0]
    assert files.error() == ""


def test_traceback_keeps_its_end(near):
    text = near(error_txt="start\n" + "x" * 20_000 + "\nValueError: end\n").error()
    assert text.endswith("ValueError: end\n") and len(text) <= 4 * MOST.chars


def test_limits_fall_as_runs_grow_and_the_page_says_so():
    steps = [beside.limits(n) for n in (1, 300, 301, 2_000, 2_001, 10_000, 10_001)]
    for name in ("predictions", "lines", "points", "chars"):
        found = [getattr(most, name) for most in steps]
        assert found == sorted(found, reverse=True)
    assert "first 8 predictions" in about.limits(1) and "last 5 lines" in about.limits(301)
    assert about.limits(10_001).startswith("Logs and predictions are left out")
    assert about.limits(len(small())) in Reader(page(of(small()))).all("p", "lead")[0].text


def test_thousand_runs_stay_small_and_quick():
    where = {"versions": {"torch": "2.13"}, "selection": "last: no score was looked at", "steps": 9}
    records = [
        Record(
            cell(seed=i),
            "ok",
            "",
            "accuracy",
            {"accuracy": i / 7919},
            {"train_seconds": i / 7},
            where,
        )
        for i in range(1_000)
    ]
    material = of(records, [SST2])
    start = time.process_time()
    html = page(material)
    assert time.process_time() - start < 5
    assert len(html) / len(records) < 250
    assert len(runs(html)) == 1_000


def test_picture_is_an_image_whose_svg_cannot_run(plain_page):
    read = Reader(plain_page)
    image = read.all("figure")[0].all("img")[0]
    kind, _, content = image.attributes["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == Picture().svg()
    assert image.attributes["alt"] == Picture.title
    assert Picture.caption in read.all("figcaption")[0].text


def test_same_material_makes_the_same_page(ordinary_material, plain_page):
    assert page(ordinary_material, [Picture()]) == plain_page


def test_page_needs_neither_torch_nor_matplotlib(tmp_path):
    ordinary(tmp_path / "results")
    code = (
        "import sys; from bench.reporting import of_store; from bench.store import Store;"
        "from reports.page import page; page(of_store(Store('results')));"
        "assert not {'torch', 'matplotlib', 'pandas', 'transformers'} & {*sys.modules}"
    )
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)


def test_unknown_baseline_is_named():
    with pytest.raises(ValueError, match="lora"):
        page(of(small(), baseline="lorra"))


def test_table_of_the_page_is_that_of_the_other_forms(plain_page, ordinary_material):
    text = render.markdown(*tables.of_parts(ordinary_material.parts))
    titles = [e.text for e in Reader(plain_page).all("h3")]
    assert titles == re.findall("^### (.*)$", text, re.MULTILINE)


def test_place_without_a_finite_number_has_none():
    from reports.page.results import _place

    table = tables.of_parts(of(small()).parts)[0]
    assert _place(table, Entry("nan", float("nan"))).number is None
    assert _place(table, Entry("-", None), 0).number == 0


@pytest.mark.parametrize(("width", "wide"), [("240pt", False), ("496.8pt", True), ("12in", False)])
def test_picture_as_wide_as_a_page_takes_both_columns(ordinary_material, width, wide):
    class Sized(Picture):
        def svg(self) -> str:
            return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}"></svg>'

    assert ('class="wide"' in page(ordinary_material, [Sized()])) == wide
