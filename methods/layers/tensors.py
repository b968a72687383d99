"""A tensor that is one of several at random in training and their mean in evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from methods.layers.mixture import Router


class MixedTensor(nn.Module):
    """Experts of one shape: (tensor, ...) -> tensor.

    In training it is the expert drawn last, and no other gets a gradient; in evaluation the mean,
    or one expert alone where its index is `chosen`. The experts are parameters of the module whose
    tensor this parametrizes.
    """

    chosen: int | None = None  # the expert that evaluation uses; none: the mean
    drawn: int = 0
    draws: Draws | None = None

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def right_inverse(self, tensor: Tensor) -> list[Tensor]:
        """The experts to begin with: copies."""
        return [tensor.detach().clone() for _ in range(self.count)]

    def forward(self, *experts: Tensor) -> Tensor:
        index = self.drawn if self.training else self.chosen
        return torch.stack(experts).mean(0) if index is None else experts[index]


class Draws:
    """Draws an expert for each mixed tensor, independently, when a forward pass in training begins.

    A tensor that is read more than once in a pass is the same each time.
    """

    def __init__(self, model: nn.Module, mixed: list[MixedTensor], router: Router):
        self.mixed, self.router = mixed, router
        self.handle = model.register_forward_pre_hook(self)
        for one in mixed:
            one.draws = self

    def __call__(self, model: nn.Module, _: object) -> None:
        if model.training:
            indices = self.router.draw(self.mixed[0].count, len(self.mixed))
            for one, index in zip(self.mixed, indices.tolist(), strict=True):
                one.drawn = index


def mix(
    model: nn.Module,
    tensors: list[tuple[nn.Module, str]],
    count: int,
    router: Router,
    redrawn: list[nn.Module],
) -> list[nn.Parameter]:
    """Puts experts in the place of each tensor, given as a module and a name; returns them.

    They are copies, but in the modules of `redrawn`, where each but the first is drawn anew by its
    module's own `reset_parameters`.
    """
    mixed = []
    for module, name in tensors:
        one = MixedTensor(count).train(module.training)
        parametrize.register_parametrization(module, name, one, unsafe=True)  # unread till then
        mixed.append(one)
    for module in redrawn:
        _redraw(module)
    if mixed:
        Draws(model, mixed, router)
    return [expert for module, name in tensors for expert in _list(module, name).parameters()]


def merge(model: nn.Module) -> None:
    """Puts back, in the place of each mixed tensor, the one that evaluation uses."""
    for module in list(model.modules()):
        if mixed := _mixed(module):
            _restore(module, mixed)


def _mixed(module: nn.Module) -> dict[str, MixedTensor]:
    """The mixed tensors of one module by name."""
    if not parametrize.is_parametrized(module):
        return {}
    return {name: _list(module, name)[0] for name in module.parametrizations}  # type: ignore


def _list(module: nn.Module, name: str) -> parametrize.ParametrizationList:
    return module.parametrizations[name]  # type: ignore


def _redraw(module: nn.Module) -> None:
    mixed = _mixed(module).values()
    for index in range(1, next(iter(mixed)).count):
        for one in mixed:
            one.train().drawn = index
        module.reset_parameters()  # type: ignore[operator]
    for one in mixed:
        one.train(module.training).drawn = 0


@torch.no_grad()
def _restore(module: nn.Module, mixed: dict[str, MixedTensor]) -> None:
    # not remove_parametrizations: what it takes from the class, copies of the module would lack
    plain = {}
    for name, one in mixed.items():
        one.eval()
        if one.draws:
            one.draws.handle.remove()
        experts = _list(module, name)
        plain[name] = nn.Parameter(experts(), bool(experts.original0.requires_grad))
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, parameter in plain.items():
        module.register_parameter(name, parameter)
