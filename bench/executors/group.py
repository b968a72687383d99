"""The processes that train one cell together, and what they give each other."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from bench.checkpoint import Checkpoint
    from bench.job import Job
    from bench.text import Batch, Shape

PATIENCE = timedelta(days=1)  # for rank 0, which may be evaluating; torchrun sees who dies
Value = TypeVar("Value")


class Done(BaseException):
    """What is left of a cell is for rank 0 alone; no error, so no record is made of it."""


class Alone:
    """One process: every batch is its own."""

    rank, size = 0, 1
    facts: Mapping[str, Any] = {}  # for the record

    def seed(self, seed: int) -> int:
        """The seed of torch's own stream, which dropout draws from."""
        return seed

    def share(self, rows: "np.ndarray") -> "np.ndarray":
        """Of the rows of a batch those of this process."""
        return rows

    def reduce(
        self, loss: "Tensor", batch: "Batch", parameters: Sequence["torch.nn.Parameter"]
    ) -> tuple["Tensor", list["Shape"]]:
        """The loss of the whole batch and the shapes of its parts; gradients become its too."""
        return loss, [batch.shape]

    def lead(self, job: "Job | None") -> None:
        """What the other ranks do next; None: nothing, ever."""

    def scored(self, evaluate: Callable[[], Value]) -> Value:
        """What rank 0 finds in the midst of training, on every rank."""
        return evaluate()

    def kept(self, checkpoint: "Checkpoint | None") -> Any:
        """The state that all ranks go on from."""
        return checkpoint

    @contextmanager
    def training(self) -> Iterator[None]:
        """While the block runs, ranks wait for each other in every step."""
        yield

    def alone_from_here(self) -> None:
        """What follows is for rank 0. Raises Done on the others."""


class Ranks(Alone):
    """This process and its like under torchrun."""

    def __init__(self) -> None:
        import torch
        import torch.distributed as dist

        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
        self.rank, self.size, self.dist = dist.get_rank(), dist.get_world_size(), dist
        self.facts = {
            "processes": self.size,
            "split": "rows of each batch over the processes; dropout drawn by each",
        }
        self.idle, self.busy, self.broken = False, False, False

    def seed(self, seed: int) -> int:
        return seed + self.rank

    def share(self, rows: "np.ndarray") -> "np.ndarray":
        """Every `size`-th row, for rows of like length stand together.

        Where there are fewer rows than ranks the last ones go through the first row, which then
        counts nothing: what a pass draws at random is drawn on all ranks.
        """
        mine = rows[self.rank :: self.size]
        self.idle = not len(mine)
        return rows[:1] if self.idle else mine

    def reduce(self, loss, batch, parameters):
        """Sums of gradients weighted by rows, or by target tokens where text is written.

        A parameter without a gradient on any rank (an expert that was not drawn) gets none.
        Raises Diverged on all ranks where the loss is not finite.
        """
        import torch

        from bench.text import Shape
        from bench.train import Diverged

        weights, shapes, moved = self._met(batch, parameters)
        moving = [p for p, moves in zip(parameters, moved, strict=True) if moves]
        mine = weights[self.rank] / sum(weights)
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in moving]
        flat = torch.cat([loss.detach().float().reshape(1), *(part.reshape(-1) for part in parts)])
        flat = flat.mul_(mine) if mine else torch.zeros_like(flat)
        self.dist.all_reduce(flat)
        sizes = [part.numel() for part in parts]
        whole, *found = flat.split([1, *sizes])
        for parameter, gradient in zip(moving, found, strict=True):
            parameter.grad = gradient.view_as(parameter)
        if not whole.isfinite():
            raise Diverged(f"loss is {float(whole)}; a lower learning rate may help")
        worked = [Shape(*shape) for shape, weight in zip(shapes, weights, strict=True) if weight]
        return whole.squeeze(0), worked

    def _met(self, batch: "Batch", parameters: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Weight and shape of every rank's part, and which parameters have a gradient on any."""
        import torch

        own = [0 if self.idle else len(batch.labels), *batch.shape]
        facts = torch.zeros(self.size, len(own), dtype=torch.long)
        facts[self.rank] = torch.tensor(own)
        moved = torch.tensor([p.grad is not None for p in parameters], dtype=torch.long)
        both = torch.cat([facts.reshape(-1), moved])
        self.dist.all_reduce(both)
        facts, moved = both[: facts.numel()].view_as(facts), both[facts.numel() :]
        return facts[:, 0].tolist(), facts[:, 1:].tolist(), moved.tolist()

    def lead(self, job: "Job | None") -> None:
        if self.broken:
            raise ValueError("a process failed in the midst of a cell; the same command goes on")
        self.given(job)
        if job is None:
            self.dist.destroy_process_group()

    def scored(self, evaluate: Callable[[], Value]) -> Value:
        """An error of rank 0 is raised on every rank."""
        if not self.busy:
            return evaluate()
        found: tuple[Any, Exception | None] = None, None
        if self.rank == 0:
            try:
                found = evaluate(), None
            except Exception as error:  # told to the others, then raised
                found = None, error
        value, wrong = self.given(found)
        if wrong:
            self.busy = False
            raise wrong
        return value

    def kept(self, checkpoint: "Checkpoint | None") -> Any:
        return _Kept(self, checkpoint)

    @contextmanager
    def training(self) -> Iterator[None]:
        """An error that the others do not share ends this process, or on rank 0 the run.

        That is once the cell is recorded as failed; torchrun ends the others.
        """
        from bench.train import Diverged

        self.busy = True
        try:
            yield
        except Diverged:
            raise
        except Exception as error:
            self.broken = self.busy
            if self.broken and self.rank:
                said = f"bench: process {self.rank}: {type(error).__name__}: {error}"
                print(said, file=sys.stderr)
                sys.stderr.flush()
                os._exit(1)
            raise
        finally:
            self.busy = False

    def alone_from_here(self) -> None:
        if self.rank and not self.busy:
            raise Done

    def given(self, value: Any) -> Any:
        """What rank 0 has, on every rank."""
        box = [value]
        self.dist.broadcast_object_list(box, src=0)
        return box[0]


class _Kept:
    """A checkpoint that rank 0 keeps and all ranks go on from."""

    def __init__(self, ranks: Ranks, own: "Checkpoint | None"):
        self.ranks, self.own = ranks, own

    def due(self) -> bool:
        return self.ranks.rank == 0 and self.own is not None and self.own.due()

    def save(self, state: dict[str, Any]) -> None:
        """Rank 0's state: but for dropout's stream it is that of all."""
        if self.own:
            self.own.save(state)

    def load(self) -> dict[str, Any] | None:
        """On all ranks what rank 0 finds; the others draw dropout from a stream of their own."""
        import torch

        state = self.ranks.given(self.own.load() if self.own and not self.ranks.rank else None)
        if state and self.ranks.rank:
            state["streams"]["torch"] = torch.get_rng_state()
            state["streams"]["cuda"] = (
                torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
            )
        return state
