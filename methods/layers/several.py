"""Several whole models behind one: each answers for its rows, or all for every row."""

from collections.abc import Callable, Sequence
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
