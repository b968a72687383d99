"""One method on one model, and the trainings that several items look at, each run once."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bench.backbone import Backbone
from bench.contract.subject import SHORT, Subject
from bench.contract.toys import ToyRun, asked, given, prepared, tensors
from bench.cost import size
from bench.families import Unserved
from bench.text import Batch
from methods.base import Method, Unsuited
from tasks.base import Given


@dataclass
class Fitted:
    """A model after `fit`."""

    model: Backbone
    trained: list[nn.Parameter]
    run: ToyRun
    before: dict[str, Tensor]  # parameters and buffers when training began
    after: dict[str, Tensor]  # and when it ended

    @property
    def mine(self) -> set[int]:
        """The ids of what was to train: what `prepare` returned, and the head."""
        return {id(p) for p in [*self.trained, *self.model.head.parameters()]}


class Served(NamedTuple):
    """A model through `finalize`."""

    before: Tensor
    after: Tensor
    kept: list[nn.Parameter]
    left: int  # parameters of the model afterwards, the head apart


class Case:
    """One method on one model; what several items look at is made once."""

    def __init__(self, method: Method, subject: Subject):
        self.method, self.subject = method, subject

    def unserved(self) -> str:
        """Why the method does not serve the model; "" where it does, or fails in another way."""
        try:
            prepared(self.method, self.build(), self.subject.run())
        except (Unsuited, Unserved) as error:
            return str(error)
        except Exception:  # the item "prepares" tells it
            return ""
        return ""

    def ready(self, run: ToyRun) -> tuple[Backbone, list[nn.Parameter]]:
        """The model as training begins, and what was returned."""
        model = self.build()
        trained = prepared(self.method, model, run)
        return model.train(), trained

    def build(self) -> Backbone:
        """The model with its pretrained weights, and the head that the method asks for."""
        model = self.subject.build()
        asked(model, self.method)
        return model

    def fitted(self, run: ToyRun) -> Fitted:
        """The model after training."""
        model, trained = self.ready(run)
        before = tensors(state(model))
        self.method.fit(model, run)
        return Fitted(model, trained, run, before, tensors(state(model)))

    @cached_property
    def trained(self) -> Fitted:
        """A training of many steps; nobody changes this model."""
        return self.fitted(self.subject.run())

    @cached_property
    def short(self) -> Fitted:
        """A training of few steps, to be compared with others like it."""
        return self.fitted(self.subject.run(rows=SHORT))

    @cached_property
    def served(self) -> Served:
        """Another training of few steps, finalized."""
        model = self.fitted(self.subject.run(rows=SHORT)).model
        before = self.output(model)
        kept = self.method.finalize(model)
        left = size(model.parameters()) - size(model.head.parameters())
        return Served(before, self.output(model), kept, left)

    @property
    def heads(self) -> tuple[Given, ...]:
        """The heads that the method asks for; none where any will do."""
        return given(self.method, self.subject.outputs)

    @property
    def batch(self) -> Batch:
        """Eight rows of several lengths, padded."""
        return self.subject.rows(8, same=False).batch(np.arange(8))

    def output(self, model: Backbone, batch: Batch | None = None) -> Tensor:
        """The logits in eval mode."""
        with torch.no_grad():
            return model.eval()(batch or self.batch)


def state(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Every parameter and buffer by name."""
    return [*model.named_parameters(), *model.named_buffers()]
