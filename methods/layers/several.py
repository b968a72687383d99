"""Several whole models behind one: each answers for its rows, or all for every row."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Several(nn.Module):
    """Models put around another, whose own pass is not made.

    `forward`: (the model's own pass, batch) -> logits: of the model of the batch's part, or with
    `together` the mean of the logits of all. A model's own head reads the rows.
    """

    def __init__(self, models: Sequence[nn.Module], together: bool):
        super().__init__()
        self.models, self.together = nn.ModuleList(models), together

    def forward(self, plain: Callable[[Any], Tensor], batch: Any) -> Tensor:
        if self.together:
            return torch.stack([model(batch) for model in self.models]).mean(0)
        return self.models[min(batch.part, len(self.models) - 1)](batch)


def shared(model: nn.Module, base: nn.Module, own: Iterable[nn.Parameter]) -> None:
    """Every parameter of the model but its own becomes that of the base with the same name."""
    kept, known = {id(p) for p in own}, dict(base.named_parameters())
    for name, parameter in [*model.named_parameters()]:
        if id(parameter) not in kept and not name.startswith("head.") and name in known:
            path, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(path), attribute, known[name])
