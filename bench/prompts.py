"""Rows put to a masked language model: a template, a gap, and the words that may fill it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from bench.families import Unserved
from bench.text import Batch, Coder, Encoded

MASK = "mask"
Piece = str | int | None  # fixed words, a text of the row by its number, or the gap


def pieces(template: str) -> list[tuple[str, Piece]]:
    """What a template is made of: (the space in front, what stands there).

    "{0} It was {mask} ." -> [("", 0), (" ", "It was"), (" ", None), (" ", ".")]. A space belongs to
    what follows it, as byte-level tokenizers have it.
    """
    found: list[tuple[str, Piece]] = []
    space = ""
    for part in re.split(r"(\{\w+\})", template):
        if part.startswith("{"):
            name = part[1:-1]
            found.append((space, None if name == MASK else int(name)))
            space = ""
        elif part:
            if fixed := part.strip():
                found.append((" " if part[0] == " " else space, fixed))
            space = " " if part[-1] == " " else ""
    return found


def word_ids(words: Sequence[str], tokens: PreTrainedTokenizerBase, name: str) -> tuple[int, ...]:
    """The token of each word as it stands behind a space.

    Raises Unserved for a word that is not one token of the model called `name`.
    """
    found = []
    for word in words:
        ids = tokens(f" {word}", add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or ids[0] == tokens.unk_token_id:
            parts = " ".join(tokens.convert_ids_to_tokens(ids))
            raise Unserved(
                f"expected label words of one token of {name!r}, got {word!r}: {parts}; "
                f"the task's option `words` takes others"
            )
        found.append(ids[0])
    if len(set(found)) < len(found):
        raise Unserved(f"expected distinct tokens of {name!r}, got {', '.join(words)}")
    return tuple(found)


class Prompted(Encoded):
    """Rows in a template (Gao et al. 2021, arXiv:2012.15723, section 4); one gap a row.

    Only the row's texts are cut where the whole is longer than `length`, the longest first.
    Raises Unserved where the tokenizer knows no gap.
    """

    def __init__(
        self,
        rows: Sequence[Any],
        template: str,
        tokens: PreTrainedTokenizerBase,
        length: int,
        code: Coder | None = None,
    ):
        if tokens.mask_token_id is None:
            raise Unserved("the model's tokenizer has no token for a gap")
        self.at: list[int] = []  # of the gap in each row
        self.ids, self.kinds = [], None
        parts = pieces(template)
        columns = [self._column(part, rows, tokens, code or tokens) for part in parts]
        texts = [i for i, (_, piece) in enumerate(parts) if isinstance(piece, int)]
        gap = next(i for i, (_, piece) in enumerate(parts) if piece is None)
        for row in zip(*columns, strict=True):
            cut = _cut([list(ids) for ids in row], texts, length - 2)
            self.at.append(1 + sum(map(len, cut[:gap])))
            inside = [token for ids in cut for token in ids]
            self.ids.append([tokens.cls_token_id, *inside, tokens.sep_token_id])
        self.labels = [row.label for row in rows]
        self.padding = tokens.pad_token_id or 0
        self.lengths = np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def batch(self, rows: np.ndarray) -> Batch:
        plain = super().batch(rows)
        at = torch.tensor([self.at[i] for i in rows])
        targets = torch.arange(len(rows)) * plain.ids.shape[1] + at
        return Batch(plain.ids, plain.mask, None, plain.labels, plain.rows, targets=targets)

    @staticmethod
    def _column(
        part: tuple[str, Piece], rows: Sequence[Any], tokens: PreTrainedTokenizerBase, code: Coder
    ) -> list[list[int]]:
        """The token ids of one piece, row by row."""
        space, piece = part
        if piece is None:
            return [[tokens.mask_token_id]] * len(rows)
        if isinstance(piece, str):
            return [tokens(space + piece, add_special_tokens=False)["input_ids"]] * len(rows)
        texts = [space + row.text[piece] for row in rows]
        return code(texts, add_special_tokens=False)["input_ids"] if texts else []


def _cut(row: list[list[int]], texts: list[int], room: int) -> list[list[int]]:
    """The pieces, with those in `texts` shortened at their ends until all fit into `room`."""
    while (over := sum(map(len, row)) - room) > 0:
        longest = max(texts, key=lambda i: len(row[i]))
        if not row[longest]:
            raise ValueError(f"expected a length that the template fits in, got {room + 2}")
        others = max([len(row[i]) for i in texts if i != longest], default=0)
        row[longest] = row[longest][: -min(over, max(1, len(row[longest]) - others))]
    return row
