"""A transformers model behind named places: methods never see an architecture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench import masked, past
from bench.families import Unserved, family
from bench.heads import Asked, Gap, Head, Heads, Pooled, Vocabulary, made
from bench.pretrained import auto, pretrained, whole
from bench.text import Batch
from bench.twice import Parting, Routed
from bench.unfuse import unfuse
from bench.weights import Weights, config, fills_gaps, pooling, verify


@dataclass(frozen=True)
class Site:
    """One place in a model that a module can be put in."""

    place: str  # "q", "ffn_out", "prefix", ...
    parent: nn.Module
    attribute: str
    layer: int | None = None

    @property
    def module(self) -> nn.Module:
        """What stands there now."""
        return getattr(self.parent, self.attribute)

    def put(self, module: nn.Module) -> None:
        """Replaces what stands there; the new module takes over its mode (train or eval)."""
        setattr(self.parent, self.attribute, module.train(self.parent.training))


class Backbone(nn.Module):
    """A pretrained model and a task head; methods see places, never an architecture.

    `forward`: a Batch -> float32 logits (batch, outputs), or (targets, vocabulary) where the model
    writes text (`outputs` 0): then there is no head but the pretrained one. A model that fills gaps
    has the head `gap`, which says what may fill them. With `passes` 2 the logits of two passes, one
    behind the other, where `parting` says how.
    """

    def __init__(
        self,
        name: str,
        net: PreTrainedModel,
        outputs: int,
        pool: str | None = None,
        gap: Gap | None = None,
    ):
        super().__init__()
        self.family, self.settings = family(name, net.config), net.config
        self.name, self.net, self.outputs = name, net, outputs
        self.smoothing = 0.0  # of the labels, in the training objective
        self.head: Pooled | Gap | Vocabulary = gap or Vocabulary()
        self.pool = pool or self.family.pool
        if outputs and gap is None:
            inner = "" if pool else self.family.inner
            self.head = Head(net.config, outputs, self.pool, inner)
            self.inner = inner
        self.prefix: nn.Module | None = None  # (batch size) -> keys and values, see bench.past
        self.prompt: nn.Module | None = None  # (batch size) -> (batch, length, width)
        self.around: nn.Module | None = None  # (forward pass, batch) -> logits
        self.parting: Parting | None = None  # where two passes part, see `part`
        self.still = False  # nothing below the head trains; it runs as in evaluation
        self.facts: dict[str, Any] = {}

    @classmethod
    def load(
        cls,
        weights: Weights,
        outputs: int,
        attention: str = "eager",
        words: Sequence[int] | None = None,
    ) -> "Backbone":
        """The model with its pretrained weights in float32; it writes where `outputs` is 0.

        `words`: token ids that may fill a gap, in the order of the outputs, none of them for the
        whole vocabulary; None for a model that fills no gaps. `attention`: transformers' name of
        the kernel. On a CPU the plain one is the fastest: the backward pass of the fused one takes
        longer than the rest of a short batch.
        Raises ValueError where files are missing, incomplete, pickled or not the expected ones.
        """
        sha256, pool = verify(weights), pooling(weights)
        kind = family(weights.name, config(weights))
        attention = attention if kind.interface else "eager"
        brings = words is not None and fills_gaps(weights)
        how = whole() if brings else auto(weights.name, kind, outputs, pool, words is not None)
        net, gap = pretrained(weights, *how, attention), None
        if brings:
            net, gap = masked.apart(weights.name, kind, net, words or ())
        elif words is not None:
            gap = masked.fresh(weights.name, kind, net.config, words)
        unfuse(net)
        model = cls(weights.name, net, outputs, pool, gap)
        model.facts = {"weights": weights.name, "weights_sha256": sha256}
        return model

    @classmethod
    def empty(
        cls,
        weights: Weights,
        outputs: int,
        device: str = "meta",
        attention: str = "eager",
        words: Sequence[int] | None = None,
    ) -> "Backbone":
        """The model from its configuration alone; on the meta device it takes no memory.

        `words`: as `load` has them. Elsewhere its weights are drawn as the family draws them, from
        torch's random state.
        """
        settings, pool = config(weights), pooling(weights)
        kind = family(weights.name, settings)
        build, options = auto(weights.name, kind, outputs, pool, words is not None)
        with torch.device(device):
            net = build.from_config(
                settings, dtype=torch.float32, attn_implementation=attention, **options
            )
            unfuse(net)
            gap = None
            if words is not None:
                gap = masked.fresh(weights.name, kind, settings, words)
            return cls(weights.name, net, outputs, pool, gap)

    @property
    def stacks(self) -> list[nn.ModuleList]:
        """The lists of layers: one, or the encoder's and the decoder's."""
        return [self._base.get_submodule(stack.layers) for stack in self.family.stacks]  # type: ignore[misc]

    @property
    def layers(self) -> list[nn.Module]:
        """All layers, first to last, an encoder's before its decoder's."""
        return [layer for stack in self.stacks for layer in stack]

    @property
    def width(self) -> int:
        """Features of a hidden state."""
        return self.settings.hidden_size

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return self.settings.num_attention_heads

    @property
    def head_width(self) -> int:
        """Features of one attention head."""
        return getattr(self.settings, "d_kv", self.width // self.heads)

    @property
    def regression(self) -> bool:
        """True where the one output is a number, not a class."""
        return self.outputs == 1

    @property
    def writes(self) -> bool:
        """True where the model puts out text, token by token."""
        return self.outputs == 0 and not isinstance(self.head, Gap)

    @property
    def word_embeddings(self) -> nn.Embedding:
        """What the model reads tokens with."""
        return self.net.get_input_embeddings()  # type: ignore[return-value]

    def sites(self, places: Sequence[str]) -> list[Site]:
        """Those places in every layer, layer by layer.

        Raises Unserved for a place that the architecture does not have.
        """
        for place in places:
            if place not in self.family.places:
                has = ", ".join(self.family.places)
                raise Unserved(f"model {self.name!r} has no place {place!r}; it has {has}")
        where = [stack.places for stack in self.family.stacks for _ in self._layers(stack.layers)]
        return [
            self._site(layer, path, place, index)
            for index, (layer, paths) in enumerate(zip(self.layers, where, strict=True))
            for place in places
            for path in paths.get(place, ())
        ]

    def prefix_site(self) -> Site:
        """Where a module that makes keys and values for every layer of the last stack is put.

        Raises Unserved where the attention takes none.
        """
        if not self.family.interface:
            kind = self.settings.model_type
            raise Unserved(f"the attention of {self.name!r} ({kind}) takes no past keys and values")
        return Site("prefix", self, "prefix")

    def prompt_site(self) -> Site:
        """Where a module that makes embeddings in front of the text is put.

        Raises Unserved where the model writes.
        """
        if self.family.writes:
            raise Unserved(f"a prompt serves encoders; {self.name!r} writes text")
        return Site("prompt", self, "prompt")

    def output_site(self) -> Site | None:
        """Where a model that writes keeps its output map; None where the head is the task's own."""
        return Site("output", self.net, "lm_head") if self.writes else None

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        if self.still:
            self.net.eval()
        return self

    def maps(self, parameters: Iterable[nn.Parameter]) -> list[Site]:
        """The places of linear maps that consist of nothing but the given parameters."""
        given = {id(p) for p in parameters}
        return [
            Site("map", parent, attribute)
            for parent in self.modules()
            for attribute, child in parent.named_children()
            if isinstance(child, nn.Linear) and all(id(p) in given for p in child.parameters())
        ]

    def task_parameters(self) -> list[nn.Parameter]:
        """What trains outside the head."""
        head = {id(p) for p in self.head.parameters()}
        return [p for p in self.parameters() if p.requires_grad and id(p) not in head]

    def rehead(self, heads: Sequence[Asked]) -> None:
        """Gives the model the heads that a task asks for; rows of one space share one.

        Without effect for the one head it has. What describes an output is yet to be embedded, see
        bench/described.py.
        """
        if (len(heads) == 1 and not heads[0].described) or not heads:
            return
        with torch.device(next(self.net.parameters()).device):
            self.head = made(heads, self.settings, self.pool, self.inner)
        self.outputs = heads[0].outputs

    def cut(self, layers: int) -> None:
        """Keeps the first `layers` layers of the encoder alone; 0: the embeddings.

        Raises ValueError for more than there are, and Unserved for a model that writes, or whose
        encoder gives nothing without layers.
        """
        if self.family.writes:
            raise Unserved(f"layers are cut off encoders; {self.name!r} writes text")
        (stack,) = self.stacks
        if not 0 <= layers <= len(stack):
            raise ValueError(f"expected layers from 0 to {len(stack)}, got {layers}")
        if not layers and not self.family.interface:
            kind = self.settings.model_type
            raise Unserved(f"the encoder of {self.name!r} ({kind}) has at least one layer")
        del stack[layers:]
        self.settings.num_hidden_layers = layers

    def part(self, routed: Sequence[Routed]) -> None:
        """Names all that draws anew in each pass, so that `forward` can make two at once.

        Without effect where some of it stands outside the layers, or where attention reads more
        with it than hidden states (DeBERTa: positions).
        """
        inside = {id(module) for layer in self.layers for module in layer.modules()}
        if self.family.interface and routed and all(id(one) in inside for one in routed):
            stack = None if self.family.writes == "seq2seq" else self.family.stacks[0]
            self.parting = Parting(self.layers, stack, routed)

    def forward(self, batch: Batch, passes: int = 1) -> Tensor:
        if passes == 2:
            return self._both(batch)
        return self.plain(batch) if self.around is None else self.around(self.plain, batch)

    def plain(self, batch: Batch) -> Tensor:
        """The logits of one forward pass, with nothing around it."""
        features = self.features(batch) if batch.features is None else batch.features
        return self.read(features, batch.part)

    def features(self, batch: Batch) -> Tensor:
        """What the head reads: (batch, width), or (targets, width) where tokens are told."""
        hidden, pooled = self._hidden(batch)
        if len(hidden) != len(batch.ids):  # two passes parted on the way
            batch = batch.twice()
        if isinstance(self.head, Pooled):
            return self.head.pooled(hidden, pooled, batch.mask)
        assert batch.targets is not None
        return hidden.flatten(0, 1)[batch.targets]

    def read(self, features: Tensor, part: int = 0) -> Tensor:
        """The head's logits in float32; `part`: of a composite task, whose head it is."""
        if isinstance(self.head, Heads):
            return self.head(features, part).float()
        if isinstance(self.head, Gap):
            return self.head(features, self.word_embeddings.weight).float()
        head = self.head if isinstance(self.head, Pooled) else self.net.lm_head
        return head(features).float()

    def objective(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats per row or target token, or mean squared error: a scalar.

        In training the labels are smoothed (Szegedy et al. 2016, arXiv:1512.00567) as asked.
        """
        if self.regression:
            return nn.functional.mse_loss(logits.squeeze(-1), batch.labels.float())
        smoothing = self.smoothing if self.training else 0.0
        return nn.functional.cross_entropy(logits, batch.labels, label_smoothing=smoothing)

    def loss(self, batch: Batch) -> Tensor:
        """The objective of one forward pass: a scalar."""
        return self.objective(self(batch), batch)

    @property
    def _base(self) -> nn.Module:
        return self.net.get_submodule(self.family.trunk) if self.writes else self.net

    def _layers(self, path: str) -> nn.ModuleList:
        return self._base.get_submodule(path)  # type: ignore[return-value]

    def _both(self, batch: Batch) -> Tensor:
        """The logits of two passes, one behind the other, from one batch."""
        assert self.parting is not None
        with self.parting.two(len(batch.ids)):
            return self.plain(batch.twice() if self.parting.layer is None else batch)

    def _hidden(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Hidden states (batch, tokens, width) of the last stack, and what a pooler reads off."""
        if self.writes and self.family.writes == "seq2seq":
            return self._crossed(batch), None
        return (self._causal(batch), None) if self.family.writes == "causal" else self._read(batch)

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Those of an encoder; a prompt takes the first positions, heads read the text behind."""
        prefix, inputs, mask = self._prefix(batch), self._inputs(batch), batch.mask
        if prefix is not None:
            inputs["past_key_values"] = past.PastPrefix(prefix)
        length = 0
        if "inputs_embeds" in inputs:
            length = inputs["inputs_embeds"].shape[1] - mask.shape[1]
            mask = nn.functional.pad(mask, (length, 0), value=1)
        out = self.net(**inputs, attention_mask=self._mask(mask, prefix))
        hidden, pooled = out.last_hidden_state, out.get("pooler_output")
        if length:
            hidden = hidden[:, length:]
            pooled = None if pooled is None else self.net.get_submodule("pooler")(hidden)
        return hidden, pooled

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        """What an encoder reads: tokens, or their embeddings behind those of a prompt."""
        kinds = {} if batch.kinds is None else {"token_type_ids": batch.kinds}
        if self.prompt is None:
            return {"input_ids": batch.ids, **kinds}
        prompt = self.prompt(len(batch.ids))
        told = {k: nn.functional.pad(v, (prompt.shape[1], 0)) for k, v in kinds.items()}
        text = self.word_embeddings(batch.ids)
        return {"inputs_embeds": torch.cat([prompt, text], dim=1), **told}

    def _causal(self, batch: Batch) -> Tensor:
        """Hidden states (batch, tokens, width) of a stack in which tokens see those before them.

        The text keeps the positions it was pretrained at, with a prefix or without.
        """
        prefix = self._prefix(batch)
        return self._base(
            input_ids=batch.ids,
            attention_mask=self._mask(batch.mask, prefix),
            position_ids=torch.arange(batch.ids.shape[1], device=batch.ids.device)[None],
            past_key_values=None if prefix is None else past.causal(prefix),
            use_cache=False,
        ).last_hidden_state

    def _crossed(self, batch: Batch) -> Tensor:
        """Hidden states (batch, written, width) of the decoder; a prefix counts as positions."""
        assert batch.written is not None
        prefix, written = self._prefix(batch), torch.ones_like(batch.written)
        encoder, decoder = map(self.net.get_submodule, ("encoder", "decoder"))
        source = encoder(input_ids=batch.ids, attention_mask=self._mask(batch.mask, None))
        hidden = decoder(
            input_ids=batch.written,
            attention_mask=self._mask(written, prefix),
            past_key_values=None if prefix is None else past.crossed(prefix),
            encoder_hidden_states=source.last_hidden_state,
            encoder_attention_mask=self._mask(batch.mask, None, written.shape[1]),
            use_cache=False,
        ).last_hidden_state
        tied = getattr(self.settings, "scale_decoder_outputs", self.settings.tie_word_embeddings)
        return hidden * self.width**-0.5 if tied else hidden

    def _prefix(self, batch: Batch) -> Tensor | None:
        """Keys and values (layers, 2, batch, heads, length, head width) to stand in front."""
        return None if self.prefix is None else self.prefix(len(batch.mask))

    def _mask(self, mask: Tensor, prefix: Tensor | None, queries: int | None = None) -> Tensor:
        """The mask (batch, tokens) with a prefix of ones before it, where there is one.

        On the meta device the attention's own form, for a flat mask would be looked into.
        """
        queries = queries or mask.shape[1]
        if prefix is not None:
            mask = torch.cat([mask.new_ones(len(mask), prefix.shape[-2]), mask], dim=1)
        if mask.is_meta and self.family.interface:
            mask = mask.new_zeros(len(mask), 1, queries, mask.shape[1]).float()
        return mask

    @staticmethod
    def _site(layer: nn.Module, path: str, place: str, index: int) -> Site:
        parent, _, attribute = path.rpartition(".")
        return Site(place, layer.get_submodule(parent), attribute, index)
