"""Contestants in turn, round after round; medians, spreads and ratios of what that took."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass
class Span:
    """Seconds between the ends of a block; `device` has done all its work at both."""

    device: torch.device
    seconds: float = 0.0

    def begin(self) -> None:
        """Starts to count."""
        settle(self.device)
        self._began = time.perf_counter()

    def end(self) -> None:
        """The seconds since then."""
        settle(self.device)
        self.seconds = time.perf_counter() - self._began


@contextmanager
def timed(device: torch.device) -> Iterator[Span]:
    """Counts the seconds of the block."""
    span = Span(device)
    span.begin()
    yield span
    span.end()


def settle(device: torch.device) -> None:
    """Waits until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turn(work: Mapping[str, Callable[[int], T]], rounds: int) -> dict[str, list[T]]:
    """What each gave in every round: a, b, c, a, b, c, ...

    The callables are given the number of the round, from 0. Garbage is collected before each.
    """
    found: dict[str, list[T]] = {name: [] for name in work}
    for number in range(rounds):
        for name, one in work.items():
            gc.collect()
            found[name].append(one(number))
    return found


@contextmanager
def settled() -> Iterator[None]:
    """What stands before the block is no garbage and is not looked at while it runs.

    A look at all that the libraries keep takes longer than some of the work, for everybody.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and the least and the greatest of them."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Spread":
        """Raises ValueError where there are none."""
        if not numbers:
            raise ValueError("expected numbers, got none")
        return cls(median(numbers), min(numbers), max(numbers))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The spread of the ratios round by round.

    What stands in one round ran within seconds of each other, so that a machine that is slower for
    a while slows both. Raises ValueError where the numbers of rounds differ.
    """
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])
