"""The smallest real things, as `bench check` has them, and a batch of theirs."""

import torch

from bench.contract.tiny import (
    EXTRA,
    SIZES,
    SMALL,
    Echo,
    Letters,
    Toy,
    backbone,
    language_model,
    save,
    writer,
)
from bench.contract.toys import EchoRun, ToyRun, prepared
from bench.text import Batch

__all__ = [
    "ENCODERS",
    "EXTRA",
    "SIZES",
    "SMALL",
    "WRITERS",
    "Echo",
    "EchoRun",
    "Letters",
    "Toy",
    "ToyRun",
    "backbone",
    "batch",
    "language_model",
    "prepared",
    "save",
    "writer",
]
ENCODERS, WRITERS = ["bert", "roberta", "deberta-v2"], ["gpt2", "t5"]


def batch(rows: int = 4, tokens: int = 6, outputs: int = 2, seed: int = 0) -> Batch:
    """Random tokens with padding at the end of some rows."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 40, (rows, tokens), generator=source)
    mask = torch.ones_like(ids)
    mask[::2, -2:] = 0
    ids[mask == 0] = 1
    if outputs == 1:
        labels = torch.rand(rows, generator=source)
    else:
        labels = torch.randint(outputs, (rows,), generator=source)
    return Batch(ids, mask, None, labels, torch.arange(rows))
