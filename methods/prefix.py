"""Prefix-tuning."""

from dataclasses import dataclass

from methods import method
from methods.base import Method


@method("prefix", source="Li and Liang 2021, arXiv:2101.00190, section 4; XiangLi1999/PrefixTuning")
@dataclass(frozen=True)
class PrefixTuning(Method):
    """Learned keys and values stand in front of those of the text, in every layer.

    They are made by a small network, which is dropped for serving. Of an encoder and a decoder
    they are in the decoder's self-attention.

    Departs from the source: the text keeps the positions it was pretrained at (theirs, like peft,
    counts the prefix as positions; models with learned absolute positions lose by that). Where
    positions are relative (T5) the prefix is text that came before.
    """

    starts_identical = False

    length: int = 10  # Mao et al. 2021, table 4: 184 K parameters on BERT-base
    mlp: int | None = 512  # hidden width of the network (mid_dim in their code); none: no network

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"expected length of at least 1, got {self.length}")
        if self.mlp is not None and self.mlp < 1:
            raise ValueError(f"expected mlp of at least 1 or none, got {self.mlp}")

    def prepare(self, model, run):
        from functools import partial

        from torch import nn

        from methods.layers.prefix import Prefix, Reparameterised, Shape

        site = model.prefix_site()
        shape = Shape(len(model.stacks[-1]), model.heads, model.head_width)
        if self.mlp is None:
            std = getattr(model.settings, "initializer_range", 0.02)
            site.put(Prefix(self.length, shape, partial(nn.init.normal_, std=std)))
        else:
            site.put(Reparameterised(self.length, model.width, self.mlp, shape))
        return list(site.module.parameters())

    def finalize(self, model):
        site = model.prefix_site()
        if self.mlp is not None:
            site.put(site.module.flat())
        return list(site.module.parameters())
