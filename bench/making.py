"""A model that a cell makes: its tokenizer before training, its files after."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from bench.backbone import Backbone
from bench.heads import Gap
from bench.made import MODEL
from bench.masked import together
from bench.text import tokenizer
from bench.unfuse import fuse
from bench.vocabulary import train_tokenizer
from bench.weights import Weights


def vocabulary(weights: Weights, rows: Iterable[Any], folder: Path) -> PreTrainedTokenizerBase:
    """A tokenizer learned from the texts of the rows, written where the model will stand."""
    texts = (text for row in rows for text in (row.text[0], f" {row.label}") if text)
    kind, size = weights.known["model_type"], weights.known["vocab_size"]
    train_tokenizer(texts, kind, size, folder / MODEL)
    return tokenizer(Weights(weights.name, str(folder / MODEL)))


def drawn(weights: Weights, seed: int, attention: str) -> Backbone:
    """The model with weights as its family draws them, by `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Backbone.empty(weights, 0, "cpu", attention)
    model.facts = {"weights": f"{weights.name}, drawn with seed {seed}"}
    return model


def keep(model: Backbone, tokens: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes the model and its tokenizer in the layout of transformers."""
    logging.disable_progress_bar()
    net: nn.Module = model.cpu().net
    fuse(net)
    if isinstance(model.head, Gap):
        net = together(model.name, model.family, model.net, model.head)
    net.save_pretrained(folder / MODEL)  # type: ignore[operator]
    if not (folder / MODEL / "tokenizer.json").exists():
        tokens.save_pretrained(folder / MODEL)
