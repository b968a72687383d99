import numpy as np
import pytest

from bench.flops import Flops, Step
from bench.text import Shape
from bench.work import Work

STEP = Step(Flops(token=2), Flops(token=3), Flops(fixed=5))


def test_flops_are_the_sum_over_the_batches():
    work = Work(shapes={Shape(16, 8): 3, Shape(5, 40): 1})
    assert work.flops(STEP.of) == 3 * (5 * 16 * 8 + 5) + 5 * 5 * 40 + 5
    assert work.flops(STEP.weights.of) == 4 * 5
    assert Work().flops(STEP.of) == 0


def test_rates_are_of_what_was_seen_a_second():
    work = Work(seconds=4.0)
    work.saw(np.array([3, 5]))
    work.saw(np.array([4]))
    assert work.rates("train", 100) == {
        "train_flops_per_second": 25.0,
        "train_rows_per_second": 0.75,
        "train_tokens_per_second": 3.0,
    }


@pytest.mark.parametrize("work", [Work(), Work(rows=3), Work(seconds=1.0)])
def test_where_nothing_ran_there_is_no_rate(work):
    assert set(work.rates("eval", None).values()) <= {None, 3.0}
    assert Work(seconds=1.0).rates("eval", 0)["eval_flops_per_second"] is None
