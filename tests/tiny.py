"""The smallest real things: tiny backbones of every family, and a toy task to train them on."""

import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from bench.backbone import Backbone
from bench.cellrun import derived
from bench.cost import free
from bench.families import FAMILIES
from bench.pairs import Pairs
from bench.recipe import AdamW
from bench.text import Batch, Encoded
from bench.train import Loop, train
from bench.unfuse import unfuse
from methods import resolve
from tasks.base import Row

ENCODERS = ["bert", "roberta", "deberta-v2"]
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
EXTRA = {
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


def backbone(family: str = "bert", outputs: int = 2, seed: int = 0, pool: str | None = None):
    """A tiny model of that family with random weights, large enough to tell outputs apart."""
    torch.manual_seed(seed)
    settings = AutoConfig.for_model(family, **{**SIZES, **EXTRA.get(family, {})})
    options = FAMILIES[family].options(FAMILIES[family].pool)
    net = AutoModel.from_config(settings, attn_implementation="eager", **options)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model = Backbone(f"tiny-{family}", net, outputs, pool)
    model.head.draw(seed)
    return model


def batch(rows: int = 4, tokens: int = 6, outputs: int = 2, seed: int = 0) -> Batch:
    """Random tokens with padding at the end of some rows."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 40, (rows, tokens), generator=source)
    mask = torch.ones_like(ids)
    mask[::2, -2:] = 0
    ids[mask == 0] = 1
    if outputs == 1:
        labels = torch.rand(rows, generator=source)
    else:
        labels = torch.randint(outputs, (rows,), generator=source)
    return Batch(ids, mask, None, labels, torch.arange(rows))


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


class ToyRun:
    """A run on the toy task, with the real training loop."""

    def __init__(self, seed: int = 0, regression: bool = False, **recipe):
        self.seed = seed
        self.recipe = AdamW(**{"lr": 1e-2, "batch": 16, "epochs": 2, "decay": 0.0, **recipe})
        self.data = Toy(seed=seed, regression=regression)
        self.losses: list[float] = []
        self.built_on: list = []  # needs of the method, each with a model to meet it

    def parents(self):
        return [self._met(need, model) for need, model in self.built_on]

    def generator(self, purpose):
        return torch.Generator().manual_seed(derived(self.seed, purpose))

    def train(self, model, loss, *, idle="still"):
        loop = Loop(self.recipe, torch.device("cpu"), "fp32", self.seed, idle)
        self.trace = train(model, partial(self._noted, loss), self.data, loop)

    def evaluate(self, model, split):
        model.eval()
        with torch.no_grad():
            right = [(model(b).argmax(-1) == b.labels).float() for b in self.data.in_order(64)]
        return {"accuracy": torch.cat(right).mean().item()}

    def _met(self, need, model):
        run, model = copy.copy(self), copy.deepcopy(model)
        method = resolve(need.method, "")
        run.recipe, run.losses = replace(self.recipe, **need.recipe), []
        prepared(method, model, run)
        method.fit(model, run)
        return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}

    def _noted(self, loss, model, batch):
        value = loss(model, batch)
        self.losses.append(value.item())
        return value


def prepared(method, model, run=None):
    """What `prepare` returned, with everything else frozen, as the runner leaves it."""
    run = run or ToyRun()
    run.built_on = [(need, copy.deepcopy(model)) for need in method.needs()]
    torch.manual_seed(0)
    trained = method.prepare(model, run)
    free(model, trained)
    return trained


def save(folder: Path) -> Path:
    """Writes a tiny BERT and a word tokenizer the way `save_pretrained` does."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a good bad film is was not and very it"
    vocabulary = [
        *words.split(),
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    torch.manual_seed(0)
    settings = AutoConfig.for_model(
        "bert", **{**SIZES, "vocab_size": len(vocabulary), "max_position_embeddings": 128}
    )
    AutoModel.from_config(settings).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 128}), encoding="utf-8"
    )
    return folder


WRITERS = ["gpt2", "t5"]
SMALL = {
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


def language_model(family: str, seed: int = 0, std: float = 0.2):
    """A tiny model of transformers that writes, with random weights; no dropout."""
    kind = AutoModelForCausalLM if family == "gpt2" else AutoModelForSeq2SeqLM
    settings = AutoConfig.for_model(
        family, vocab_size=40, eos_token_id=1, pad_token_id=0, **SMALL[family]
    )
    for rate in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout_rate"):
        setattr(settings, rate, 0.0)
    torch.manual_seed(seed)
    net = kind.from_config(settings, attn_implementation="eager")
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=std)
    return net.eval()


def writer(family: str = "gpt2", seed: int = 0, std: float = 0.2) -> Backbone:
    """The same model as a backbone that writes."""
    net = language_model(family, seed, std)
    unfuse(net)
    return Backbone(f"tiny-{family}", net, 0).train()


class Letters:
    """A tokenizer of one token a letter, after the end token 1 and padding 0."""

    eos_token_id, pad_token_id = 1, 0

    def __call__(self, texts, add_special_tokens=False):
        one = isinstance(texts, str)
        ids = [[2 + ord(c) % 38 for c in text] for text in ([texts] if one else texts)]
        return {"input_ids": ids[0] if one else ids}

    def decode(self, ids, skip_special_tokens=True):
        return "".join(chr(ord("A") + i) for i in ids if i > 1)


class Echo(Pairs):
    """Sources of a few letters; the target is the last of them, twice."""

    def __init__(self, kind: str, rows: int = 192, seed: int = 0):
        source = np.random.default_rng(seed)
        words = ["".join(source.choice(list("abcdef"), 3)) for _ in range(rows)]
        pairs = [Row((word,), word[-1] * 2) for word in words]
        super().__init__(pairs, Letters(), 30, kind)


class EchoRun(ToyRun):
    """A run on a toy task of writing, with the real training loop."""

    def __init__(self, family: str, seed: int = 0, **recipe):
        super().__init__(seed, **recipe)
        self.data = Echo("causal" if family == "gpt2" else "seq2seq", seed=seed)
