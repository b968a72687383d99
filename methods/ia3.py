"""(IA)^3."""

from dataclasses import dataclass

from methods import method
from methods.folding import Folding


@method("ia3", source="Liu et al. 2022, arXiv:2205.05638, section 3.3; r-three/t-few")
@dataclass(frozen=True)
class IA3(Folding):
    """Learned vectors rescale keys, values and the inner activations of the FFN.

    One vector a place and layer, at ones to begin with and folded into the maps for serving.
    `targets`: `down` is scaled where it reads, any other map where it puts out. On an encoder and a
    decoder all attentions have theirs, cross-attention too, as in the source. Where DeBERTa makes
    the keys of its positions with the map of the text's keys, they are scaled alike.
    """

    version = 2  # scaled outputs keep their precision

    targets: tuple[str, ...] = ("k", "v", "down")  # section 3.3: l_k, l_v and l_ff

    def layer(self, site):
        from methods.layers.scaled import Scaled, ScaledInput

        layer = (ScaledInput if site.place == "down" else Scaled)(site.module)
        return layer, [layer.scale]
