import json
import re
import shutil
import subprocess
import sys
from csv import DictReader
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.record import Record
from reports.layout import Entry, Remark, Table
from reports.published import published
from reports.render import csv, html, latex, markdown
from reports.render.legible import line
from reports.render.letters import letters
from reports.tables import tables
from tests.records import MRPC, SST2, STSB, cell, lost, scored, small

GOLDEN = Path(__file__).parent / "golden" / "table.md"
ascii_text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
PIECES = [
    *("|", "\\|", "\n", "\r\n", "\t", "\\", "`", "```", "*", "**", "_", "~~", "#", "# a", "- "),
    *("1. ", "1)", "> q", "[a](b)", "[a]: b", "![i](j)", "<b>", "</td>", "<script>", "&amp;"),
    *("&#60;", "<!--", "$", "%", "&", "{", "}", "^", "\\end{table}", "\\input{x}", "--", "''"),
    *("``", ",,", "\0", "\x1b[1m", "\u202e", "\u2067", "\u200f", "\u200b", "\ufeff", "\u2028"),
    *("\x85", "\ud800", "\ue000", "\u0301", "é", "ő", "ﬁ", "²", "Ω", "ς", "中", "\U0001f600"),
    *("½", "™", "a", "B", "7", " ", "-1", "==", "+ x", ":-", "***", "---", "http://a.b/c", "@x"),
]
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)


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


def wide(text):
    """A table with the text wherever a text may stand."""
    told, best = Entry(text, remarks=("told",)), Entry(text, 1.0, ("told",), True, "better")
    return Table(
        title=text,
        columns=("Method", text, "Plain"),
        rows=((told, Entry("1"), Entry("2")), (Entry("b"), best, Entry("-0.0", sense="worse"))),
        papers=((Entry(text), Entry(text), Entry("3")),),
        remarks=(Remark("told", text), Remark(text)),
        footnotes=(text, "Last."),
    )


def shape(text, note):
    """The visible lines and cells of `wide(text)`, in reading order, less spaces; none is empty."""
    shown = line(text)
    found = [
        shown,
        *("Method", shown, "Plain"),
        *(f"{shown}{note}", "1", "2"),
        *("b", f"{shown}▲{note}", "-0.0▼"),
        "as printed in papers",
        *(shown, shown, "3"),
        line(f"told ({text})." if text else "told."),
        line(f"{text}."),
        shown,
        "Last.",
    ]
    return unspaced(found)


def unspaced(texts):
    return [text.replace(" ", "") for text in texts if text.strip()]


@given(hostile)
@example("a\n\n| x | y |")
@example("[a]: http://b")
@example("x #")
def test_markdown_shows_hostile_text_as_it_is_and_nothing_else(text):
    assert unspaced(parsed(markdown(wide(text)))) == shape(text, "[1]")


@given(hostile)
def test_markdown_table_keeps_its_rows_and_columns_for_hostile_text(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown(wide(text)))
    kinds = [token.type for token in tokens]
    assert (kinds.count("tr_open"), kinds.count("td_open"), kinds.count("th_open")) == (5, 12, 3)
    assert (kinds.count("heading_open"), kinds.count("list_item_open")) == (1, 4)
    inside = {child.type for token in tokens for child in token.children or ()}
    assert inside <= {"text", "strong_open", "strong_close", "em_open", "em_close", "text_special"}


class Reader(HTMLParser):
    """What a browser would see: tags with attributes, and the text of each cell and note."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag in ("caption", "th", "td", "li"):
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and {"caption", "th", "td", "li"} & {*self.open}:
            self.texts[-1] += data


TAGS = {"section", "table", "caption", "thead", "tbody", "tr", "th", "td", "strong", "span", "sup"}


@given(hostile)
def test_html_holds_hostile_text_as_text_and_no_other_tag(text):
    read = Reader(html(wide(text)))
    assert read.open == [] and {tag for tag, _ in read.tags} <= TAGS | {"ol", "ul", "li"}
    assert unspaced(read.texts) == shape(text, "1")


def test_html_table_can_be_followed_without_seeing_it():
    records = [scored(cell(model="roberta-base"), 0.9)]
    text = html(*glue(records, [SST2], published=published("roberta-base")))
    read = Reader(text)
    scopes = [attrs.get("scope") for tag, attrs in read.tags if tag == "th"]
    assert scopes == ["col"] * 3 + ["row", "rowgroup"] + ["row"] * 5
    assert [attrs["colspan"] for tag, attrs in read.tags if "colspan" in attrs] == ["3"]
    assert [tag for tag, _ in read.tags].count("caption") == 1
    assert "style" not in text and "class" not in text


def test_html_says_in_words_what_marks_and_numbers_are():
    text = html(marked())
    assert '<strong>91.0</strong> <span role="img" aria-label="significantly better than' in text
    assert '<sup role="note" aria-label="note 1">1</sup>' in text
    assert text.count('aria-label="significantly worse than the baseline"') == 1
    both = replace(
        marked(),
        remarks=(Remark("r"), Remark("s")),
        rows=((Entry("a"), Entry("1", remarks=("r", "s"))),),
    )
    assert 'aria-label="notes 1, 2">1,2</sup>' in html(both)


def test_html_of_several_tables_is_a_section_each():
    assert html() == ""
    assert [tag for tag, _ in Reader(html(marked(), marked())).tags].count("section") == 2


def body(source):
    """The lines between the rules of a LaTeX table, escaped signs taken out."""
    inside = re.findall(r"\\toprule\n(.*?)\\bottomrule", source, re.DOTALL)
    return [re.sub(r"\\[&%$#_{}]", "", row) for part in inside for row in part.splitlines()]


@given(hostile)
def test_latex_of_hostile_text_is_plain_ascii_with_every_special_escaped(text):
    source = latex(wide(text))
    assert source.isascii() and "\0" not in source
    plain = letters(text)
    bare = re.sub(r"\\[&%$#_{}]", "", plain)
    assert not re.search(r"[%#&]", bare) and bare.count("{") == bare.count("}")
    commands = set(re.findall(r"\\([a-zA-Z]+)", plain))
    assert not commands & {"end", "begin", "input", "write", "item", "multicolumn", "def"}
    rows = [row for row in body(source) if "&" in row]
    assert [row.count("&") for row in rows] == [2] * 4
    assert all(row.endswith("\\\\") for row in rows)


@given(hostile)
def test_latex_braces_close_for_hostile_text(text):
    source = re.sub(r"\\[&%$#_{}]", "", latex(wide(text)))
    depth = 0
    for brace in re.findall(r"[{}]", source):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0 and source.count("$") % 2 == 0


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("é", r"\'{e}"),
        ("e\u0301", r"\'{e}"),
        ("ï", r"\"{\i}"),
        ("Å", r"\r{A}"),
        ("ß ł", r"\ss{} \l{}"),
        ("αΩς", r"$\alpha$$\Omega$$\varsigma$"),
        ("\N{GREEK CAPITAL LETTER ALPHA}\N{GREEK SMALL LETTER OMICRON}", "Ao"),
        ("m²", "m$^{2}$"),
        ("H₂", "H$_{2}$"),
        ("ﬁ", "fi"),
        ("中", "{[}U+4E2D{]}"),
        ("\U0001f600", "{[}U+1F600{]}"),
        ("a--set -1 x-1", "a-{}-set $-$1 x-1"),
        ("''``", "'{}'{`}{`}"),
        ("\u202ea\u200bb", "?ab"),
        ("a\n\nb", "a b"),
    ],
)
def test_latex_writes_letters_with_its_own_fonts(text, written):
    assert letters(text) == written


def test_latex_cuts_a_long_table_into_pages_with_one_number():
    rows = tuple((Entry(f"m{i}"), Entry("1")) for i in range(100))
    source = latex(Table("Long", ("Method", "Score"), rows, ("A note.",)))
    assert source.count(r"\begin{table}") == source.count(r"\end{table}") == 3
    assert source.count("(continued)") == source.count(r"\addtocounter{table}{-1}") == 2
    assert source.count(r"\toprule") == 3 and source.count(r"\item A note.") == 1
    assert re.findall(r"^m(\d+) &", source, re.MULTILINE) == [str(i) for i in range(100)]


def test_latex_sets_notes_that_find_no_room_behind_the_table():
    short = latex(Table("T", ("Method",), ((Entry("a"),),), ("A note.",)))
    assert short.index(r"\begin{itemize}") < short.index(r"\end{table}")
    many = latex(Table("T", ("Method",), ((Entry("a"),),), ("word " * 20,) * 50))
    assert many.index(r"\end{table}") < many.index(r"Notes to table~\thetable")
    assert r"\begin{itemize}" not in latex(Table("T", ("Method",), (), ()))


@pytest.fixture(scope="module")
def pdflatex():
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex: install texlive-latex-base and texlive-latex-recommended")
    return shutil.which("pdflatex")


def document(*tables):
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    return f"{head}\n{latex(*tables)}\n\\end{{document}}\n"


def compiled(pdflatex, folder, *tables):
    """What pdflatex tells of a document of the tables, which it makes a PDF of."""
    (folder / "t.tex").write_text(document(*tables), encoding="ascii")
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = done.stdout.decode("latin-1")
    assert done.returncode == 0 and (folder / "t.pdf").exists(), log[-2000:]
    return log


def test_latex_compiles_whatever_the_text(pdflatex, tmp_path):
    every = [chr(i) for i in (*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2000, 0x2200))]
    alphabet = [Entry("".join(every[i : i + 25])) for i in range(0, len(every), 25)]
    grid = tuple((entry, Entry("1", best=True, sense="better")) for entry in alphabet)
    tables = [
        wide("".join(PIECES)),
        *(wide(piece) for piece in ("[x]", "*", "\\", "\0", "")),
        Table("Letters", ("Method", "Score"), grid, ()),
        *glue(small(), published=published("roberta-base")),
    ]
    assert "Float too large" not in compiled(pdflatex, tmp_path, *tables)


def test_latex_keeps_wide_and_long_tables_within_the_page(pdflatex, tmp_path):
    across = tuple(Entry("99.9±1.1") for _ in range(30))
    heads = tuple(f"Column {i}" for i in range(30))
    told = compiled(pdflatex, tmp_path, Table("Wide", heads, (across,) * 120, ("Note.",) * 60))
    assert "Overfull" not in told and "Float too large" not in told


@pytest.mark.parametrize("value", [1e300, -1e300, -0.0, 5e-324])
def test_every_form_takes_any_finite_score(value):
    made = glue([scored(cell(seed=seed), value) for seed in (0, 1)], [SST2])
    for write in (markdown, latex, html, csv):
        assert write(*made)
    assert "-0.0" not in markdown(*glue([scored(cell(), -0.0)], [SST2]))


@pytest.mark.parametrize("cost", ["1e400", "-0"])
def test_every_form_takes_the_record_of_another_program(cost):
    text = scored(
        cell(), 0.5, {"trained_params": 1, "served_params": 1, "head_params": 0}
    ).to_json()
    fields = json.loads(text)
    fields["where"] |= {"data": {"caps": {"rows": 10}, "partial": ["a|b\n"]}}
    text = json.dumps(fields).replace('"trained_params": 1', f'"trained_params": {cost}')
    made = glue([Record.from_json(text)], [SST2])
    for write in (markdown, latex, html, csv):
        assert write(*made)


def stored(root, methods, tasks, seeds):
    """A store with a record for each of them; returns how many."""
    for rank, task, seed in product(range(1, methods + 1), range(tasks), range(seeds)):
        asked = cell(f"lora[rank={rank}]", f"task{task:02}", seed, data="files@0a")
        score = {"accuracy": 0.5 + (rank * 7 + task * 3 + seed * 11) % 97 / 1000}
        record = scored(asked, score)
        folder = root / record.cell.key
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(record.to_json())
    return methods * tasks * seeds


SPEED = """
import re, sys, time
from bench import reporting
from bench.store import Store
from pathlib import Path
began = time.perf_counter()
made = reporting.of_store(Store(Path(sys.argv[1])))
from reports import render, tables
laid = tables.of_parts(made.parts, made.published)
sizes = [len(write(*laid)) for write in (render.markdown, render.csv, render.latex, render.html)]
assert not {"torch", "transformers", "matplotlib"} & sys.modules.keys()
status = Path("/proc/self/status")  # of this process alone; only Linux has it
memory = re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1] if status.exists() else 0
print(time.perf_counter() - began, int(memory) / 1024, *sizes)
"""


def measured(root):
    """Seconds and mebibytes of all four forms of a store, in a process of its own."""
    words = [sys.executable, "-c", SPEED, str(root)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    seconds, memory, *sizes = map(float, done.stdout.split())
    assert min(sizes) > 1000
    return seconds, memory


def test_2000_records_are_reported_in_seconds_without_torch(tmp_path):
    assert stored(tmp_path / "store", 20, 10, 10) == 2000
    seconds, memory = measured(tmp_path / "store")
    assert seconds < 6 and memory < 500


@pytest.mark.slow
def test_10000_records_are_reported_within_ten_seconds_and_a_gibibyte(tmp_path):
    assert stored(tmp_path / "store", 50, 20, 10) == 10_000
    seconds, memory = measured(tmp_path / "store")
    assert seconds < 10 and memory < 1024
