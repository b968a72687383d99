"""What a method costs: parameters and FLOPs, counted on the model itself."""

import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bench import closed_form
from bench.backbone import Backbone
from bench.families import Unserved
from bench.flops import ONE, PARTS, Flops, Step, count, served, trained
from bench.text import Batch
from bench.weights import Weights
from methods.base import Method
from tasks.base import Given

STEP_FLOPS = ("forward_flops", "activation_gradient_flops", "weight_gradient_flops")  # of a Step


@dataclass(frozen=True)
class Sizes:
    """Parameters of one method on one model with one head."""

    trained_params: int  # what `prepare` returned; the head apart
    head_params: int
    served_params: int  # what one task keeps at inference after merging; the head apart
    backbone_params: int

    @property
    def params(self) -> dict[str, int]:
        """The counts by the names they have in records."""
        return {name: count for name, count in vars(self).items() if name.endswith("_params")}


@dataclass(frozen=True)
class Account(Sizes):
    """Parameters and FLOPs, counted without weights."""

    step: Step  # one training step: forward, backward, every pass
    serve: Flops  # one forward of the finished model
    features: Flops = Flops()  # what the head reads, where nothing below it changes
    upon: Step = Step(Flops(), Flops(), Flops())  # one training step from there on


class Planless:
    """Stands in for a run where nothing is trained: only random streams can be had."""

    seed = 0

    def generator(self, purpose: str) -> torch.Generator:
        """A stream for routing while counting."""
        return torch.Generator().manual_seed(0)


@cache
def account(
    method: Method,
    weights: Weights,
    outputs: int,
    gaps: bool = False,
    heads: tuple[Given, ...] = (),
) -> Account:
    """Counts the method without weights: exact integers, and on the meta device no memory.

    FLOPs are those of the closed form (bench/closed_form.py) where a count of every matrix product
    of a step says the same, and the counts themselves where it does not or there is none.
    `gaps`: the outputs are words that fill a gap. `heads`: those of the task, where they are others
    than the one for the outputs; FLOPs are those of the first. Raises Unsuited or Unserved where
    the method cannot serve the model.
    """
    with torch.random.fork_rng([]):  # what is counted on the CPU draws
        model, backbone, trained = _prepared(method, weights, outputs, gaps, heads)
        kind = "gaps" if gaps else model.family.writes if model.writes else ""
        step = _step(model.train(), partial(method.loss, model), kind)
        parts = _parts(model, partial(method.loss, model), kind) if model.still else ()
        kept = _finished(method, model)
        serve = _serve(model, kind)
    head = size(model.head.parameters())
    return Account(trained, head, kept, backbone, step, serve, *parts)


def sizes(
    method: Method,
    weights: Weights,
    outputs: int,
    gaps: bool = False,
    heads: tuple[Given, ...] = (),
) -> Sizes:
    """The parameters of an account alone, which are counted much faster."""
    model, backbone, trained = _prepared(method, weights, outputs, gaps, heads)
    kept = _finished(method, model)
    return Sizes(trained, size(model.head.parameters()), kept, backbone)


def _prepared(
    method: Method, weights: Weights, outputs: int, gaps: bool, heads: tuple[Given, ...] = ()
) -> tuple[Backbone, int, int]:
    """The model without weights, its size, and what trains in it besides the head.

    On the meta device; on the CPU, with weights drawn at random, where the method needs some.
    """
    where = getattr(method, "wrapped", method).counts_on
    words = range(outputs) if gaps else None
    with torch.device(where):
        model = Backbone.empty(weights, outputs, where, words=words)
        backbone = size(model.net.parameters())
        model.rehead(heads)
        added = method.prepare(model, Planless())  # type: ignore[arg-type]
    free(model, added)
    return model, backbone, size(added)


def _finished(method: Method, model: Backbone) -> int:
    """Leaves the model as it serves; what a task keeps of it besides the head."""
    with torch.device(next(model.parameters()).device):
        kept = size(method.finalize(model))
    model.eval().requires_grad_(False)
    return kept


def _step(model: Backbone, loss: Callable[[Batch], Tensor], kind: str) -> Step:
    """The closed form, where there is one and a count says the same; else what is counted."""
    passes: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, args: passes.append((*args, 1)[1]))
    counts = count(model, loss, ONE[kind], backward=True)
    handle.remove()
    with suppress(Unserved):
        closed = closed_form.step(model, passes)
        if [part.of(*ONE[kind]) for part in closed] == [counts[part] for part in PARTS]:
            return closed
    return trained(model, loss, kind)


def _serve(model: Backbone, kind: str) -> Flops:
    """Likewise of one forward pass."""
    counts = count(model, model, ONE[kind])
    with suppress(Unserved):
        closed = closed_form.serve(model)
        if closed.of(*ONE[kind]) == counts["forward"]:
            return closed
    return served(model, model, kind)


def _parts(model: Backbone, loss: Callable[[Batch], Tensor], kind: str) -> tuple[Flops, Step]:
    """What the head reads, and a step that begins there."""

    def upon(rows: Batch) -> Tensor:
        found = len(rows.ids) if rows.targets is None else len(rows.targets)
        return loss(replace(rows, features=torch.zeros(found, model.width, device="meta")))

    return served(model, model.features, kind), trained(model, upon, kind)


def free(model: Backbone, trained: list[nn.Parameter]) -> None:
    """Freezes everything but the given parameters and the head."""
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    for parameter in trained:
        parameter.requires_grad_(True)


def size(parameters) -> int:
    """Entries of the given parameters, shared ones counted once."""
    return sum({id(p): p.numel() for p in parameters}.values())


class Peak:
    """The greatest memory in use since construction, in bytes; `source` says which.

    On a GPU what torch had allocated there; elsewhere how far the resident set went above where it
    was at the start, for which memory that earlier work has freed is handed back first.
    """

    def __init__(self, device: torch.device):
        self.device, self.start = device, 0
        self.source = "CUDA allocator"
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        gc.collect()
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
        self.source = "resident set above the start"
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark, proc(5)
            self.start = _status("VmRSS")
        except OSError:  # not Linux, or a sandbox that forbids it
            self.source = "greatest resident set of the process"

    def read(self) -> int:
        """Bytes so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        try:
            return max(0, _status("VmHWM") - self.start)
        except OSError:
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int:
    """Bytes that the kernel tells of this process. Raises OSError where it does not."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
