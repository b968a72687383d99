"""What reads a model's hidden states for a task."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.activations import ACT2FN


class Asked(Protocol):
    """A head that a task asks for; equal ones are one."""

    @property
    def outputs(self) -> int:
        """How many numbers it puts out a row."""

    @property
    def described(self) -> tuple[str, ...]:
        """A text an output, where it is not trained but given; else none."""


class Reader(nn.Module):
    """What heads share."""

    std: float  # of freshly drawn weights

    def draw(self, seed: int) -> None:
        """Draws the weights anew from N(0, initializer_range) and zeroes the biases."""
        source = torch.Generator().manual_seed(seed)
        for map in (m for m in self.modules() if isinstance(m, nn.Linear) and not m.weight.is_meta):
            nn.init.normal_(map.weight, std=self.std, generator=source)
            nn.init.zeros_(map.bias)

    def digest(self) -> str:
        """Twelve hex digits over the weights as they are now."""
        digest = hashlib.sha256()
        for tensor in self.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]


class Pooled(Reader):
    """A head that reads one vector a row."""

    pool: str

    def pooled(self, hidden: Tensor, pooled: Tensor | None, mask: Tensor) -> Tensor:
        """What of the hidden states the head reads.

        Hidden states (batch, tokens, width), the pretrained pooler's output (batch, width) or None,
        mask (batch, tokens) -> (batch, width).
        """
        if self.pool == "pooler" and pooled is not None:
            return pooled
        if self.pool == "mean":
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * weight).sum(1) / weight.sum(1)
        if self.pool == "last":
            return hidden[torch.arange(len(mask), device=mask.device), mask.sum(1) - 1]
        return hidden[:, 0]


class Head(Pooled):
    """The task's output layer, as the family's own classification model has it.

    `forward`: what `pooled` gives -> (batch, outputs).

    Source: the `...ForSequenceClassification` models of transformers. Departs from them for
    encoders that were trained by a mean over tokens: the head reads that mean; and for GPT-2,
    whose output map here has a bias.
    """

    def __init__(self, settings: PretrainedConfig, outputs: int, pool: str, inner: str):
        super().__init__()
        width, self.pool = settings.hidden_size, pool
        own = getattr(settings, "classifier_dropout", None)
        drop = float(getattr(settings, "hidden_dropout_prob", 0.0) if own is None else own)
        self.dropout = nn.Dropout(drop)
        if inner:
            self.first_dropout = nn.Dropout(getattr(settings, "pooler_dropout", drop))
            self.dense = nn.Linear(width, width)
            self.activation = ACT2FN[inner]
        self.out = nn.Linear(width, outputs)
        self.std = settings.initializer_range

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "dense"):
            x = self.activation(self.dense(self.first_dropout(x)))
        return self.out(self.dropout(x))


class Described(Pooled):
    """A head that is not trained: an output is as likely as a row is like its description.

    `classes`: embeddings of the descriptions by the model that reads the rows, each of length one:
    (outputs, width). `forward`: what `pooled` gives -> 20 times the cosine with each class.

    Source: the zero-shot classifier of CLIP (Radford et al. 2021, arXiv:2103.00020, section 3.1.2),
    whose texts are told apart here by a sentence encoder. Departs from it: the factor 20 is that of
    sentence-transformers' losses (Reimers and Gurevych 2019), CLIP's is learned.
    """

    SCALE = 20.0
    classes: Tensor

    def __init__(self, settings: PretrainedConfig, described: tuple[str, ...], pool: str):
        super().__init__()
        self.described, self.pool = described, pool
        self.register_buffer("classes", torch.zeros(len(described), settings.hidden_size))

    def draw(self, seed: int) -> None:
        """Draws nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return self.SCALE * nn.functional.normalize(x, dim=-1) @ self.classes.to(x.dtype).T


class Heads(Pooled):
    """A head for each space of labels of a composite task.

    `of`: the heads. `which`: the number of the head that reads each part of the task.
    `forward`: what `pooled` gives, number of the part -> (batch, outputs of its head).
    """

    def __init__(self, heads: Sequence[Pooled], which: tuple[int, ...]):
        super().__init__()
        self.of, self.which, self.pool = nn.ModuleList(heads), which, heads[0].pool

    def draw(self, seed: int) -> None:
        """Draws each of them as it would be drawn alone."""
        for head in self.of:
            head.draw(seed)  # type: ignore[operator]

    def forward(self, x: Tensor, part: int = 0) -> Tensor:
        return self.of[self.which[part]](x)


def made(asked: Sequence[Asked], settings: PretrainedConfig, pool: str, inner: str) -> Pooled:
    """The head for one that is asked for, or those of a composite task: equal ones are one."""
    distinct = list(dict.fromkeys(asked))
    heads: list[Pooled] = [
        Described(settings, one.described, pool)
        if one.described
        else Head(settings, one.outputs, pool, inner)
        for one in distinct
    ]
    which = tuple(distinct.index(one) for one in asked)
    return heads[0] if len(asked) == 1 else Heads(heads, which)


class Gap(Reader):
    """The head of a masked language model, whose last map is that of the input embeddings.

    `forward`: hidden states of gaps (gaps, width), embeddings (vocabulary, width) -> logits
    (gaps, words). `words`: token ids that may fill a gap, in the order of the outputs; none of
    them stands for the whole vocabulary. The bias that trains is that of the words alone.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1; BertForMaskedLM and
    RobertaForMaskedLM of transformers.
    """

    words: Tensor

    def __init__(self, settings: PretrainedConfig, activation: str):
        super().__init__()
        width, self.std = settings.hidden_size, settings.initializer_range
        self.dense = nn.Linear(width, width)
        self.activation = ACT2FN[activation or settings.hidden_act]
        self.norm = nn.LayerNorm(width, eps=settings.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(settings.vocab_size))
        self.register_buffer("words", torch.zeros(0, dtype=torch.long), persistent=False)
        self.pretrained = False

    def choose(self, words: Sequence[int]) -> None:
        """Keeps only those tokens as outputs."""
        if words:
            self.words = torch.tensor(words, device=self.bias.device)
            self.bias = nn.Parameter(self.bias.detach()[self.words])

    def draw(self, seed: int) -> None:
        """Draws a head that was not pretrained."""
        if not self.pretrained:
            super().draw(seed)

    def forward(self, gaps: Tensor, embeddings: Tensor) -> Tensor:
        chosen = embeddings[self.words] if len(self.words) else embeddings
        x = self.norm(self.activation(self.dense(gaps)))
        return nn.functional.linear(x, chosen, self.bias)


class Vocabulary(nn.Module):
    """The head of a model that writes: the pretrained output map, so nothing new to train."""

    def draw(self, seed: int) -> None:
        """Draws nothing."""

    def digest(self) -> str:
        """Nothing was drawn."""
        return ""
