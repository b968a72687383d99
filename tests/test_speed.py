import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.speed.asked import Asked
from bench.speed.rows import Goal, beside, row, spread
from bench.speed.table import differing, table
from bench.speed.timing import Spread, in_turn, ratio
from bench.speed.training import fastest, same_steps
from tasks.sources import Source

SAMPLE = Source("sample")
SECONDS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9)
ABOUT = {
    "asked": {"task": "sst2", "model": "minilm", "method": "lora", "writer": "w", "repeats": 5},
    "data": "files",
    "recipe": "adamw[lr=0.1]",
    "train_rows": 512,
    "train_tokens": 14.66,
    "dev_rows": 400,
    "device": "a machine",
    "threads": 2,
    "cores": 2,
    "load": [0.04, None],
    "versions": {"torch": "2.13.0", "scipy": None},
}


def of(name="best", seconds=(3.0, 9.0, 4.0), ours=(2.0, 3.0, 4.0), goal=None, **facts):
    ratios = beside(seconds, ours)
    return row("training", name, f"the {name}", seconds, ratios, facts, goal)


def test_contestants_take_turns_round_by_round():
    calls = []
    work = {name: lambda n, name=name: calls.append((name, n)) or (name, n) for name in "abc"}
    found = in_turn(work, 2)
    assert calls == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1)]
    assert found == {name: [(name, 0), (name, 1)] for name in "abc"}


def test_spread_is_the_median_between_its_ends():
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)
    assert Spread.of([4.0, 1.0]).middle == 2.5
    with pytest.raises(ValueError, match="expected numbers, got none"):
        Spread.of([])


def test_ratios_are_formed_in_each_round():
    assert ratio([3.0, 9.0, 4.0], [2.0, 3.0, 4.0]) == Spread(1.5, 1.0, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


@given(SECONDS, st.floats(0.1, 10))
def test_a_machine_that_slows_down_for_all_changes_no_ratio(seconds, factor):
    slower = [factor * s * (1 + n) for n, s in enumerate(seconds)]
    theirs = [2 * s for s in slower]
    found = ratio(theirs, slower)
    assert found.middle == found.low == found.high == 2


@given(SECONDS)
def test_spread_is_ordered(seconds):
    found = Spread.of(seconds)
    assert min(seconds) == found.low <= found.middle <= found.high == max(seconds)


@pytest.mark.parametrize(
    ("goal", "number", "met"),
    [
        (Goal("at least", 4), 4.0, True),
        (Goal("at least", 4), 3.999, False),
        (Goal("at most", 1.02), 1.02, True),
        (Goal("at most", 1.02), 1.021, False),
    ],
)
def test_goal_is_met_on_its_side(goal, number, met):
    assert goal.met(number) is met


def test_row_has_medians_ends_ratios_and_every_round():
    found = of(goal=Goal("at least", 1.3), steps=16)
    assert (found["seconds"], found["seconds_low"], found["seconds_high"]) == (4.0, 3.0, 9.0)
    assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (1.5, 1.0, 3.0)
    assert (found["goal"], found["met"], found["steps"]) == ("at least 1.3", True, 16)
    assert json.loads(json.dumps(found))["rounds"] == [3.0, 9.0, 4.0]
    assert of()["goal"] is None and of()["met"] is None


def test_score_of_the_rounds_is_their_mean_and_undefined_where_one_is():
    assert spread("score", [0.5, 0.75]) == {"score": 0.625, "score_low": 0.5, "score_high": 0.75}
    assert spread("score", [0.5, None])["score"] is None


def test_contestants_that_take_other_steps_are_refused():
    same_steps({"a": [4, 4], "b": [4, 4]})
    with pytest.raises(RuntimeError, match="same number of steps"):
        same_steps({"a": [4, 4], "b": [4, 5]})


def test_the_fastest_way_is_that_of_the_least_time_after_a_warm_up():
    taken = {"x": [1.0, 9.0, 3.0], "y": [50.0, 4.0, 2.0]}
    assert fastest(lambda way: taken[way].pop(0), ["x", "y"]) == "y"


def test_table_shows_median_spread_ratio_score_and_goal():
    text = table(
        [
            of("best", goal=Goal("at least", 2), **spread("score", [0.8, 0.9]), steps=16),
            of("ours", (2.0, 3.0, 4.0), **spread("score", [None]), steps=16),
        ],
        ABOUT,
    )
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    heads = ["Contestant", "Seconds", "Ratio, their time over ours", "Goal", "Score", "Steps"]
    assert [*heads, "Computed in"][:6] == lines[2]
    assert lines[4] == [
        "the best",
        "4.00 (3.00 to 9.00)",
        "1.50 (1.00 to 3.00)",
        "at least 2: missed",
        "0.850 (0.800 to 0.900)",
        "16",
    ]
    assert lines[5][2:5] == ["1.00 (1.00 to 1.00)", "", "\N{EN DASH}"]
    assert "Missed: the best: 1.500, expected at least 2." in text
    assert "512 training rows of 14.7 tokens" in text
    assert "2 threads on 2 cores, load before and after 0.0 and ?" in text
    assert "torch 2.13.0" in text and "scipy" not in text


def test_table_parts_groups_and_says_what_is_no_measurement():
    other = of() | {"group": "adamix, serving", "flops_ratio": 1.0}
    few = ABOUT | {"asked": ABOUT["asked"] | {"repeats": 2}, "drawn": True}
    text = table([of(), other], few)
    assert "**training**" in text and "**adamix, serving**" in text
    assert "Ratio, to the single module" in text
    assert "Only 2 rounds" in text and "Only" not in table([of()], ABOUT)
    assert "w is drawn at random" in text and "drawn" not in table([of()], ABOUT)


def test_texts_that_differ_are_named():
    told = [of(texts=3, same_texts=3), of("one", texts=3, same_texts=2), of()]
    assert differing(told) == told[1:2]
    text = table(told, ABOUT)
    assert "Other texts than ours: the one, training." in text and "2/3" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rows": 0}, "expected rows of at least 1, got 0"),
        ({"repeats": -1}, "expected repeats of at least 1, got -1"),
        ({"sets": {"lrr": "1"}}, "no setting of this comparison named 'lrr'; did you mean 'lr'?"),
        ({"only": ("trainin",)}, "no group of rows named 'trainin'; did you mean 'training'?"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(asked, said):
    with pytest.raises(ValueError) as error:
        Asked(SAMPLE, **asked)
    assert str(error.value) == said


def test_recipe_and_task_are_what_was_asked():
    asked = Asked(SAMPLE, task="rte[rows=7]", rows=64, dev_rows=9, batch=4, sets={"lr": "0.5"})
    assert (asked.recipe.batch, asked.recipe.lr, asked.recipe.warmup) == (4, 0.5, 0.0)
    assert (asked.rows_of.rows, asked.rows_of.dev_rows) == (7, 9)
    with pytest.raises(ValueError, match="expected a task of classification, got 'e2e'"):
        _ = Asked(SAMPLE, task="e2e").rows_of
