"""What other runs have trained, put into a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from methods.base import Parent
from methods.wrapping import OfMethod

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone


class OnRuns(OfMethod):
    """Builds on finished runs of the inner method, and trains nothing itself."""

    @property
    def starts_identical(self) -> bool:  # type: ignore[override]
        """As the inner method does."""
        return self.inner.starts_identical


def put(model: Backbone, tensors: Mapping[str, Tensor]) -> None:
    """Copies the tensors into what trains in the model, the head included, name by name.

    Raises ValueError naming the first tensor that is missing, left over or of another shape.
    """
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    check(tensors, own, "the model")
    hold(model, tensors)


def hold(model: Backbone, tensors: Mapping[str, Tensor]) -> None:
    """Copies the tensors into the model's parameters of their names, whatever trains.

    Raises ValueError naming the first that the model does not have in that shape.
    """
    import torch

    own = dict(model.named_parameters())
    check(tensors, {name: own[name] for name in tensors if name in own}, "the model")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


HEAD = "head."


def head_of(model: Backbone, run: Parent) -> str:
    """What names begin with, in this model, of the head that reads the run's rows."""
    from bench.heads import Heads

    if not isinstance(run.part, int) or not isinstance(model.head, Heads):
        return HEAD
    return f"{HEAD}of.{model.head.which[run.part]}."


def renamed(tensors: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    """The same tensors, names that begin with `old` beginning with `new`."""
    return {new + n.removeprefix(old) if n.startswith(old) else n: t for n, t in tensors.items()}


def one_base(model: Backbone, runs: Sequence[Parent]) -> None:
    """Raises ValueError unless all runs started from the weights that the model has."""
    own = model.facts.get("weights_sha256", "")
    for run in runs:
        if run.base != own:
            expected = f"expected runs that started from one base, {model.name} ({own[:12]})"
            raise ValueError(f"{expected}, got {run.told} from {run.base[:12] or 'none'}")


def check(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], whose: str) -> None:
    """Raises ValueError unless both have the same names with the same shapes."""
    for name in [*own, *tensors]:
        expected, got = _shape(own, name), _shape(tensors, name)
        if expected != got:
            raise ValueError(f"expected {name!r} of shape {expected} as in {whose}, got {got}")


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "none"
