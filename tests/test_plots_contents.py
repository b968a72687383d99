import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from reports import stats
from reports.plots import ablation, cost, curves, dots, profiles, routing, split
from reports.plots.costs import COSTS, alike
from reports.plots.front import front
from reports.plots.plot import styled
from reports.plots.scene import scenes
from reports.plots.style import COLUMN, PAGE
from tests.records import MRPC, SST2, cell, scored
from tests.test_plots import material, rich, runs

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 3)), min_size=1, max_size=12)


def scene(records, columns=(SST2,), **kept):
    return scenes(material(records, columns, **kept))[0]


def drawn(plot):
    """The figure, as it is written."""
    with styled(plot.name):
        return plot.draw()


def lines(axes, *labels):
    """The data of the lines of these labels, by label."""
    return {
        line.get_label(): [*map(list, line.get_data())]
        for line in axes.get_lines()
        if not labels or line.get_label() in labels
    }


@given(POINTS, st.booleans())
def test_front_is_what_no_other_point_beats(points, falls):
    costs, scores = zip(*points, strict=True)
    sign = 1 if falls else -1

    def beaten(i):
        return any(
            costs[j] <= costs[i]
            and sign * scores[j] <= sign * scores[i]
            and (costs[j], scores[j]) != (costs[i], scores[i])
            for j in range(len(points))
        )

    found = front(costs, scores, falls=falls)
    assert sorted(found) == [i for i in range(len(points)) if not beaten(i)]
    assert [costs[i] for i in found] == sorted(costs[i] for i in found)


def test_cost_plot_has_a_point_a_method_and_the_front():
    (axes,) = drawn(cost.plots(scene(runs(["a", "b", "c"])))[0]).axes
    found = lines(axes)
    assert {label: xy for label, xy in found.items() if label in "abc"} == {
        "a": [[1.0], [pytest.approx(83.1)]],
        "b": [[10.0], [pytest.approx(84.1)]],
        "c": [[100.0], [pytest.approx(85.1)]],
    }
    xs, ys = found["_front"]
    assert xs[:-1] == pytest.approx([1, 10, 10, 100, 100])
    assert ys == pytest.approx([83.1, 83.1, 84.1, 84.1, 85.1, 85.1])
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "Trained parameters (thousands)"
    assert axes.get_ylabel() == "SST-2: accuracy × 100"  # noqa: RUF001


def test_bars_are_the_intervals_of_the_tables():
    (axes,) = drawn(cost.plots(scene(runs(["a", "b"])))[0]).axes
    (low, high) = stats.interval([[83.0, 83.1, 83.2]])
    assert axes.collections[0].get_segments()[0][:, 1] == pytest.approx([low, high])


def test_one_seed_has_no_bar_and_says_so():
    plot = cost.plots(scene(runs(["a", "b"], seeds=1)))[0]
    assert not drawn(plot).axes[0].collections
    assert "One run a point: no interval can be given." in plot.caption


def test_front_turns_where_lower_is_better():
    falls = replace(SST2, primary="loss", shown=("loss",))
    found = [
        scored(cell(method), {"loss": loss}, {"trained_params": params})
        for method, loss, params in (("a", 3.0, 10), ("b", 2.0, 20), ("c", 4.0, 30))
    ]
    (axes,) = drawn(cost.plots(scene(found, [falls]))[0]).axes
    assert lines(axes)["_front"][1] == [300.0, 300.0, 200.0, 200.0]


def test_no_trained_parameter_stands_aside_of_a_logarithmic_axis():
    found = runs(["a", "b", "none"])
    found = [
        replace(r, cost={**r.cost, "trained_params": 0}) if r.cell.label == "none" else r
        for r in found
    ]
    found += runs(["c"] * 3)[-3:]
    (axes,) = drawn(cost.plots(scene(found))[0]).axes
    (x,), _ = lines(axes)["none"]
    assert 0 < x < lines(axes)["a"][0][0]
    assert x > axes.get_xlim()[0]
    labels = {t.get_position()[0]: t.get_text() for t in axes.get_xticklabels()}
    assert labels[x] == "0"
    assert "_break" in lines(axes)


def test_task_average_needs_every_task_at_a_seed():
    found = runs(["a", "b"], seeds=2) + runs(["a", "b"], seeds=3, task="mrpc")
    (axes,) = drawn(cost.plots(scene(found, [SST2, MRPC]))[0]).axes
    assert lines(axes)["a"][1] == [pytest.approx(83.05)]
    assert axes.get_ylabel() == "Mean accuracy × 100 over 2 tasks"  # noqa: RUF001


def test_methods_without_an_average_are_named():
    found = runs(["a", "b", "odd"]) + runs(["a", "b"], task="mrpc")
    plot = cost.plots(scene(found, [SST2, MRPC]))[0]
    assert "Left out, for want" in plot.caption and plot.caption.count("odd") == 1
    assert "odd" not in lines(drawn(plot).axes[0])


def test_tasks_stand_apart_where_few_methods_have_an_average():
    found = runs(["a", "b"]) + runs(["c", "d"], task="mrpc")
    plot = cost.plots(scene(found, [SST2, MRPC]))[0]
    assert len(drawn(plot).axes) == 2


def test_memory_of_one_source_alone_is_shown():
    memory = {"peak_memory_bytes": 10**9, "memory_source": "CUDA allocator"}
    found = runs(["a", "b"], cost=memory)
    found += runs(["old", "older"], cost={"peak_memory_bytes": 10**9})
    other = {**memory, "memory_source": "resident set above the start"}
    found += runs(["other"], cost=other)
    plot = next(p for p in cost.plots(scene(found)) if "memory" in p.name)
    assert {"a", "b"} == {label for label in lines(drawn(plot).axes[0]) if label[0] != "_"}
    assert "(CUDA allocator)" in plot.caption
    old = runs(["old", "older"], cost={"peak_memory_bytes": 10**9})
    assert not any("memory" in p.name for p in cost.plots(scene(old)))


def test_time_is_that_of_the_most_common_device():
    found = runs(["a", "b"], cost={"train_seconds": 9.0})
    found = [replace(r, where={**r.where, "device": "fast"}) for r in found]
    slow = runs(["slow"], cost={"train_seconds": 9.0})
    found += [replace(r, where={**r.where, "device": "slow"}) for r in slow]
    time = next(c for c in COSTS if c.name == "time")
    kept, common = alike(scene(found).runs, time)
    assert (common, {*kept["method"]}) == ("fast", {"a", "b"})


@pytest.mark.parametrize("count", [3, 7, 12, 16, 30])
def test_names_are_neither_on_each_other_nor_on_a_point(count):
    generator = np.random.default_rng(count)
    found = [
        scored(
            cell(f"method number {n}"),
            float(generator.normal(0.8, 0.05)),
            {"trained_params": int(10 ** generator.uniform(3, 8)) if n else 0},
        )
        for n in range(count)
    ]
    figure = drawn(cost.plots(scene(found))[0])
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    names = {text.get_text() for text in axes.texts}
    assert len(names) == len(boxes) and (len(boxes) == count or figure.legends)
    frame = axes.get_window_extent()
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert (
            frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 <= box.y1 <= frame.y1
        )
        for line in axes.get_lines():
            if line.get_label()[0] != "_":
                x, y = axes.transData.transform(line.get_xydata()[0])
                assert not box.contains(x, y)


def test_everything_written_is_inside_the_picture():
    found = runs([f"{'long name ' * 9}{n}" for n in range(20)])
    for plot in (*dots.plots(scene(found)), cost.plots(scene(found, title="T " * 200))[0]):
        figure = drawn(plot)
        box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
        wide, tall = figure.get_size_inches()
        assert box.x0 >= -0.01 and box.y0 >= -0.01
        assert box.x1 <= wide + 0.01 and box.y1 <= tall + 0.01


def test_dots_are_means_and_runs():
    (axes,) = drawn(dots.plots(scene(runs(["a", "b"])))[0]).axes
    assert lines(axes, "a", "b") == {
        "a": [[pytest.approx(83.1)], [0]],
        "b": [[pytest.approx(84.1)], [1]],
    }
    single = [line for line in axes.get_lines() if line.get_label() == "_runs"]
    assert [*single[0].get_xdata()] == pytest.approx([83, 83.1, 83.2])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()


def test_dots_have_a_panel_a_task_and_one_for_the_mean():
    found = [r for n in range(14) for r in runs(["a", "b"], 2, f"t{n}")]
    columns = [replace(SST2, task=f"t{n}", title=f"T{n}") for n in range(14)]
    plot = dots.plots(scene(found, columns))[0]
    titles = [axes.get_title("left") for axes in drawn(plot).axes]
    assert titles == [*(f"T{n}" for n in range(11)), "Mean over 14 tasks"]
    assert "Tasks left out for want of room: T11, T12 and T13." in plot.caption


def test_figures_are_as_wide_as_a_column_or_a_page():
    assert drawn(dots.plots(scene(runs()))[0]).get_size_inches()[0] == COLUMN
    several = runs() + runs(task="mrpc")
    assert drawn(dots.plots(scene(several, [SST2, MRPC]))[0]).get_size_inches()[0] == PAGE


def served(seed=0, draws=(0.5, 0.6, 0.7), **others):
    """A trained run, its random routings, and other ways to serve it."""
    base = scored(cell("whole", "sst2", seed), 0.65)
    made = [base]
    for label, score in {"drawn": 0.6, **others}.items():
        built = replace(cell(label, "sst2", seed), method=label, parents=(base.cell.key,))
        told = {"draws": {"accuracy": list(draws)}} if label == "drawn" else {}
        made.append(scored(built, score, **told))
    return made


def test_routings_stand_beside_the_merged_model_at_the_same_seed():
    found = [*served(0), *served(3, (0.1, 0.2), fixed=0.3)]
    plot = routing.plots(scene(found))[0]
    (axes,) = drawn(plot).axes
    first, merged, second, again, fixed = axes.get_lines()
    assert [*first.get_ydata()] == pytest.approx([50, 60, 70])
    assert [*second.get_ydata()] == pytest.approx([10, 20])
    assert [*merged.get_ydata()] == [*again.get_ydata()] == [65]
    assert [*fixed.get_ydata()] == [30] and 1 < fixed.get_xdata()[0] < 1.6
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "3"]
    assert "one of 2 to 3 random routings" in plot.caption
    legend = [t.get_text() for t in axes.get_figure().legends[0].get_texts()]
    assert legend == ["drawn: one draw", "whole: merged", "fixed"]


def test_violin_needs_five_draws_that_differ():
    few, alike, enough = (
        served(0, (0.1,) * 4),
        served(1, (0.2,) * 9),
        served(2, [n / 9 for n in range(9)]),
    )
    (axes,) = drawn(routing.plots(scene([*few, *alike, *enough]))[0]).axes
    bodies = [c for c in axes.collections if type(c).__name__ == "FillBetweenPolyCollection"]
    assert len(bodies) == 1
    assert drawn(routing.plots(scene(few))[0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_strip_moves_values_aside_evenly_and_not_far(values):
    aside = routing.strip(values)
    assert len(aside) == len(values) and abs(aside).max() <= routing.WIDEST / 2 + 1e-9
    assert aside.sum() == pytest.approx(0, abs=1e-9)


def test_option_is_drawn_with_ticks_at_its_values(tmp_path):
    (plot,) = ablation.plots(scenes(rich(tmp_path))[0])
    first = drawn(plot).axes[0]
    assert lines(first)["_line"] == [[2, 4, 8], pytest.approx([52.1, 54.1, 58.1])]
    assert first.get_xscale() == "log"
    assert [t.get_text() for t in first.get_xticklabels()] == ["2", "4", "8"]
    assert "option rank of the method" in plot.caption and "r2, r4 and r8" in plot.caption


def test_loss_line_is_the_mean_over_seeds_and_its_band_their_range(tmp_path):
    (loss,) = (p for p in curves.plots(scenes(rich(tmp_path))[0]) if p.name.startswith("loss"))
    axes = drawn(loss).axes[0]
    xs, ys = lines(axes)["r2"]
    assert (xs[0], xs[-1], len(xs)) == (1, 8, curves.GRID)
    assert ys[0] == pytest.approx(1, abs=0.02) and ys[-1] == pytest.approx(1 / 8, abs=0.01)
    assert len([c for c in axes.collections if c.get_paths()]) == 3
    assert lines(axes)["_raw"][0] == [*range(1, 9)]
    assert axes.get_ylim()[0] < 1 / 8 and axes.get_ylim()[1] > ys[0]


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_smoothing_keeps_what_is_constant_and_stays_within_the_values(a, b):
    x = np.arange(20.0)
    assert curves.smooth(x, np.full(20, a), np.linspace(0, 19, 7)) == pytest.approx(a)
    y = np.where(x < 10, a, b)
    found = curves.smooth(x, y, np.linspace(0, 19, 50))
    assert min(a, b) - 1e-9 <= found.min() and found.max() <= max(a, b) + 1e-9


def test_seeds_of_a_line_are_averaged():
    runs = [
        (np.array([1.0, 2, 3]), np.array([1.0, 1, 1])),
        (np.array([1.0, 2, 3]), np.full(3, 5.0)),
    ]
    line = curves._smoothed("m", runs)
    assert line.y.mean(axis=0) == pytest.approx(3) and line.y.shape == (2, curves.GRID)
    told = curves._as_told("m", [runs[0], (np.array([2.0]), np.array([7.0]))])
    assert (told.x.tolist(), told.y.tolist()) == ([2.0], [[1.0], [7.0]])


def test_selection_scores_are_drawn_by_epoch_in_the_unit_of_tables():
    found = [replace(r, where={**r.where, "selection_scores": [0.1, None, 0.3]}) for r in runs()]
    (plot,) = curves.plots(scene(found))
    assert lines(drawn(plot).axes[0])["lora"] == [[1, 3], pytest.approx([10, 30])]


def test_long_logs_are_thinned_to_the_means_of_neighbours():
    x = np.arange(10_000.0)
    thin = curves._thinned(x, 2 * x)
    assert len(thin[0]) == curves.POINTS and thin[1] == pytest.approx(2 * thin[0])
    assert thin[0].mean() == pytest.approx(x.mean())


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=4), min_size=1, max_size=3))
def test_profile_is_the_fraction_of_runs_above(tasks):
    thresholds = np.linspace(-1, 6, 15)
    found = profiles.profile([np.array(task, float) for task in tasks], thresholds, draws=50)
    by_hand = [
        np.mean([sum(score > tau for score in task) / len(task) for task in tasks])
        for tau in thresholds
    ]
    assert found.centre == pytest.approx(by_hand)
    assert (found.low <= found.high + 1e-9).all()
    assert found.centre[0] == found.low[0] == found.high[0] == pytest.approx(1)
    assert found.high[-1] == 0


def test_profile_band_is_that_of_a_bootstrap_within_tasks():
    scores, taus = np.array([0.0, 1, 2, 3]), np.array([0.5])
    band = profiles.profile([scores], taus, draws=20_000)
    assert (band.low[0], band.high[0]) == (0.25, 1.0)  # of binomial(4, 3/4): 2.5 and 97.5 %
    two = profiles.profile([np.zeros(4), np.ones(4)], taus)
    assert two.low[0] == two.high[0] == 0.5


def test_profiles_need_three_tasks_and_three_seeds():
    columns = [replace(SST2, task=f"t{n}", title=f"T{n}") for n in range(3)]

    def of(seeds, tasks):
        found = [r for n in range(tasks) for r in runs(["a", "b"], seeds, f"t{n}")]
        return profiles.plots(scene(found, columns[:tasks]))

    assert not of(2, 3) and not of(3, 2)
    (plot,) = of(3, 3)
    found = lines(drawn(plot).axes[0])
    assert found["a"][1][0] == 1 and found["a"][1][-1] == 0
    assert sum(found["b"][1]) > sum(found["a"][1])


def test_compute_bars_add_up_to_the_training():
    parts = {
        "forward_flops": 3e12,
        "activation_gradient_flops": 2e12,
        "weight_gradient_flops": 1e12,
    }
    found = runs(["a", "b"], cost={**parts, "served_params": 81_139})
    found += runs(["old"])
    plot = split.plots(scene(found))[0]
    (axes,) = drawn(plot).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 3), (0, 3), (3, 2), (3, 2), (5, 1), (5, 1)]
    assert axes.get_xlabel() == "Training compute (TFLOP)"
    assert [t.get_text() for t in axes.texts] == ["serves 81.1 k"] * 2
    assert "Without parts in their records: old." in plot.caption
    assert not split.plots(scene(runs()))


@pytest.mark.parametrize("kind", ["equal", "two seeds far apart"])
def test_degenerate_scores_are_drawn(kind):
    found = runs(["a", "b"], seeds=2)
    if kind == "equal":
        found = [replace(r, metrics={"accuracy": 0.5}) for r in found]
    else:
        found = [replace(r, metrics={"accuracy": 0.1 + 0.8 * r.cell.seed}) for r in found]
    for plot in (*dots.plots(scene(found)), cost.plots(scene(found))[0]):
        axes = drawn(plot).axes[0]
        assert all(map(math.isfinite, (*axes.get_xlim(), *axes.get_ylim())))


def test_bars_much_wider_than_the_points_are_cut_and_told_of():
    found = runs(["a", "b"], seeds=2)
    found = [
        replace(r, metrics={"accuracy": r.metrics["accuracy"] + 0.2 * r.cell.seed}) for r in found
    ]
    plot = cost.plots(scene(found))[0]
    low, high = drawn(plot).axes[0].get_ylim()
    assert high - low < 10 and "Bars that leave the picture are cut." in plot.caption


@pytest.mark.parametrize("scores", [(1e27, -1e27), (1e-320, 2e-320), (0.1 + 0.2, 0.3)])
def test_extreme_numbers_are_drawn(scores):
    found = [
        scored(cell(f"m{n}", "sst2", seed), score, {"trained_params": 10.0 ** (29 - 57 * n)})
        for n, score in enumerate(scores)
        for seed in (0, 1)
    ]
    for plot in (*dots.plots(scene(found)), *cost.plots(scene(found))):
        assert drawn(plot).axes[0].get_lines()


def test_logs_are_read_until_they_have_been_long(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "LINES", 20)
    (loss,) = (p for p in curves.plots(scenes(rich(tmp_path))[0]) if p.name.startswith("loss"))
    assert "Logs after the first 20 lines of them were not read." in loss.caption
    assert len(drawn(loss).axes) == 1
