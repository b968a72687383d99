"""An encoder as a candidate: its first layers, how they are read, and where they start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods import method, resolve
from methods.base import Unsuited
from methods.wrapping import Wrapping

if TYPE_CHECKING:
    from torch import Generator, nn

Pool = Literal["mean", "first"]
Start = Literal["pretrained", "random"]


@method("cut", source="layer probing: Tenney et al. 2019, arXiv:1905.05950, section 3")
@dataclass(frozen=True)
class Cut(Wrapping):
    """The first layers of an encoder, trained by the method `of`.

    `layers`: how many are kept, 0 for the embeddings alone, none for all there are. `pool`: what
    the head reads, the mean over tokens or the first one. `start`: the pretrained weights, or
    weights drawn anew as the model's own configuration draws them. The record's `candidate` names
    the three, and `tuned` the method.

    Departs from the source: a head reads one state of one layer (there: spans, and a learned mix of
    layers), and `of` may train the layers too.
    """

    starts_identical = False

    layers: int | None = None  # ours: nothing is cut
    pool: Pool = "mean"  # ours; a first token that was not trained to be read says little
    start: Start = "pretrained"
    of: str = "head"  # section 3: what is below the probe stays as it is

    def __post_init__(self) -> None:
        at_least_none(self.layers)
        if resolve(self.of, "").needs():
            raise ValueError(f"expected a method that trains, got of={self.of}")

    def prepare(self, model, run):
        model.facts["candidate"] = candidate(model, run, self.layers, self.pool, self.start)
        model.facts["tuned"] = self.of
        return self.inner.prepare(model, run)


def at_least_none(layers: int | None) -> None:
    """Raises ValueError for a negative number of layers."""
    if layers is not None and layers < 0:
        raise ValueError(f"expected layers of at least 0, got {layers}")


def candidate(model, run, layers: int | None, pool: Pool, start: Start = "pretrained") -> str:
    """Makes the candidate of the model in place and names it: "cut[layers=6,pool=mean]".

    Raises Unsuited for a model with fewer layers, or whose head does not read one vector a row.
    """
    from bench.heads import Head

    if not model.writes and not isinstance(model.head, Head):
        raise Unsuited("a candidate has one head that reads a vector a row")
    kept = len(model.layers) if layers is None else layers
    if not model.writes and kept > len(model.layers):
        raise Unsuited(f"{kept} layers are to be kept; {model.name!r} has {len(model.layers)}")
    model.cut(kept)
    model.head.pool = pool
    if getattr(model.net, "pooler", None) is not None:
        model.net.pooler = None  # nothing reads it any more
    if start == "random":
        draw(model.net, model.settings.initializer_range, run.generator("start"))
    random = ",start=random" if start == "random" else ""
    return f"cut[layers={kept},pool={pool}{random}]"


def draw(net: nn.Module, std: float, source: Generator) -> None:
    """Draws matrices from N(0, std), zeroes biases and sets norms to one, as BERT starts.

    Source: Devlin et al. 2019, arXiv:1810.04805, by `initializer_range` in its configuration.
    """
    import torch
    from torch import nn

    norms = {id(p) for m in net.modules() if isinstance(m, nn.LayerNorm) for p in [m.weight]}
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.is_meta:
                continue
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=std, generator=source)
            else:
                nn.init.constant_(parameter, float(id(parameter) in norms))
        for table in (m for m in net.modules() if isinstance(m, nn.Embedding)):
            if table.padding_idx is not None and not table.weight.is_meta:
                table.weight[table.padding_idx].zero_()
