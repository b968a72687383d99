"""The contract of a method in training: what moves, what stands still, what repeats."""

import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from bench.checkpoint import Checkpoint
from bench.contract.case import Case, Fitted
from bench.contract.item import Aside, Broken, Contract
from bench.contract.start import random_states
from bench.contract.subject import SHORT
from bench.contract.toys import Killed
from bench.device import autocast

training = Contract()
LONGER = 8  # times as many epochs, until what is drawn at random has had its turn
HALF = 6  # steps in half precision
SHOWN = 3  # names in a line


@training.item("fits", "loss")
def _fits(case: Case) -> str:
    trace = case.trained.run.trace
    return f"{trace.steps} steps" if trace else "fit sets the weights without the training loop"


@training.item("trains-only-returned", "fits")
def _only(case: Case) -> str:
    fitted = case.trained
    named = dict(fitted.model.named_parameters())
    mine = {name for name, p in named.items() if id(p) in fitted.mine}
    if gone := fitted.before.keys() ^ fitted.after.keys():
        raise Broken(f"expected the same tensors after fit, got a change in {_some(gone)}")
    moved = _moved(fitted) - mine
    if moved:
        raise Broken(f"expected the rest bit-identical, got a change in {_some(moved)}")
    return f"{len(fitted.after) - len(mine)} other tensors are bit-identical"


@training.item("moves-all", "fits")
def _all(case: Case) -> str:
    still = _still(case.trained)
    if not still:
        return f"all {len(case.trained.mine)} trained tensors moved, the head's among them"
    longer = case.fitted(case.subject.run(epochs=case.trained.run.recipe.epochs * LONGER))
    if still := _still(longer):
        steps = longer.run.trace.steps if longer.run.trace else 0
        raise Broken(f"expected all to move in {steps} steps, got none in {_some(still)}")
    return f"all {len(longer.mine)} trained tensors moved, after more steps"


@training.item("same-seed", "fits", "loss-repeats")
def _same(case: Case) -> str:
    again = case.fitted(case.subject.run(rows=SHORT))
    _equal(again, case.short, "of the same seed")
    if again.run.losses != case.short.run.losses:
        raise Broken("expected the same losses under the same seed, got others")
    return "the same losses and weights, bit for bit"


@training.item("other-seed", "fits")
def _other(case: Case) -> str:
    other = case.fitted(case.subject.run(1, SHORT))
    trained = [name for name, p in other.model.named_parameters() if id(p) in other.mine]
    if not trained:
        raise Aside("nothing trains")
    if all(torch.equal(other.after[name], case.short.after[name]) for name in trained):
        raise Broken("expected other weights under another seed, got the same")
    return "another seed gives other weights"


@training.item("evaluating-changes-nothing", "same-seed", "eval-repeats")
def _watched(case: Case) -> str:
    run = case.subject.run(rows=SHORT)
    model, _ = case.ready(run)
    before = random_states(run.generators)
    run.evaluate(model, "test")
    if random_states(run.generators) != before:
        raise Broken("expected random streams untouched by an evaluation, got one drawn from")
    run = case.subject.run(rows=SHORT)
    run.watched = True
    _equal(case.fitted(run), case.short, "evaluated after every epoch")
    return "evaluating after every epoch changes no weight and draws nothing"


@training.item("resumes", "same-seed", "trains-only-returned")
def _resumes(case: Case) -> str:
    trace = case.short.run.trace
    if trace is None or trace.steps < 2:
        raise Aside("it trains nothing itself, so there is nothing to go on with")
    with tempfile.TemporaryDirectory() as folder:
        run = case.subject.run(rows=SHORT)
        run.checkpoint, run.dies_at = Checkpoint(Path(folder, "state"), 0.0), trace.steps * 2 // 3
        with suppress(Killed):
            case.fitted(run)
        again = case.subject.run(rows=SHORT)
        again.checkpoint = Checkpoint(Path(folder, "state"), 3600.0)
        _equal(case.fitted(again), case.short, "killed and taken up again")
    return f"killed after step {trace.steps * 2 // 3} of {trace.steps}, it ends at the same weights"


@training.item("bf16", "fits")
def _half(case: Case) -> str:
    run = case.subject.run(rows=SHORT, steps=HALF)
    run.precision = "bf16"
    fitted = case.fitted(run)
    if not all(t.isfinite().all() for t in fitted.after.values() if t.is_floating_point()):
        raise Broken("expected finite weights after steps in bfloat16, got others")
    with autocast(torch.device("cpu"), "bf16"):
        found = case.output(fitted.model)
    if found.dtype != torch.float32 or not found.isfinite().all():
        raise Broken(f"expected finite float32 outputs under autocast, got {found.dtype}")
    return f"{HALF} steps and an evaluation under autocast to bfloat16 are finite"


def _equal(a: Fitted, b: Fitted, what: str) -> None:
    """Raises Broken where the weights of two runs differ in a bit."""
    differ = {name for name in b.after if not torch.equal(a.after[name], b.after[name])}
    if differ:
        raise Broken(f"expected the same weights of a run {what}, got others in {_some(differ)}")


def _moved(fitted: Fitted) -> set[str]:
    return {n for n, t in fitted.after.items() if not torch.equal(t, fitted.before[n])}


def _still(fitted: Fitted) -> set[str]:
    """What should have moved and did not."""
    mine = {name for name, p in fitted.model.named_parameters() if id(p) in fitted.mine}
    return mine - _moved(fitted)


def _some(names: set[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
