"""What a phase of a run has gone through: batches, rows, tokens, seconds; and how fast that was."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.text import Shape


@dataclass
class Work:
    """Rows and tokens are those of the data; `shapes` are of the batches, padding counted."""

    seconds: float = 0.0
    rows: int = 0
    tokens: int = 0
    shapes: Counter[Shape] = field(default_factory=Counter)

    def saw(self, lengths: np.ndarray) -> None:
        """Adds rows of so many tokens."""
        self.rows += len(lengths)
        self.tokens += int(lengths.sum())

    def flops(self, of: Callable[..., int]) -> int:
        """FLOPs of all batches, by those of one of a shape."""
        return sum(count * of(*shape) for shape, count in self.shapes.items())

    def rates(self, name: str, flops: int | None) -> dict[str, float | None]:
        """FLOP/s reached, rows/s and tokens/s by their names in records; None where nothing ran."""
        amounts = {"flops": flops, "rows": self.rows, "tokens": self.tokens}
        return {
            f"{name}_{what}_per_second": amount / self.seconds if amount and self.seconds else None
            for what, amount in amounts.items()
        }
