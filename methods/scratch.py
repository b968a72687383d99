"""An encoder that was not pretrained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import method
from methods.base import Method, Unsuited

if TYPE_CHECKING:
    from torch import Generator

    from bench.backbone import Backbone


@method("scratch", source="from scratch: Ainsworth et al. 2022, arXiv:2209.04836, section 5")
@dataclass(frozen=True)
class Scratch(Method):
    """The first layers of the encoder with all weights drawn anew, trained whole with the head.

    Weights are drawn by `draw` alone, the head's too, as the family draws them before pretraining:
    runs of two draws are independent networks. The digest of the weights in the record is that of
    the draw.

    Departs from the source, which has no text encoders.
    """

    layers: int = 2  # ours: what two cores train in a minute
    draw: int = 0  # which of the independent networks

    starts_identical = False

    def __post_init__(self) -> None:
        for name, least in (("layers", 1), ("draw", 0)):
            if getattr(self, name) < least:
                got = getattr(self, name)
                raise ValueError(f"expected {name} of at least {least}, got {got}")

    def prepare(self, model, run):
        from bench.heads import Head
        from methods.layers.stream import stream

        if model.family.writes:
            raise Unsuited(f"scratch serves encoders; {model.name!r} writes text")
        if not isinstance(model.head, Head):
            raise Unsuited(
                "scratch serves tasks with classes; a gap is filled by a pretrained head"
            )
        if self.layers > (most := len(model.layers)):
            raise Unsuited(f"scratch draws {self.layers} layers; {model.name!r} has {most}")
        model.cut(self.layers)
        if not model.word_embeddings.weight.is_meta:
            model.facts["weights_sha256"] = _drawn(model, stream(self.draw))
        if "head_init" in model.facts:
            model.facts["head_init"] = model.head.digest()
        return list(model.net.parameters())


def _drawn(model: Backbone, source: Generator) -> str:
    """Draws encoder and head anew; the digest of the encoder's weights, 64 hex digits."""
    from hashlib import sha256

    import torch

    encoder, head = torch.randint(2**48, (2,), generator=source, device="cpu").tolist()
    has = "pooler" if getattr(model.net, "pooler", None) is not None else ""
    with torch.random.fork_rng([]):
        torch.manual_seed(encoder)
        fresh = type(model.net)(model.net.config, **model.family.options(has))
    model.net.load_state_dict(fresh.state_dict())
    model.head.draw(head)
    digest = sha256()
    for parameter in fresh.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()
