"""Merging by Fisher information: each weight a mean in which a model counts as much as it cares.

Source: Matena and Raffel 2022, arXiv:2111.09832, section 3, equation 2; mmatena/model_merging.
With diagonal Fishers F_i and coefficients c_i: sum_i c_i F_i theta_i / sum_i c_i F_i, the mode of a
product of normal distributions with precisions c_i F_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from methods.merging.algebra import State, combined, shares, total
from methods.trained import check

FLOOR = 1e-6  # scripts/merge_and_evaluate.py of the release, as the rest

Favour = Literal["first", "all"]


def merged(
    states: Sequence[State],
    fishers: Sequence[State],
    *,
    coefficients: Sequence[float] | None = None,
    floor: float = FLOOR,
    favour: Favour = "first",
    normalise: bool = True,
) -> dict[str, Tensor]:
    """One state of several; what has no Fisher is their mean by the coefficients.

    `floor`: the least that a Fisher counts, before it is normalised. `favour`: whose: with "first",
    what no model cares about stays as the first model, the target, has it; with "all" or a floor of
    0 it is a mean. Where no model is the target, 0 is the choice: most Fishers of a large model are
    far below the default, which would leave the first model as it is.
    `normalise`: divides each model's Fisher by its L2 norm over all tensors.
    Raises ValueError where the models differ in tensors, or a Fisher is negative or not finite.
    """
    if favour not in ("first", "all"):
        raise ValueError(f"expected favour=first or favour=all, got {favour!r}")
    if not floor >= 0:
        raise ValueError(f"expected a floor of at least 0, got {floor}")
    if len(fishers) != len(states):
        raise ValueError(f"expected Fishers of {len(states)} models, got {len(fishers)}")
    parts = shares(coefficients, len(states))
    for one in fishers:
        _check(one, fishers[0], states[0])
    sizes = [_norm(one) if normalise else 1.0 for one in fishers]
    weights: list[dict[str, Tensor]] = [{} for _ in states]
    for name, tensor in states[0].items():
        if not tensor.is_floating_point():
            continue
        even = [torch.tensor(part, dtype=torch.float64, device=tensor.device) for part in parts]
        known = even
        if name in fishers[0]:
            least = [floor if favour == "all" or not i else 0.0 for i in range(len(states))]
            known = [
                part * one[name].double().clamp(min=low) / size
                for part, one, low, size in zip(parts, fishers, least, sizes, strict=True)
            ]
        for found, share in zip(weights, _shares(known, even), strict=True):
            found[name] = share
    return combined(states, weights)


def _shares(weights: Sequence[Tensor], even: Sequence[Tensor]) -> list[Tensor]:
    """The weights as parts of 1; the even ones where all are 0."""
    whole = total(weights)
    return [
        torch.where(whole > 0, one / whole, other) for one, other in zip(weights, even, strict=True)
    ]


def _norm(fisher: State) -> float:
    """The L2 norm over all tensors; 1 where it is 0."""
    squares = sum(float(tensor.double().square().sum()) for tensor in fisher.values())
    return squares**0.5 or 1.0


def _check(fisher: State, first: State, state: State) -> None:
    check(fisher, first, "the first Fisher")
    check(fisher, {name: state[name] for name in fisher if name in state}, "the states")
    for name, tensor in fisher.items():
        if not (tensor.isfinite().all() and (tensor >= 0).all()):
            raise ValueError(f"expected a Fisher of finite numbers of at least 0 for {name!r}")
