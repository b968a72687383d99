"""What a person wants compared: the model, the rows, the recipe, how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import spec
from bench.recipe import AdamW
from bench.registry import unknown
from tasks import task as tasks
from tasks.base import Task
from tasks.sources import Source

GROUPS = ("training", "evaluation", "adamix", "decoding")
FREE = ("lr", "length", "decay", "clip", "dropout", "precision")  # what `--set` may name
# The warm-up of the schedule is left out because Trainer counts its steps otherwise; the rate is
# the one that the quick suites use for a few dozen steps.
USUAL: dict[str, Any] = {"lr": 3e-3, "warmup": 0.0, "decay": 0.0, "length": 128}


@dataclass(frozen=True)
class Asked:
    """One comparison. Raises ValueError for numbers that are too small, and for unknown words."""

    source: Source
    model: str = "minilm"
    writer: str = "gpt2-mini"  # what decodes
    task: str = "sst2"
    method: str = "lora"
    mixture: str = "adamix-adapter"
    rows: int = 512
    dev_rows: int = 400
    prompts: int = 32  # texts to be written
    epochs: int = 1
    batch: int = 32
    repeats: int = 5
    threads: int = 0  # 0: as many as torch takes by itself
    sets: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = GROUPS
    new_tokens: int = 64  # of a text, at most

    def __post_init__(self) -> None:
        for name in ("rows", "dev_rows", "prompts", "epochs", "batch", "repeats", "new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        for name in self.sets:
            if name not in FREE:
                raise unknown("setting of this comparison", name, FREE)
        for name in self.only:
            if name not in GROUPS:
                raise unknown("group of rows", name, GROUPS)

    @property
    def recipe(self) -> AdamW:
        """What every contestant trains by."""
        fixed = {"batch": self.batch, "epochs": self.epochs}
        return spec.construct(AdamW, {**USUAL, **fixed, **self.sets})

    @property
    def rows_of(self) -> Task:
        """The task with its rows capped. Raises ValueError where rows are not to be classified."""
        name, typed = spec.parse(self.task)
        kind = tasks[name]
        if kind.formulation != "classification":
            raise ValueError(f"expected a task of classification, got {name!r}: {kind.formulation}")
        caps = {"rows": self.rows, "dev_rows": self.dev_rows}
        return spec.construct(kind, {**caps, **typed})
