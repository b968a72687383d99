"""Learned keys and values for every layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Shape:
    """How one row of numbers a prefix token becomes keys and values of every layer."""

    def __init__(self, layers: int, heads: int, head_width: int):
        self.layers, self.heads, self.head_width = layers, heads, head_width
        self.numbers = 2 * layers * heads * head_width

    def split(self, rows: Tensor, batch: int) -> Tensor:
        """(length, 2 layers heads head width) -> (layers, 2, batch, heads, length, head width)."""
        parts = rows.view(len(rows), self.layers, 2, self.heads, self.head_width)
        return parts.permute(1, 2, 3, 0, 4).unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)


class Prefix(nn.Module):
    """The keys and values themselves are what is learned.

    `draw`: fills a tensor (length, 2 layers heads head width) in place.
    """

    def __init__(self, length: int, shape: Shape, draw: Callable[[Tensor], object]):
        super().__init__()
        self.shape, self.draw = shape, draw
        self.rows = nn.Parameter(torch.empty(length, shape.numbers))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the rows."""
        self.draw(self.rows)

    def forward(self, batch: int) -> Tensor:
        return self.shape.split(self.rows, batch)


class Reparameterised(nn.Module):
    """Keys and values made by a two-layer network from one learned vector a prefix token."""

    def __init__(self, length: int, width: int, hidden: int, shape: Shape):
        super().__init__()
        self.embedding = nn.Embedding(length, width)
        self.network = nn.Sequential(
            nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, shape.numbers)
        )
        self.shape = shape

    def forward(self, batch: int) -> Tensor:
        return self.shape.split(self.network(self.embedding.weight), batch)

    @torch.no_grad()
    def flat(self) -> Prefix:
        """The same prefix without the network."""
        made = self.network(self.embedding.weight)
        return Prefix(len(made), self.shape, lambda rows: rows.copy_(made)).to(made.device)
