"""Plots of merges and of model selection: what is drawn are the facts of the records."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from reports import ranks as rankings
from reports.agreement import footnotes
from reports.plots import barriers, coefficients, plots, ranks, soups
from reports.plots.seeds import common, line
from reports.tables import tables
from tests.merges import (
    GRID,
    MIX,
    PARTS,
    POINTS,
    TUNED,
    barrier,
    candidate,
    mixed,
    selection,
    soup,
    sweep,
)
from tests.records import MRPC, SST2, cell, lost, scored
from tests.test_plots import HOSTILE, HUGE, material, start, texts
from tests.test_plots_contents import drawn, lines, scene

SOUP = 0.775
NULLS = [None, HUGE.values[0], True, "x", math.nan]


def swept(method="taskvector", seeds=1, chosen=0.8, **more):
    told = [{**sweep(seed, chosen), **more} for seed in range(seeds)]
    return [mixed(method, 0.8, seed, sweep=one) for seed, one in enumerate(told)]


def aligned(method="rebasin", seeds=1, **more):
    return [mixed(method, 0.8, seed, barrier=barrier(seed, **more)) for seed in range(seeds)]


def cooked(method="soup", seeds=1, kept=(3, 1), **more):
    return [
        scored(cell(method, "sst2", seed), SOUP, soup={**soup(seed, kept), **more})
        for seed in range(seeds)
    ]


def figure(kind, records, columns=(MIX,)):
    (plot,) = kind.plots(scene(records, columns))
    return drawn(plot)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


def told(axes):
    return [text.get_text() for text in axes.texts]


KINDS = {
    coefficients: (swept, (MIX,)),
    barriers: (aligned, (MIX,)),
    soups: (cooked, (SST2,)),
    ranks: (selection, (SST2,)),
}
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.split(".")[-1])


@EACH
def test_nothing_is_drawn_where_no_record_tells(kind):
    make, columns = KINDS[kind]
    bare = [replace(record, where={}) for record in make()]
    assert kind.plots(scene(bare, columns)) == []
    assert kind.plots(scene([lost(record.cell, "boom") for record in make()], columns)) == []


@EACH
@pytest.mark.parametrize("bad", [None, 7, "x", [], {}, [[]], {"values": 3, "points": "x"}])
def test_damaged_facts_draw_nothing(kind, bad):
    make, columns = KINDS[kind]
    names = ("sweep", "barrier", "soup", "logme")
    odd = [
        replace(r, where={name: bad if name in names else r.where[name] for name in r.where})
        for r in make()
    ]
    assert kind.plots(scene(odd, columns)) == []


@EACH
def test_plot_is_named_and_told_and_written_in_every_form(kind, tmp_path):
    make, columns = KINDS[kind]
    (plot,) = kind.plots(scene(make(), columns))
    assert plot in plots(material(make(), columns))
    assert plot.name.startswith(kind.__name__.split(".")[-1])
    assert plot.caption.endswith(".") and "  " not in plot.caption
    for form in ("png", "svg", "pdf"):
        plot.save(tmp_path / f"a.{form}")
        assert (tmp_path / f"a.{form}").stat().st_size > 2_000
    assert plot.title.split()[0] in texts(plot.svg())


@EACH
def test_order_of_records_changes_nothing(kind):
    make, columns = KINDS[kind]
    there, back = (kind.plots(scene(found, columns))[0] for found in (make(), make()[::-1]))
    assert (there.svg(), there.caption) == (back.svg(), back.caption)


@pytest.mark.parametrize("make, kind", [(swept, coefficients), (aligned, barriers)])
def test_panels_are_methods_and_at_most_twelve(make, kind):
    found = [record for n in range(10) for record in make(f"m{n}")]
    assert [a.get_title("left") for a in figure(kind, found).axes] == [f"m{n}" for n in range(10)]
    found += [record for n in range(10, 14) for record in make(f"x{n}")]
    (plot,) = kind.plots(scene(found, [MIX]))
    assert len(drawn(plot).axes) == 12 and "2 more panels are left out." in plot.caption


@EACH
def test_hostile_labels_are_shown_as_text_inside_the_picture(kind):
    make, columns = KINDS[kind]
    if kind is ranks:
        found = selection()
        for record, label in zip(found, [label for label in HOSTILE for _ in (0, 1)], strict=False):
            where = record.where.get("logme", record.where)
            where["candidate"] = label
    else:
        found = [record for label in HOSTILE for record in make(label)]
        for record, label in zip(found, HOSTILE, strict=True):
            for run in record.where.get("soup", {}).get("runs", ()):
                run["told"] = label
            if "sweep" in record.where:
                record.where["sweep"] |= {"of": label, "rule": label}
                record.where["sweep"]["selection"][label] = GRID
    (plot,) = kind.plots(scene(found, columns))
    written = texts(plot.svg())
    assert all(start(label) in written for label in HOSTILE)
    assert not {"\0", "\x1b", "\u202e"} & {*plot.title, *plot.caption, *written}
    made = drawn(plot)
    box = made.get_tightbbox(FigureCanvasAgg(made).get_renderer())
    assert box.x0 >= -0.01 and box.y0 >= -0.01
    assert box.x1 <= made.get_size_inches()[0] + 0.01
    assert box.y1 <= made.get_size_inches()[1] + 0.01


def test_coefficients_are_the_scores_of_the_sweep_in_percent():
    made = figure(coefficients, swept())
    (axes,) = made.axes
    found, by_hand = lines(axes), sweep()["selection"]
    for name in ("mean", *PARTS):
        assert found[name] == [GRID, pytest.approx([100 * score for score in by_hand[name]])]
    assert legend(made) == ["Mean", *PARTS.values(), "chosen"]
    assert (axes.get_xlabel(), axes.get_title("left")) == ("scale", "taskvector")
    assert axes.get_ylabel() == "Selection score × 100"  # noqa: RUF001
    wide = {x.get_label(): x.get_linewidth() for x in axes.get_lines()}
    assert wide["mean"] > max(wide[name] for name in PARTS)


def test_chosen_coefficient_is_marked_on_the_mean():
    (axes,) = figure(coefficients, swept(chosen=0.6)).axes
    at = sweep()["selection"]["mean"][GRID.index(0.6)]
    assert lines(axes)["_chosen"] == [[0.6], [pytest.approx(100 * at)]]
    assert any([*x.get_xdata()] == [0.6, 0.6] for x in axes.get_lines())
    (axes,) = figure(coefficients, swept(chosen=None)).axes
    assert "_chosen" not in lines(axes)
    off_grid = figure(coefficients, swept(chosen=0.65))
    assert math.isnan(lines(off_grid.axes[0])["_chosen"][1][0])


def test_chosen_of_several_seeds_is_marked_once_a_value():
    found = [mixed("t", 0.8, n, sweep=sweep(n, c)) for n, c in enumerate((0.8, 0.8, 0.9))]
    (axes,) = figure(coefficients, found).axes
    marks = {
        x.get_xdata()[0]: x.get_ydata()[0] for x in axes.get_lines() if x.get_label() == "_chosen"
    }
    first, second = (sweep(n)["selection"]["mean"][GRID.index(0.8)] for n in (0, 1))
    assert marks[0.8] == pytest.approx(50 * (first + second)) and set(marks) == {0.8, 0.9}


def test_seeds_are_faint_lines_and_bands_about_their_mean():
    (axes,) = figure(coefficients, swept(seeds=3)).axes
    each = np.array([sweep(n)["selection"]["mean"] for n in range(3)])
    assert lines(axes)["mean"][1] == pytest.approx(100 * each.mean(axis=0))
    faint = [x for x in axes.get_lines() if x.get_label() == "_seed"]
    assert [[*x.get_ydata()] for x in faint] == [pytest.approx([*100 * one]) for one in each]
    assert len(axes.collections) == len(PARTS)
    of_part = 100 * np.array([sweep(n)["selection"]["sst2"] for n in range(3)])
    band = axes.collections[0].get_paths()[0].vertices
    for x, ends in zip(GRID, zip(of_part.min(0), of_part.max(0), strict=True), strict=True):
        assert {*np.round(ends, 6)} == {*np.round(band[band[:, 0] == x, 1], 6)}
    assert len(figure(coefficients, swept()).axes[0].collections) == 0


@pytest.mark.parametrize("null", NULLS)
def test_undefined_score_of_a_sweep_leaves_a_gap(null):
    told = sweep()
    told["selection"]["mean"][3] = null
    (axes,) = figure(coefficients, [mixed("t", 0.8, sweep=told)]).axes
    x, y = lines(axes)["mean"]
    assert x == GRID and math.isnan(y[3]) and np.isfinite(np.delete(y, 3)).all()


def test_sweep_needs_two_scores_and_as_many_as_values():
    short = sweep()
    short["selection"] = {"mean": short["selection"]["mean"][:-1], "sst2": [0.5] + [None] * 20}
    assert coefficients.plots(scene([mixed("t", 0.8, sweep=short)], [MIX])) == []


def test_parts_beyond_eight_are_left_out_and_named():
    told = sweep()
    told["selection"] |= {f"part{n}": GRID for n in range(8)}
    (plot,) = coefficients.plots(scene([mixed("t", 0.8, sweep=told)], [MIX]))
    assert "Parts left out for want of room: part5, part6 and part7." in plot.caption
    assert "part7" not in lines(drawn(plot).axes[0])


def test_sweep_of_a_common_task_has_its_metrics():
    told_of = {**sweep(), "selection": {"accuracy": GRID, "f1": GRID[::-1]}}
    found = [
        scored(cell("t", task), {"accuracy": 0.5, "f1": 0.5}, sweep=told_of)
        for task in ("sst2", "mrpc")
    ]
    (plot,) = coefficients.plots(scene(found, (SST2, MRPC)))
    made = drawn(plot)
    assert [axes.get_title("left") for axes in made.axes] == ["t on SST-2", "t on MRPC"]
    assert legend(made) == ["primary metric", "f1", "chosen"]
    assert lines(made.axes[0])["mean"][1] == pytest.approx([100 * x for x in GRID])
    assert "what the task is judged by, each thin one a metric besides." in plot.caption


@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=6, unique=True), max_size=4))
def test_mean_of_seeds_is_where_all_of_them_have_a_point(grids):
    made = [line(grid, [x + n for x in grid]) for n, grid in enumerate(grids)]
    shared = sorted(set.intersection(*map(set, grids))) if grids else []
    found = common(made)
    if not shared:
        assert found is None
        return
    assert [*found.x] == shared
    assert [*found.y] == pytest.approx([x + (len(grids) - 1) / 2 for x in shared])


def test_barrier_curves_are_the_losses_of_the_record():
    made = figure(barriers, aligned())
    (axes,) = made.axes
    told_of = barrier()
    for kind in ("naive", "aligned"):
        for split in ("train", "test"):
            found = lines(axes)[f"{kind} {split}"]
            assert found == [pytest.approx(POINTS), pytest.approx(told_of[kind][split])]
    assert legend(made) == ["naive, test", "naive, train", "aligned, test", "aligned, train"]
    looks = {x.get_label(): (x.get_color(), x.get_linestyle()) for x in axes.get_lines()}
    assert len(set(looks.values())) == 4
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("Loss (nats)", "Weight of the second model")


def test_barrier_heights_are_those_of_the_record_and_means_over_seeds():
    one = barrier(0, high=1.0, low=0.5)
    one["height"]["aligned"] = {"test": 0.0123, "train": -0.05}
    (axes,) = figure(barriers, [mixed("r", 0.8, barrier=one)]).axes
    assert told(axes) == [
        "Barrier, test: naive 1.00, aligned 0.012\nBarrier, train: naive 1.00, aligned −0.050"  # noqa: RUF001
    ]
    several = [mixed("r", 0.8, n, barrier=barrier(n, high=1.0 + n)) for n in range(3)]
    (axes,) = figure(barriers, several).axes
    assert "Barrier, test: naive 2.00, aligned 0.20" in told(axes)[0]
    assert len([x for x in axes.get_lines() if x.get_label() == "_seed"]) == 12


def test_identity_is_said_where_it_was():
    (axes,) = figure(barriers, aligned(seeds=2, identity=True)).axes
    assert told(axes)[0].endswith("\naligned by the identity")
    mixed_seeds = aligned(seeds=2)
    mixed_seeds[1].where["barrier"]["identity"] = True
    (axes,) = figure(barriers, mixed_seeds).axes
    assert told(axes)[0].endswith("\naligned by the identity at seed 1")
    assert "identity" not in told(figure(barriers, aligned(identity=1)).axes[0])[0]


@pytest.mark.parametrize("seeds, high, count", [(1, 1.2, 1), (3, 0.01, 2), (2, 30_000.0, 10)])
def test_what_a_barrier_tells_is_on_no_curve(seeds, high, count):
    found = [
        mixed(f"m{m}", 0.8, n, barrier=barrier(n, high=high, identity=True))
        for m in range(count)
        for n in range(seeds)
    ]
    made = figure(barriers, found)
    renderer = FigureCanvasAgg(made).get_renderer()
    for axes in made.axes:
        (box,) = (text.get_window_extent(renderer) for text in axes.texts)
        frame = axes.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and box.y1 <= frame.y1
        for curve in axes.get_lines():
            assert axes.transData.transform(curve.get_xydata())[:, 1].max() < box.y0


@pytest.mark.parametrize("null", NULLS)
def test_undefined_loss_leaves_a_gap_and_missing_curves_their_place(null):
    odd = barrier()
    odd["naive"]["test"][5] = null
    del odd["aligned"], odd["height"]["naive"]["train"], odd["height"]["aligned"]
    made = figure(barriers, [mixed("r", 0.8, barrier=odd)])
    assert math.isnan(lines(made.axes[0])["naive test"][1][5])
    assert legend(made) == ["naive, test", "naive, train"]
    assert told(made.axes[0]) == ["Barrier, test: naive 1.20"]


def points(axes, label):
    """(x, y, filled) of every line of the label."""
    return sorted(
        (x.get_xdata()[0], x.get_ydata()[0], x.get_markerfacecolor() != "white")
        for x in axes.get_lines()
        if x.get_label() == label
    )


def test_soup_has_a_mark_a_run_and_its_own():
    near = soup()["runs"][:5]
    made = figure(soups, cooked(runs=near), (SST2,))
    (axes,) = made.axes
    by_hand = sorted(
        (100 * r["selection"], 100 * r["test"], n in (1, 3)) for n, r in enumerate(near)
    )
    assert np.array(points(axes, "_run")) == pytest.approx(np.array(by_hand))
    assert lines(axes)["_soup"] == [[pytest.approx(81.25)], [pytest.approx(100 * SOUP)]]
    marks = {x.get_label(): x.get_marker() for x in axes.get_lines()}
    assert marks["_soup"] == "*" != marks["_run"]
    assert legend(made) == ["in the soup", "left out", "the soup"]
    assert sorted(told(axes)) == sorted(run["told"] for run in near)


def test_run_far_off_stands_at_the_edge_with_its_scores():
    (plot,) = soups.plots(scene(cooked()))
    (axes,) = drawn(plot).axes
    assert "lr=0.001 (62.0, 60.1)" in told(axes) and len(told(axes)) == 6
    assert "1 run stands far off" in plot.caption
    x, y, filled = points(axes, "_run")[0]
    assert axes.get_xlim()[0] < x < 77 and axes.get_ylim()[0] < y < 74 and not filled
    assert axes.get_xlim()[0] > 70


def test_soup_without_a_selection_score_is_a_line():
    for trace in ([], None, [None]):
        (plot,) = soups.plots(scene(cooked(trace=trace)))
        (axes,) = drawn(plot).axes
        assert lines(axes)["_soup"][1] == [pytest.approx(100 * SOUP)] * 2
        assert "is a line at its test score" in plot.caption


def test_soups_of_several_seeds_go_by_marks_of_their_own():
    made = figure(soups, cooked(seeds=3), (SST2,))
    (axes,) = made.axes
    assert legend(made)[:3] == ["seed 0", "seed 1", "seed 2"]
    assert len(points(axes, "_run")) == 18 and len(points(axes, "_soup")) == 3
    assert all("(" in text for text in told(axes))


@pytest.mark.parametrize("null", NULLS)
def test_run_without_a_score_is_left_out_and_the_kept_ones_stay(null):
    runs = soup()["runs"][:5]
    runs[0] = {**runs[0], "test": null}
    (axes,) = figure(soups, cooked(runs=runs, kept=(3, None, 1)), (SST2,)).axes
    found = points(axes, "_run")
    assert len(found) == 4 and sum(filled for *_, filled in found) == 2


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.floats(0, 100))
@example([80.0, 80.0, 81.0, 80.5], 5.0)
@example([20.0, 20.0, 19.0, 20.5], 95.0)
def test_span_has_its_core_and_more_than_half_of_the_values(values, core):
    found = soups.span([*values, core], [core])
    assert found.low < core < found.high
    inside = sum(found.side(value) == 0 for value in values)
    assert 2 * inside + 1 >= len(values)
    for value in values:
        assert found.low < found.at(value) < found.high


@pytest.mark.parametrize("kind, make", [(soups, cooked), (ranks, selection)])
def test_names_are_on_no_other_name_and_in_their_panel(kind, make):
    made = figure(kind, make(), (SST2,))
    renderer = FigureCanvasAgg(made).get_renderer()
    (axes,) = made.axes
    boxes, frame = [text.get_window_extent(renderer) for text in axes.texts], axes.bbox
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_ranks_have_a_point_a_candidate_and_tau_in_the_panel():
    (axes,) = figure(ranks, selection(), (SST2,)).axes
    found = lines(axes)
    assert found[candidate(4)] == [[-0.41], [pytest.approx(82)]]
    assert len([name for name in found if name.startswith("cut[")]) == len(TUNED)
    (one,) = rankings.ranked(selection())
    ends = f"{one.low:.2f} to {one.high:.2f}"
    assert told(axes)[0] == f"Kendall's tau {one.tau:.2f} ({ends})"
    assert sorted(told(axes)[1:])[0] == "layers=0, pool=mean"
    assert axes.get_xlabel() == "LogME evidence (nats a row)"
    assert axes.get_ylabel() == "Tuned: accuracy × 100"  # noqa: RUF001


def test_ranks_have_a_panel_a_task_in_the_order_of_the_columns():
    found = [*selection("sst2"), *selection("mrpc", 2, turned=True)]
    (plot,) = ranks.plots(scene(found, [SST2, MRPC]))
    made = drawn(plot)
    assert [axes.get_title("left") for axes in made.axes] == ["SST-2", "MRPC"]
    assert "tau −0.94" in told(made.axes[1])[0]  # noqa: RUF001
    assert "Kendall's tau, mean of 2 tasks: 0.00" in plot.caption
    assert "means over seeds" in plot.caption


def test_two_candidates_or_evidence_alone_are_no_ranking():
    assert ranks.plots(scene(selection()[:4])) == []
    assert ranks.plots(scene([r for r in selection() if "logme" in r.where])) == []
    assert len(ranks.plots(scene(selection()[:6]))) == 1


@pytest.mark.parametrize("null", [None, "x", True, math.nan])
def test_candidate_without_evidence_is_left_out(null):
    found = selection()
    found[0].where["logme"]["evidence"] = null
    (axes,) = figure(ranks, found, (SST2,)).axes
    assert candidate(0) not in lines(axes) and candidate(1) in lines(axes)


def test_many_candidates_have_numbers_and_a_legend():
    found = []
    for n in range(20):
        told_of = {"evidence": 0.01 * n, "candidate": f"cut[layers={n}]"}
        found.append(scored(cell(f"e{n}"), {"accuracy": None}, logme=told_of))
        found.append(scored(cell(f"c{n}"), 0.5 + 0.01 * n, candidate=f"cut[layers={n}]"))
    made = figure(ranks, [replace(r, primary="accuracy") for r in found], (SST2,))
    assert legend(made)[:3] == ["1 layers=0", "2 layers=1", "3 layers=2"]
    assert legend(made)[-1] == "20 layers=19"
    assert sorted(told(made.axes[0])[1:], key=int) == [*map(str, range(1, 21))]


def test_names_of_candidates_keep_what_tells_them_apart():
    assert ranks.short(["cut[a=1,b=2]", "cut[a=1,b=3]"]) == {
        "cut[a=1,b=2]": "b=2",
        "cut[a=1,b=3]": "b=3",
    }
    assert ranks.short(["cut[a=1]"]) == {"cut[a=1]": "cut, a=1"}
    assert ranks.short(["a", "a[b=1]"]) == {"a": "a", "a[b=1]": "b=1"}


def test_footnotes_tell_how_evidence_and_scores_agree():
    found = [*selection("sst2"), *selection("mrpc", turned=True)]
    found = [replace(r, metrics={**r.metrics, "f1": None}) for r in found]
    (made,) = tables(found, [SST2, MRPC], title="x")
    told_of = [line for line in made.footnotes if line.startswith("LogME")]
    (first, second) = sorted(rankings.ranked(found), key=lambda one: -one.tau)
    ends = f"{first.low:.2f} to {first.high:.2f}"
    assert told_of[0] == (
        f"LogME on SST-2: Kendall's tau {first.tau:.2f} (95 % interval {ends}) between evidence "
        "and tuned score, 9 candidates."
    )
    assert told_of[1].startswith("LogME on MRPC: Kendall's tau −0.94")  # noqa: RUF001
    assert re.match(r"LogME, mean of 2 tasks: 0\.00 \(95 % interval ", told_of[2])
    assert len(told_of) == 4 and second.tau < 0


def test_constant_evidence_has_no_tau():
    found = selection()
    for record in found:
        if "logme" in record.where:
            record.where["logme"]["evidence"] = 0.5
    assert "tau undefined, for a side is constant" in footnotes(scene(found).block)[0]
    assert "undefined" in told(figure(ranks, found, (SST2,)).axes[0])[0]


def test_tables_without_evidence_tell_nothing_of_it():
    assert footnotes(scene([scored(cell(), 0.5)]).block) == []
