"""A linear map that is one of several at random in training and their mean in evaluation."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from methods.layers.tensors import MixedTensor


class Router:
    """Uniform draws among experts, from a random stream of its own."""

    def __init__(self, source: Generator):
        self.source = source

    def draw(self, experts: int, size: int) -> Tensor:
        """(size,) indices below `experts`, independent and uniform."""
        return torch.randint(experts, (size,), generator=self.source, device="cpu")


class Mixture(nn.Module):
    """Experts of one shape: (..., inputs) -> (..., outputs).

    In training every call draws anew: one expert for the whole batch (`routing` "batch"), or one
    for each row of the first dimension ("sentence"). In evaluation the mean weight and the mean
    bias are used, or one expert's alone where its index is `chosen`. An expert that was not drawn
    gets no gradient at all.
    """

    chosen: int | None = None  # the expert that evaluation uses; none: the mean

    def __init__(
        self, first: nn.Linear, count: int, router: Router, routing: Literal["batch", "sentence"]
    ):
        super().__init__()
        experts = [first, *(copy.deepcopy(first) for _ in range(count - 1))]
        self.experts: Sequence[nn.Linear] = nn.ModuleList(experts)  # type: ignore[assignment]
        self.count, self.router, self.routing = count, router, routing

    def redraw(self) -> None:
        """Draws every expert but the first anew, each by its own `reset_parameters`."""
        for expert in self.experts[1:]:
            expert.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return functional.linear(x, *self._served())
        if self.routing == "batch":
            return self.experts[int(self.router.draw(self.count, 1))](x)
        return self._by_row(x, self.router.draw(self.count, len(x)))

    def merged(self) -> nn.Linear:
        """A plain linear map with the weight and the bias that evaluation uses."""
        map = copy.deepcopy(self.experts[0])
        with torch.no_grad():
            weight, bias = self._served()
            map.weight.copy_(weight)
            if bias is not None:
                map.bias.copy_(bias)
        return map

    def _served(self) -> tuple[Tensor, Tensor | None]:
        if self.chosen is not None:
            return self.experts[self.chosen].weight, self.experts[self.chosen].bias
        weight = torch.stack([e.weight for e in self.experts]).mean(0)
        if self.experts[0].bias is None:
            return weight, None
        return weight, torch.stack([e.bias for e in self.experts]).mean(0)

    def _by_row(self, x: Tensor, drawn: Tensor) -> Tensor:
        used, which = drawn.unique(return_inverse=True)
        which = which.to(x.device)
        experts = [self.experts[i] for i in used.tolist()]
        weight = torch.stack([e.weight for e in experts])[which]  # (rows, outputs, inputs)
        y = torch.einsum("n...i,noi->n...o", x, weight)
        if experts[0].bias is None:
            return y
        bias = torch.stack([e.bias for e in experts])[which].to(y.dtype)
        return y + bias.view(len(x), *[1] * (y.dim() - 2), -1)


def mixtures(model: nn.Module) -> list[Mixture | MixedTensor]:
    """Every mixture in the model, in model order; each has its `count` and may have a `chosen`."""
    return [module for module in model.modules() if isinstance(module, Mixture | MixedTensor)]
