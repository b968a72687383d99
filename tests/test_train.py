import math
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from torch import nn

from bench.predict import predict
from bench.recipe import AdamW
from bench.train import Diverged, Loop, train
from methods import resolve
from tests.tiny import ENCODERS, Toy, backbone, prepared

CPU = torch.device("cpu")
RATE = 2.0**-4
PLAIN = AdamW(lr=RATE, batch=16, epochs=1, decay=0.0, warmup=0.0, eps=1e-12)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(2, 2))
        self.bias = nn.Parameter(torch.ones(2))


def loop(recipe: AdamW = PLAIN, seed: int = 0, **fields) -> Loop:
    return Loop(recipe, CPU, "fp32", seed, **fields)


def total(model, batch) -> torch.Tensor:
    return model.matrix.sum() + model.bias.sum()


def path(recipe: AdamW, loss=total, data=None, idle: str = "still") -> list[Plain]:
    model, seen = Plain(), []

    def watched(model, batch):
        seen.append(copy(model))
        return loss(model, batch)

    train(model, watched, data or Toy(16), loop(recipe, idle=idle))
    return [*seen, model]


def copy(model: Plain) -> Plain:
    made = Plain()
    made.load_state_dict(model.state_dict())
    return made


def trained(text: str = "adamix", seed: int = 0, score=None, family: str = "bert", **fields):
    chosen, model = resolve(text, ""), backbone(family)
    prepared(chosen, model)
    recipe = AdamW(lr=1e-2, batch=16, epochs=3)
    asked = replace(loop(recipe, seed), **fields)
    trace = train(model, chosen.loss, Toy(), asked, score and (lambda: score(model)))
    return torch.cat([p.detach().flatten() for p in model.parameters()]), trace


def moves(models: list[Plain], name: str) -> list[float]:
    values = [getattr(model, name).flatten()[0].item() for model in models]
    return [before - after for before, after in pairwise(values)]


@pytest.mark.parametrize(
    ("warmup", "factors"),
    [
        (0.0, [1, 0.8, 0.6, 0.4, 0.2]),
        (0.2, [1 / 2, 1, 0.75, 0.5, 0.25]),
        (0.5, [1 / 4, 2 / 4, 3 / 4, 1, 1 / 2]),
    ],
)
def test_rate_warms_up_and_decays_in_a_line(warmup, factors):
    models = path(replace(PLAIN, steps=5, warmup=warmup))
    assert moves(models, "matrix") == pytest.approx([RATE * f for f in factors], rel=1e-3)
    assert moves(models, "bias") == pytest.approx([RATE * f for f in factors], rel=1e-3)


def test_parameter_may_have_a_rate_in_parts_of_the_recipe_s():
    model, seen = Plain(), []

    def watched(model, batch):
        seen.append(copy(model))
        return total(model, batch)

    recipe = replace(PLAIN, steps=4, decay=0.5)
    train(model, watched, Toy(16), loop(recipe, rates={model.matrix: 4.0}))
    alone = path(replace(recipe, lr=4 * RATE))
    assert moves([*seen, model], "matrix") == moves(alone, "matrix")
    assert moves([*seen, model], "bias") == moves(path(recipe), "bias")


def test_decay_shrinks_matrices_and_leaves_vectors():
    models = path(replace(PLAIN, steps=4, decay=0.5), lambda *args: 0 * total(*args))
    shrunk = [math.prod(1 - RATE * 0.5 * f for f in (1, 0.75, 0.5, 0.25)[:n]) for n in range(5)]
    assert [m.matrix[0, 0].item() for m in models] == pytest.approx(shrunk)
    assert all(torch.equal(m.bias, torch.ones(2)) for m in models)


@pytest.mark.parametrize(("clip", "gradient"), [(3.0, 1.5), (20.0, 5.0)])
def test_gradient_is_clipped_by_the_norm_of_all_it_has(clip, gradient):
    def steep(model, batch):
        return 5 * model.matrix.sum()  # norm 10 over four entries

    [move] = moves(path(replace(PLAIN, steps=1, clip=clip, eps=1.0), steep), "matrix")
    assert move == pytest.approx(RATE * gradient / (gradient + 1), rel=1e-5)


@pytest.mark.parametrize(
    ("epochs", "steps", "times", "expected"),
    [
        (1, None, 1, 12),
        (2, 5, 1, 5),
        (1, 30, 1, 30),
        (1.5, None, 1, 18),
        (1, None, 2, 24),
        (9, 5, 2, 10),
    ],
)
def test_steps_stand_in_place_of_epochs_and_either_may_be_multiplied(
    epochs, steps, times, expected
):
    recipe = replace(PLAIN, epochs=epochs, steps=steps, times=times)
    trace = train(Plain(), total, Toy(192), loop(recipe))
    assert trace.steps == sum(trace.shapes.values()) == expected


def test_epoch_gives_every_row_once_and_the_trace_its_shapes():
    rows, shapes = [], []

    def noted(model, batch):
        rows.append(batch.rows.tolist())
        shapes.append((*batch.ids.shape, 0, 0))
        return total(model, batch)

    trace = train(Plain(), noted, Toy(50), loop())
    assert sorted(chain(*rows)) == list(range(50))
    assert sorted(trace.shapes.elements()) == sorted(shapes)
    assert trace.seconds > 0


def test_rows_come_in_another_order_every_epoch():
    orders = []
    data = Toy(48)
    train(
        Plain(),
        lambda model, batch: orders.append(batch.rows.tolist()) or total(model, batch),
        data,
        loop(replace(PLAIN, epochs=2)),
    )
    assert orders[:3] != orders[3:]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_not_finite_ends_the_run_and_names_the_step(bad):
    steps = iter([1.0, 1.0, bad])
    with pytest.raises(Diverged, match=f"loss is {bad} by step 3; a lower learning rate may help"):
        train(
            Plain(), lambda m, b: total(m, b) * next(steps), Toy(16), loop(replace(PLAIN, steps=3))
        )


def test_run_tells_the_last_step_of_every_epoch():
    told = []
    train(
        Plain(),
        total,
        Toy(48),
        loop(replace(PLAIN, epochs=2), tell=lambda **event: told.append(event)),
    )
    assert [(event["step"], event["steps"]) for event in told] == [(3, 6), (6, 6)]
    assert all(event["rate"] > 0 and math.isfinite(event["loss"]) for event in told)


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.1, 0.9, 0.5], 2), ([0.9, 0.9, 0.5], 1), ([None, None, None], 1), ([None, -3.0, None], 2)],
)
def test_weights_of_the_best_epoch_are_put_back(scores, best):
    model, seen, left = Plain(), [], iter(scores)

    def score():
        seen.append(model.matrix.detach().clone())
        return next(left)

    trace = train(model, total, Toy(48), loop(replace(PLAIN, epochs=3)), score)
    assert (trace.epoch, trace.scores) == (best, scores)
    assert torch.equal(model.matrix, seen[best - 1])
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_last_weights_stay_where_nothing_is_scored():
    _, trace = trained("head")
    assert trace.epoch is None and trace.scores == []


@pytest.mark.parametrize("text", ["full", "adamix", "prefix"])
def test_scoring_changes_training_in_no_bit(text):
    scored = iter(range(9))

    def score(model):
        predict(model, Toy(40, seed=1), CPU, "fp32")
        torch.rand(3)  # what a score draws must not matter either
        return next(scored)

    silent, _ = trained(text)
    heard, trace = trained(text, score=score)
    assert trace.epoch == 3
    assert torch.equal(silent, heard)


def test_training_depends_on_its_seed_and_not_on_what_was_drawn_before():
    weights = []
    for seed, world in ((0, 1), (0, 2), (1, 2)):
        chosen, model = resolve("full", ""), backbone()
        prepared(chosen, model)
        torch.manual_seed(world)
        np.random.seed(world)
        train(model, chosen.loss, Toy(), loop(AdamW(lr=1e-2, batch=16, steps=3), seed))
        weights.append(model.layers[0].output.dense.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


@pytest.mark.parametrize("idle", ["still", "moving"])
def test_parameter_without_a_gradient_stands_still_or_goes_on(idle):
    def late(model, batch):
        steps.append(1)
        return total(model, batch) if len(steps) == 2 else model.bias.sum()

    steps: list[int] = []
    models = path(replace(PLAIN, steps=4, decay=0.1), late, idle=idle)
    before, chosen, *after = moves(models, "matrix")
    assert before == 0 and chosen > 0
    assert all((move > 0) == (idle == "moving") for move in after)


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize(
    "text", [pytest.param("full", marks=pytest.mark.slow), "adamix[routing=sentence]"]
)
def test_bf16_training_keeps_float32_weights_and_moves_them_elsewhere(family, text):
    exact, _ = trained(text, family=family)
    rough, trace = trained(text, family=family, precision="bf16")
    assert rough.dtype == torch.float32 and math.isfinite(trace.loss)
    assert not torch.equal(exact, rough)
    assert (exact - rough).norm() < 0.3 * exact.norm()


def test_model_is_left_in_training_mode():
    model = Plain().eval()
    train(model, total, Toy(16), loop())
    assert model.training


@pytest.mark.parametrize("rows", [0, 16])
def test_nothing_happens_without_rows_or_without_what_could_train(rows):
    model = Plain().requires_grad_(not rows)
    trace = train(model, total, Toy(rows), loop())
    assert trace.steps == 0 and math.isnan(trace.loss)
