"""How a method is trained: an optimizer and its schedule, as text `adamw[lr=0.0004,epochs=20]`."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.registry import unknown
from bench.spec import construct, parse


@dataclass(frozen=True)
class AdamW:
    """AdamW with decoupled decay, linear warm-up, linear decay to zero and gradient clipping.

    Defaults: the common GLUE settings of AdaMix's job files (yaqingwang/MoA) and its MNLI row for
    BERT-base. Departs from them: selection never looks at the reported split unless told to.
    """

    kind: ClassVar[str] = "recipe"
    name: ClassVar[str] = "adamw"

    lr: float = 4e-4  # peak
    batch: int = 64  # rows a step
    epochs: float = 20
    steps: int | None = None  # in place of epochs
    times: float = 1.0  # of either: 2 trains twice as long
    warmup: float = 0.06  # fraction of the steps
    warmup_steps: int | None = None  # in place of the fraction
    decay: float = 0.1  # decoupled weight decay
    decay_all: bool = False  # on biases and LayerNorm too, as the NLG code of AdaMix has it
    clip: float | None = 1.0  # greatest norm of the gradient; none: no clipping
    smoothing: float = 0.0  # of the labels in the cross-entropy
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    length: int = 128  # most tokens a row
    dropout: float | None = None  # of the backbone; none: as its configuration says
    select: Literal["last", "best", "dev"] = "last"  # which epoch's weights are reported
    report: Literal["test", "selection"] = "test"  # a trial of a search is scored on selection rows
    order: int = 0  # of rows, dropout and routing; head, modules and rows stay the same
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False  # layers by torch.compile: minutes at first, then faster, where it pays

    def __post_init__(self) -> None:
        for name in ("lr", "batch", "epochs", "times", "length", "eps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
        if self.clip is not None and self.clip <= 0:
            raise ValueError(f"expected clip above 0 or none, got {self.clip}")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ValueError(
                f"expected warmup_steps of at least 0 or none, got {self.warmup_steps}"
            )
        for name in ("decay", "order"):
            if getattr(self, name) < 0:
                raise ValueError(f"expected {name} of at least 0, got {getattr(self, name)}")
        if self.steps is not None and self.steps <= 0:
            raise ValueError(f"expected steps above 0 or none, got {self.steps}")
        for name in ("warmup", "smoothing", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"expected {name} in [0, 1), got {getattr(self, name)}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout in [0, 1) or none, got {self.dropout}")

    @property
    def operations(self) -> int:
        """Elementwise operations of one update of one parameter, clipping included.

        The first moment takes 3, the second 4, its bias and root 3, the decay 2 and the step 3
        (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2); a norm and a scale 3 more.
        """
        return 15 + (0 if self.clip is None else 3)


SELECTION = {
    "last": "last: the final weights; no score was looked at",
    "best": "best: the epoch that scores best on a slice of the training split",
    "dev": "dev: the epoch that scores best on the reported split itself, as the papers did; "
    "scores are optimistic",
}


def recipe(text: str) -> AdamW:
    """The recipe that `text` describes. Raises ValueError naming what is wrong with it."""
    name, options = parse(text)
    if name != AdamW.name:
        raise unknown("recipe", name, [AdamW.name])
    return construct(AdamW, options)
