"""SSF."""

from dataclasses import dataclass

from methods import method
from methods.base import Method, Unsuited

NORMS = ("attn_norm", "ffn_norm")


@method("ssf", source="Lian et al. 2022, arXiv:2210.08823, section 3.2; dongzelian/SSF")
@dataclass(frozen=True)
class SSF(Method):
    """Scales and shifts what every operation of a layer puts out: y = scale * x + shift.

    A vector of each for a linear map or a LayerNorm, folded into it for serving (equation 5).

    Departs from the source: written for text, so there is no patch embedding; the embeddings of
    words stay as they are. Where a model norms before a sublayer (GPT-2, T5) its LayerNorms have
    no place of their own and stay as they are too.
    """

    starts_identical = False  # scale and shift start near 1 and 0, not at them

    targets: tuple[str, ...] = ("q", "k", "v", "o", "up", "down", *NORMS)  # figure 2: all
    init: float = 0.02  # standard deviation about 1 and 0; init_ssf_scale_shift of their code

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"expected distinct targets such as q+v, got {self.targets}")
        if self.init < 0:
            raise ValueError(f"expected init of at least 0, got {self.init}")

    def prepare(self, model, run):
        from peftbench_example.layers import LAYERS

        added = []
        for site in self._sites(model):
            kind = LAYERS.get(type(site.module))
            if kind is None:
                raise Unsuited(f"ssf is for linear maps and LayerNorms; {site.place!r} is neither")
            layer = kind(site.module, self.init)
            site.put(layer)
            added += [layer.scale, layer.shift]
        return added

    def finalize(self, model):
        served = model.task_parameters()
        for site in self._sites(model):
            site.put(site.module.folded())
        return served

    def _sites(self, model):
        """The targets; of the norms those that the model has a place for."""
        has = model.family.places
        return model.sites([place for place in self.targets if place in has or place not in NORMS])
