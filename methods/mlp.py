"""A perceptron on frozen features."""

from dataclasses import dataclass

from methods import method
from methods.base import Method, Unsuited


@method("mlp", source="Ainsworth et al. 2022, arXiv:2209.04836, section 5: MLP on MNIST")
@dataclass(frozen=True)
class MLP(Method):
    """A multi-layer perceptron with ReLU between what the head reads of a row and the head.

    The backbone stays as it is, dropout within it off. Perceptron and head are drawn by `draw`
    alone: runs of two draws are independent networks on the same features.

    Departs from the source: it reads features of a frozen encoder in place of pixels, and is drawn
    after He et al. 2015, arXiv:1502.01852.
    """

    layers: int = 3  # hidden ones, as in the source
    width: int = 512  # units of each, as in the source
    draw: int = 0  # which of the independent networks

    starts_identical = False

    def __post_init__(self) -> None:
        for name, least in (("layers", 1), ("width", 1), ("draw", 0)):
            if getattr(self, name) < least:
                got = getattr(self, name)
                raise ValueError(f"expected {name} of at least {least}, got {got}")

    def prepare(self, model, run):
        from torch import nn, randint

        from bench.backbone import Site
        from bench.heads import Head
        from methods.layers import mlp
        from methods.layers.stream import stream

        if not isinstance(model.head, Head):
            raise Unsuited(f"mlp stands before a head for classes; {model.name!r} has none here")
        source = stream(self.draw)
        module = mlp.MLP(model.width, self.width, self.layers, source)
        Site("around", model, "around").put(mlp.Between(module))
        first = "dense" if hasattr(model.head, "dense") else "out"
        outputs = len(getattr(model.head, first).bias)
        Site("reads", model.head, first).put(nn.Linear(self.width, outputs))
        model.head.draw(int(randint(2**48, (), generator=source, device="cpu")))
        if "head_init" in model.facts:
            model.facts["head_init"] = model.head.digest()
        model.still = True
        return list(module.parameters())
