"""The contract of a method: five hooks, each with a default that does the plain thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from bench.backbone import Backbone
    from bench.text import Batch

    Loss = Callable[[Backbone, Batch], Tensor]


class Unsuited(ValueError):
    """A method that cannot serve this model or this inner method; the message says why."""


Part = int | tuple[int, ...] | None  # of a composite task: one, some together, or all of it


class Need(NamedTuple):
    """A run that a method builds on: of the same task, model, data and seed."""

    method: str  # as it would be typed; it trains by the recipe that the suite has for it
    recipe: Mapping[str, Any] = {}  # what differs from that recipe
    part: Part | Literal["each"] = None  # of a composite task; "each": a run for each part


def spread(needs: Sequence[Need], parts: int) -> list[Need]:
    """The needs on a task of so many parts (0: a plain one), a run each.

    On a plain task a run for each part, or for the first, is one on the task itself. Raises
    ValueError for a part that the task does not have.
    """
    found = []
    for need in needs:
        if need.part == "each":
            found += [need._replace(part=i) for i in range(parts)] or [need._replace(part=None)]
        elif (last := _last(need.part)) >= max(1, parts):
            raise ValueError(f"expected a task of at least {last + 1} parts, got {parts}")
        else:
            found.append(need if parts else need._replace(part=None))
    return found


def _last(part: Part) -> int:
    return -1 if part is None else part if isinstance(part, int) else max(part)


class Parent(Protocol):
    """A finished run that another one builds on."""

    @property
    def told(self) -> str:
        """The row's name and its task: "full on sst2"."""

    @property
    def part(self) -> Part:
        """Which of the task's parts it is of."""

    @property
    def method(self) -> Method:
        """The method of the run."""

    @property
    def base(self) -> str:
        """The digest of the weights that it started from."""

    @property
    def head_init(self) -> str:
        """The digest of the head that it started from."""

    @property
    def score(self) -> float | None:
        """Its primary metric on the reported rows: for the record, never to choose by."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What it trained, by name."""

    def batches(self, rows: int) -> Iterator[Batch]:
        """At most so many of its training rows, the first ones, in batches of like length."""

    def statistic(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors that follow from this run alone: computed once, and kept beside it."""


class Run(Protocol):
    """What the runner offers a method's hooks."""

    seed: int
    primary: str  # the metric that the task is chosen by
    parts: Sequence[str]  # of a composite task, by the names of their metrics
    selects: bool  # whether there are selection rows

    def runs(self) -> Sequence[Parent]:
        """Each run that this one builds on, in the order of `needs`."""

    def parents(self) -> list[dict[str, Tensor]]:
        """What each run that this one builds on has trained, by name, in the order of `needs`."""

    def train(
        self,
        model: Backbone,
        loss: Loss,
        *,
        idle: str = "still",
        parts: Sequence[int] | None = None,
        rates: Mapping[nn.Parameter, float] | None = None,
    ) -> None:
        """Gradient descent by the cell's recipe on what is free to train.

        `parts`: of a composite task, those whose rows are trained on; None for all. `idle`: whether
        a parameter without a gradient in a step stands "still" or, once it has had one, goes on
        "moving" by momentum and decay. `rates`: of parameters that learn faster or slower than the
        others, in parts of the recipe's rate.
        """

    def evaluate(self, model: Backbone, split: str) -> dict[str, float | None]:
        """The task's metrics on "selection" or "test", in eval mode."""

    def batches(self, split: str, size: int) -> Iterator[Batch]:
        """The rows of "train" or "selection", in batches of like length on the model's device."""

    def features(
        self, model: Backbone, split: str, most: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the head reads of each row in order, and the labels, in eval mode.

        Of the first `most` rows: float32 (rows, width) on the CPU, and (rows,).
        """

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
    asks_given: ClassVar[bool] = False  # heads that are given, as those of zero-shot tasks
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
