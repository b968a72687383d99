"""What is found out about a tuner by trying it on a small model."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from methods.base import Method, Unsuited

if TYPE_CHECKING:
    from torch import Tensor


class Tried(NamedTuple):
    """What a tuner does on a small model."""

    identical: bool  # whether the model puts out the same with it as without, to the last bit
    counts_on: str


@cache
def tried(chosen: Method) -> Tried:
    """Puts the tuner in a small BERT, with weights and without."""
    import torch

    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        try:
            identical = torch.equal(*_before_and_after(chosen, "cpu"))
        except Unsuited:  # that small; the model of the cell may do
            return Tried(False, "cpu")
        try:
            _before_and_after(chosen, "meta")
        except (Unsuited, RuntimeError):
            return Tried(identical, "cpu")
        return Tried(identical, "meta")


def _before_and_after(chosen: Method, device: str) -> tuple[Tensor, Tensor]:
    """What a small BERT in training puts out without the tuner and with it; no dropout."""
    import torch
    from transformers import AutoConfig, AutoModel

    from bench.backbone import Backbone
    from bench.text import Batch

    size = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1}
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = AutoConfig.for_model("bert", vocab_size=64, num_attention_heads=4, **size, **rates)
    with torch.device(device):
        net = AutoModel.from_config(settings, attn_implementation="eager")
        model, tokens = Backbone("small", net, 2).train(), torch.ones(2, 8, dtype=torch.long)
        rows = Batch(tokens, tokens, None, tokens[:, 0], tokens[:, 0])
        before = model(rows)
        chosen.prepare(model, None)  # type: ignore[arg-type]
        return before, model(rows)
