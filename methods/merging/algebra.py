"""Sums, means and differences of states: the tensors of a model by name.

All arithmetic is in float64, whatever the tensors are, and does not depend on the order of the
states. Results have the type of the first state's tensors; a `delta` stays in float64, so that
adding it gives back what it was taken from. Tensors of integers or truth values are no weights:
they are copied from the first state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from methods.trained import check

State = Mapping[str, Tensor]

BLOCK = 2**18  # numbers of a tensor that are added up at a time: they stay in a processor's cache


def combined(
    states: Sequence[State], coefficients: Sequence[float] | Sequence[State]
) -> dict[str, Tensor]:
    """The sum of the states, each times its coefficient.

    `coefficients`: a number a state; or, a state, tensors by name that broadcast against its own,
    through which gradients go. A state whose number is 0 is left out, so (1, 0) gives the first
    state bit for bit.
    Raises ValueError where the states differ in names or shapes, naming the first tensor that
    does, and where coefficients are missing or not finite.
    """
    if len(coefficients) != len(states):
        raise ValueError(f"expected {len(states)} coefficients, got {len(coefficients)}")
    for one in coefficients:
        if not isinstance(one, Mapping) and not math.isfinite(one):
            raise ValueError(f"expected finite coefficients, got {one}")

    def weighted(name: str, tensors: Sequence[Tensor]) -> Tensor:
        factors = [_factor(one, name) for one in coefficients]
        terms = [
            tensor * factor
            for tensor, factor in zip(tensors, factors, strict=True)
            if isinstance(factor, Tensor) or factor != 0
        ]
        return total(terms) if terms else torch.zeros_like(tensors[0])

    return _each(states, weighted)


def mean(states: Sequence[State], coefficients: Sequence[float] | None = None) -> dict[str, Tensor]:
    """The mean of the states, or that with the coefficients as weights. Raises as `combined`.

    States that are the same give that state again, in float32 bit for bit.
    """
    if coefficients is not None:
        return combined(states, shares(coefficients, len(states)))
    return _each(states, lambda _, tensors: total(tensors) / len(tensors))


def shares(coefficients: Sequence[float] | None, count: int) -> list[float]:
    """The coefficients of `count` models as parts of 1; None for equal ones.

    Raises ValueError where they are not that many, or negative, or all 0.
    """
    given = [1.0] * count if coefficients is None else [float(one) for one in coefficients]
    if len(given) != count:
        raise ValueError(f"expected {count} coefficients, got {len(given)}")
    if not all(0 <= one < math.inf for one in given) or sum(given) <= 0:
        raise ValueError(f"expected coefficients of at least 0 and not all 0, got {given}")
    return [one / math.fsum(given) for one in given]


def delta(state: State, base: State) -> dict[str, Tensor]:
    """What was added to `base` to get the state, in float64: its task vector.

    Ilharco et al. 2023, arXiv:2212.04089, section 2. It has weights alone, no integers. In float64
    the difference of two float32 numbers is exact unless one is 2^28 times as large as the other.
    Raises ValueError naming the first tensor that differs in shape.
    """
    check(state, base, "the base")
    return {
        name: state[name].detach().double() - tensor.detach().double()
        for name, tensor in base.items()
        if tensor.is_floating_point()
    }


def moved(
    base: State, deltas: Sequence[State], scale: float | Sequence[float] = 1.0
) -> dict[str, Tensor]:
    """`base` and the sum of the deltas times `scale`, which is one for all or one for each.

    Source: Ilharco et al. 2023, arXiv:2212.04089, section 2 (addition; with a negative scale or
    `negated` deltas, negation). With scale 1 / n it is the mean of n models, with 0 it is `base`.
    Raises ValueError naming the first tensor that a delta lacks, or has and the base has not.
    """
    scales = list(scale) if isinstance(scale, Sequence) else [scale] * len(deltas)
    weights = {name: one for name, one in base.items() if one.is_floating_point()}
    for one in deltas:
        check(one, weights, "the base")
    found = combined([weights, *deltas], [1.0, *scales])
    return {name: found[name] if name in found else one.clone() for name, one in base.items()}


def between(a: State, b: State, alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) a + alpha b: at 0 `a` and at 1 `b`, bit for bit. Raises as `combined`."""
    return combined((a, b), (1 - alpha, alpha))


def negated(delta: State) -> dict[str, Tensor]:
    """The delta that takes back what the given one adds, in the same type."""
    return {name: -tensor for name, tensor in delta.items()}


def total(terms: Sequence[Tensor]) -> Tensor:
    """The sum of tensors that broadcast, the same to the last bit whatever their order."""
    if len(terms) == 1:
        return terms[0]
    shaped = torch.broadcast_tensors(*terms)
    blocks = zip(*(one.reshape(-1).split(BLOCK) for one in shaped), strict=True)
    return torch.cat([_added(block) for block in blocks]).reshape(shaped[0].shape)


def _added(terms: Sequence[Tensor]) -> Tensor:
    """The sum, from each number's smallest term to its largest."""
    ordered = list(terms)
    for last in range(len(ordered) - 1, 1, -1):  # two terms may be added either way
        for i, j in pairwise(range(last + 1)):
            low, high = ordered[i], ordered[j]
            ordered[i], ordered[j] = torch.minimum(low, high), torch.maximum(low, high)
    found, *rest = ordered
    for one in rest:
        found = found + one
    return found


def _each(
    states: Sequence[State], merge: Callable[[str, Sequence[Tensor]], Tensor]
) -> dict[str, Tensor]:
    """What `merge` makes of each tensor of the states, told in float64; integers are copied."""
    if not states:
        raise ValueError("expected at least one state, got none")
    first = states[0]
    for other in states[1:]:
        check(other, first, "the first state")
    found = {}
    for name, tensor in first.items():
        if tensor.is_floating_point():
            doubles = [state[name].detach().double() for state in states]
            found[name] = merge(name, doubles).to(tensor.dtype)
        else:
            found[name] = tensor.clone()
    return found


def _factor(coefficient: float | State, name: str) -> Tensor | float:
    if not isinstance(coefficient, Mapping):
        return float(coefficient)
    if name not in coefficient:
        raise ValueError(f"expected a coefficient for {name!r}, got none")
    return coefficient[name].double()
