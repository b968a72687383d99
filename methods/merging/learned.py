"""Coefficients of a soup, learned by gradient descent on held-out rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from bench.backbone import Backbone
    from bench.text import Batch

RATE, EPOCHS = 0.05, 5  # of the release


def learned(
    model: "Backbone",
    runs: Sequence[Mapping[str, Tensor]],
    rows: Callable[[], Iterable["Batch"]],
) -> tuple[dict[str, Tensor], list[float]]:
    """The mean of the runs with a weight for each tensor and run, and each run's mean weight.

    The weights of a tensor are a softmax over the runs; they and a scale of the logits are learned
    with AdamW on batches of classified rows. The model is left as it was.

    Source: Wortsman et al. 2022, arXiv:2203.05482, appendix I; rate and epochs of its release.
    """
    device = next(model.parameters()).device
    stacked = {n: torch.stack([run[n].to(device) for run in runs]) for n in runs[0]}
    raw = torch.zeros(len(stacked), len(runs), device=device, requires_grad=True)
    scale = torch.ones((), device=device, requires_grad=True)
    optimizer = torch.optim.AdamW([raw, scale], lr=RATE)
    was_training = model.training
    model.eval()
    for _ in range(EPOCHS):
        for batch in rows():
            logits = functional_call(model, _mixed(stacked, raw), (batch,))
            cross_entropy(scale * logits, batch.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    model.train(was_training)
    with torch.no_grad():
        return _mixed(stacked, raw), raw.softmax(1).mean(0).tolist()


def _mixed(stacked: Mapping[str, Tensor], raw: Tensor) -> dict[str, Tensor]:
    weights = raw.softmax(1)
    return {
        name: torch.tensordot(weight.to(tensors.dtype), tensors, dims=1)
        for weight, (name, tensors) in zip(weights, stacked.items(), strict=True)
    }
