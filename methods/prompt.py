"""Prompt tuning."""

from dataclasses import dataclass
from typing import Literal

from methods import method
from methods.base import Method


@method("prompt", source="Lester et al. 2021, arXiv:2104.08691, sections 2 and 3.2")
@dataclass(frozen=True)
class PromptTuning(Method):
    """Learned embeddings stand in front of those of the text.

    `init`: rows of the model's own word embeddings, sampled uniformly, or a normal of the spread
    that the model itself starts with.

    Departs from the source: words are sampled from the whole vocabulary (theirs: from the 5,000
    most common; an encoder's vocabulary is not ordered by frequency). Heads read the text, not the
    prompt, at the positions behind it.
    """

    starts_identical = False

    length: int = 20  # section 3.2: longer ones gain little
    init: Literal["vocabulary", "normal"] = "vocabulary"  # section 3.2: better than random

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"expected length of at least 1, got {self.length}")

    def prepare(self, model, run):
        from functools import partial

        from torch import nn

        from methods.layers.soft import Soft, sample

        site, table = model.prompt_site(), model.word_embeddings.weight
        std = getattr(model.settings, "initializer_range", 0.02)
        words, normal = partial(sample, table=table), partial(nn.init.normal_, std=std)
        draw = words if self.init == "vocabulary" else normal
        site.put(Soft(self.length, model.width, draw))
        return list(site.module.parameters())
