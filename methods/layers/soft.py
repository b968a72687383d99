"""Learned embeddings in front of a text."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Soft(nn.Module):
    """(batch size) -> (batch, length, width): the same learned rows for every text.

    `draw`: fills a tensor (length, width) in place.
    """

    def __init__(self, length: int, width: int, draw: Callable[[Tensor], object]):
        super().__init__()
        self.draw = draw
        self.rows = nn.Parameter(torch.empty(length, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the rows."""
        self.draw(self.rows)

    def forward(self, batch: int) -> Tensor:
        return self.rows.expand(batch, -1, -1)


@torch.no_grad()
def sample(rows: Tensor, table: Tensor) -> None:
    """Fills each of the rows (length, width) with one of the table's (words, width), at random."""
    chosen = torch.randint(len(table), (len(rows),), device=table.device)
    rows.copy_(table[chosen])
