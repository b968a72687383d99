"""What an encoder of virtual tokens gives, as learned rows in front of a text."""

import torch
from torch import Tensor, nn

from methods.layers.prefix import Prefix, Shape
from methods.layers.soft import Soft


class Virtual(nn.Module):
    """(batch size) -> what `encoder` makes of its `length` tokens, the same for every text.

    (batch, length, width) for a prompt; with a `shape`, keys and values (layers, 2, batch, heads,
    length, head width). `tasks`: whether the encoder asks for a task; there is one, number 0.
    """

    def __init__(self, encoder: nn.Module, length: int, shape: Shape | None, tasks: bool):
        super().__init__()
        self.encoder, self.length, self.shape, self.tasks = encoder, length, shape, tasks

    def forward(self, batch: int) -> Tensor:
        rows = self.rows()
        return self.shape.split(rows, batch) if self.shape else rows.expand(batch, -1, -1)

    def rows(self) -> Tensor:
        """(length, numbers a token)."""
        device = next(self.encoder.parameters()).device
        tokens = torch.arange(self.length, device=device)[None]
        task = (torch.zeros(1, dtype=torch.long, device=device),) if self.tasks else ()
        return self.encoder(tokens, *task)[0]

    @torch.no_grad()
    def flat(self) -> Prefix | Soft:
        """The same rows without the encoder."""
        made = self.rows()
        layer: Prefix | Soft
        if self.shape:
            layer = Prefix(len(made), self.shape, lambda rows: rows.copy_(made))
        else:
            layer = Soft(len(made), made.shape[1], lambda rows: rows.copy_(made))
        return layer.to(made.device)
