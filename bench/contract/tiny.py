"""The smallest real things: a tiny model of every family, and rows that it can learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.utils import logging

from bench.backbone import Backbone
from bench.families import FAMILIES
from bench.pairs import Pairs
from bench.text import Encoded
from bench.unfuse import unfuse
from bench.weights import Weights
from tasks.base import Row

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
EXTRA: dict[str, dict[str, Any]] = {
    "roberta": {"pad_token_id": 1, "type_vocab_size": 1},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
        "pooler_hidden_size": 16,
    },
}
DRY = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout_rate"), 0.0)
SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, "bos_token_id": 0},
    "t5": {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
}


def settings(family: str, **sizes: Any) -> dict[str, Any]:
    """The configuration of the tiny model of that family; `sizes` go before the usual ones."""
    if family in SMALL:
        ids = {"vocab_size": 40, "eos_token_id": 1, "pad_token_id": 0}
        return {**ids, **SMALL[family], **DRY, **sizes}
    return {**SIZES, **EXTRA.get(family, {}), **sizes}


def weights(family: str, **sizes: Any) -> Weights:
    """The tiny model as the counts know it: a configuration without files."""
    return Weights(f"tiny-{family}", "", {"model_type": family, **settings(family, **sizes)})


def backbone(
    family: str = "bert",
    outputs: int = 2,
    seed: int = 0,
    pool: str | None = None,
    **sizes: Any,
) -> Backbone:
    """A tiny encoder with random weights, large enough to tell outputs apart."""
    torch.manual_seed(seed)
    options = FAMILIES[family].options(FAMILIES[family].pool)
    config = AutoConfig.for_model(family, **settings(family, **sizes))
    net = AutoModel.from_config(config, attn_implementation="eager", **options)
    _spread(net, 0.2)
    model = Backbone(f"tiny-{family}", net, outputs, pool)
    model.head.draw(seed)
    return model


def language_model(family: str, seed: int = 0, std: float = 0.2) -> Any:
    """A tiny model of transformers that writes, with random weights; no dropout."""
    kind = AutoModelForCausalLM if family == "gpt2" else AutoModelForSeq2SeqLM
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **settings(family))
    net = kind.from_config(config, attn_implementation="eager")
    _spread(net, std)
    return net.eval()


def writer(family: str = "gpt2", seed: int = 0, std: float = 0.2) -> Backbone:
    """The same model as a backbone that writes."""
    net = language_model(family, seed, std)
    unfuse(net)
    return Backbone(f"tiny-{family}", net, 0).train()


def _spread(net: nn.Module, std: float) -> None:
    """Draws every matrix anew, far from zero."""
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=std)


def save(folder: Path) -> Path:
    """Writes a tiny BERT and a word tokenizer the way `save_pretrained` does."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a good bad film is was not and very it"
    vocabulary = [
        *words.split(),
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": len(vocabulary), "max_position_embeddings": 128}
    logging.disable_progress_bar()
    AutoModel.from_config(AutoConfig.for_model("bert", **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 128}), encoding="utf-8"
    )
    return folder


class Toy(Encoded):
    """Rows of random tokens; the label says which of two marker tokens stands in the row."""

    def __init__(self, rows: int = 192, seed: int = 0, regression: bool = False):
        source = np.random.default_rng(seed)
        self.ids, self.labels = [], []
        for _ in range(rows):
            ids = source.integers(8, 40, source.integers(4, 9)).tolist()
            label = int(source.integers(2))
            ids[int(source.integers(1, len(ids)))] = 5 + label
            self.ids.append(ids)
            self.labels.append(float(label) if regression else label)
        self.kinds, self.padding = None, 1
        self.lengths = np.array([len(ids) for ids in self.ids])


class Letters:
    """A tokenizer of one token a letter, after the end token 1 and padding 0."""

    eos_token_id, pad_token_id = 1, 0

    def __call__(self, texts: Any, add_special_tokens: bool = False) -> dict[str, Any]:
        one = isinstance(texts, str)
        ids = [[2 + ord(c) % 38 for c in text] for text in ([texts] if one else texts)]
        return {"input_ids": ids[0] if one else ids}

    def decode(self, ids: Any, skip_special_tokens: bool = True) -> str:
        """The letters of those tokens, the special ones left out."""
        return "".join(chr(ord("A") + i) for i in ids if i > 1)


class Echo(Pairs):
    """Sources of one to five letters; the target is the last of them, twice."""

    def __init__(self, kind: Any, rows: int = 192, seed: int = 0, same: bool = True):
        source = np.random.default_rng(seed)
        sizes = [3] * rows if same else source.integers(1, 6, rows).tolist()
        words = ["".join(source.choice(list("abcdef"), size)) for size in sizes]
        pairs = [Row((word,), word[-1] * 2) for word in words]
        super().__init__(pairs, Letters(), 30, kind)  # type: ignore[arg-type]
