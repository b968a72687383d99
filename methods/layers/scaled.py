"""A linear map with a learned scale on what comes out of it, or on what goes in."""

import torch
from torch import Tensor, nn


class Scaled(nn.Module):
    """x -> scale * (W x + b), on (..., inputs) -> (..., outputs); the scale starts at ones."""

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base = base
        self.scale = nn.Parameter(torch.ones(self._entries(), device=base.weight.device))

    @property
    def weight(self) -> Tensor:
        """The base map's weight, as T5's FFN asks for it."""
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        return (out * self.scale).to(out.dtype)  # DeBERTa's attention wants one type throughout

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """The base map with the scale multiplied into its weight, and into its bias."""
        self.base.weight.mul_(self.scale[:, None])
        if self.base.bias is not None:
            self.base.bias.mul_(self.scale)
        return self.base

    def _entries(self) -> int:
        return self.base.out_features


class ScaledInput(Scaled):
    """x -> W (scale * x) + b, on (..., inputs) -> (..., outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x * self.scale)

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """The base map with the scale multiplied into the columns of its weight."""
        self.base.weight.mul_(self.scale)
        return self.base

    def _entries(self) -> int:
        return self.base.in_features
