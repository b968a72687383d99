import json
import math
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from bench.store import Store
from reports.files import Files
from reports.material import Material, laid_out
from reports.plots import KINDS, plots
from reports.plots.scene import scenes
from reports.plots.style import COLOURS, looks
from tests import merges
from tests.records import LAST, MRPC, SST2, WEBNLG, cell, lost, scored, text_cell

HUGE = pytest.param(10**400, id="huge")
SVG = "{http://www.w3.org/2000/svg}"


def material(records, columns=(SST2,), title="GLUE", files=None) -> Material:
    return Material("glue", title, laid_out(records, columns, title, []), files=files or Files())


def runs(methods=("lora", "adapter"), seeds=3, task="sst2", cost=None, **fields):
    """Scores that rise with the number of the method, and costs too."""
    return [
        scored(
            cell(method, task, seed, **fields),
            0.8 + 0.01 * number + 0.001 * seed,
            {"trained_params": 10**number, "train_flops": 10**9, **(cost or {})},
        )
        for number, method in enumerate(methods, start=3)
        for seed in range(seeds)
    ]


def texts(svg: str) -> str:
    """Everything that is written, line after line."""
    return "\n".join("".join(e.itertext()) for e in ElementTree.fromstring(svg).iter(f"{SVG}text"))


@pytest.fixture
def one():
    return plots(material(runs()))[0]


def test_names_are_of_files_and_never_twice():
    parts = (*material(runs()).parts, *material(runs(), title="GLUE!").parts)
    names = [plot.name for plot in plots(Material("x", "x", parts))]
    assert names[:3] == [
        "scores-glue-minilm",
        "score-params-glue-minilm",
        "score-flops-glue-minilm",
    ]
    assert "scores-glue-minilm-2" in names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_kinds_stand_in_a_fixed_order_whatever_the_order_of_records():
    there, back = (plots(material(found)) for found in (runs(), runs()[::-1]))
    assert [(p.name, p.caption) for p in there] == [(p.name, p.caption) for p in back]
    assert there[0].svg() == back[0].svg()


def test_nothing_is_drawn_before_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(matplotlib.figure.Figure, "__init__", None)
    assert plots(material(runs()))


def test_records_of_nothing_give_no_plot():
    failed = [lost(cell("lora", "sst2", seed), "boom") for seed in range(3)]
    assert plots(material(failed)) == []
    assert plots(Material("x", "x", ())) == []


def test_one_method_gives_no_comparison():
    assert plots(material(runs(["lora"]))) == []


@pytest.mark.parametrize("form", ["pdf", "png", "svg"])
def test_equal_material_gives_equal_bytes(tmp_path, form):
    for name in ("a", "b"):
        plots(material(runs()))[1].save(tmp_path / f"{name}.{form}")
    made = (tmp_path / f"a.{form}").read_bytes()
    assert made == (tmp_path / f"b.{form}").read_bytes()
    assert made.startswith({"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<svg "}[form])
    assert b"CreationDate" not in made and b"<dc:date" not in made


def test_pdf_holds_true_type_fonts(one, tmp_path):
    one.save(tmp_path / "a.pdf")
    assert b"/CIDFontType2" in (tmp_path / "a.pdf").read_bytes()


def test_png_has_200_dots_an_inch(one, tmp_path):
    from PIL import Image

    one.save(tmp_path / "a.PNG")
    with Image.open(tmp_path / "a.PNG") as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.width == 660


def test_another_ending_is_refused(one, tmp_path):
    with pytest.raises(ValueError, match=r"expected .*\.pdf, \.png, \.svg, got 'a\.jpg'"):
        one.save(tmp_path / "a.jpg")


def test_style_of_the_user_changes_nothing_and_is_left_alone(one):
    made = one.svg()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.color": "green"}):
        before = dict(matplotlib.rcParams)
        assert one.svg() == made
        assert dict(matplotlib.rcParams) == before


def test_threads_draw_at_once(one):
    found = plots(material(runs()))[:2]
    alone = [plot.svg() for plot in found]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda plot: plot.svg(), found * 2)] == alone * 2


def test_svgs_share_a_page_without_sharing_identifiers():
    made = [plot.svg() for plot in plots(material(runs()))[:2]]
    one, other = (set(re.findall(r'\bid="([^"]+)"', text)) for text in made)
    assert one and not one & other
    assert not any("<style" in text or "<!DOCTYPE" in text for text in made)
    for text in made:
        own = set(re.findall(r'\bid="([^"]+)"', text))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= own
        assert ElementTree.fromstring(text).get("role") == "img"


def test_drawing_needs_no_pyplot():
    code = (
        "import sys; from tests.test_plots import *; plots(material(runs(seeds=1)))[1].svg();"
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_generated_data_are_named_in_every_picture():
    for plot in plots(material(runs(data="sample@1", seeds=1), title="G" * 300)):
        written = texts(plot.svg())
        assert "(GENERATED DATA)" in written.replace("\n", " ")
        assert "GENERATED DATA" in plot.title


def test_selection_on_the_reported_split_is_named_in_every_picture():
    peeked = [
        replace(record, where={**record.where, "selection": "dev: the best epoch"})
        for record in runs()
    ]
    for plot in plots(material(peeked)):
        assert "selected on the reported split" in texts(plot.svg()).replace("\n", " ")
    assert LAST not in plots(material(peeked))[0].title


HOSTILE = [
    r"$\frac{a$^_%#~\\",
    "two\nlines\tand\x00a\x1bnul",
    "<script>alert('x')</script>&amp;",
    "\N{SNOWMAN}\u202e\u4e2d\u6587",
    "]]>--><!--",
    "x" * 500,
    "{}%s{0}",
]


def start(label: str) -> str:
    """How the text begins in a picture."""
    word = "".join(c for c in label if c.isprintable() or c.isspace()).split()[0][:5]
    return re.sub("[\u4e00-\u9fff]", "\N{REPLACEMENT CHARACTER}", word)


def test_hostile_labels_are_shown_as_text():
    found = runs(HOSTILE, seeds=2)
    found = [replace(r, where={**r.where, "selection_scores": [0.1, 0.2]}) for r in found]
    made = plots(material(found))
    assert [plot.name.partition("-glue")[0] for plot in made][-1] == "epochs"
    for plot in (made[0], made[1], made[-1]):
        written = texts(plot.svg())
        assert all(start(label) in written for label in HOSTILE)
        assert not {"\n", "\0", "\x1b", "\u202e"} & {*plot.title, *plot.caption, *written} - {"\n"}


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_title_is_shown_as_text(title):
    plot = plots(material(runs(seeds=1), title=title))[0]
    assert start(title) in texts(plot.svg())
    assert "\n" not in plot.title


def test_label_with_unknown_letters_is_told_of():
    assert "font lacks" in plots(material(runs(["\u4e2d", "lora"])))[0].caption
    assert "font lacks" not in plots(material(runs()))[0].caption


@pytest.mark.parametrize("bad", [HUGE, math.inf, math.nan, 1e300, True, "12", None, -1])
def test_damaged_cost_leaves_its_method_out_and_says_so(bad):
    found = runs(["lora", "adapter", "odd"])
    found = [
        replace(r, cost={**r.cost, "trained_params": bad}) if r.cell.label == "odd" else r
        for r in found
    ]
    plot = next(p for p in plots(material(found)) if p.name.startswith("score-params"))
    assert "Left out" in plot.caption and "odd" in plot.caption.partition("Left out")[2]


@pytest.mark.parametrize("bad", [HUGE, math.inf, math.nan, 1e300, None])
def test_damaged_score_is_left_out_and_told_of(bad):
    found = runs(["lora", "adapter", "odd"])
    found = [replace(r, metrics={"accuracy": bad}) if r.cell.label == "odd" else r for r in found]
    plot = plots(material(found))[0]
    assert "Of 9 runs 3 have no finite score: failed, skipped or undefined." in plot.caption
    assert "odd" not in texts(plot.svg())


def rich(folder) -> Material:
    """Three methods that differ in one number, three tasks and seeds; logs, draws and parts."""
    parts = ("forward_flops", "activation_gradient_flops", "weight_gradient_flops")
    columns = [replace(SST2, task=f"t{n}", title=f"T{n}") for n in range(3)]
    store, found = Store(folder), []
    for rank in (2, 4, 8):
        for seed in range(3):
            for column in columns:
                record = scored(
                    replace(cell(f"r{rank}", column.task, seed), method=f"lora[rank={rank}]"),
                    0.5 + rank / 100 + seed / 1000,
                    {
                        "trained_params": rank,
                        "train_flops": 9,
                        "train_seconds": 1,
                        "peak_memory_bytes": 5,
                    }
                    | dict.fromkeys(parts, 3)
                    | {"memory_source": "CUDA allocator", "served_params": 12},
                    selection_scores=[0.1, 0.2],
                    device="cpu",
                    candidate=f"cut[rank={rank}]",
                )
                with store.writing(record.cell) as draft:
                    (draft / "record.json").write_text(record.to_json())
                    lines = [{"step": s, "loss": 1 / s} for s in range(1, 9)]
                    (draft / "log.txt").write_text("\n".join(map(json.dumps, lines)))
                found.append(replace(record, primary="accuracy"))
    draws = scored(
        replace(cell("drawn", "t0", 0), method="served[by=chance]", parents=(found[0].cell.key,)),
        0.5,
        draws={"accuracy": [0.4, 0.5]},
        sweep=merges.sweep(),
        barrier=merges.barrier(),
        soup=merges.soup(),
    )
    untrained = [
        scored(
            replace(cell("logme", "t0", rank), method="logme"),
            {"accuracy": None},
            logme={"evidence": rank, "candidate": f"cut[rank={rank}]"},
        )
        for rank in (2, 4, 8)
    ]
    return material([*found, draws, *untrained], columns, files=Files(store))


def test_rich_records_have_every_kind(tmp_path):
    made = rich(tmp_path)
    assert all(kind.plots(scenes(made)[0]) for kind in KINDS)
    found = plots(made)
    assert [plot.name.removesuffix("-glue-minilm") for plot in found] == [
        *("scores", "score-params", "score-flops", "score-time", "score-memory", "profiles"),
        *("option-rank", "routings", "coefficients", "barriers", "soups", "ranks"),
        *("loss", "epochs", "flops"),
    ]
    for plot in found:
        assert plot.title[:5] in texts(plot.svg())
        assert plot.caption.endswith(".") and "  " not in plot.caption


def test_method_looks_the_same_in_every_part():
    parts = (*material(runs(["a", "b"])).parts, *material(runs(["c", "b"]), title="Other").parts)
    one, other = scenes(Material("x", "x", parts))
    assert one.looks["b"] == other.looks["b"]
    assert one.looks["a"] != other.looks["c"]


def test_looks_differ():
    found = looks(map(str, range(200)))
    assert len(set(found.values())) == 200
    pairs = [(look.colour, look.marker) for look in found.values()]
    assert len(set(pairs[:63])) == 63


# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, table 1, severity 1; linear RGB
SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


def lightness(colour: str, sight) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as somebody sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(sight @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_are_told_apart_by_everybody(sight):
    seen = {colour: lightness(colour, SIGHT[sight]) for colour in COLOURS}
    nearest = min(np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(COLOURS, 2))
    assert nearest > 15  # of 100 between black and white; about 2 are just noticeable
    assert max(lab[0] for lab in seen.values()) < 80  # on white paper


def test_metrics_of_one_task_share_a_picture():
    found = [
        scored(
            text_cell(method, "webnlg"),
            dict.fromkeys(WEBNLG.shown, 0.1 * number),
            {"trained_params": 10**number},
        )
        for number, method in enumerate(["lora", "full"], start=1)
    ]
    found = [replace(record, primary="BLEU") for record in found]
    first, params, *_ = plots(material(found, [WEBNLG]))
    assert "TER U (lower is better)" in texts(first.svg())
    assert "BLEU A" in texts(params.svg()) and "BLEU U" not in texts(params.svg())


def test_tasks_without_a_common_unit_have_panels_of_their_own():
    falls = replace(MRPC, primary="loss", shown=("loss",))
    found = runs(["a", "b"]) + [
        scored(cell(method, "mrpc", seed), {"loss": 2.0 + seed}, {"trained_params": 10**4})
        for method in ("a", "b")
        for seed in range(3)
    ]
    plot = next(p for p in plots(material(found, [SST2, falls])) if "params" in p.name)
    assert "lower is better" in texts(plot.svg())
    assert "Mean" not in texts(plot.svg())
