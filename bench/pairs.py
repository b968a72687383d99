"""Pairs of a source and a text to be written, as tokens."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bench.families import Writes
from bench.text import Batch, Coder, Lists, Rows


class Prompts(NamedTuple):
    """What a model is given to write on from."""

    ids: Tensor  # (batch, tokens); padded on the left where one stack reads and writes
    mask: Tensor  # (batch, tokens)
    rows: list[int]  # row numbers in the split


class Pairs(Rows):
    """A split of sources and targets, tokenised once.

    `rows`: objects with `text` (one string) and `label` (the target, or references, which are not
    tokenised). `length`: most tokens of source and target together; the source is cut first.

    One stack ("causal") reads `source <end> target <end>`, the target led by a blank
    (microsoft/LoRA, gpt2_encode.py); two stacks ("seq2seq") read the source in one and write
    `target <end>` in the other. The loss is on the target's tokens, its end among them; on those of
    the source too where `whole`. Where `whole` and there is no source, a decoder of its own
    continues the first half of the target (prefix language modelling: Raffel et al. 2020,
    arXiv:1910.10683, section 3.2.3).
    """

    def __init__(
        self,
        rows: Sequence[Any],
        tokens: PreTrainedTokenizerBase,
        length: int,
        kind: Writes,
        whole: bool = False,
        code: Coder | None = None,
    ):
        code = code or tokens
        end = tokens.eos_token_id
        if end is None:
            raise ValueError("expected a tokenizer with an end token, got one without")
        self.kind, self.whole, self.end = kind, whole, int(end)
        self.padding = self.end if tokens.pad_token_id is None else int(tokens.pad_token_id)
        self.labels = [row.label for row in rows]
        sources = _ids(code, [row.text[0] for row in rows])
        given = [row.label if isinstance(row.label, str) else None for row in rows]
        lead = " " if kind == "causal" else ""
        written = iter(_ids(code, [lead + text for text in given if text is not None]))
        targets = [[*next(written), self.end] if text is not None else [] for text in given]
        if whole and kind == "seq2seq":
            pairs = [_halved(s, t) for s, t in zip(sources, targets, strict=True)]
            sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
        self.targets = [target[: max(1, length // 2)] for target in targets]
        room = [length - 1 - len(target) for target in self.targets]
        self.sources = [[*s[:r], self.end] for s, r in zip(sources, room, strict=True)]
        both = zip(self.sources, self.targets, strict=True)
        self.lengths = np.array([len(s) + len(t) for s, t in both], dtype=np.int64)

    def batch(self, rows: np.ndarray) -> Batch:
        """The rows of those numbers, padded to the longest of them."""
        return self._one_stack(rows) if self.kind == "causal" else self._two_stacks(rows)

    def prompts(self, size: int) -> Iterator[Prompts]:
        """Every row's source once, longest first: batches of like length."""
        order = np.argsort([-len(source) for source in self.sources], kind="stable")
        for start in range(0, len(order), size):
            rows = order[start : start + size].tolist()
            ids, mask = self._padded([self.sources[i] for i in rows], left=self.kind == "causal")
            yield Prompts(ids, mask, rows)

    def _one_stack(self, rows: np.ndarray) -> Batch:
        texts = [self.sources[i] + self.targets[i] for i in rows]
        ids, mask = self._padded(texts)
        starts = [0 if self.whole else len(self.sources[i]) - 1 for i in rows]
        spans = [range(a, len(text) - 1) for a, text in zip(starts, texts, strict=True)]
        flat = [n * ids.shape[1] + at for n, span in enumerate(spans) for at in span]
        labels = [text[at + 1] for span, text in zip(spans, texts, strict=True) for at in span]
        return self._batch(ids, mask, rows, labels, flat, None)

    def _two_stacks(self, rows: np.ndarray) -> Batch:
        ids, mask = self._padded([self.sources[i] for i in rows])
        targets = [self.targets[i] for i in rows]
        written, _ = self._padded([[self.padding, *target[:-1]] for target in targets])
        width = written.shape[1]
        flat = [n * width + at for n, target in enumerate(targets) for at in range(len(target))]
        labels = [token for target in targets for token in target]
        return self._batch(ids, mask, rows, labels, flat, written)

    @staticmethod
    def _batch(ids, mask, rows, labels, flat, written) -> Batch:
        numbers = torch.from_numpy(np.asarray(rows))
        return Batch(ids, mask, None, torch.tensor(labels), numbers, written, torch.tensor(flat))

    def _padded(self, lists: Lists, left: bool = False) -> tuple[Tensor, Tensor]:
        width = max(map(len, lists))
        rows, mask = [], []
        for ids in lists:
            gap, ones = [self.padding] * (width - len(ids)), [1] * len(ids)
            zeros = [0] * len(gap)
            rows.append(gap + ids if left else ids + gap)
            mask.append(zeros + ones if left else ones + zeros)
        return torch.tensor(rows), torch.tensor(mask)


def _ids(code: Coder, texts: list[str]) -> Lists:
    """Tokens of each text, nothing added."""
    return code(texts, add_special_tokens=False)["input_ids"] if texts else []


def _halved(source: list[int], target: list[int]) -> tuple[list[int], list[int]]:
    middle = len(target) // 2
    return (source, target) if source else (target[:middle], target[middle:])
