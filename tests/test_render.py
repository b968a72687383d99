import re
from csv import DictReader
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reports.layout import Entry, Remark, Table
from reports.published import published
from reports.render import csv, latex, markdown
from reports.tables import tables
from tests.records import MRPC, SST2, STSB, cell, lost, scored, small

GOLDEN = Path(__file__).parent / "golden" / "table.md"
ascii_text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


def glue(records, columns=(SST2, MRPC), **options):
    return tables(records, columns, title="GLUE", **options)


def lines(*made):
    return list(DictReader(StringIO(csv(*made))))


def parsed(text):
    """Each table cell's and footnote's visible text, as a Markdown reader shows it."""
    inline = (t for t in MarkdownIt("gfm-like", {"linkify": False}).parse(text) if t.children)
    return ["".join(child.content for child in token.children) for token in inline]


def tiny(text):
    return Table(
        f"{text}, minilm", ("Method", text), ((Entry(text), Entry("1")),), (f"Is {text}.",)
    )


def test_markdown_is_the_table_made_by_hand():
    expected = GOLDEN.read_text(encoding="utf-8").partition("-->\n")[2]
    assert markdown(*glue(small(), methods=["lora", "adapter"])) == expected


def test_markdown_columns_are_aligned_in_the_source():
    table = markdown(*glue(small(), methods=["lora", "adapter"]), *glue(small()))
    for block in re.findall(r"(?:^\|.*\n)+", table, re.MULTILINE):
        bars = {tuple(m.start() for m in re.finditer(r"\|", line)) for line in block.splitlines()}
        assert len(bars) == 1


@given(ascii_text)
def test_markdown_shows_any_text_as_it_is(text):
    assert parsed(markdown(tiny(text))) == [
        f"{text}, minilm",
        "Method",
        text,
        text,
        "1",
        f"Is {text}.",
    ]


def test_markdown_sets_papers_apart():
    ours = [scored(cell(model="roberta-base"), 0.9)]
    body = markdown(*glue(ours, [SST2], published=published("roberta-base"))).splitlines()[4:]
    assert body[0].startswith("| lora ")
    assert body[1].startswith("| *as printed in papers* ")
    assert body[2].startswith("| FT (prior work) (Hu et al. 2021) ")


def test_latex_sets_best_in_bold_and_numbers_remarks():
    text = latex(*glue(small(), methods=["lora", "adapter"]))
    assert r"lora & 0.15M / 0 & \textbf{92.0$\pm$1.4} & 88.0$\pm$0.0/91.0$\pm$1.4 & " in text
    assert r"\textbf{89.0/91.0}$^{1,2}$ & \textbf{90.5}$^{2}$ \\" in text
    assert r"\item[1] failed: loss became NaN at step 120 (adapter on MRPC)." in text


def marked():
    better = Entry("91.0", best=True, sense="better", remarks=("r",))
    worse = Entry("80.0", sense="worse")
    rows = ((Entry("a"), better), (Entry("b"), worse), (Entry("c"), Entry("85.0", remarks=("r",))))
    return replace(tiny("x"), rows=rows, remarks=(Remark("r"),))


def test_markdown_puts_triangles_behind_numbers():
    assert markdown(marked()).splitlines()[4:7] == [
        "| a      | **91.0**▲ [1] |",
        "| b      |   80.0▼       |",
        "| c      |   85.0  [1]   |",
    ]
    assert "91.0▲ [1]" in parsed(markdown(marked()))


def test_latex_raises_triangles_before_numbers_of_remarks():
    text = latex(marked())
    assert r"a & \textbf{91.0}$^{\bigtriangleup1}$ \\" in text
    assert r"b & 80.0$^{\bigtriangledown}$ \\" in text
    assert r"c & 85.0$^{1}$ \\" in text


def test_latex_has_no_sign_that_only_other_fonts_have():
    made = replace(tiny("x"), footnotes=("▲ better, ▼ worse",))
    assert r"\item $\bigtriangleup$ better, $\bigtriangledown$ worse" in latex(made)


def test_latex_writes_a_negative_score_with_a_minus():
    records = [scored(cell(task="stsb"), {"pearson": -0.25})]
    assert r"& $-$25.0 \\" in latex(*glue(records, [STSB]))


def test_latex_rules_papers_off():
    ours = [scored(cell(model="roberta-base"), 0.9)]
    text = latex(*glue(ours, [SST2], published=published("roberta-base")))
    assert text.count(r"\midrule") == 2
    assert r"\multicolumn{3}{l}{\emph{as printed in papers}} \\" in text


@pytest.mark.parametrize("special", list("&%$#_{}~^\\<>|[]*"))
def test_latex_leaves_no_special_character_as_it_is(special):
    assert f"x{special}y" not in re.sub(r"\\[&%$#_{}]", "", latex(tiny(f"x{special}y")))


@given(ascii_text)
def test_latex_braces_and_environments_close_for_any_text(text):
    row = (Entry(text, best=True, remarks=("r",)), Entry(""))
    made = replace(tiny(text), rows=(row,), remarks=(Remark("r", text),))
    source = re.sub(r"\\[&%$#_{}]", "", latex(made))
    still_open = []
    for token in re.findall(r"\\(?:begin|end){\w+}|[{}]", source):
        if token == "{" or token.startswith(r"\begin"):
            still_open.append(token.replace("begin", "end") if token != "{" else "}")
        else:
            assert still_open.pop() == token
    assert still_open == []
    assert source.count("$") % 2 == 0


def test_csv_has_a_line_for_each_metric_of_each_run():
    found = lines(*glue(small()))
    assert len(found) == 4 + 2 * 3 + 1
    assert {(line["source"], line["model"]) for line in found} == {("run", "minilm")}


def test_csv_goes_by_seed():
    records = [scored(cell(seed=seed), 0.9) for seed in (10, 3, 2, 1, 0)]
    assert [line["seed"] for line in lines(*glue(records))] == ["0", "1", "2", "3", "10"]


def test_csv_keeps_every_digit():
    score = 0.1 + 0.2
    (line,) = lines(*glue([scored(cell(), score)]))
    assert float(line["value"]) == score
    assert (line["method"], line["task"], line["seed"]) == ("lora", "sst2", "0")
    assert line["key"] == cell().key


def test_csv_tells_what_was_lost_and_why():
    reason = 'a comma, a "quote"\nand a line'
    (line,) = lines(*glue([lost(cell(), reason, "skipped")]))
    assert (line["status"], line["reason"], line["metric"], line["value"]) == (
        "skipped",
        reason,
        "",
        "",
    )


def test_csv_leaves_an_undefined_value_empty():
    (line,) = lines(*glue([scored(cell(task="stsb"), {"pearson": None})], [STSB]))
    assert (line["metric"], line["value"], line["status"]) == ("pearson", "", "ok")


def test_csv_gives_papers_numbers_as_fractions_and_names_the_paper():
    ours = [scored(cell(model="roberta-base"), 0.9)]
    found = lines(*glue(ours, [STSB, SST2], published=published("roberta-base")))
    papers = [line for line in found if line["source"] == "paper"]
    lora = [line for line in papers if line["method"].startswith("LoRA")]
    assert [(line["task"], line["value"], line["spread"]) for line in lora] == [
        ("stsb", "0.915", "0.002"),
        ("sst2", "0.951", "0.002"),
    ]
    assert lora[0]["trained_params"] == "300000"
    assert lora[0]["note"] == "LoRA (Hu et al. 2021, arXiv 2106.09685), Table 2 (GLUE dev)"


def test_csv_of_several_tables_has_one_heading():
    records = [scored(cell(model=model), 0.9) for model in ("minilm", "roberta-base")]
    assert [line["model"] for line in lines(*glue(records))] == ["minilm", "roberta-base"]


@given(st.permutations(small()))
def test_every_form_is_the_same_for_any_order_of_records(records):
    for write in (markdown, latex, csv):
        assert write(*glue(records)) == write(*glue(small()))
