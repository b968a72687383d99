"""Sentences with hidden tokens, to train a masked language model on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from bench.text import Batch, Coder, Encoded

RATE = 0.4  # of the tokens; Wettig et al. 2023, arXiv:2202.08005: in short training above 0.15
SEED = 20180510  # of what is hidden: the same tokens whenever rows are read


class Hidden(Encoded):
    """Rows whose hidden tokens are to be told; each row keeps its own, at least one.

    All hidden tokens become the mask token (Wettig et al. 2023, section 6: nothing is gained by
    leaving some or putting others).
    """

    def __init__(
        self,
        rows: Sequence[Any],
        tokens: PreTrainedTokenizerBase,
        length: int,
        code: Coder | None = None,
    ):
        code = code or tokens
        texts = [" ".join(filter(None, (*row.text, row.label))) for row in rows]
        coded = code(texts, truncation=True, max_length=length)["input_ids"] if texts else []
        draw = np.random.default_rng(SEED)
        self.kinds, self.padding = None, tokens.pad_token_id or 0
        self.ids, self.at, self.told = [], [], []
        for ids in coded:
            inner = len(ids) - 2  # between the two special tokens
            count = max(1, round(RATE * inner)) if inner else 0
            at = np.sort(draw.permutation(inner)[:count] + 1).tolist()
            self.at.append(at)
            self.told.append([ids[i] for i in at])
            shown = set(at)
            masked = [tokens.mask_token_id if i in shown else t for i, t in enumerate(ids)]
            self.ids.append(masked)
        self.labels = [0] * len(rows)
        self.lengths = np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def batch(self, rows: np.ndarray) -> Batch:
        plain, width = super().batch(rows), int(self.lengths[rows].max())
        targets = [n * width + i for n, row in enumerate(rows) for i in self.at[row]]
        labels = [token for row in rows for token in self.told[row]]
        told, where = torch.tensor(labels), torch.tensor(targets)
        return Batch(plain.ids, plain.mask, None, told, plain.rows, targets=where)
