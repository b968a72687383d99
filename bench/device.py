"""Which device computes, in which precision, and what it says of itself."""

import contextlib
import platform
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]


def device() -> torch.device:
    """The first CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(asked: str, on: torch.device) -> Precision:
    """What "auto" means there: bf16 where the device has it natively, else fp32.

    Raises ValueError for bf16 on a CUDA device that has none.
    """
    if asked == "fp32":
        return "fp32"
    if on.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        if asked == "bf16" and not native:
            raise ValueError(f"expected a GPU with bf16, got {name(on)}; use precision=fp32")
    else:
        has = torch.cpu.get_capabilities()
        native = any(has.get(unit) for unit in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))
    return "bf16" if native or asked == "bf16" else "fp32"


def autocast(on: torch.device, kind: Precision) -> contextlib.AbstractContextManager:
    """The context that forward passes run in."""
    if kind == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(on.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def compiled(layers: Iterable[nn.Module]) -> Iterator[None]:
    """In the block each layer runs as torch.compile makes it, for batches of any size."""
    layers = list(layers)
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None  # torch has no public inverse of `compile`


def name(of: torch.device) -> str:
    """The device's own name."""
    if of.type == "cuda":
        return torch.cuda.get_device_name(of)
    return torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or "cpu"
