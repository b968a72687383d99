"""A multi-layer perceptron between what a head reads of a row and the head."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

from methods.layers.linear import Drawn


class MLP(nn.Module):
    """Linear maps, a ReLU behind each: (..., inputs) -> (..., width).

    Drawn as He et al. 2015, arXiv:1502.01852, have it for ReLU, from `generator`; biases are 0.
    """

    def __init__(self, inputs: int, width: int, layers: int, generator: Generator):
        super().__init__()
        sizes = [inputs, *[width] * layers]
        draw = partial(nn.init.kaiming_normal_, nonlinearity="relu", generator=generator)
        self.maps = nn.ModuleList(Drawn(i, o, draw, bias=True) for i, o in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for map in self.maps:
            x = torch.relu(map(x))
        return x


class Between(nn.Module):
    """Puts a module between what the head reads of a batch and the head.

    What it reads is computed by the model that it is part of, unless the batch brings it. It asks
    the bound method for that model: one of its own would keep the model alive in a circle.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, plain: Any, batch: Any) -> Tensor:
        """`plain`: the model's pass with nothing around it, see bench.backbone."""
        read = plain.__self__.features(batch) if batch.features is None else batch.features
        return plain(replace(batch, features=self.module(read)))
