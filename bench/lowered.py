"""Frozen linear maps hold their weights in the precision that they compute in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.device import Precision

OURS = ("bench.", "methods.", "torch.nn.", "transformers.")  # what reads a map only by calling it


@contextmanager
def lowered(model: nn.Module, precision: Precision) -> Iterator[None]:
    """In the block no forward pass casts anew what does not change; the results are the same bits.

    Left alone are weights that something else than a linear map holds (embeddings that are tied),
    and maps inside other people's layers, which may read the weight itself.
    """
    kept: list[tuple[nn.Parameter, Tensor]] = []
    try:
        if precision == "bf16":
            for parameter in _mapped(model):
                if parameter.dtype == torch.float32 and not parameter.requires_grad:
                    kept.append((parameter, parameter.data))
                    parameter.data = parameter.data.bfloat16()
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data


def _mapped(model: nn.Module) -> list[nn.Parameter]:
    """What linear maps alone hold, each once."""
    found: dict[int, nn.Parameter] = {}
    elsewhere: set[int] = set()
    for parent in model.modules():
        safe = type(parent).__module__.startswith(OURS)
        for child in parent.children():
            own = child.parameters(recurse=False)
            if safe and type(child).__module__.startswith(OURS) and isinstance(child, nn.Linear):
                found.update((id(p), p) for p in own)
            else:
                elsewhere.update(id(p) for p in own)
    return [p for key, p in found.items() if key not in elsewhere]
