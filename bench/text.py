"""Rows to tensors: tokens, batches of like length padded to the longest of the batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bench.weights import Weights, complaint

Lists = list[list[int]]  # tokens, text by text
Coder = Callable[..., Mapping[str, Lists]]  # called as a tokenizer is: texts, pairs, options

POOL = 16  # batches of rows that are sorted by length together: random enough, little padding


class Shape(NamedTuple):
    """How large a batch is, padding counted."""

    rows: int
    tokens: int  # of a row
    written: int = 0  # tokens of a row that a decoder of its own reads
    targets: int = 0  # tokens to be predicted, in all rows together

    @classmethod
    def of_row(cls, read: int, new: int, writes: str) -> "Shape":
        """One row of `read` tokens and `new` written ones; `writes`: how, see bench.families."""
        if writes == "seq2seq":
            return cls(1, read, new, new)
        return cls(1, read + new, 0, new) if writes else cls(1, read + new)


@dataclass(frozen=True)
class Batch:
    """Token tensors of some rows.

    Where text is written, `labels` are the tokens to be predicted, over all rows one after
    another, and `targets` where in the flattened output of the model they are.
    """

    ids: Tensor  # (batch, tokens); where text is written by one stack, source and target
    mask: Tensor  # (batch, tokens), 1 on text and 0 on padding
    kinds: Tensor | None  # (batch, tokens), 0 in the first text and 1 in the second, where used
    labels: Tensor  # (batch,) class indices, or numbers for regression; or (targets,) tokens
    rows: Tensor  # (batch,), row numbers in the split
    written: Tensor | None = None  # (batch, written), what a decoder of its own reads
    targets: Tensor | None = None  # (targets,), flat positions of the outputs to be read
    features: Tensor | None = None  # (batch or targets, width), where the layers have run before
    part: int = 0  # of a composite task, which part the rows are of

    @property
    def shape(self) -> "Shape":
        """Rows, tokens, and for text that is written its padded length and its targets."""
        rows, tokens = self.ids.shape
        written = 0 if self.written is None else self.written.shape[1]
        return Shape(rows, tokens, written, 0 if self.targets is None else len(self.targets))

    def twice(self) -> "Batch":
        """The rows and then the same rows again."""
        both: dict[str, Any] = {
            name: torch.cat([value, value]) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        if self.targets is not None:
            read = self.ids if self.written is None else self.written
            both["targets"] = torch.cat([self.targets, self.targets + read.numel()])
        return Batch(**both)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device; a GPU takes it while it still computes another."""
        device = torch.device(device)
        moved: dict[str, Any] = {
            name: _moved(value, device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return Batch(**moved)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def tokenizer(weights: Weights) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to the weights. Raises ValueError where there is none."""
    missing = f"no tokenizer for model {weights.name!r}"
    try:
        tokens = AutoTokenizer.from_pretrained(weights.location, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{missing}: {complaint(error, weights)}") from error
    if set(tokens.get_vocab()) <= set(tokens.all_special_tokens):  # what stands in for no files
        raise ValueError(f"{missing}: its files hold no vocabulary")
    return tokens


class Rows:
    """A split, tokenised once; batches are cut from it as often as needed."""

    lengths: np.ndarray  # (rows,), tokens of each row
    labels: list[Any]

    def batch(self, rows: np.ndarray) -> Batch:
        """The rows of those numbers, padded to the longest of them."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.lengths)

    def in_order(self, size: int) -> Iterator[Batch]:
        """Every row once, longest first: batches of like length with the least padding."""
        return map(self.batch, self.ordered(size))

    def ordered(self, size: int) -> list[np.ndarray]:
        """The row numbers of those batches."""
        order = np.argsort(-self.lengths, kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    def shuffled(self, size: int, source: np.random.Generator) -> list[np.ndarray]:
        """Every row once at random, in batches of like length: row numbers, batch by batch."""
        order = source.permutation(len(self))
        batches = []
        for start in range(0, len(order), size * POOL):
            pool = order[start : start + size * POOL]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        return [batches[i] for i in source.permutation(len(batches))]


class First(Rows):
    """The first rows of a split alone."""

    def __init__(self, data: Rows, rows: int):
        self.data, self.lengths, self.labels = data, data.lengths[:rows], data.labels[:rows]

    def batch(self, rows: np.ndarray) -> Batch:
        return self.data.batch(rows)


class Encoded(Rows):
    """Rows to be classified.

    `rows`: objects with `text` (one or two strings) and `label`. `length`: most tokens kept a row;
    of two texts the longer is cut first. `code`: what turns the texts into tokens, where it is not
    the tokenizer itself.
    """

    def __init__(
        self,
        rows: Sequence[Any],
        tokens: PreTrainedTokenizerBase,
        length: int,
        code: Coder | None = None,
    ):
        code = code or tokens
        firsts = [row.text[0] for row in rows]
        seconds = [row.text[1] for row in rows] if rows and len(rows[0].text) > 1 else None
        encoded = code(firsts, seconds, truncation=True, max_length=length) if rows else {}
        self.ids: Lists = encoded.get("input_ids", [])
        self.kinds: Lists | None = encoded.get("token_type_ids")
        self.labels = [row.label for row in rows]
        self.padding = tokens.pad_token_id or 0
        self.lengths = np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def batch(self, rows: np.ndarray) -> Batch:
        labels = [self.labels[i] for i in rows]
        kinds = None if self.kinds is None else self._padded(self.kinds, rows, 0)
        ids = self._padded(self.ids, rows, self.padding)
        mask = torch.arange(ids.shape[1]) < torch.from_numpy(self.lengths[rows]).unsqueeze(1)
        return Batch(ids, mask.long(), kinds, torch.tensor(labels), torch.from_numpy(rows))

    def _padded(self, lists: Lists, rows: np.ndarray, padding: int) -> Tensor:
        longest = int(self.lengths[rows].max())
        return torch.tensor([lists[i] + [padding] * (longest - len(lists[i])) for i in rows])
