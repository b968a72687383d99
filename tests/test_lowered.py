"""Weights that are cast once give the same bits as weights that are cast in every pass."""

import contextlib

import pytest
import torch

from bench import lowered as module
from bench import predict as predicting
from bench import train as training
from bench.lowered import lowered
from bench.train import Loop, train
from methods import resolve
from tests.tiny import EchoRun, Toy, ToyRun, backbone, batch, prepared, writer

CPU = torch.device("cpu")
METHODS = ["full", "bitfit", "adapter", "lora", "prefix", "ia3", "adamix-adapter", "adamix-lora"]


def trained(text: str, run, model) -> dict[str, torch.Tensor]:
    chosen = resolve(text, "")
    prepared(chosen, model, run)
    train(model, chosen.loss, run.data, Loop(run.recipe, CPU, "bf16", seed=0))
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("text", METHODS)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_training_ends_with_the_same_bits(family, text, monkeypatch):
    def once():
        if family == "gpt2":
            return trained(text, EchoRun("gpt2", epochs=1), writer("gpt2"))
        return trained(text, ToyRun(epochs=1), backbone())

    found = once()
    monkeypatch.setattr(training, "lowered", lambda *_, **__: contextlib.nullcontext())
    expected = once()
    assert all(p.dtype == torch.float32 for p in found.values())
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("text", ["lora", "full", "adamix-adapter", "adamix-lora"])
def test_answers_are_the_same(text, monkeypatch):
    model, rows = backbone(), Toy(30)
    for parameter in prepared(resolve(text, ""), model, ToyRun()):
        torch.nn.init.normal_(parameter, std=0.3)
    found = predicting.mean_loss(model, rows, CPU, "bf16")
    monkeypatch.setattr(predicting, "lowered", lambda *_, **__: contextlib.nullcontext())
    assert predicting.mean_loss(model, rows, CPU, "bf16") == found


def test_only_frozen_maps_are_lowered_and_all_come_back():
    model = backbone()
    prepared(resolve("lora", ""), model, ToyRun())
    before = {name: (p.data, p.data_ptr()) for name, p in model.named_parameters()}
    with pytest.raises(KeyError), lowered(model, "bf16"):
        low = {name for name, p in model.named_parameters() if p.dtype == torch.bfloat16}
        raise KeyError
    maps = {
        f"{n}.{p}"
        for n, m in model.named_modules()
        if type(m) is torch.nn.Linear
        for p in ("weight", "bias")
    }
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert low == maps & frozen and low
    after = {name: (p.data, p.data_ptr()) for name, p in model.named_parameters()}
    assert all(after[name][1] == before[name][1] for name in before)
    with lowered(model, "fp32"):
        assert all(p.dtype == torch.float32 for p in model.parameters())


def test_tied_weights_and_maps_in_layers_of_others_are_left():
    model = writer("gpt2")
    model.requires_grad_(False)
    with lowered(model, "bf16"):
        assert model.net.lm_head.weight.dtype == torch.float32
        assert model.layers[0].mlp.c_fc.weight.dtype == torch.bfloat16
    other = backbone()
    prepared(resolve("peft[type=dora[r=2]]", ""), other, ToyRun())
    with lowered(other, "bf16"):
        low = [n for n, p in other.named_parameters() if p.dtype == torch.bfloat16]
    assert low and not [name for name in low if "query" in name or "value" in name]


def test_a_map_under_autocast_is_what_it_was():
    assert module.OURS
    model, rows = backbone().eval().requires_grad_(False), batch()
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(rows)
        with lowered(model, "bf16"):
            assert torch.equal(model(rows), expected)
