"""(IA)^3."""

from dataclasses import dataclass

from methods import method
from methods.base import Method, Unsuited


@method("ia3", source="Liu et al. 2022, arXiv:2205.05638, section 3.3; r-three/t-few")
@dataclass(frozen=True)
class IA3(Method):
    """Learned vectors rescale keys, values and the inner activations of the FFN.

    One vector a place and layer, at ones to begin with and folded into the maps for serving.
    `targets`: `down` is scaled where it reads, any other map where it puts out. On an encoder and a
    decoder all attentions have theirs, cross-attention too, as in the source. Where DeBERTa makes
    the keys of its positions with the map of the text's keys, they are scaled alike.
    """

    targets: tuple[str, ...] = ("k", "v", "down")  # section 3.3: l_k, l_v and l_ff

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(
                f"expected distinct targets such as k+v+down, got {'+'.join(self.targets)!r}"
            )

    def prepare(self, model, run):
        from torch import nn

        from methods.layers.scaled import Scaled, ScaledInput

        added = []
        for site in model.sites(self.targets):
            if not isinstance(site.module, nn.Linear):
                raise Unsuited(f"ia3 scales linear maps only; {site.place!r} is none")
            layer = (ScaledInput if site.place == "down" else Scaled)(site.module)
            site.put(layer)
            added.append(layer.scale)
        return added

    def finalize(self, model):
        served = model.task_parameters()
        for site in model.sites(self.targets):
            site.put(site.module.folded())
        return served
