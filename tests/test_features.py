"""What a head reads is computed once a row, and training is the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.cost import account
from bench.features import FILE, VARIABLE, featured
from bench.flops import ONE, count
from bench.flops import batch as hollow
from bench.weights import find
from methods import resolve
from tests.tiny import EchoRun, Toy, ToyRun, backbone, prepared, writer

CPU = torch.device("cpu")


def still(model):
    """A model whose head alone trains."""
    prepared(resolve("head", ""), model, ToyRun())
    return model.train()


def models():
    return {
        "bert": (still(backbone()), Toy(20)),
        "roberta": (still(backbone("roberta")), Toy(20)),
        "gpt2": (still(writer("gpt2")), EchoRun("gpt2").data),
        "t5": (still(writer("t5")), EchoRun("t5").data),
    }


@pytest.mark.parametrize("kind", models())
def test_features_are_what_the_model_would_read(kind, tmp_path):
    model, data = models()[kind]
    rows = featured(model, data, CPU, "fp32", tmp_path)
    for numbers in (np.array([3]), np.array([7, 0, 19]), np.arange(20)):
        batch = rows.batch(numbers)
        plain = data.batch(numbers)
        assert batch.features.dtype == torch.float32
        torch.testing.assert_close(batch.features, model.features(plain), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.eval()(batch), model(plain), rtol=1e-5, atol=1e-6)
    assert sum(shape.rows * n for shape, n in rows.shapes.items()) == len(data)


def test_features_come_back_bit_by_bit_from_a_batch_of_the_same_rows(tmp_path):
    model, data = still(backbone()), Toy(20)
    rows = featured(model, data, CPU, "bf16", tmp_path)
    with torch.autocast("cpu", torch.bfloat16):
        (whole,) = data.in_order(64)
        expected = model.features(whole)
    batch = rows.batch(whole.rows.numpy())
    assert torch.equal(batch.features, expected) and batch.features.dtype == expected.dtype


def test_dropout_is_off_below_the_head_and_on_in_it():
    model = still(backbone())
    rows = Toy(8).batch(np.arange(8))
    assert torch.equal(model.features(rows), model.features(rows))
    assert not torch.equal(model(rows), model(rows))
    assert torch.equal(model.eval()(rows), model(rows))


@pytest.mark.parametrize("budget", ["0", "1279"])
def test_more_than_the_budget_is_not_kept(budget, tmp_path, monkeypatch):
    model = still(backbone())
    monkeypatch.setenv(VARIABLE, budget)
    assert featured(model, Toy(20), CPU, "fp32", tmp_path) is None  # 20 rows of 16 numbers
    assert not (tmp_path / FILE).exists()
    monkeypatch.setenv(VARIABLE, "1280")
    rows = featured(model, Toy(20), CPU, "fp32", tmp_path)
    assert (tmp_path / FILE).stat().st_size == 1280
    before = rows.batch(np.arange(20)).features
    (tmp_path / FILE).unlink()
    assert torch.equal(rows.batch(np.arange(20)).features, before)


def test_a_disk_that_has_no_room_keeps_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    assert featured(still(backbone()), Toy(20), CPU, "fp32", tmp_path) is None
    assert not (tmp_path / FILE).exists()


def test_a_budget_that_is_no_number_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "much")
    with pytest.raises(
        ValueError, match=r"expected PEFTBENCH_FEATURES to be a whole number .* 'much'"
    ):
        featured(still(backbone()), Toy(20), CPU, "fp32", tmp_path)


def test_the_two_parts_of_a_step_are_the_whole(tiny_folder):
    found = account(resolve("head", ""), find(str(tiny_folder)), 2)
    shape = ONE[""]
    assert found.features.of(*shape) + found.upon.forward.of(*shape) == found.step.forward.of(
        *shape
    )
    assert found.upon.activations == found.step.activations
    assert found.upon.weights == found.step.weights
    model = backbone().to("meta").train()
    rows = replace(hollow(shape), features=torch.zeros(shape.rows, model.width, device="meta"))
    model.requires_grad_(False).head.requires_grad_(True)
    head = model.width * model.outputs * 2 * shape.rows
    counted = count(model, lambda batch: model.loss(rows), shape, backward=True)
    assert counted["forward"] == head == found.upon.forward.of(*shape)


def test_methods_that_change_layers_keep_no_features(tiny_folder):
    found = account(resolve("lora", ""), find(str(tiny_folder)), 2)
    assert found.features == type(found.features)()
    model = backbone()
    prepared(resolve("lora", ""), model, ToyRun())
    assert not model.still
