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
    gets no gradient at all: each keeps tensors of its own, so that it stands still.

    With `passes` 2 a call in training is that of two passes, each with draws of its own, on
    (2 batch, ..., inputs) where `stacked`, else on (2, batch, tokens, inputs) or on
    (batch, tokens, inputs), which both read. What it puts out has the passes in front: (2, batch,
    tokens, outputs), or (2 batch, ..., outputs) where `stacked`.
    """

    chosen: int | None = None  # the expert that evaluation uses; none: the mean
    passes: int = 1
    stacked: bool = False

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
        if self.passes == 2:
            return self._both(x)
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

    def _both(self, x: Tensor) -> Tensor:
        apart = not self.stacked and x.dim() == 4  # they have parted before, within this layer
        shape = x.shape if self.stacked or apart else (2, *x.shape)
        if self.routing == "sentence":
            rows = x.flatten(0, 1) if apart else x if self.stacked else torch.cat([x, x])
            y = self._by_row(rows, self.router.draw(self.count, len(rows)))
        elif self.stacked or apart:
            y = self._by_row(x.reshape(2, -1, x.shape[-1]), self.router.draw(self.count, 2))
        else:
            weight, bias = self._stacked(self.router.draw(self.count, 2))
            y = functional.linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
            return y.unflatten(-1, (2, -1)).movedim(-2, 0)
        return y.reshape(*shape[:-1], -1)

    def _by_row(self, x: Tensor, drawn: Tensor) -> Tensor:
        """(n, ..., inputs) -> (n, ..., outputs), an expert for each of the n."""
        weight, bias = self._stacked(drawn)
        y = torch.bmm(x.reshape(len(x), -1, x.shape[-1]), weight.mT)
        y = y if bias is None else y + bias[:, None].to(y.dtype)
        return y.reshape(*x.shape[:-1], -1)

    def _stacked(self, drawn: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weights (n, outputs, inputs) and biases (n, outputs) of the n experts drawn."""
        used, which = drawn.unique(return_inverse=True)
        experts, which = [self.experts[i] for i in used.tolist()], which.to(self._device)
        weight = torch.stack([e.weight for e in experts])[which]
        if experts[0].bias is None:
            return weight, None
        return weight, torch.stack([e.bias for e in experts])[which]

    @property
    def _device(self) -> torch.device:
        return self.experts[0].weight.device


def mixtures(model: nn.Module) -> list[Mixture | MixedTensor]:
    """Every mixture in the model, in model order; each has its `count` and may have a `chosen`."""
    return [module for module in model.modules() if isinstance(module, Mixture | MixedTensor)]
