"""Rows of a batch: each by itself, and which rows of a map's input stand for text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from bench.text import Batch


def single(batch: Batch) -> Iterator[Batch]:
    """Every row to be classified as a batch of its own, without padding."""
    tokens = batch.mask.shape[1]
    for i, mask in enumerate(batch.mask):
        one, length = slice(i, i + 1), int(mask.nonzero().max()) + 1
        targets = batch.targets
        yield replace(
            batch,
            ids=batch.ids[one, :length],
            mask=batch.mask[one, :length],
            kinds=None if batch.kinds is None else batch.kinds[one, :length],
            labels=batch.labels[one],
            rows=batch.rows[one],
            targets=None if targets is None else targets[targets // tokens == i] % tokens,
            features=None,
        )


def plain(batch: Batch) -> Batch:
    """The batch without features, of a shape in which texts read and written are told apart."""
    batch = replace(batch, features=None)
    if batch.written is None or batch.written.shape != batch.mask.shape:
        return batch
    pad = nn.functional.pad
    return replace(batch, ids=pad(batch.ids, (0, 1)), mask=pad(batch.mask, (0, 1)))


def kept(x: Tensor, batch: Batch, prompted: bool) -> Tensor:
    """The rows (rows, inputs) of an input (..., inputs) that are no padding.

    `batch`: as `plain` has it. `prompted`: whether a prompt may stand in front of the text.
    """
    mask, places = batch.mask, x.shape[:-1]
    if prompted and len(places) == 2 and places[0] == len(mask) and places[1] > mask.shape[1]:
        mask = nn.functional.pad(mask, (places[1] - mask.shape[1], 0), value=1)
    if batch.written is not None and places == batch.written.shape:
        assert batch.targets is not None
        mask = torch.zeros_like(batch.written)
        mask.view(-1)[batch.targets] = 1
    if places == mask.shape:
        return x[mask.bool()]
    if places == (mask.numel(),):
        return x[mask.flatten().bool()]
    return x.flatten(0, -2)
