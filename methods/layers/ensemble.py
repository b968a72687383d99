"""Networks that one trained mixture model holds: one for each choice among the experts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import kl_div, log_softmax

Routing = tuple[int, ...]  # an expert for each mixture, in order
Plain = Callable[[Any], Tensor]  # a batch -> logits


class Chooses(Protocol):
    """A mixture that serves, in evaluation, the mean of its experts (None) or the chosen one."""

    count: int
    chosen: int | None


def drawn(mixtures: Sequence[Chooses], draws: int, source: Generator) -> list[Routing]:
    """Routings whose experts are independent and uniform, each mixture's own."""
    return [
        tuple(int(torch.randint(m.count, (), generator=source, device="cpu")) for m in mixtures)
        for _ in range(draws)
    ]


@contextmanager
def routed(mixtures: Sequence[Chooses], routing: Routing) -> Iterator[None]:
    """In the block the model is, in evaluation, the one network of that routing."""
    before = [mixture.chosen for mixture in mixtures]
    _choose(mixtures, routing)
    try:
        yield
    finally:
        _choose(mixtures, before)


class Ensemble(nn.Module):
    """The mean of the logits of several networks; in training one pass as ever."""

    def __init__(self, mixtures: Sequence[Chooses], routings: Sequence[Routing]):
        super().__init__()
        self.mixtures, self.routings = tuple(mixtures), tuple(routings)  # no submodules: not owned

    def forward(self, plain: Plain, batch: Any) -> Tensor:
        if self.training:
            return plain(batch)
        return torch.stack([self._of(routing, plain, batch) for routing in self.routings]).mean(0)

    def _of(self, routing: Routing, plain: Plain, batch: Any) -> Tensor:
        with routed(self.mixtures, routing):
            return plain(batch)


class Heard(nn.Module):
    """Passes the logits on and, while `listening`, keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] | None = None

    def forward(self, plain: Plain, batch: Any) -> Tensor:
        logits = plain(batch)
        if self.kept is not None:
            self.kept.append(logits.detach().cpu())
        return logits

    @contextmanager
    def listening(self) -> Iterator[list[Tensor]]:
        """In the block the logits (rows, classes) of every batch go in the list it yields."""
        kept: list[Tensor] = []
        self.kept = kept
        try:
            yield kept
        finally:
            self.kept = None


def spread(logits: Sequence[Tensor]) -> float:
    """Mean symmetric KL over all pairs of networks, in nats per row: half the sum of both ways.

    `logits`: (rows, classes) of each network, rows in the same order. 0 for a single network.
    """
    logs = [log_softmax(x.float(), -1) for x in logits]
    pairs = [_symmetric(a, b) for a, b in combinations(logs, 2)]
    return float(torch.stack(pairs).mean()) if pairs else 0.0


def _symmetric(a: Tensor, b: Tensor) -> Tensor:
    ways = [kl_div(x, y, reduction="batchmean", log_target=True) for x, y in ((a, b), (b, a))]
    return 0.5 * (ways[0] + ways[1])


def _choose(mixtures: Sequence[Chooses], routing: Sequence[int | None]) -> None:
    for mixture, expert in zip(mixtures, routing, strict=True):
        mixture.chosen = expert
