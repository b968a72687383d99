"""The contract of a method: five hooks, each with a default that does the plain thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from bench.backbone import Backbone
    from bench.text import Batch

    Loss = Callable[[Backbone, Batch], Tensor]


class Unsuited(ValueError):
    """A method that cannot serve this model or this inner method; the message says why."""


class Need(NamedTuple):
    """A run that a method builds on: of the same task, model, data and seed."""

    method: str  # as it would be typed; it trains by the recipe that the suite has for it
    recipe: Mapping[str, Any] = {}  # what differs from that recipe


class Run(Protocol):
    """What the runner offers a method's hooks."""

    seed: int

    def parents(self) -> list[dict[str, Tensor]]:
        """What each run that this one builds on has trained, by name, in the order of `needs`."""

    def train(self, model: Backbone, loss: Loss, *, idle: str = "still") -> None:
        """Gradient descent by the cell's recipe on what is free to train.

        `idle`: whether a parameter without a gradient in a step stands "still" or, once it has had
        one, goes on "moving" by momentum and decay.
        """

    def evaluate(self, model: Backbone, split: str) -> dict[str, float | None]:
        """The task's metrics on "selection" or "test", in eval mode."""

    def mean_loss(self, model: Backbone, split: str, rows: int | None = None) -> float:
        """Mean cross-entropy in nats over "train", "selection" or "test", in eval mode.

        `rows`: how many of each split, the first ones, at most; none: all.
        """

    def generator(self, purpose: str) -> Generator:
        """A random stream of its own on the CPU, seeded by the cell's seed and the purpose."""


class Method:
    """Turns a pretrained backbone into a measured model.

    The runner calls `prepare`, `fit`, `finalize`, `measure`, in that order. Subclasses are frozen
    dataclasses; their fields are the hyper-parameters, with the paper's defaults. torch is
    imported inside the hooks, so that listing and planning need none.
    """

    kind: ClassVar[str] = "method"
    name: ClassVar[str]
    source: ClassVar[str]
    version: ClassVar[int] = 1  # raised whenever the same cell would give other numbers
    starts_identical: ClassVar[bool] = True  # `prepare` leaves the eval-mode output unchanged
    counts_on: ClassVar[str] = "meta"  # where it can be counted; "cpu": it looks into tensors

    def needs(self) -> tuple[Need, ...]:
        """The runs it builds on, which the plan puts before it.

        A method that has some names the first one's method in its field `of`.
        """
        return ()

    def prepare(self, model: Backbone, run: Run) -> list[nn.Parameter]:
        """Edits the model in place and returns what trains besides the head."""
        return []

    def loss(self, model: Backbone, batch: Batch) -> Tensor:
        """The scalar that one training step minimises."""
        return model.loss(batch)

    def fit(self, model: Backbone, run: Run) -> None:
        """Sets the weights: gradient descent, or a closed form."""
        run.train(model, self.loss)

    def finalize(self, model: Backbone) -> list[nn.Parameter]:
        """Merges and folds for serving without changing the eval-mode output.

        Returns what a server keeps for this task besides the head, counted before anything is
        folded into the backbone (the "#Param." column of the papers).
        """
        return model.task_parameters()

    def measure(self, model: Backbone, run: Run) -> dict[str, Any]:
        """The numbers that go in the record."""
        return run.evaluate(model, "test")
