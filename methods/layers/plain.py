"""A linear map that keeps to itself how it was drawn."""

from torch import Tensor, nn
from torch.nn import functional


class Plain(nn.Module):
    """The map (..., inputs) -> (..., outputs) of a linear layer, with that layer's parameters.

    It takes the place of one that another library drew, whose weight that library also reads: what
    mixes maps mixes this one tensor by tensor, and copies it.
    """

    def __init__(self, map: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = map.in_features, map.out_features
        self.weight, self.bias = map.weight, map.bias

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)
