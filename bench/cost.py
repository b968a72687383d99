"""What a method costs: parameters and FLOPs, counted on the model itself."""

import contextlib
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from bench.backbone import Backbone
from bench.flops import Flops, fit
from bench.text import Shape
from bench.weights import Weights
from methods.base import Method


@dataclass(frozen=True)
class Account:
    """One method on one model with one head, counted without weights."""

    trained_params: int  # what `prepare` returned; the head apart
    head_params: int
    served_params: int  # what one task keeps at inference after merging; the head apart
    backbone_params: int
    step: Flops  # one training step: forward, backward, every pass
    serve: Flops  # one forward of the finished model

    @property
    def params(self) -> dict[str, int]:
        """The counts of parameters by the names they have in records."""
        return {name: count for name, count in vars(self).items() if name.endswith("_params")}

    def train_flops(self, shapes: Mapping[Shape, int]) -> int:
        """FLOPs of training on batches of those shapes, with their counts."""
        return sum(count * self.step.of(*shape) for shape, count in shapes.items())


class Planless:
    """Stands in for a run where nothing is trained: only random streams can be had."""

    seed = 0

    def generator(self, purpose: str) -> torch.Generator:
        """A stream for routing while counting."""
        return torch.Generator().manual_seed(0)


@cache
def account(method: Method, weights: Weights, outputs: int, gaps: bool = False) -> Account:
    """Counts the method on the meta device: no weights, no memory, exact integers.

    `gaps`: the outputs are words that fill a gap. Raises Unsuited or Unserved where the method
    cannot serve the model.
    """
    model = Backbone.empty(weights, outputs, words=range(outputs) if gaps else None)
    backbone = size(model.net.parameters())
    with torch.device("meta"):
        trained = method.prepare(model, Planless())  # type: ignore[arg-type]
    free(model, trained)
    kind = "gaps" if gaps else model.family.writes if model.writes else ""
    step = fit(lambda batch: method.loss(model.train(), batch).backward(), kind)
    with torch.device("meta"):
        served = size(method.finalize(model))
    model.eval().requires_grad_(False)
    serve = fit(lambda batch: model(batch), kind)
    head = size(model.head.parameters())
    return Account(size(trained), head, served, backbone, step, serve)


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
    """The greatest memory used from construction on, in bytes."""

    def __init__(self, device: torch.device):
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with contextlib.suppress(OSError):  # not Linux, or a sandbox that forbids it
                Path("/proc/self/clear_refs").write_text("5")  # the high-water mark, proc(5)

    def read(self) -> int:
        """Allocated memory of the GPU, or the resident set of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
