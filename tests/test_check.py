"""What the contract catches: methods with one fault each, and the item that names it."""

import random
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from bench.contract import plugin as check
from bench.contract.subject import tiny
from methods import method
from methods.base import Method, Unsuited

TOLD = {"source": "A. Author et al. 2024, arXiv:2401.00001"}


@pytest.fixture
def registered():
    """Declares a class as a method called "faulty" while a test runs."""
    method.names()

    def declare(cls, **facts):
        method("faulty", **{**TOLD, **facts})(cls)

    yield declare
    method._entries.pop("faulty", None)


class Shift(nn.Module):
    """Adds a learned vector to what a module puts out."""

    def __init__(self, base: nn.Module, width: int):
        super().__init__()
        self.base, self.shift = base, nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return self.base(x) + self.shift


@dataclass(frozen=True)
class Right(Method):
    """Adds a learned vector behind every FFN; the others below differ from it by one fault."""

    wrapper = Shift

    def prepare(self, model, run):
        sites = model.sites(["ffn_out"])
        for site in sites:
            site.put(self.wrapper(site.module, model.width))
        return [site.module.shift for site in sites]


class NoLonger(Right):
    def prepare(self, model, run):
        return tuple(super().prepare(model, run))


class Foreign(Right):
    def prepare(self, model, run):
        return [*super().prepare(model, run), nn.Parameter(torch.zeros(3))]


class Twice(Right):
    def prepare(self, model, run):
        return super().prepare(model, run) * 2


class Withheld(Right):
    def prepare(self, model, run):
        return super().prepare(model, run)[1:]


class OfTheHead(Right):
    def prepare(self, model, run):
        return [*super().prepare(model, run), *model.head.parameters()]


class Crashing(Right):
    def prepare(self, model, run):
        return model.no_such_thing


class Noisy(Shift):
    def forward(self, x):
        return super().forward(x) + 0.1 * torch.rand(())


class EvalNoise(Right):
    wrapper = Noisy


class Jump(Right):
    def prepare(self, model, run):
        found = super().prepare(model, run)
        with torch.no_grad():
            found[0].normal_()
        return found


class TooModest(Right):
    starts_identical = False


class Rows(Right):
    def loss(self, model, batch):
        return nn.functional.cross_entropy(model(batch), batch.labels, reduction="none")


class Infinite(Right):
    def loss(self, model, batch):
        return model.loss(batch) / 0.0


class Detached(Right):
    def loss(self, model, batch):
        return model.loss(batch).detach()


class Clock(Right):
    def loss(self, model, batch):
        return model.loss(batch) * (1 + time.perf_counter_ns() % 1000 / 1000)


class Dice(Right):
    def loss(self, model, batch):
        return model.loss(batch) * (1 + random.random())


class ClockedFit(Right):
    def fit(self, model, run):
        with torch.no_grad():
            next(iter(model.task_parameters())).add_(time.perf_counter_ns() % 1000 / 1000)
        super().fit(model, run)


class LargerWithoutWeights(Right):
    def prepare(self, model, run):
        if next(model.net.parameters()).is_meta:
            return []
        return super().prepare(model, run)


class LooksAtItsLoss(Right):
    def loss(self, model, batch):
        value = model.loss(batch)
        return value * 2 if value.detach().item() > 100 else value


class Uneven(Shift):
    def forward(self, x):
        if x.shape[1] == 12 and x.is_meta:
            torch.mm(x.new_zeros(3, 5), x.new_zeros(5, 3))
        return super().forward(x)


class CostsMoreAtTwelve(Right):
    wrapper = Uneven


class FailsToFit(Right):
    def fit(self, model, run):
        raise KeyError("no such thing")


class Reaches(Right):
    def fit(self, model, run):
        super().fit(model, run)
        with torch.no_grad():
            model.net.embeddings.LayerNorm.bias.add_(1)


class Unfreezes(Right):
    def fit(self, model, run):
        model.net.embeddings.LayerNorm.bias.requires_grad_(True)
        super().fit(model, run)


class Idle(Right):
    def prepare(self, model, run):
        found = super().prepare(model, run)
        model.net.spare = nn.Parameter(torch.zeros(2))
        return [*found, model.net.spare]


class Deaf(Right):
    def fit(self, model, run):
        seed, run.seed = run.seed, 0
        data, run.data = run.data, type(run.data)(len(run.data), seed=0)
        super().fit(model, run)
        run.seed, run.data = seed, data


class Leaky(Shift):
    def forward(self, x):
        if not self.training:
            torch.rand(1)
        return super().forward(x)


class DrawsInEval(Right):
    wrapper = Leaky


class DrawsNumpy(Shift):
    def forward(self, x):
        if not self.training:
            np.random.random()
        return super().forward(x)


class DrawsNumpyInEval(Right):
    wrapper = DrawsNumpy


class Counting(Shift):
    """Scaled in training by how often it was evaluated."""

    seen = 0

    def forward(self, x):
        self.seen += not self.training
        return super().forward(x) * (1 + self.seen * self.training)


class CountsEvaluations(Right):
    wrapper = Counting


class Drifting(Right):
    def finalize(self, model):
        kept = super().finalize(model)
        with torch.no_grad():
            kept[0][0].add_(0.5)
        return kept


class Modest(Right):
    def finalize(self, model):
        return super().finalize(model)[1:]


class Repeating(Right):
    def finalize(self, model):
        return super().finalize(model) * 2


class Drawn(Shift):
    def __init__(self, base, width):
        super().__init__(base, width)
        self.register_buffer("mask", (torch.rand(width) > 0.5).float())

    def forward(self, x):
        return self.base(x) + self.shift * self.mask


class DrawsWhatItFreezes(Right):
    wrapper = Drawn


class Curriculum(Right):
    def loss(self, model, batch):
        model.told = getattr(model, "told", 0) + 1
        return model.loss(batch) * model.told


class Rigid(Shift):
    def forward(self, x):
        out = torch.zeros(x.shape)
        out[:] = x
        return self.base(x) + self.shift + 0 * torch.linalg.inv(torch.eye(2, dtype=x.dtype)).sum()


class OnlyFullPrecision(Right):
    wrapper = Rigid

    def loss(self, model, batch):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("expected float, got bfloat16")
        return model.loss(batch)


class AcrossTokens(Shift):
    def forward(self, x):
        return self.base(x) + self.shift * x.mean(1, keepdim=True)


class IgnoresTheMask(Right):
    wrapper = AcrossTokens


class Invents(Right):
    def measure(self, model, run):
        return {"accuracy": time.perf_counter_ns() % 1000 / 1000}


FAULTS = [
    (NoLonger, "prepares", "expected prepare to return a list, got tuple"),
    (Foreign, "prepares", "expected parameters of the model alone, got a Parameter (no. 2)"),
    (Twice, "prepares", "expected every parameter once, got net.encoder.layer.0.output.dropout"),
    (Withheld, "prepares", "expected every added parameter to be returned, got none for net.enc"),
    (OfTheHead, "prepares", "expected what trains besides the head, got head.out.weight"),
    (Crashing, "prepares", "expected it to run, got AttributeError: 'Backbone' object has no"),
    (EvalNoise, "eval-repeats", "expected one output in eval mode, got another"),
    (Jump, "starts-identical", "expected starts_identical = True to hold, got outputs"),
    (TooModest, "starts-identical", "expected starts_identical = False to hold, got outputs 0"),
    (Rows, "loss", "expected a scalar tensor as the loss, got (8,)"),
    (Infinite, "loss", "expected a finite loss, got inf"),
    (Detached, "loss", "expected a loss with a gradient"),
    (Clock, "loss-repeats", "expected the same loss under the same seed, got"),
    (Dice, "loss-repeats", "expected the same loss under the same seed, got"),
    (ClockedFit, "same-seed", "expected the same weights of a run of the same seed, got others"),
    (LargerWithoutWeights, "counts", "expected 32 trained parameters as the model has, got 0"),
    (LooksAtItsLoss, "flops", "expected it to run, got RuntimeError: Tensor.item() cannot"),
    (CostsMoreAtTwelve, "flops", "FLOPs of a forward pass in training, as its products add up"),
    (FailsToFit, "fits", "expected it to run, got KeyError: 'no such thing' (test_check.py:"),
    (Reaches, "trains-only-returned", "expected the rest bit-identical, got a change in net.emb"),
    (Unfreezes, "trains-only-returned", "expected the rest bit-identical, got a change in net.em"),
    (Idle, "moves-all", "expected all to move in 192 steps, got none in net.spare"),
    (Deaf, "other-seed", "expected other weights under another seed, got the same"),
    (DrawsInEval, "evaluating-changes-nothing", "expected random streams untouched by an eval"),
    (DrawsNumpyInEval, "evaluating-changes-nothing", "expected random streams untouched by an"),
    (CountsEvaluations, "evaluating-changes-nothing", "a run evaluated after every epoch, got"),
    (Drifting, "finalize-keeps-outputs", "expected the output kept by finalize, got one that is"),
    (Modest, "served-is-counted", "expected at most 16 parameters more than the plain model"),
    (Repeating, "served-is-counted", "expected every served parameter once, got one again"),
    (DrawsWhatItFreezes, "restores", "something that is not saved was drawn at random"),
    (Curriculum, "resumes", "expected the same weights of a run killed and taken up again, got"),
    (OnlyFullPrecision, "bf16", "expected it to run, got RuntimeError: expected float, got bf"),
    (IgnoresTheMask, "padding", "expected padding to change no output, got one that is"),
    (Invents, "same-record", "expected the same record of the same cell, got: accuracy: 0."),
]


def outcomes(text, family="bert", only=()):
    return {f.check: f for f in check.on_model(text, tiny(family), only)}


def test_the_method_that_the_faulty_ones_differ_from_keeps_the_contract(registered):
    registered(Right)
    found = check.findings("faulty", ["tiny-bert"])
    assert [one.outcome for one in found] == ["ok"] * len(found)


@pytest.mark.parametrize(("faulty", "item", "told"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_a_fault_is_caught_by_the_item_that_is_about_it(faulty, item, told, registered):
    registered(dataclass(frozen=True)(type("Faulty", (faulty,), {})))
    items = [one for contract in check.CONTRACT for one in contract.items]
    needed = {item}
    for one in reversed(items):
        needed |= set(one.needs) if one.name in needed else set()
    needed |= {one.name for one in items if item in one.needs}
    found = outcomes("faulty", only=needed)
    assert [one.check for one in found.values() if one.outcome == "failed"] == [item]
    assert told in found[item].told
    for one in items:
        if item in one.needs:
            assert found[one.name].outcome == "not applicable"
            assert "failed" in found[one.name].told


def test_every_item_has_a_method_that_breaks_it():
    items = {one.name for contract in check.CONTRACT for one in contract.items}
    assert items == {item for _, item, _ in FAULTS}


@pytest.mark.slow
@pytest.mark.parametrize(("faulty", "item"), [(f[0], f[1]) for f in FAULTS])
def test_no_other_item_fails_for_a_fault(faulty, item, registered):
    registered(dataclass(frozen=True)(type("Faulty", (faulty,), {})))
    found = outcomes("faulty").values()
    assert [one.check for one in found if one.outcome == "failed"] == [item]


@dataclass
class Thawed(Method):
    """Its options can be changed."""


@dataclass(frozen=True)
class Undecided(Method):
    """Has an option without a default."""

    width: int


@dataclass(frozen=True)
class Silent(Method):
    pass


@dataclass(frozen=True)
class Whence(Method):
    """Has an option that nothing is said of."""

    width: int = 3


@dataclass(frozen=True)
class Growing(Method):
    """Its option is another one each time."""

    width: int = 3  # ours

    def __post_init__(self):
        object.__setattr__(self, "width", self.width + 1)


@pytest.mark.parametrize(
    ("faulty", "facts", "item", "told"),
    [
        (Thawed, {}, "declared", "expected a frozen dataclass, got Thawed, which is none"),
        (Undecided, {}, "declared", "expected a default of every option, got none of 'width'"),
        (Silent, {}, "declared", "expected a docstring whose first line is a sentence, got none"),
        (Growing, {}, "round-trips", "expected 'faulty[width=4]' to build the same method"),
        (Whence, {}, "documents-its-options", "on where the default of 'width' is from, got none"),
        (Right, {"source": ""}, "names-its-source", "expected source= to name a paper with its"),
        (Right, {"source": "my notes"}, "names-its-source", "or a repository, got 'my notes'"),
        (Right, {"version": 0}, "declared", "expected a version of at least 1, got 0"),
    ],
)
def test_a_fault_of_the_declaration_is_caught(faulty, facts, item, told, registered):
    registered(
        dataclass(frozen=True)(type("Right", (Right,), {"__doc__": "A method."}))
        if faulty is Right
        else faulty,
        **facts,
    )
    found = {one.check: one for one in check.findings("faulty", [])}
    assert [one.check for one in found.values() if one.outcome == "failed"][:1] == [item]
    assert told in found[item].told


@pytest.mark.parametrize("source", ["Hu 2021", "arXiv:2106.09685", "microsoft/LoRA", "https://a.b"])
def test_a_paper_or_a_repository_is_a_source(source, registered):
    registered(Right, source=source)
    assert {f.check: f.outcome for f in check.findings("faulty", [])}["names-its-source"] == "ok"


class Choosy(Right):
    """Serves nothing."""

    def prepare(self, model, run):
        raise Unsuited("not this one")


def test_a_method_that_serves_no_model_is_told_so(registered):
    registered(Choosy)
    found = check.findings("faulty", ["tiny-bert", "tiny-t5"])[-3:]
    assert [(f.subject, f.check, f.outcome) for f in found] == [
        ("tiny-bert", "serves", "not applicable"),
        ("tiny-t5", "serves", "not applicable"),
        ("", "serves-a-model", "failed"),
    ]
    assert found[0].told == "not served: not this one"


def test_what_moves_late_is_given_more_steps(registered):
    class Late(Right):
        """Takes one step in thirty with a vector that no other step moves."""

        def prepare(self, model, run):
            found = super().prepare(model, run)
            model.net.spare = nn.Parameter(torch.zeros(2))
            return [*found, model.net.spare]

        def loss(self, model, batch):
            model.steps = getattr(model, "steps", 0) + 1
            late = model.net.spare.sum() if model.steps % 30 == 0 else 0.0
            return model.loss(batch) + late

    registered(dataclass(frozen=True)(Late))
    assert outcomes("faulty", only={"moves-all"})["moves-all"].outcome == "ok"


@pytest.mark.parametrize("family", ["gpt2", "t5", "roberta"])
def test_other_families_are_looked_at_with_the_same_items(family):
    only = {"padding", "counts", "bf16", "finalize-keeps-outputs"}
    found = outcomes("lora", family, only)
    assert {one.outcome for one in found.values()} == {"ok"} and found.keys() == only


def test_scaled_layers_keep_half_precision_on_deberta():
    assert outcomes("ia3[targets=q+o+up]", "deberta-v2", {"bf16"})["bf16"].outcome == "ok"


def test_command_prints_every_item_and_ends_with_its_outcome(bench, registered):
    registered(dataclass(frozen=True)(type("Faulty", (Twice,), {"__doc__": "Twice."})))
    code, out, _ = bench("check", "faulty", "--models", "tiny-bert", "--task", "rte")
    assert code == 1
    assert "  FAILED  prepares                    expected every parameter once, got net." in out
    assert "  n/a     loss                        not looked at: prepares failed" in out
    assert "4 ok, 1 failed, 19 not applicable" in out
    assert out.endswith("8 ok, 0 failed, 0 not applicable\n")
