"""LogME: how well a candidate's features explain the labels, before anything is trained."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods import method
from methods.base import Method
from methods.cut import Pool, Start, at_least_none, candidate

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone
    from methods.merging.evidence import Evidence


@method("logme", source="LogME: You et al. 2021, arXiv:2102.11005, algorithm 1")
@dataclass(frozen=True)
class LogME(Method):
    """The evidence of the labels given the features of a candidate, and its Bayesian head.

    `layers`, `pool` and `start` say what the candidate is, as in `cut`. The features are what the
    head reads of the first `rows` training rows; a class is an output of zeros and ones. The
    record's `logme` has the evidence in nats a row, its mean over the outputs, and the seconds it
    took; the scores are those of the posterior means as a linear head without a bias. No step is
    taken.

    Departs from the source as methods/merging/evidence.py says, which is the whole of it.
    """

    starts_identical = False

    layers: int | None = None  # all there are
    pool: Pool = "mean"  # as in `cut`
    start: Start = "pretrained"
    rows: int = 2000  # ours: evidence a row hardly changes beyond, and the paper takes all

    def __post_init__(self) -> None:
        at_least_none(self.layers)
        if self.rows < 1:
            raise ValueError(f"expected rows of at least 1, got {self.rows}")

    def prepare(self, model, run):
        named = candidate(model, run, self.layers, self.pool, self.start)
        model.facts["candidate"] = named
        linear(model)
        return []

    def fit(self, model, run):
        began = time.perf_counter()
        features, labels = run.features(model, "train", self.rows)
        found = explained(model, features, labels)
        set_head(model, found.weights)
        each = [None if math.isnan(value) else value for value in found.each.tolist()]
        model.facts["logme"] = {
            "evidence": found.mean,
            "candidate": model.facts["candidate"],
            "classes": each,
            "rows": len(features),
            "width": features.shape[1],
            "seconds": time.perf_counter() - began,
        }


def explained(model: Backbone, features: Tensor, labels: Tensor) -> Evidence:
    """The evidence of labels (rows,) given features (rows, width), an output each of the model's.

    Raises ValueError where no label differs from zero.
    """
    from methods.merging.evidence import evidence, one_hot

    outputs = labels[:, None] if model.regression else one_hot(labels, model.outputs)
    found = evidence(features, outputs)
    if math.isnan(found.mean):
        raise ValueError("expected labels to explain, got zeros alone")
    return found


def linear(model: Backbone) -> None:
    """Leaves of the head one map without a bias."""
    from torch import nn

    from bench.backbone import Site

    head: Any = model.head
    old = head.out
    new = nn.Linear(old.in_features, old.out_features, bias=False, device=old.weight.device)
    new.weight = old.weight
    Site("out", head, "out").put(new)
    if hasattr(head, "dense"):
        del head.dense


def set_head(model: Backbone, weights: Tensor) -> None:
    """Puts weights (outputs, width) into a linear head."""
    import torch

    head: Any = model.head
    with torch.no_grad():
        head.out.weight.copy_(weights)
