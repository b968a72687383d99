"""FLOPs of a call as an exact polynomial of the batch's shape, counted on the meta device."""

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.products import Kind, Products
from bench.text import Batch, Shape


class Flops(NamedTuple):
    """FLOPs of one call on a batch, 2 a multiply-add, matrix products and attention only.

    `fixed` a batch; a row of S tokens `row + token S + square S^2`; where a decoder of its own
    reads D tokens also `written D + decoder D^2 + cross S D`; each predicted token `target`.
    """

    fixed: int = 0
    row: int = 0
    token: int = 0
    square: int = 0
    written: int = 0
    decoder: int = 0
    cross: int = 0
    target: int = 0

    def of(self, rows: int, tokens: int, written: int = 0, targets: int = 0) -> int:
        """FLOPs of a batch of `rows` rows padded to `tokens` tokens."""
        size = Shape(rows, tokens, written, targets)
        return sum(a * b for a, b in zip(self, _terms(size), strict=True))


class Step(NamedTuple):
    """FLOPs of one training step by what they are for; the optimizer's are not among them."""

    forward: Flops
    activations: Flops  # gradients of what layers pass on; none below the first trained place
    weights: Flops  # gradients of what was computed from parameters alone; none of frozen weights

    @property
    def total(self) -> Flops:
        """All three together."""
        return Flops(*map(sum, zip(*self, strict=True)))

    def of(self, rows: int, tokens: int, written: int = 0, targets: int = 0) -> int:
        """FLOPs of a step on such a batch, see Flops.of."""
        return self.total.of(rows, tokens, written, targets)


def _terms(shape: Shape) -> tuple[int, ...]:
    """What the coefficients of Flops are multiplied with, in their order."""
    n, s, d, targets = shape
    return 1, n, n * s, n * s * s, n * d, n * d * d, n * s * d, targets


PARTS: tuple[Kind, ...] = ("forward", "activations", "weights")  # as in Step

# As many as there are coefficients in use: (rows, tokens, written, targets).
LENGTHS = (8, 16, 24)
READ = [*(Shape(1, s, 0, 4) for s in LENGTHS), Shape(2, 8, 0, 4), Shape(1, 8, 0, 5)]
BOTH = ((8, 4), (16, 4), (24, 4), (8, 8), (8, 12), (16, 8))
ONE = {"": Shape(3, 8), "gaps": Shape(3, 8, 0, 5), "causal": Shape(3, 8, 0, 5)}
ONE["seq2seq"] = Shape(3, 8, 4, 5)
PROBES = {
    "": [*(Shape(1, s) for s in LENGTHS), Shape(2, 8)],
    "gaps": READ,
    "causal": READ,
    "seq2seq": [*(Shape(1, s, d, 4) for s, d in BOTH), Shape(2, 8, 4, 4), Shape(1, 8, 4, 5)],
}


def count(
    model: nn.Module, call: Callable[[Batch], Any], shape: Shape, *, backward: bool = False
) -> Counter[Kind]:
    """FLOPs of one call on a batch of that shape, and of going backward from what it gives."""
    rows = batch(shape, next(model.parameters()).device)
    with Products([*model.parameters(), *model.buffers()]) as products:
        out = call(rows)
        if backward and out.requires_grad:
            products.turn()
            out.backward()
    return products.counts


def served(model: nn.Module, call: Callable[[Batch], Any], kind: str) -> Flops:
    """The exact polynomial of one call without gradients, through counts at a few batch shapes.

    `kind`: how the model writes text (see bench.families), "gaps" where it fills gaps, "" for a
    head.
    """
    return _fitted([count(model, call, shape)["forward"] for shape in PROBES[kind]], kind)


def trained(model: nn.Module, loss: Callable[[Batch], Tensor], kind: str) -> Step:
    """The exact polynomials of one training step, forward and backward, of the parts of a step."""
    counts = [count(model, loss, shape, backward=True) for shape in PROBES[kind]]
    return Step(*(_fitted([found[part] for found in counts], kind) for part in PARTS))


def _fitted(counts: Sequence[int], kind: str) -> Flops:
    return Flops(*solved([_terms(shape) for shape in PROBES[kind]], counts))


def solved(rows: Sequence[Sequence[int]], values: Sequence[int]) -> list[int]:
    """Integers x with rows x = values, by exact elimination; 0 where a column is all zeros.

    Raises ValueError where there are none.
    """
    table = [
        [*map(Fraction, row), Fraction(value)] for row, value in zip(rows, values, strict=True)
    ]
    pivots: list[int] = []
    for column in range(len(rows[0])):
        at = len(pivots)
        best = next((r for r in range(at, len(table)) if table[r][column]), None)
        if best is None:
            continue
        table[at], table[best] = table[best], table[at]
        table[at] = [entry / table[at][column] for entry in table[at]]
        for r in (r for r in range(len(table)) if r != at and table[r][column]):
            factor = table[r][column]
            table[r] = [a - factor * b for a, b in zip(table[r], table[at], strict=True)]
        pivots.append(column)
    if any(row[-1] for row in table[len(pivots) :]):
        raise ValueError("expected counts that follow the polynomial, got others")
    found = [0] * len(rows[0])
    for column, row in zip(pivots, table, strict=False):
        if row[-1].denominator != 1:
            raise ValueError(f"expected whole coefficients, got {row[-1]}")
        found[column] = int(row[-1])
    return found


def batch(shape: Shape, device: torch.device | str = "meta") -> Batch:
    """Rows of that shape that hold nothing."""

    def zeros(*size: int) -> Tensor:
        return torch.zeros(*size, dtype=torch.long, device=device)

    ids = zeros(shape.rows, shape.tokens)
    rows = zeros(shape.rows)
    mask = torch.ones_like(ids)
    if not shape.targets:
        return Batch(ids, mask, None, rows, rows)
    written = zeros(shape.rows, shape.written) if shape.written else None
    targets = zeros(shape.targets)
    return Batch(ids, mask, None, targets, rows, written, targets)
