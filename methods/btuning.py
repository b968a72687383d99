"""B-Tuning: what several teachers' Bayesian heads predict regularises a smaller student."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from methods import method, resolve
from methods.base import Method, Need, Parent, Unsuited
from methods.cut import Pool, at_least_none, candidate
from methods.logme import explained
from methods.trained import hold
from methods.wrapping import Wrapping

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone
    from methods.base import Run

PRETRAINED = "pretrained"  # the whole encoder as it was


@dataclass
class Lessons:
    """What the student is taught."""

    head: Tensor  # (outputs, width) of its own Bayesian head, which stays as it is
    whole: list[Backbone] = field(default_factory=list)  # the encoder before it was cut
    targets: Tensor | None = None  # (training rows, outputs), what the teachers predict


@method("btuning", source="B-Tuning: You et al. 2021, arXiv:2110.10545, section 5")
@dataclass(frozen=True)
class BTuning(Wrapping):
    """The first `layers` layers of the encoder, tuned by `of` and taught by better encoders.

    The loss is the task's and `weight` times the mean over rows and outputs of
    (m_t phi_t(x) - sum_k pi_k m_k phi_k(x))^2: phi are the features of student and teachers, m
    their Bayesian heads, which `logme` finds on the first `rows` training rows, and pi the softmax
    of the teachers' LogME / `temperature`. Only phi_t trains. Teachers are the best `teachers` by
    LogME among the whole pretrained encoder and the finished runs of `candidates`, methods on the
    same task and model, each read as its head reads it. The student's head reads `pool`. What the
    teachers predict of a training row is worked out once.

    Departs from the source: candidates are one encoder before and after tuning (there: a hub of
    pretrained ones), and the recipe is the suite's.
    """

    version = 2  # the head learns at a rate of its own
    starts_identical = False

    layers: int | None = None  # ours: half of them, rounded up
    teachers: int = 3  # K of section 5
    candidates: tuple[str, ...] | None = ("full", "lora")  # ours
    of: str = "full"  # as in the source
    pool: Pool = "mean"  # as in `cut`
    weight: float = 100.0  # lambda of the released code, thuml/LogME
    temperature: float = 0.1  # t of the released code
    head_rate: float = 10.0  # of the head, in parts of the recipe's rate; as in the released code
    rows: int = 2000  # as in `logme`

    def __post_init__(self) -> None:
        at_least_none(self.layers)
        for name in ("teachers", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if self.weight < 0:
            raise ValueError(f"expected weight of at least 0, got {self.weight}")
        for name in ("temperature", "head_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
        for text in (self.of, *(self.candidates or ())):
            if resolve(text, "").needs():
                raise ValueError(f"expected methods that train, got {text}")
        if (kind := type(self.inner)).loss is not Method.loss or kind.fit is not Method.fit:
            raise ValueError(f"expected a method with the task's loss alone, got of={self.of}")

    def needs(self):
        return tuple(Need(text) for text in self.candidates or ())

    def prepare(self, model, run):
        import torch

        whole = [copy.deepcopy(model)]
        layers = (len(model.layers) + 1) // 2 if self.layers is None else self.layers
        model.facts["student"] = candidate(model, run, layers, self.pool)
        model.lessons = Lessons(torch.zeros_like(model.head.out.weight), whole)
        trained = self.inner.prepare(model, run)
        if not trained:
            raise Unsuited(f"{self.of} trains nothing that could be taught")
        return trained

    def loss(self, model, batch):
        features = model.features(batch)
        task = self.inner.loss(model, replace(batch, features=features))
        return task + self.weight * taught(model.lessons, features, batch.rows)

    def fit(self, model, run):
        began, lessons = time.perf_counter(), model.lessons
        features, labels = run.features(model, "train")
        own = self._heard(model, features, labels)
        lessons.head = own.weights.to(model.head.out.weight)
        lessons.targets = self._targets(model, run).to(lessons.head)
        model.facts["btuning"]["logme"] = own.mean
        model.facts["btuning"]["seconds"] = time.perf_counter() - began
        rates = dict.fromkeys(model.head.parameters(), self.head_rate)
        run.train(model, self.loss, rates=rates)

    def _heard(self, model, features, labels):
        """The evidence and the Bayesian head, by the first rows."""
        return explained(model, features[: self.rows], labels[: self.rows])

    def _targets(self, model, run) -> Tensor:
        """What the best teachers predict of each training row: (rows, outputs), in float64."""
        from torch import stack, tensor

        found = []
        for name, teacher in self._asked(model.lessons.whole.pop(), run):
            features, labels = run.features(teacher, "train")
            heard = self._heard(teacher, features, labels)
            found.append((heard.mean, name, features.double() @ heard.weights.T))
        best = sorted(found, key=lambda one: -one[0])[: self.teachers]
        shares = (tensor([logme for logme, *_ in best]).double() / self.temperature).softmax(0)
        model.facts["btuning"] = {
            "teachers": [name for _, name, _ in best],
            "shares": shares.tolist(),
            "candidates": {name: logme for logme, name, _ in found},
        }
        return (shares[:, None, None] * stack([said for *_, said in best])).sum(0)

    def _asked(self, whole, run):
        """The candidates by name, one after another: the encoder as it was, then tuned."""
        for text, one in zip(self.candidates or (), run.runs(), strict=True):
            yield text, tuned(copy.deepcopy(whole), one, run)
        yield PRETRAINED, whole


def tuned(model: Backbone, run: Parent, mine: Run) -> Backbone:
    """The model as the run left it."""
    run.method.prepare(model, mine)
    hold(model, run.tensors)
    run.method.finalize(model)
    return model


def taught(lessons: Lessons, features: Tensor, rows: Tensor) -> Tensor:
    """How far the student's Bayesian prediction is from the teachers': a mean square, a scalar.

    `features`: (batch, width); `rows`: (batch,), their numbers among the training rows.
    """
    said = features.float() @ lessons.head.T
    if lessons.targets is None:  # where only the work is counted
        return said.square().mean()
    return (said - lessons.targets[rows]).square().mean()
