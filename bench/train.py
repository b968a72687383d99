"""The one training loop: every method's gradient descent goes through it."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.backbone import Backbone
from bench.checkpoint import Checkpoint, restore_rng, rng_state
from bench.device import Precision, autocast
from bench.executors.group import Alone
from bench.lowered import lowered
from bench.recipe import AdamW
from bench.text import Batch, Rows, Shape
from bench.work import Work

Loss = Callable[[Backbone, Batch], Tensor]
Rates = Mapping[nn.Parameter, float]  # in parts of the recipe's learning rate; 1 where not told

GLANCE = 0.5  # seconds between two looks at the loss


class Diverged(ArithmeticError):
    """The loss, or what the model puts out, is no longer a finite number."""


@dataclass
class Trace(Work):
    """What a training run did."""

    steps: int = 0
    loss: float = math.nan  # of the last step looked at
    scores: list[float | None] = field(default_factory=list)  # an epoch each, where asked for
    features: Counter[Shape] = field(default_factory=Counter)  # batches of them, where kept
    epoch: int | None = None  # the epoch whose weights were kept, from 1


@dataclass(frozen=True)
class Loop:
    """What stays the same from step to step."""

    recipe: AdamW
    device: torch.device
    precision: Precision
    seed: int
    idle: str = "still"
    tell: Callable[..., Any] = lambda **_: None
    checkpoint: Checkpoint | None = None  # where a killed run goes on from
    generators: Mapping[str, torch.Generator] = field(default_factory=dict)  # streams in use
    rates: Rates = field(default_factory=dict)
    group: Alone = field(default_factory=Alone)  # the processes that share each batch


def train(
    model: Backbone,
    loss: Loss,
    data: Rows,
    loop: Loop,
    score: Callable[[], float | None] | None = None,
) -> Trace:
    """Minimises `loss` over what requires a gradient; leaves the model in training mode.

    `score` is called after each epoch, in place of nothing, and the weights of the epoch with the
    highest score are put back at the end. With a checkpoint a run that was killed goes on, and
    ends as if it had not been.
    Raises Diverged when the loss is not finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not len(data) or not parameters:
        return Trace()
    descent = _Descent(model, loss, data, loop)
    torch.manual_seed(loop.group.seed(loop.seed))
    descent.resume()
    while descent.trace.steps < descent.total:
        with lowered(model, loop.precision):
            descent.epoch()
        if score:
            with torch.random.fork_rng([loop.device] if loop.device.type == "cuda" else []):
                descent.trace.scores.append(score())
            descent.best.see(descent.trace.scores[-1], len(descent.trace.scores))
    if score:
        descent.trace.epoch = descent.best.restore()
    return descent.trace


def steps(recipe: AdamW, rows: int) -> int:
    """Steps of a run on so many rows."""
    total = recipe.steps or recipe.epochs * math.ceil(rows / recipe.batch)
    return max(1, math.ceil(recipe.times * total))


class _Descent:
    """A training run under way, epoch by epoch."""

    def __init__(self, model: Backbone, loss: Loss, data: Rows, loop: Loop):
        self.model, self.loss, self.data, self.loop = model, loss, data, loop
        recipe = loop.recipe
        self.total = steps(recipe, len(data))
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer, self.schedule = _optimizer(self.parameters, recipe, self.total, loop.rates)
        self.source, self.trace = np.random.default_rng(loop.seed), Trace()
        self.best = _Best(self.parameters)
        self.done = 0  # batches of this epoch
        self.begun = self.source.bit_generator.state  # of the source, when this epoch began

    def epoch(self) -> None:
        """Every row once, or as many batches as are left of the run."""
        self.begun = self.source.bit_generator.state
        batches = self.data.shuffled(self.loop.recipe.batch, self.source)
        batches = batches[self.done : self.done + self.total - self.trace.steps]
        self.model.train()
        began = glanced = time.perf_counter()
        before, rows = self.trace.seconds, 0
        for numbers in batches:
            mine = self.loop.group.share(numbers)
            value = self._step(self.data.batch(mine).to(self.loop.device))
            self.trace.saw(self.data.lengths[numbers])
            rows += len(numbers)
            now = time.perf_counter()
            self.trace.seconds = before + now - began
            if now - glanced > GLANCE or numbers is batches[-1]:
                glanced = now
                self._look(value, rows / (now - began))
            self._keep()
        self.done = 0

    def resume(self) -> None:
        """Takes up the state of a run that was killed, if there is one."""
        state = self.loop.checkpoint and self.loop.checkpoint.load()
        if not state:
            return
        _copy(state["parameters"], self.parameters)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        shapes = Counter({Shape(*shape): count for shape, count in state["shapes"]})
        self.trace = Trace(**state["trace"], shapes=shapes)
        self.best.best, self.best.epoch, self.best.weights = state["best"]
        self.done = state["done"]
        restore_rng(state["streams"], self.source, self.loop.generators)
        self.source.bit_generator.state = state["begun"]

    def _keep(self) -> None:
        self.done += 1
        if self.loop.checkpoint and self.loop.checkpoint.due():
            self.loop.checkpoint.save(self._state())

    def _state(self) -> dict[str, Any]:
        trace = {k: v for k, v in vars(self.trace).items() if k not in ("shapes", "features")}
        return {
            "parameters": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "trace": trace,
            "shapes": [(tuple(shape), count) for shape, count in self.trace.shapes.items()],
            "best": (self.best.best, self.best.epoch, self.best.weights),
            "done": self.done,
            "begun": self.begun,
            "streams": rng_state(self.source, self.loop.generators),
        }

    def _step(self, batch: Batch) -> Tensor:
        with autocast(self.loop.device, self.loop.precision):
            value = self.loss(self.model, batch)
        value.backward()
        value, shapes = self.loop.group.reduce(value.detach(), batch, self.parameters)
        if self.loop.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.loop.recipe.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=self.loop.idle == "still")
        self.trace.steps += 1
        self.trace.shapes.update(shapes)
        return value

    def _look(self, value: Tensor, rate: float) -> None:
        self.trace.loss = _finite(value, self.trace.steps)
        self.loop.tell(step=self.trace.steps, steps=self.total, loss=self.trace.loss, rate=rate)


def _finite(value: Tensor, step: int) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise Diverged(f"loss is {number} by step {step}; a lower learning rate may help")
    return number


def _optimizer(parameters: list[nn.Parameter], recipe: AdamW, total: int, rates: Rates):
    """AdamW, without decay on biases and LayerNorm (one-dimensional tensors) unless asked for."""
    small = recipe.decay if recipe.decay_all else 0.0
    groups = []
    for rate in dict.fromkeys(rates.get(p, 1.0) for p in parameters):
        some = [p for p in parameters if rates.get(p, 1.0) == rate]
        matrices, vectors = [p for p in some if p.dim() > 1], [p for p in some if p.dim() < 2]
        groups += [
            {"params": matrices, "weight_decay": recipe.decay, "lr": rate * recipe.lr},
            {"params": vectors, "weight_decay": small, "lr": rate * recipe.lr},
        ]
    betas = (recipe.beta1, recipe.beta2)
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
    asked = recipe.warmup_steps
    warm = math.ceil(recipe.warmup * total) if asked is None else asked

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return max(0, total - step) / max(1, total - warm)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class _Best:
    """Keeps the weights of the best epoch seen."""

    def __init__(self, parameters: list[nn.Parameter]):
        self.parameters, self.best, self.epoch = parameters, -math.inf, 0
        self.weights: list[Tensor] = []

    def see(self, score: float | None, epoch: int) -> None:
        score = -math.inf if score is None else score
        if score > self.best or not self.weights:
            self.best, self.epoch = score, epoch
            self.weights = [p.detach().clone() for p in self.parameters]

    def restore(self) -> int:
        _copy(self.weights, self.parameters)
        return self.epoch


@torch.no_grad()
def _copy(weights: Iterable[Tensor], parameters: Iterable[nn.Parameter]) -> None:
    for parameter, kept in zip(parameters, weights, strict=True):
        parameter.copy_(kept)
