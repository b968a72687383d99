import math
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.store import Store
from reports.files import Files
from reports.plots import lettering, scale
from reports.plots.averages import judged, metric_label, score_label
from reports.plots.frame import built_on, frame, number
from reports.plots.labels import AIR, Box, place
from reports.plots.lettering import (
    COUNT,
    FLOPS,
    SECONDS,
    cut,
    inches,
    listed,
    named,
    plain,
    wrapped,
)
from reports.plots.scene import scenes
from reports.plots.varied import options, varied
from tests.records import DART, MNLI, MRPC, SST2, WEBNLG, cell, lost, scored, text_cell
from tests.test_plots import HUGE, material, runs

TEXT = st.text(max_size=60)
PLACES = st.tuples(st.floats(20, 380), st.floats(20, 280))


def block(records, columns=(SST2,)):
    return scenes(material(records, columns))[0].block


def row(records, columns=(SST2,), files=None):
    return frame(block(records, columns), files).iloc[-1]


def test_frame_has_a_row_for_every_run_in_reading_order():
    found = [*runs(["b", "a"], 2), lost(cell("a", "sst2", 9), "boom")]
    made = frame(block(found))
    assert [*zip(made["method"], made["seed"], made["status"], strict=True)] == [
        *(("a", 0, "ok"), ("a", 1, "ok"), ("a", 9, "failed")),
        *(("b", 0, "ok"), ("b", 1, "ok")),
    ]
    assert made["score"].tolist()[:2] == pytest.approx([84.0, 84.1])
    assert math.isnan(made["score"].tolist()[2])
    assert {*made["panel"]} == {"SST-2"} and made["column"].tolist() == [0] * 5


def test_frame_has_the_unit_of_each_column_and_marks_what_a_task_is_judged_by():
    found = [
        replace(
            scored(text_cell(task="dart"), {"BLEU": 41.5, "METEOR": 0.4, "TER": 0.5}),
            primary="BLEU",
        )
    ]
    made = frame(block(found, [DART]))
    assert made["score"].tolist() == [41.5, 0.4, 0.5]
    assert made["main"].tolist() == [True, False, False]
    assert judged(block(found, [DART]), made) == [0]
    bare = frame(block([replace(found[0], primary="")], [DART]))
    assert judged(block(found, [DART]), bare) == [0]


@pytest.mark.parametrize(
    ("value", "kept"),
    [(3, 3.0), (0.5, 0.5), (-2, -2.0), (1e30, 1e30), (5e-324, 0.0)],
)
def test_number_is_kept(value, kept):
    assert number(value) == kept


@pytest.mark.parametrize("value", [HUGE, 1e31, math.inf, math.nan, True, "3", None, [3]])
def test_anything_else_is_no_number(value):
    assert math.isnan(number(value))


def test_cost_counts_the_runs_that_a_run_builds_on():
    base = scored(cell("base"), 0.5, {"train_flops": 7, "train_seconds": 2.0})
    child = scored(replace(cell("child"), parents=(base.cell.key,)), 0.5, {"train_flops": 1})
    found = frame(block([base, child])).set_index("method")
    assert found.loc["child", ["train_flops", "own_train_flops"]].tolist() == [8, 1]
    assert found.loc["base", "train_flops"] == 7


def test_recorded_need_goes_before_what_is_looked_up():
    base = scored(cell("base"), 0.5, {"train_flops": 7})
    child = scored(
        replace(cell("child"), parents=(base.cell.key,)),
        0.5,
        {"train_flops": 1, "needed_train_flops": 100},
    )
    assert row([base, child])["train_flops"] == 101


def test_parent_may_stand_in_the_store_alone(tmp_path):
    store = Store(tmp_path)
    base = scored(cell("base"), 0.5, {"train_flops": 7})
    child = scored(replace(cell("child"), parents=(base.cell.key,)), 0.5, {"train_flops": 1})
    assert math.isnan(row([child], files=Files(store))["train_flops"])
    with store.writing(base.cell) as draft:
        (draft / "record.json").write_text(base.to_json())
    assert row([child], files=Files(store))["train_flops"] == 8
    (tmp_path / base.cell.key / "record.json").write_text("{")
    assert math.isnan(row([child], files=Files(store))["train_flops"])


def test_making_the_model_is_no_cost_of_a_run():
    made = scored(
        replace(cell("a"), parents=("abc", "def")), 0.5, {"train_flops": 1}, made_by=["abc", "def"]
    )
    assert built_on(made) == [] and row([made])["train_flops"] == 1


def test_labels_say_metric_unit_and_direction():
    times = "\N{MULTIPLICATION SIGN} 100"
    assert score_label([SST2]) == f"SST-2: accuracy {times}"
    assert score_label([SST2, MRPC]) == f"Mean accuracy {times} over 2 tasks"
    assert score_label([SST2, MNLI]) == f"Mean primary score {times} over 2 tasks"
    assert metric_label([WEBNLG.each()[-1]]) == "TER A (lower is better)"
    assert score_label([WEBNLG.each()[-1]]) == "TER A (lower is better)"


@given(TEXT, st.floats(0.3, 3))
def test_cut_text_fits_and_starts_as_the_whole(text, most):
    whole = plain(text)
    made = cut(text, most, 6)
    assert inches(made, 6) <= most
    assert made == whole or (made.endswith("…") and whole.startswith(made[:-1]))
    assert (made == whole) == (inches(whole, 6) <= most)


@given(TEXT, st.floats(0.3, 3))
def test_cut_name_fits_and_keeps_both_ends(text, most):
    whole, made = plain(text), named(text, most, 6)
    assert inches(made, 6) <= most
    if made != whole:
        start, _, end = made.rpartition("…") if "…" not in whole else (whole, "", "")
        assert whole.startswith(start) and whole.endswith(end)
        assert inches(whole, 6) > most


@given(st.text(max_size=300), st.integers(1, 4))
@example("\N{MATHEMATICAL SANS-SERIF CAPITAL A}", 1)  # the bold font lacks it
def test_wrapped_text_fits_and_loses_nothing_it_has_room_for(text, lines):
    made = wrapped(text, 2, 8, lines, bold=True)
    assert made.count("\n") < lines
    assert all(inches(line, 8, bold=True) <= 2 for line in made.split("\n"))
    if "…" not in made:
        assert "".join(made.split()) == "".join(plain(text).split())


def test_wrapped_text_keeps_its_end():
    made = wrapped("word " * 200 + "(GENERATED DATA)", 3, 8, 3)
    assert made.replace("\n", " ").endswith("(GENERATED DATA)") and made.startswith("word word")
    assert "…" in made and made.count("\n") == 2


@given(st.text())
def test_plain_text_is_one_line_of_letters_that_the_font_has(text):
    made = plain(text)
    assert "\n" not in made and made == plain(made)
    assert all(ord(c) in lettering._characters() for c in made)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (770, "770"),
        (811_392, "811 k"),
        (999_999, "1 M"),
        (1.99e6, "1.99 M"),
        (2e12, "2 T"),
    ],
)
def test_short_number(value, told):
    assert lettering.short(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *((0, "0"), (0.25, "0.25"), (-3, "\N{MINUS SIGN}3"), (100_000, "100000")),
        (1e-5, "10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT FIVE}"),
        (2.5e6, "2.5\N{MULTIPLICATION SIGN}10\N{SUPERSCRIPT SIX}"),
        (math.inf, ""),
    ],
)
def test_tick(value, told):
    assert lettering.tick(value) == told


def test_unit_suits_the_greatest():
    assert lettering.unit(COUNT, [5, 2e6]).name == "millions"
    assert lettering.unit(FLOPS, [3e13]).name == "TFLOP"
    assert lettering.unit(SECONDS, [90, 7200]).name == "hours"
    assert lettering.unit(COUNT, [0]).name == ""


def test_lists_and_slugs():
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh"), 4) == "a, b, c and 5 others"
    assert lettering.slug("GLUE: dév/../split", "org/Model") == "glue-dev-split-org-model"
    assert lettering.slug("中") == "plot" and len(lettering.slug("a" * 999)) <= 60


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e12)), min_size=1, max_size=8))
def test_every_cost_is_inside_its_axis_in_order(costs):
    how = scale.scale(costs)
    at = [how.at(cost) for cost in sorted(costs)]
    assert at == sorted(at) and how.low <= at[0] and at[-1] <= how.high
    above = [cost for cost in costs if cost]
    assert how.logarithmic == bool(above and max(above) > 10 * min(above))
    assert (how.zero is not None) == (how.logarithmic and 0 in costs)
    if how.logarithmic:
        assert how.low > 0 and (how.zero is None or how.zero < min(above))


@given(st.floats(-7, 12), st.floats(0.4, 15))
def test_ticks_of_decades_are_few_round_and_inside(low, span):
    found = scale.decades(low, low + span)
    assert len(found) <= 9
    assert all(10**low * 0.999 <= tick <= 10 ** (low + span) * 1.001 for tick in found)
    assert all(f"{tick:.0e}"[0] in "125" for tick in found)
    assert found or span < 0.41


@settings(max_examples=60)
@given(st.lists(PLACES, min_size=1, max_size=9), st.integers(20, 90))
def test_placed_names_touch_neither_each_other_nor_points(points, width):
    inside = Box(0, 0, 400, 300)
    sizes = {i: (float(width), 12.0) for i in range(0, len(points), 2)}
    made = place(points, sizes, inside, 4)
    assert made == place(points, sizes, inside, 4)
    if made is None:
        assert len(points) > 1
        return
    assert made.keys() == sizes.keys()
    boxes = [*made.values()]
    for i, box in enumerate(boxes):
        assert box.within(inside)
        assert (box.right - box.left, box.high - box.low) == pytest.approx((width, 12))
        assert not any(box.meets(other) for other in boxes[i + 1 :])
        assert not any(box.holds(point) for point in points)


def test_name_stands_beside_its_point_and_off_lines():
    free = place([(200.0, 150.0)], {0: (50.0, 10.0)}, Box(0, 0, 400, 300), 4)
    assert free and free[0].left == pytest.approx(200 + 4 + 5)
    line = [(200.0 + step, 150.0) for step in range(0, 100, 5)]
    moved = place([(200.0, 150.0)], {0: (50.0, 10.0)}, Box(0, 0, 400, 300), 4, line)
    assert moved and not any(moved[0].holds(point) for point in line)


def test_names_without_room_are_not_placed():
    points = [(50.0, 50.0), (60.0, 50.0)]
    assert place(points, {0: (90.0, 50.0), 1: (90.0, 50.0)}, Box(0, 0, 100, 100), 4) is None


@given(st.floats(0, 9), st.floats(0, 9))
def test_boxes_meet_both_ways(x, y):
    one, other = Box(0, 0, 4, 4), Box(x, y, x + 4, y + 4)
    assert one.meets(other) == other.meets(one) == (x < 4 + AIR and y < 4 + AIR)


def test_options_have_paths():
    assert options("mix[of=low[rank=8,to=q+v],parts=4]") == {
        "": "mix",
        "of": "low",
        "of.rank": "8",
        "of.to": "q+v",
        "parts": "4",
    }
    assert options("head") == {"": "head"}


@given(st.text("ab=,[]1", max_size=40))
def test_any_text_has_options(text):
    assert all(isinstance(value, str) for value in options(text).values())


def test_deep_text_has_options():
    assert len(options("a[b=" * 5_000)) < 30


def asked(label, method, seed=0, task="sst2", recipe="adamw[batch=64,lr=0.0004]", score=0.5):
    return scored(replace(cell(label, task, seed), method=method, recipe=recipe), score)


def test_rows_that_differ_in_one_number_are_found():
    found = [
        *(asked(f"w{w}", f"mix[of=low[width={w}],parts=4]") for w in (16, 8, 32)),
        asked("p8", "mix[of=low[width=8],parts=8]"),
        asked("other", "mix[of=high[width=8],parts=4]"),
        asked("late", "mix[of=low[width=64],parts=4]", recipe="adamw[batch=64,lr=1]"),
    ]
    (one,) = varied(block(found))
    assert (one.path, one.option) == ("method.of.width", "width")
    (line,) = one.lines
    assert [*line.rows.items()] == [(8, "w8"), (16, "w16"), (32, "w32")]


def test_numbers_of_recipes_count_and_those_of_streams_do_not():
    def of(option):
        return [
            asked(f"{option}{n}", "low[rank=1]", recipe=f"adamw[{option}={n}]") for n in (1, 2, 3)
        ]

    assert [one.path for one in varied(block(of("lr")))] == ["recipe.lr"]
    assert varied(block(of("order"))) == []
    assert varied(block(of("lr")[:2])) == []


def test_recipes_may_differ_from_task_to_task():
    found = [
        asked(f"w{w}", f"low[width={w}]", task=task, recipe=f"adamw[epochs={epochs}]")
        for w in (1, 2, 3)
        for task, epochs in (("sst2", 3), ("mrpc", 2))
    ]
    (one,) = varied(block(found, [SST2, MRPC]))
    assert [line.column for line in one.lines] == [0, 1]


def test_words_are_no_numbers():
    found = [asked(w, f"low[width={w}]") for w in ("none", "1", "2", "nan", "inf")]
    assert varied(block(found)) == []
