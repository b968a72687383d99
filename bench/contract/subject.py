"""The models that methods are tried on, each with rows that it can learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.backbone import Backbone
from bench.contract.tiny import Echo, Toy, backbone, weights, writer
from bench.contract.toys import EchoRun, ToyRun
from bench.families import FAMILIES, family
from bench.registry import unknown
from bench.text import Rows
from bench.weights import Weights, config, find, known

TINY = "tiny"  # every family in its smallest form; "tiny-bert" is one of them
POSITIONS = 80  # of the tiny encoders: enough for the lengths that FLOPs are counted at
SHORT, LONG = 64, 192  # rows of a training that is run again and again, and of the one looked at


@dataclass(frozen=True)
class Subject:
    """A model that methods are tried on."""

    weights: Weights
    family: str
    build: Callable[[], Backbone]  # the same weights each time
    outputs: int
    lr: float

    @property
    def name(self) -> str:
        """As it stands in what is printed."""
        return self.weights.name

    @property
    def tiny(self) -> bool:
        """Whether it was made here, of a configuration alone."""
        return not self.weights.location

    def run(self, seed: int = 0, rows: int = LONG, **recipe: Any) -> ToyRun:
        """A run on a toy task of this model: telling rows apart, or writing."""
        recipe = {"lr": self.lr, **recipe}
        run = ToyRun(seed, **recipe) if self.outputs else EchoRun(self.family, seed, **recipe)
        run.data = self.rows(rows, seed)
        return run

    def rows(self, rows: int, seed: int = 0, same: bool = True) -> Rows:
        """The toy task's rows; `same`: sources of one length where text is written."""
        if self.outputs:
            return Toy(rows, seed)
        return Echo(FAMILIES[self.family].writes, rows, seed, same)


def subjects(text: str) -> list[Subject]:
    """The models that a word stands for: "tiny", "tiny-bert", "minilm", a directory.

    Raises ValueError as `find` does, and Unserved for a model of no known family.
    """
    families = [name for name in FAMILIES if text in (TINY, f"{TINY}-{name}")]
    if not families and text.startswith(f"{TINY}-"):
        raise unknown("model", text, [*(f"{TINY}-{name}" for name in FAMILIES), *known()])
    return [tiny(name) for name in families] or [real(text)]


def tiny(kind: str) -> Subject:
    """The tiny model of that family."""
    if FAMILIES[kind].writes:
        return Subject(weights(kind), kind, lambda: writer(kind), 0, 1e-2)
    sizes: dict[str, Any] = {"max_position_embeddings": POSITIONS}

    def build() -> Backbone:
        return backbone(kind, **sizes)

    return Subject(weights(kind, **sizes), kind, build, 2, 1e-2)


def real(text: str) -> Subject:
    """A model with files of its own; one that can write writes."""
    place = find(text)
    if place.fresh:
        raise ValueError(f"expected a model that has files, got {text!r}, which a run makes")
    kind = config(place).model_type
    outputs = 0 if family(place.name, config(place)).writes else 2

    def build() -> Backbone:
        model = Backbone.load(place, outputs)
        model.head.draw(0)
        return model

    return Subject(place, kind, build, outputs, 1e-3)
