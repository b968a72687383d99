"""Rows of a task as one model reads them."""

from collections.abc import Sequence

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from bench.families import family
from bench.hidden import Hidden
from bench.pairs import Pairs
from bench.parts import Parts
from bench.prompts import Prompted, word_ids
from bench.text import Coder, Encoded, Rows
from tasks.base import Data, Row, Task


class Reader:
    """A tokenizer with what its model bears: most tokens of a row, one stack or two.

    `code`: what turns whole splits into tokens, where it is not the tokenizer itself.
    """

    def __init__(
        self,
        tokens: PreTrainedTokenizerBase,
        length: int,
        settings: PretrainedConfig,
        name: str,
        code: Coder | None = None,
    ):
        self.tokens, self.length, self.name, self.code = tokens, length, name, code
        self.writes = family(name, settings).writes
        # two stacks place tokens by their distances, and bear any number
        self.most = settings.max_position_embeddings if self.writes == "causal" else None

    def splits(self, task: Task, data: Data) -> dict[str, Rows]:
        """Every split of the task.

        Raises ValueError where the texts that the task asks for are longer than the model bears.
        """
        if task.parts:
            return self._composed(task, data)
        seen = {"train": data.train, "selection": data.selection}
        new = task.decoding.new_tokens if task.formulation == "generation" else 0
        return {
            **{name: self._rows(task, rows, self._length(0)) for name, rows in seen.items()},
            **{name: self._rows(task, rows, self._length(new)) for name, rows in data.test.items()},
        }

    def _composed(self, task: Task, data: Data) -> dict[str, Rows]:
        """Those of the parts side by side; each reported split is of one part."""
        parts = [self.splits(*pair) for pair in zip(task.parts, data.parts, strict=True)]
        reported = [list(part.test) for part in data.parts]
        return {
            **{name: Parts([p[name] for p in parts]) for name in ("train", "selection")},
            **{
                task.split(number, name): Parts([part[name]], number)
                for number, part in enumerate(parts)
                for name in reported[number]
            },
        }

    def words(self, task: Task) -> tuple[int, ...] | None:
        """The tokens that may fill a gap, none of them for all; None where there are no gaps.

        Raises Unserved for a label word that is not one token.
        """
        if task.formulation == "prompt":
            return word_ids(task.prompt.words, self.tokens, self.name)
        return () if task.formulation == "masked" else None

    def _rows(self, task: Task, rows: Sequence[Row], length: int) -> Rows:
        if task.formulation == "prompt":
            return Prompted(rows, task.prompt.template, self.tokens, length, self.code)
        if task.formulation == "masked":
            return Hidden(rows, self.tokens, length, self.code)
        if task.formulation == "classification":
            return Encoded(rows, self.tokens, length, self.code)
        whole = task.formulation == "language"
        return Pairs(rows, self.tokens, length, self.writes, whole, self.code)

    def _length(self, new: int) -> int:
        """Most tokens of a row that leaves room for `new` ones."""
        if self.most is None:
            return self.length
        if self.most - new < 2:
            raise ValueError(f"expected new_tokens below {self.most - 1}, got {new}")
        return min(self.length, self.most - new)
