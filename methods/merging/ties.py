"""Task vectors made sparse before they are added: TIES and DARE.

They go between `algebra.delta` and `algebra.moved`. A density is the part of a tensor's numbers
that is kept, tensor by tensor as in huggingface/peft (utils/merge_utils.py), rounded down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor

from methods.merging.algebra import State, combined

DENSITY = 0.2  # Yadav et al. 2023, section 4: the top 20 % are kept

Sign = Literal["total", "frequency"]


def ties(
    deltas: Sequence[State],
    coefficients: Sequence[float] | None = None,
    density: float = DENSITY,
    sign: Sign = "total",
) -> dict[str, Tensor]:
    """One delta of several: trimmed, a sign elected, the mean of those that have it.

    `sign`: by the "total" of the trimmed values, or by how many have it ("frequency"); a tie is
    positive. `coefficients` weigh what is added after the election, not the election, and the
    divisor is a count, as in peft.
    Source: Yadav et al. 2023, arXiv:2306.01708, section 3.
    Raises ValueError for a density that is not in [0, 1] and where deltas differ in tensors.
    """
    if sign not in ("total", "frequency"):
        raise ValueError(f"expected sign=total or sign=frequency, got {sign!r}")
    given = [1.0] * len(deltas) if coefficients is None else list(coefficients)
    sparse = [trimmed(one, density) for one in deltas]
    ones = [1.0] * len(sparse)
    votes = [_signs(one) for one in sparse]
    elected = combined(sparse if sign == "total" else votes, ones)
    agree = [
        {name: (vote == _plus_or_minus(elected[name])).double() for name, vote in one.items()}
        for one in votes
    ]
    kept = [
        {name: tensor.double() * agrees[name] for name, tensor in one.items()}
        for one, agrees in zip(sparse, agree, strict=True)
    ]
    sums, counts = combined(kept, given), combined(agree, ones)
    return {
        name: (sums[name] / counts[name].clamp(min=1)).to(tensor.dtype)
        for name, tensor in sparse[0].items()
    }


def trimmed(delta: State, density: float = DENSITY) -> dict[str, Tensor]:
    """The numbers of largest size of each tensor, the others 0.

    Raises ValueError for a density that is not in [0, 1].
    """
    _check(density)
    return {name: _largest(tensor, density) for name, tensor in delta.items()}


def dropped(delta: State, density: float, generator: Generator) -> dict[str, Tensor]:
    """DARE: each number is kept with the probability `density`, and then divided by it, else 0.

    So the expectation is the delta itself. Source: Yu et al. 2024, arXiv:2311.03099, section 3.
    `generator`: of the CPU; the same one draws the same for a delta on any device.
    Raises ValueError for a density that is not in (0, 1].
    """
    _check(density)
    if not density:
        raise ValueError("expected a density above 0, got 0")
    found = {}
    for name, tensor in delta.items():
        keep = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) < density
        found[name] = tensor * keep.to(tensor.device) / density
    return found


def _largest(tensor: Tensor, density: float) -> Tensor:
    flat = tensor.detach().flatten()
    places = flat.abs().topk(int(density * flat.numel())).indices
    return torch.zeros_like(flat).index_copy(0, places, flat[places]).reshape(tensor.shape)


def _signs(delta: State) -> dict[str, Tensor]:
    return {name: tensor.sign() for name, tensor in delta.items()}


def _plus_or_minus(tensor: Tensor) -> Tensor:
    return torch.where(tensor >= 0, 1.0, -1.0).to(tensor.dtype)


def _check(density: float) -> None:
    if not 0 <= density <= 1:
        raise ValueError(f"expected a density in [0, 1], got {density}")
