"""How a model takes one step of writing: tokens in, scores of the next token out."""

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache

from bench.cache import HIDDEN, Tree, TreeCache

if TYPE_CHECKING:  # the models themselves are read where one is built
    from transformers import GPT2LMHeadModel, T5ForConditionalGeneration


class Stepper(Protocol):
    """What a search asks of a model."""

    def start(self, ids: Tensor, mask: Tensor, beams: int) -> Tensor:
        """Reads the prompts, (prompts, tokens), mask 0 on padding.

        Returns logits of the first new token: (prompts, vocabulary), float32.
        """

    def step(self, tokens: Tensor) -> Tensor:
        """Reads a token of each hypothesis: (prompts, beams) -> (prompts, beams, vocabulary)."""

    def follow(self, parents: Tensor) -> None:
        """Lets hypotheses continue others of their prompt: (prompts, beams)."""

    def keep(self, prompts: Tensor) -> None:
        """Forgets all other prompts: (kept,)."""


class _Branching:
    """What models with a tree of keys and values share."""

    tree: Tree
    cache: TreeCache

    def follow(self, parents: Tensor) -> None:
        self.tree.follow(parents)

    def keep(self, prompts: Tensor) -> None:
        self.cache.take(prompts, self.tree.prune(prompts))

    def _grow(self, tokens: Tensor) -> None:
        """Makes room for one more token a hypothesis: (prompts, beams)."""
        if self.tree.full:
            self.keep(torch.arange(len(tokens), device=tokens.device))
        self.tree.grow()


class Causal(_Branching):
    """GPT-2; prompts are padded on the left.

    `prefix`: (layers, 2, prompts, heads, length, head width), learned keys and values in front of
    every layer's own, or None. The text keeps the positions that it has without.
    """

    def __init__(self, net: "GPT2LMHeadModel", prefix: Tensor | None = None):
        self.net, self.prefix = net, prefix

    def start(self, ids, mask, beams):
        prefix = self.prefix
        shown = mask if prefix is None else nn.functional.pad(mask, (prefix.shape[-2], 0), value=1)
        self.tree = Tree(shown, beams, self.net.dtype)
        self.cache = TreeCache(self.net.config.n_layer, self.tree.spare, prefix)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self.position = positions[:, -1:]
        return self._logits(ids, shown, positions).squeeze(1)

    def step(self, tokens):
        self._grow(tokens)
        self.position = self.position + 1
        return self._logits(tokens, self.tree.mask, self.position.expand_as(tokens))

    def keep(self, prompts):
        super().keep(prompts)
        self.position = self.position[prompts]

    def _logits(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """(prompts, tokens) -> (prompts, tokens, vocabulary); one mask for all layers."""
        hidden = self.net.transformer(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        if mask.dim() == 2:  # a prompt, of which only the end says what comes next
            hidden = hidden[:, -1:]
        return self.net.lm_head(hidden).float()


class Seq2Seq(_Branching):
    """T5; prompts are padded on the right.

    `prefix`: as of `Causal`, in front of the decoder's self-attention; its keys count as earlier
    positions.
    """

    def __init__(self, net: "T5ForConditionalGeneration", prefix: Tensor | None = None):
        self.net, self.prefix = net, prefix

    def start(self, ids, mask, beams):
        self.encoded = self.net.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        self.hidden = (1 - mask.to(self.net.dtype))[:, None, None] * HIDDEN
        first = ids.new_full((len(ids), 1), self.net.config.decoder_start_token_id)
        before = 0 if self.prefix is None else self.prefix.shape[-2]
        self.tree = Tree(mask.new_ones(len(ids), before + 1), beams, self.net.dtype)
        self.cache = TreeCache(len(self.net.decoder.block), self.tree.spare, self.prefix)
        self.both = EncoderDecoderCache(self.cache, DynamicCache())
        return self._logits(first).squeeze(1)

    def step(self, tokens):
        self._grow(tokens)
        return self._logits(tokens)

    def keep(self, prompts):
        super().keep(prompts)
        if len(prompts) < len(self.encoded):
            self.both.cross_attention_cache.batch_select_indices(prompts)
            self.encoded, self.hidden = self.encoded[prompts], self.hidden[prompts]

    def _logits(self, tokens: Tensor) -> Tensor:
        """(prompts, tokens) -> (prompts, tokens, vocabulary).

        The stack's own forward pass counts positions along the cache; here its parts are called
        with distances along the tree.
        """
        decoder, bias, across = self.net.decoder, self._bias(), None
        x = decoder.dropout(decoder.embed_tokens(tokens))
        for block in decoder.block:
            x, bias, across = block(
                x,
                attention_mask=self.tree.mask[:, :, : tokens.shape[1]],
                position_bias=bias,
                encoder_hidden_states=self.encoded,
                encoder_attention_mask=self.hidden,
                encoder_decoder_position_bias=across,
                past_key_values=self.both,
            )
        x = decoder.dropout(decoder.final_layer_norm(x))
        if self.net.config.scale_decoder_outputs:
            x = x * self.net.model_dim**-0.5
        return self.net.lm_head(x).float()

    def _bias(self) -> Tensor:
        """The newest tokens' relative position bias: (prompts, heads, 1, keys)."""
        attention: Any = self.net.decoder.get_submodule("block.0.layer.0.SelfAttention")
        depth = self.tree.depth
        along = attention.compute_bias(1, depth + 1, past_seen_tokens=depth)[0, :, 0]
        return along[:, self.tree.depths].transpose(0, 1).unsqueeze(2)
