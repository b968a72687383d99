"""The contract of a method before training: what `prepare` does, the loss, the counts."""

import random
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.backbone import Backbone
from bench.contract.case import Case
from bench.contract.item import Broken, Contract
from bench.contract.toys import prepared
from bench.cost import Planless, account, free, size, sizes
from bench.flops import count
from bench.text import Shape

start = Contract()
SHAPES = {"": Shape(5, 12), "causal": Shape(5, 12, 0, 9), "seq2seq": Shape(5, 12, 6, 9)}


@start.item("prepares")
def _prepares(case: Case) -> str:
    model, run = case.build(), case.subject.run()
    run.built_on = []
    held_before = list(model.parameters())  # kept alive, so that no id is used again
    head = {id(p) for p in model.head.parameters()}
    found = case.method.prepare(model, run)
    if not isinstance(found, list):
        raise Broken(f"expected prepare to return a list, got {type(found).__name__}")
    names = {id(p): name for name, p in model.named_parameters()}
    for index, one in enumerate(found):
        if not isinstance(one, nn.Parameter) or id(one) not in names:
            kind = type(one).__name__
            raise Broken(f"expected parameters of the model alone, got a {kind} (no. {index})")
        if id(one) in head:
            raise Broken(f"expected what trains besides the head, got {names[id(one)]}")
    if len({id(p) for p in found}) < len(found):
        twice = next(names[id(p)] for p in found if sum(p is q for q in found) > 1)
        raise Broken(f"expected every parameter once, got {twice} again")
    returned = {*map(id, found), *map(id, held_before), *map(id, model.head.parameters())}
    for key in (key for key in names if key not in returned):
        raise Broken(f"expected every added parameter to be returned, got none for {names[key]}")
    return f"{len(found)} parameters of the model, each once, and all that were added"


@start.item("eval-repeats", "prepares")
def _repeats(case: Case) -> str:
    model, _ = case.ready(case.subject.run())
    if not torch.equal(case.output(model), case.output(model)):
        raise Broken("expected one output in eval mode, got another for the same rows")
    return "the same rows give the same output in eval mode"


@start.item("starts-identical", "prepares", "eval-repeats")
def _identical(case: Case) -> str:
    before = case.output(case.build())
    after = case.output(case.ready(case.subject.run())[0])
    says = case.method.starts_identical
    if torch.equal(before, after) != says:
        far = float((before - after).abs().max().detach())
        raise Broken(f"expected starts_identical = {says} to hold, got outputs {far:.2g} apart")
    if not says:
        return "prepare changes the output, as starts_identical = False says"
    return "prepare leaves the output in eval mode as it was, bit for bit"


@start.item("loss", "prepares")
def _loss(case: Case) -> str:
    model, trained = case.ready(case.subject.run())
    value = case.method.loss(model, case.batch)
    if not isinstance(value, torch.Tensor) or value.dim():
        shape = tuple(getattr(value, "shape", ())) or type(value).__name__
        raise Broken(f"expected a scalar tensor as the loss, got {shape}")
    if not bool(value.isfinite()):
        raise Broken(f"expected a finite loss, got {value.item()}")
    if not value.requires_grad and not trained:
        return f"a finite scalar ({value.item():.3g}); nothing trains"
    if not value.requires_grad:
        raise Broken("expected a loss with a gradient, got one that nothing flows back from")
    value.backward()
    mine = [*trained, *model.head.parameters()]
    if trained and not any(p.grad is not None for p in trained):
        raise Broken("expected a gradient for what prepare returned, got none at all")
    if any(p.grad is not None and not p.grad.isfinite().all() for p in mine):
        raise Broken("expected finite gradients, got others")
    return f"a finite scalar ({value.item():.3g}) with a gradient"


@start.item("loss-repeats", "loss")
def _loss_repeats(case: Case) -> str:
    values = []
    for _ in range(2):
        run = case.subject.run()
        model, _ = case.ready(run)
        torch.manual_seed(run.seed)
        values.append(float(case.method.loss(model, case.batch).detach()))
    if values[0] != values[1]:
        raise Broken(f"expected the same loss under the same seed, got {values[0]}, {values[1]}")
    return "the same seed gives the same loss"


@start.item("counts", "prepares")
def _counts(case: Case) -> str:
    run, model = case.subject.run(), case.build()
    backbone = size(model.net.parameters())
    trained = size(prepared(case.method, model, run))
    head = size(model.head.parameters())
    found = (trained, head, size(case.method.finalize(model)), backbone)
    asked = case.subject.weights, case.subject.outputs, False, case.heads
    counted = tuple(sizes(case.method, *asked).params.values())
    for name, expected, got in zip(_NAMES, found, counted, strict=True):
        if expected != got:
            raise Broken(f"expected {expected:,} {name} as the model has, got {got:,} counted")
    return f"{trained:,} train and {found[2]:,} are served, on the model and counted without one"


_NAMES = ("trained parameters", "head parameters", "served parameters", "backbone parameters")


@start.item("flops", "counts", "loss")
def _flops(case: Case) -> str:
    counted = account(case.method, case.subject.weights, case.subject.outputs, False, case.heads)
    model = Backbone.empty(case.subject.weights, case.subject.outputs).train()
    model.rehead(case.heads)
    shape = SHAPES[model.family.writes if model.writes else ""]
    with torch.device("meta"):
        free(model, case.method.prepare(model, Planless()))  # type: ignore[arg-type]
    step = count(model, partial(case.method.loss, model), shape, backward=True)
    with torch.device("meta"):
        case.method.finalize(model)
    serve = count(model.eval().requires_grad_(False), model, shape)["forward"]
    backward = counted.step.activations.of(*shape) + counted.step.weights.of(*shape)
    watched = {
        "of a forward pass in training": (counted.step.forward.of(*shape), step["forward"]),
        "of a backward pass": (backward, step["activations"] + step["weights"]),
        "of a forward pass in serving": (counted.serve.of(*shape), serve),
    }
    for what, (closed, seen) in watched.items():
        if closed != seen:
            told = f"expected {seen:,} FLOPs {what}, as its products add up to, got"
            raise Broken(f"{told} {closed:,} in closed form")
    return f"{sum(step.values()):,} FLOPs a step of {shape.rows} rows, as the polynomial has it"


def random_states(generators: dict[str, torch.Generator]) -> list[Any]:
    """Where every global random stream stands, and those that the method asked for."""
    own = [bytes(one.get_state().tolist()) for one in generators.values()]
    legacy = np.random.get_state(legacy=True)
    numpy = (legacy[1].tobytes(), legacy[2:])  # type: ignore[index]
    return [bytes(torch.get_rng_state().tolist()), numpy, random.getstate(), *own]
