"""RegMean: linear maps merged so that each gives on its own inputs what it gave before.

Source: Jin et al. 2023, arXiv:2212.09849, section 3; bloomberg/dataless-model-merging. For weights
W_i (outputs, inputs) and Gram matrices G_i = X_i^T X_i (inputs, inputs) the result minimises
sum_i |X_i W^T - X_i W_i^T|^2: W^T = (sum_i G_i)^-1 sum_i G_i W_i^T.

Departs from the source: a linear system is solved, in float64, where theirs inverts; and a ridge
holds what the inputs do not settle at the mean of the models, where theirs is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from methods.merging.algebra import State, combined, mean, shares

Grams = Mapping[str, tuple[Tensor, int]]  # a weight's name -> its inputs' Gram matrix, their count
Normalise = Literal["rows", "none"]

ALPHA = 0.9  # section 4.2 (0.1 for T5-base)
RIDGE = 1e-6  # of the mean diagonal, so the same for inputs of any size; the release has none


def merged(
    states: Sequence[State],
    stats: Sequence[Grams],
    *,
    alpha: float = ALPHA,
    normalise: Normalise = "rows",
    coefficients: Sequence[float] | None = None,
    ridge: float = RIDGE,
) -> dict[str, Tensor]:
    """One state of several: linear weights by `solved`, all else by the mean.

    `stats`, a model: Gram matrix and count of rows for each weight that is to be solved for.
    `coefficients`: what each model counts, in both; None for the same.
    Raises ValueError where the models differ in tensors or in what they have statistics of.
    """
    if len(stats) != len(states):
        raise ValueError(f"expected statistics of {len(states)} models, got {len(stats)}")
    found = mean(states, coefficients)
    for name in {name: None for one in stats for name in one}:
        if name not in found or any(name not in one for one in stats):
            raise ValueError(f"expected the weight {name!r} and its Gram matrix in every model")
        found[name] = solved(
            [state[name] for state in states],
            [one[name][0] for one in stats],
            [one[name][1] for one in stats],
            alpha=alpha,
            normalise=normalise,
            coefficients=coefficients,
            ridge=ridge,
        )
    return found


def solved(
    weights: Sequence[Tensor],
    grams: Sequence[Tensor],
    counts: Sequence[int],
    *,
    alpha: float = ALPHA,
    normalise: Normalise = "rows",
    coefficients: Sequence[float] | None = None,
    ridge: float = RIDGE,
) -> Tensor:
    """The weight (outputs, inputs) that a linear map of those weights and inputs merges into.

    `grams`: (inputs, inputs), each the sum over as many rows as its count says. `alpha`: what is
    left of their entries off the diagonal; at 0 every input feature has a weighted mean of its own.
    `normalise`: "rows" divides each Gram matrix by its count, as the release does, so that models
    count alike whatever their data; "none" gives the least squares of all rows together.
    `ridge`: added to the diagonal, in parts of its mean; it draws towards the mean of the weights,
    which is what a feature that is 0 in all inputs gets.
    Raises ValueError where shapes differ, numbers are not finite or the system has no one solution.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"expected alpha in [0, 1], got {alpha}")
    if not ridge >= 0:
        raise ValueError(f"expected a ridge of at least 0, got {ridge}")
    if normalise not in ("rows", "none"):
        raise ValueError(f"expected normalise=rows or normalise=none, got {normalise!r}")
    _check(weights, grams, counts)
    parts = shares(coefficients, len(weights))
    centre = mean([{"": one.double()} for one in weights], coefficients)[""]
    scaled = [
        part * _shrunk(gram.double(), alpha) / (max(1, count) if normalise == "rows" else 1)
        for part, gram, count in zip(parts, grams, counts, strict=True)
    ]
    ones = [1.0] * len(weights)
    left = combined([{"": one} for one in scaled], ones)[""]
    pulls = [
        {"": gram @ (weight.double() - centre).T}  # (inputs, outputs)
        for gram, weight in zip(scaled, weights, strict=True)
    ]
    return (centre + _solution(left, combined(pulls, ones)[""], ridge).T).to(weights[0].dtype)


def _solution(left: Tensor, right: Tensor, ridge: float) -> Tensor:
    """x of (left + ridge) x = right, where `left` is symmetric; 0 where it is 0."""
    size = left.diagonal().mean()
    if not size > 0:
        return torch.zeros_like(right)
    left = left + ridge * size * torch.eye(len(left), dtype=left.dtype, device=left.device)
    factor, failed = torch.linalg.cholesky_ex(left)
    if failed:
        raise ValueError("expected inputs that settle every weight, or a ridge above 0")
    return torch.cholesky_solve(right, factor)


def _shrunk(gram: Tensor, alpha: float) -> Tensor:
    """The matrix with alpha times its entries off the diagonal."""
    return alpha * gram + (1 - alpha) * gram.diagonal().diag()


def _check(weights: Sequence[Tensor], grams: Sequence[Tensor], counts: Sequence[int]) -> None:
    if not len(weights) == len(grams) == len(counts):
        given = f"{len(weights)}, {len(grams)} and {len(counts)}"
        raise ValueError(f"expected as many weights as Gram matrices and counts, got {given}")
    for gram in grams:
        width = weights[0].shape[-1]
        if gram.shape != (width, width):
            raise ValueError(f"expected Gram matrices of {width} inputs, got {tuple(gram.shape)}")
        if not gram.isfinite().all():
            raise ValueError("expected finite Gram matrices, got some that are not")
