"""Several networks brought into one order, and what lies on the line between two of them.

Source: Ainsworth et al. 2022, arXiv:2209.04836, definition 2.2 and appendix, "MergeMany".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from methods.merging.permute import SWEEPS, Symmetries, Tensors, match, permuted

POINTS = 25  # on the line between two networks, both ends among them: the paper's figures


class Aligned(NamedTuple):
    """Networks in one order of their hidden units."""

    runs: list[dict[str, Tensor]]
    rounds: int  # sweeps over the spaces; of more than two networks, over the networks
    identity: bool  # whether every unit of every network stayed where it was


def aligned(runs: Sequence[Tensors], symmetries: Symmetries, generator: Generator) -> Aligned:
    """The networks with their hidden units in one order; of two the first stays as it is.

    More than two are matched in turn, each to the mean of the others, in a random order of its own
    in each round, until a round moves no unit or after as many rounds as a match has sweeps.
    Raises ValueError as `match` does.
    """
    first, *others = [dict(run) for run in runs]
    if len(others) == 1:
        found = match(first, others[0], symmetries, generator)
        moved = permuted(others[0], symmetries, found.orders)
        return Aligned([first, moved], found.sweeps, found.identity)
    return _many([first, *others], symmetries, generator)


def _many(runs: list[dict[str, Tensor]], symmetries: Symmetries, generator: Generator) -> Aligned:
    identity, rounds = True, 0
    while len(runs) > 1 and rounds < SWEEPS:
        rounds += 1
        stays = True
        for i in torch.randperm(len(runs), generator=generator).tolist():
            found = match(mean(runs[:i] + runs[i + 1 :]), runs[i], symmetries, generator)
            runs[i] = permuted(runs[i], symmetries, found.orders)
            stays = stays and found.identity
        identity = identity and stays
        if stays:
            break
    return Aligned(runs, rounds, identity)


def mean(runs: Sequence[Tensors]) -> dict[str, Tensor]:
    """The mean of the networks, tensor by tensor, in float64."""
    return {name: torch.stack([run[name].double() for run in runs]).mean(0) for name in runs[0]}


def between(a: Tensors, b: Tensors, share: float) -> dict[str, Tensor]:
    """(1 - share) a + share b in the precision of a; at 0 and 1 those networks bit for bit."""
    return {name: one.mul(1 - share).add(b[name], alpha=share) for name, one in a.items()}


def shares() -> list[float]:
    """How much of the second network there is at each point of the line, from 0 to 1."""
    return [i / (POINTS - 1) for i in range(POINTS)]


def height(losses: Sequence[float]) -> float:
    """How far the losses on the line rise above the straight line between those at its ends.

    `losses`: at evenly spaced points, both ends among them; in their unit. 0 where they never do.
    """
    last = len(losses) - 1
    ends = [(1 - i / last) * losses[0] + i / last * losses[-1] for i in range(last + 1)]
    return max(loss - end for loss, end in zip(losses, ends, strict=True))
