"""Two forward passes as one batch, apart only from the first module that draws anew in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.families import Stack

HEADS = ("q", "k", "v")  # places whose outputs attention splits: no dimension can go in front there


class Routed(Protocol):
    """A module that draws anew in each pass and can serve two at once.

    While `passes` is 2 it puts out both, each drawn on its own: as twice the rows, which is what it
    reads then, where `stacked`; else in a dimension in front of the rows, which what it reads has
    too, unless the passes part at this very module.
    """

    passes: int
    stacked: bool


class Parting:
    """Where two passes part, so that what stands below is computed once for both.

    `layer`: number of the layer; None where they are two from the start. `inside`: they part at the
    first routed module of that layer; else in front of the layer. From there on the batch has twice
    the rows: those of the first pass, then those of the second.
    """

    def __init__(self, layers: Sequence[nn.Module], stack: Stack | None, routed: Sequence[Routed]):
        """`stack`: what the layers are; None where batches cannot part between layers."""
        self.layers, self.routed = list(layers), list(routed)
        homes = {id(m): n for n, layer in enumerate(layers) for m in layer.modules()}
        self.layer = min(homes[id(one)] for one in routed) if stack else None
        self.inside = stack is not None and not self._before_attention(stack)
        for one in routed:
            one.stacked = not self.inside or homes[id(one)] != self.layer

    @contextmanager
    def two(self, rows: int) -> Iterator[None]:
        """In the block a pass over `rows` rows is two from the parting on."""
        hooks = [] if self.layer is None else self._hooks(self.layer, _Doubling(rows))
        self._set(2)
        try:
            yield
        finally:
            self._set(1)
            for hook in hooks:
                hook.remove()

    def _hooks(self, number: int, double: _Doubling) -> list[Any]:
        first, *above = self.layers[number:]
        hooks = [layer.register_forward_pre_hook(double.masks, with_kwargs=True) for layer in above]
        if self.inside:
            return [*hooks, first.register_forward_hook(_flattened)]
        return [*hooks, first.register_forward_pre_hook(double.all, with_kwargs=True)]

    def _set(self, passes: int) -> None:
        for one in self.routed:
            one.passes = passes

    def _before_attention(self, stack: Stack) -> bool:
        """Whether one of the modules stands where attention reads, in the layer of the parting."""
        layer = self.layers[self.layer or 0]
        paths = [path for place in HEADS for path in stack.places[place]]
        read = {id(m) for path in paths for m in layer.get_submodule(path).modules()}
        return any(id(one) in read for one in self.routed)


class _Doubling:
    """Doubles what layers are given; the mask, which is the same for all of them, only once."""

    def __init__(self, rows: int):
        self.rows = rows
        self.mask: Tensor | None = None
        self.doubled: Tensor | None = None

    def masks(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Everything but the hidden states, which are two already."""
        rest = {name: self._twice(value) for name, value in kwargs.items()}
        return (args[0], *map(self._twice, args[1:])), rest

    def all(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The hidden states too."""
        (hidden, *rest), named = self.masks(layer, args, kwargs)
        return (torch.cat([hidden, hidden]), *rest), named

    def _twice(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dim() != 4 or len(value) != self.rows:
            return value  # no mask, or one for all rows
        if value is not self.mask:
            self.mask, self.doubled = value, torch.cat([value, value])
        return self.doubled


def _flattened(_: nn.Module, __: Any, out: Any) -> Any:
    """(2, batch, tokens, width) -> (2 batch, tokens, width)."""
    return (out[0].flatten(0, 1), *out[1:]) if isinstance(out, tuple) else out.flatten(0, 1)
