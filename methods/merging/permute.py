"""Weight matching: hidden units of one network reordered so that its weights fit another's.

A *space* is a set of hidden units. `Symmetries` says which axis of which tensor lies in which
space; a permutation of a space is an array `order` with `new[i] = old[order[i]]` along every axis
that lies there. Reordering all of them leaves the function that the network computes as it was.

Source: Ainsworth et al. 2022, arXiv:2209.04836, section 3.2, algorithm 1. Departs from it: the
first sweep goes in the given order (a transformer's residual stream is pinned by its embeddings),
heads of attention are matched in two levels, and a space is left out of a sweep while nothing it
shares a tensor with has changed since it was solved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor

Tensors = Mapping[str, Tensor]
Orders = dict[str, np.ndarray]  # space -> (units,), whole numbers

GAIN = 1e-12  # of the objective, from which on a step counts: samuela/git-re-basin
SWEEPS = 100  # at most: samuela/git-re-basin


class Units(NamedTuple):
    """Hidden units that may stand in any order."""

    space: str

    @property
    def spaces(self) -> tuple[str, ...]:
        """The one space that it is."""
        return (self.space,)


class Heads(NamedTuple):
    """Attention heads of one layer: they change places whole, and units within each of them do.

    Units of a head stand side by side. Queries and keys are one space, values and what the output
    map reads another: a head takes both along, and within it each has an order of its own.
    """

    keys: str
    values: str
    number: int

    @property
    def spaces(self) -> tuple[str, ...]:
        """Both spaces."""
        return (self.keys, self.values)


@dataclass(frozen=True)
class Symmetries:
    """Which reorderings of hidden units leave a network's function as it is.

    `axes`: for each tensor the space of each axis, None for one that stays. `groups`: what is
    solved at once, in the order of the first sweep.
    """

    axes: Mapping[str, tuple[str | None, ...]]
    groups: tuple[Units | Heads, ...]

    def sizes(self, tensors: Tensors) -> dict[str, int]:
        """Units of each space.

        Raises ValueError naming a tensor that is missing, left over, of other axes than were
        written down, or of another size than the tensors before it.
        """
        found: dict[str, int] = {}
        for name in [*self.axes, *tensors]:
            expected, shape = self.axes.get(name), tensors.get(name, torch.empty(0)).shape
            if expected is None or name not in tensors or len(expected) != len(shape):
                axes = "none" if expected is None else f"{len(expected)} axes"
                got = tuple(shape) if name in tensors else "none"
                raise ValueError(f"expected {name!r} with {axes}, got {got}")
            for space, size in zip(expected, shape, strict=True):
                if space and found.setdefault(space, size) != size:
                    units = f"{found[space]} units of {space!r}"
                    raise ValueError(f"expected {units} in {name!r}, got {size}")
        return found

    def identity(self, tensors: Tensors) -> Orders:
        """Every unit where it is."""
        return {space: np.arange(size) for space, size in self.sizes(tensors).items()}

    def random(self, tensors: Tensors, generator: Generator) -> Orders:
        """One of all reorderings, each as likely as any."""
        sizes, orders = self.sizes(tensors), {}
        for group in self.groups:
            if isinstance(group, Units):
                orders[group.space] = _drawn(sizes[group.space], generator)
                continue
            heads = _drawn(group.number, generator)
            for space in group.spaces:
                width = sizes[space] // group.number
                orders[space] = np.concatenate(
                    [h * width + _drawn(width, generator) for h in heads]
                )
        return orders


def permuted(tensors: Tensors, symmetries: Symmetries, orders: Orders) -> dict[str, Tensor]:
    """The tensors of the same network with its units in those orders."""
    return {
        name: _ordered(tensor, symmetries.axes[name], orders) for name, tensor in tensors.items()
    }


@dataclass(frozen=True)
class Matching:
    """What weight matching has found."""

    orders: Orders
    objective: list[float]  # sum of products of like entries: at first, and after each sweep

    @property
    def sweeps(self) -> int:
        """How often it went over the spaces, those that could not gain left out."""
        return len(self.objective) - 1

    @property
    def identity(self) -> bool:
        """Whether every unit stays where it is."""
        return all(np.array_equal(order, np.arange(len(order))) for order in self.orders.values())


def match(
    a: Tensors, b: Tensors, symmetries: Symmetries, generator: Generator, sweeps: int = SWEEPS
) -> Matching:
    """The orders in which the units of `b` fit those of `a` best, by coordinate ascent.

    Each step solves one space, or the heads of one layer, exactly, the others held; the objective
    never falls. Ends where no step gains, or after so many sweeps. Sums are taken in float64.
    `generator`: of the order of the steps, from the second sweep on.
    Raises ValueError as `Symmetries.sizes` does.
    """
    if symmetries.sizes(a) != symmetries.sizes(b):
        raise ValueError("expected two networks of the same widths, got others")
    ascent = _Ascent(a, b, symmetries)
    objective, groups = [ascent.value()], list(symmetries.groups)
    waiting = set(groups)
    while waiting and len(objective) <= sweeps:
        gains = [0.0]
        for group in groups:
            if group not in waiting:
                continue
            waiting.discard(group)
            gains.append(ascent.step(group))
            if gains[-1]:
                waiting |= ascent.near(group)
        objective.append(objective[-1] + math.fsum(gains))
        groups = [groups[i] for i in _drawn(len(groups), generator)]
    return Matching(ascent.orders, objective)


class _Ascent:
    """Two networks, and the orders of the second one's units so far."""

    def __init__(self, a: Tensors, b: Tensors, symmetries: Symmetries):
        self.a, self.b, self.axes, self.groups = a, b, symmetries.axes, symmetries.groups
        self.orders = symmetries.identity(b)
        self.settled: dict[str, Tensor] = {}  # scores of tensors that lie in one space alone

    def value(self) -> float:
        """The objective: the sum over all tensors of the products of like entries."""
        return math.fsum(self._product(name, self.orders) for name in self.axes)

    def near(self, group: Units | Heads) -> set[Units | Heads]:
        """The groups that share a tensor with one, itself only if some tensor has it twice."""
        touched = [axes for axes in self.axes.values() if set(group.spaces) & {*axes}]
        others = {space for axes in touched for space in axes if space not in group.spaces}
        others |= {space for axes in touched for space in group.spaces if axes.count(space) > 1}
        return {other for other in self.groups if others & set(other.spaces)}

    def step(self, group: Units | Heads) -> float:
        """Solves the group; what the objective has gained, 0 where the orders stay."""
        scores = {space: self._scores(space) for space in group.spaces}
        if isinstance(group, Units):
            found = {group.space: _assigned(scores[group.space])[0]}
        else:
            keys, values = scores.values()
            found = dict(zip(group.spaces, _heads(keys, values, group.number), strict=True))
        gain = math.fsum(self._gains(group, scores, found))
        if gain <= GAIN:
            return 0.0
        self.orders |= found
        return gain

    def _gains(self, group, scores: dict[str, np.ndarray], found: Orders) -> Iterator[float]:
        """The parts of what the objective would gain by the orders found."""
        for space, score in scores.items():
            old, new = self.orders[space], found[space]
            (moved,) = np.nonzero(old != new)
            yield from score[moved, new[moved]] - score[moved, old[moved]]
        for name, axes in self.axes.items():  # those whose product is not linear in one order
            if any(axes.count(space) > 1 for space in group.spaces):
                linear = [
                    self._linear(name, axis, found) for axis, s in enumerate(axes) if s in found
                ]
                yield self._product(name, self.orders | found) - self._product(name, self.orders)
                yield -math.fsum(linear)

    def _linear(self, name: str, axis: int, found: Orders) -> float:
        """What the scores of one axis count for a tensor that has the space on two."""
        score, space = self._score(name, axis).numpy(), self.axes[name][axis]
        at = np.arange(len(score))
        return float((score[at, found[space]] - score[at, self.orders[space]]).sum())  # type: ignore[index]

    def _scores(self, space: str) -> np.ndarray:
        """(units, units): entry [i, j] is what unit j in place i adds, the other spaces held."""
        if space not in self.settled:
            self.settled[space] = self._sum(space, alone=True)
        return (self.settled[space] + self._sum(space, alone=False)).numpy()

    def _sum(self, space: str, alone: bool) -> Tensor:
        """The scores of the tensors that lie in this space alone, or of the others."""
        units = len(self.orders[space])
        total = torch.zeros(units, units, dtype=torch.float64)
        for name, axes in self.axes.items():
            if space in axes and alone == (sum(other is not None for other in axes) == 1):
                for axis in (axis for axis, other in enumerate(axes) if other == space):
                    total += self._score(name, axis)
        return total

    def _score(self, name: str, axis: int) -> Tensor:
        """The scores of one axis of a tensor, its other axes in their orders."""
        axes = [None if at == axis else space for at, space in enumerate(self.axes[name])]
        left, right = self.a[name], _ordered(self.b[name], axes, self.orders)
        return _unfolded(left, axis) @ _unfolded(right, axis).T

    def _product(self, name: str, orders: Orders) -> float:
        other = _ordered(self.b[name], self.axes[name], orders)
        return float((self.a[name].double() * other.double()).sum())


def _unfolded(tensor: Tensor, axis: int) -> Tensor:
    """(units of the axis, entries of each) in float64."""
    return tensor.movedim(axis, 0).reshape(tensor.shape[axis], -1).double()


def _ordered(tensor: Tensor, axes: Sequence[str | None], orders: Orders) -> Tensor:
    for axis, space in enumerate(axes):
        if space is not None:
            tensor = tensor.index_select(axis, torch.from_numpy(orders[space]))
    return tensor


def _heads(keys: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The best places of whole heads, and of the units within each: orders of both spaces.

    Within every pair of heads the best orders are found first; what they score decides which head
    goes where. That is exact, for no tensor lies in both spaces.
    """
    within = [[_pairs(scores, i, count) for i in range(count)] for scores in (keys, values)]
    tables = [np.array([[score for _, score in row] for row in part]) for part in within]
    heads, _ = _assigned(tables[0] + tables[1])
    both = [
        np.concatenate([h * (len(scores) // count) + part[i][h][0] for i, h in enumerate(heads)])
        for scores, part in zip((keys, values), within, strict=True)
    ]
    return both[0], both[1]


def _pairs(scores: np.ndarray, place: int, count: int) -> list[tuple[np.ndarray, float]]:
    """For a head's place and every head that may go there: the best order within, and its score."""
    width = len(scores) // count
    rows = scores[place * width : (place + 1) * width]
    return [_assigned(rows[:, h * width : (h + 1) * width]) for h in range(count)]


def _assigned(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """The best unit for each place, and the sum of their scores."""
    places, units = linear_sum_assignment(scores, maximize=True)
    return units, float(scores[places, units].sum())


def _drawn(size: int, generator: Generator) -> np.ndarray:
    return torch.randperm(size, generator=generator).numpy()
