"""What SSF puts in the place of a linear map or a LayerNorm."""

import torch
from torch import Tensor, nn


class Scaled(nn.Module):
    """x -> scale * base(x) + shift, on (..., inputs) -> (..., outputs)."""

    def __init__(self, base: nn.Linear | nn.LayerNorm, init: float):
        super().__init__()
        self.base = base
        like = base.weight.new_empty(base.weight.shape[0])
        self.scale = nn.Parameter(nn.init.normal_(like.clone(), 1.0, init))
        self.shift = nn.Parameter(nn.init.normal_(like.clone(), 0.0, init))

    @property
    def weight(self) -> Tensor:
        """The base's weight, as T5's FFN asks for it."""
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        return (out * self.scale + self.shift).to(out.dtype)  # half precision stays so

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """The base with scale and shift inside; one without a bias gets one."""
        scale = self.scale[:, None] if self.base.weight.dim() > 1 else self.scale
        self.base.weight.mul_(scale)
        if self.base.bias is None:
            self.base.bias = nn.Parameter(self.shift.detach().clone(), requires_grad=False)
        else:
            self.base.bias.mul_(self.scale).add_(self.shift)
        return self.base


LAYERS = {nn.Linear: Scaled, nn.LayerNorm: Scaled}
