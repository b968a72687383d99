"""A run on toy rows with the real training loop: what the hooks of a checked method are given."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.backbone import Backbone
from bench.cellrun import derived
from bench.checkpoint import Checkpoint
from bench.contract.tiny import Echo, Toy
from bench.cost import free
from bench.device import Precision
from bench.heads import Described
from bench.predict import features, mean_loss
from bench.recipe import AdamW
from bench.text import Batch, First, Rows
from bench.train import Loop, Rates, Trace, train
from methods import resolve
from methods.base import Method, Need, spread
from tasks.base import Given


class Killed(Exception):
    """Stands in for the end of the process."""


RECIPE: dict[str, Any] = {"lr": 1e-2, "batch": 16, "epochs": 2, "decay": 0.0}


class ToyRun:
    """A run on a toy task.

    `regression`: its label is a number. `recipe`: options that go before those of RECIPE.
    """

    checkpoint: Checkpoint | None = None  # where a killed run goes on from
    precision: Precision = "fp32"
    watched = False  # whether every epoch ends with an evaluation
    dies_at: int | None = None  # the number of the step in which it is killed
    trace: Trace | None = None  # of the training, once there was one
    primary, selects = "accuracy", True
    parts: Sequence[str] = ()

    def __init__(self, seed: int = 0, regression: bool = False, **recipe: Any):
        self.seed = seed
        self.recipe = AdamW(**{**RECIPE, **recipe})
        self.data: Rows = Toy(seed=seed, regression=regression)
        self.losses: list[float] = []
        self.generators: dict[str, torch.Generator] = {}
        self.built_on: list[tuple[Need, Backbone]] = []  # needs, each with a model to meet it

    def parents(self) -> list[dict[str, Tensor]]:
        """What each needed run has trained, by name."""
        return [self._met(need, model) for need, model in self.built_on]

    def runs(self) -> list["ToyParent"]:
        """Each needed run."""
        return [ToyParent(self._met(need, model), need, self.data) for need, model in self.built_on]

    def batches(self, split: str, size: int) -> Iterator[Batch]:
        """The rows, which are those of every split."""
        return self.data.in_order(size)

    def generator(self, purpose: str) -> torch.Generator:
        """A random stream of its own."""
        self.generators[purpose] = torch.Generator().manual_seed(derived(self.seed, purpose))
        return self.generators[purpose]

    def train(
        self,
        model: Backbone,
        loss: Any,
        *,
        idle: str = "still",
        parts: Any = None,
        rates: Rates | None = None,
    ) -> None:
        """Gradient descent by the recipe."""
        streams = {
            "checkpoint": self.checkpoint,
            "generators": self.generators,
            "rates": rates or {},
        }
        cpu = torch.device("cpu")
        loop = Loop(self.recipe, cpu, self.precision, self.seed, idle, **streams)  # type: ignore[arg-type]
        self.trace = train(model, partial(self._noted, loss), self.data, loop, self._score(model))

    def evaluate(self, model: Backbone, split: str) -> dict[str, float | None]:
        """The share of rows, or of written tokens, that the model has right."""
        model.eval()
        with torch.no_grad():
            right = [(model(b).argmax(-1) == b.labels).float() for b in self.data.in_order(64)]
        return {"accuracy": torch.cat(right).mean().item()}

    def features(
        self, model: Backbone, split: str, most: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the head reads of each row, and the labels; every split has the same rows."""
        found = features(model, self.data, torch.device("cpu"), self.precision, most)
        return found, torch.tensor(self.data.labels[:most])

    def mean_loss(self, model: Backbone, split: str, rows: int | None = None) -> float:
        """Mean cross-entropy in nats over the rows, or the first so many, in eval mode."""
        data = self.data if rows is None else First(self.data, rows)
        return mean_loss(model, data, torch.device("cpu"), self.precision)

    def _score(self, model: Backbone) -> Callable[[], float] | None:
        """An evaluation that never prefers an earlier epoch."""
        seen: list[Any] = []

        def score() -> float:
            seen.append(self.evaluate(model, "test"))
            return float(len(seen))

        return score if self.watched else None

    def _met(self, need: Need, model: Backbone) -> dict[str, Tensor]:
        run, model = copy.copy(self), copy.deepcopy(model)
        method = resolve(need.method, "")
        run.recipe, run.losses = replace(self.recipe, **need.recipe), []
        run.checkpoint, run.dies_at, run.watched = None, None, False  # it has ended already
        prepared(method, model, run)
        method.fit(model, run)
        return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}

    def _noted(self, loss: Callable[[Backbone, Batch], Tensor], model: Backbone, batch: Batch):
        if len(self.losses) == self.dies_at:
            raise Killed
        value = loss(model, batch)
        self.losses.append(value.item())
        return value


class ToyParent:
    """A needed run of a toy run: see bench/parents.py."""

    part: Any = None
    base = head_init = ""
    score: float | None = None

    def __init__(self, tensors: dict[str, Tensor], need: Need, rows: Rows):
        self.tensors, self.need, self.rows = tensors, need, rows
        self.told = need.method

    @property
    def method(self) -> Method:
        """The method of the run."""
        return resolve(self.need.method, "")

    def batches(self, rows: int) -> Iterator[Batch]:
        """Some of its rows."""
        return self.rows.in_order(min(rows, 16))

    def statistic(self, name: str, make: Any) -> dict[str, Tensor]:
        """Computed each time."""
        return dict(make())


class EchoRun(ToyRun):
    """A run on a toy task of writing."""

    def __init__(self, family: str, seed: int = 0, **recipe: Any):
        super().__init__(seed, **recipe)
        self.data = Echo("causal" if family == "gpt2" else "seq2seq", seed=seed)


def prepared(method: Method, model: Backbone, run: ToyRun | None = None) -> list[nn.Parameter]:
    """What `prepare` returned, with everything else frozen, as the runner leaves it."""
    run = run or ToyRun()
    asked(model, method)
    run.built_on = [(need, copy.deepcopy(model)) for need in spread(method.needs(), 0)]
    torch.manual_seed(derived(run.seed, "prepare"))
    trained = method.prepare(model, run)
    free(model, trained)
    return trained


def given(method: Method, outputs: int) -> tuple[Given, ...]:
    """The heads that the method asks for; none where any will do."""
    described = tuple(map(str, range(outputs)))
    return (Given(outputs, described),) if method.asks_given and outputs else ()


def asked(model: Backbone, method: Method) -> None:
    """Gives the model a head that is not trained, with classes drawn at random, if asked for."""
    model.rehead(given(method, model.outputs))
    if not isinstance(model.head, Described):
        return
    drawn = torch.randn(model.head.classes.shape, generator=torch.Generator().manual_seed(0))
    model.head.classes = nn.functional.normalize(drawn, dim=-1)


def tensors(of: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Copies of the named tensors as they are now."""
    return {name: tensor.detach().clone() for name, tensor in of}
