"""LoRA."""

from dataclasses import dataclass

from methods import method
from methods.folding import Folding


@method("lora", source="Hu et al. 2021, arXiv:2106.09685, section 4.1; microsoft/LoRA")
@dataclass(frozen=True)
class LoRA(Folding):
    """A low-rank update W + (alpha / rank) B A of chosen linear maps, folded into W for serving."""

    rank: int = 8  # table 9: r_q = r_v = 8
    alpha: float = 16.0  # table 9, RoBERTa-large (8 for RoBERTa-base)
    dropout: float = 0.0  # on the update's input; the GLUE runs of microsoft/LoRA have none
    targets: tuple[str, ...] = ("q", "v")  # section 4.2: query and value

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"expected rank of at least 1, got {self.rank}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout in [0, 1), got {self.dropout}")
        super().__post_init__()

    def layer(self, site):
        from methods.layers.lowrank import LowRank

        layer = LowRank(site.module, self.rank, self.alpha / self.rank, self.dropout)
        return layer, [layer.down.weight, layer.up.weight]
