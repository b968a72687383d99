import math
from collections import Counter

import pytest
import torch

from bench.predict import ROWS, predict
from bench.train import Diverged
from tests.tiny import Toy, backbone

CPU = torch.device("cpu")


def one_by_one(model, data) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat(
            [model(data.batch(row)) for row in torch.arange(len(data)).numpy()[:, None]]
        )


def test_class_of_each_row_stands_at_the_rows_place():
    model, data = backbone(outputs=3).eval(), Toy(ROWS + 20)
    found = predict(model, data, CPU, "fp32")
    assert found == one_by_one(model, data).argmax(-1).tolist()
    assert set(found) == {0, 1, 2}


def test_number_of_each_row_stands_at_the_rows_place():
    model, data = backbone(outputs=1).eval(), Toy(ROWS + 20, regression=True)
    found = predict(model, data, CPU, "fp32")
    assert found == pytest.approx(one_by_one(model, data)[:, 0].tolist(), abs=1e-5)
    assert len(set(found)) > ROWS


def test_shapes_of_all_batches_are_counted():
    data, shapes = Toy(9 * ROWS), Counter()
    predict(backbone(), data, CPU, "fp32", shapes)
    assert shapes.total() == 9 > len(shapes)
    assert sum(shape.rows * count for shape, count in shapes.items()) == len(data)


@pytest.mark.parametrize("training", [True, False])
def test_predicting_leaves_mode_and_random_state_as_they_were(training):
    model = backbone().train(training)
    before = torch.random.get_rng_state()
    first = predict(model, Toy(20), CPU, "fp32")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(module.training == training for module in model.modules())
    assert predict(model, Toy(20), CPU, "fp32") == first


def test_predicting_drops_nothing_out_and_keeps_no_graph():
    model = backbone(outputs=1).train()
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda _, __, out: seen.append(out))
    assert predict(model, Toy(9), CPU, "fp32") == predict(model.eval(), Toy(9), CPU, "fp32")
    assert not any(out.requires_grad for out in seen)


def test_bf16_predictions_are_near_the_float32_ones():
    model, data = backbone(outputs=1), Toy(20)
    exact, rough = (predict(model, data, CPU, kind) for kind in ("fp32", "bf16"))
    assert exact != rough
    assert rough == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_finite_are_no_predictions(outputs, bad):
    model = backbone(outputs=outputs)
    with torch.no_grad():
        model.head.out.bias[-1] = bad
    with pytest.raises(Diverged, match="outputs are not finite"):
        predict(model, Toy(9), CPU, "fp32")


def test_split_without_rows_has_no_predictions():
    assert predict(backbone(), Toy(0), CPU, "fp32") == []
