"""What other runs have trained, put into a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from methods import resolve
from methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone


class OnRuns(Method):
    """Builds on finished runs of the method `of`, and trains nothing itself."""

    of: str

    @property
    def inner(self) -> Method:
        """The method of the runs that it builds on."""
        return resolve(self.of, "")

    @property
    def starts_identical(self) -> bool:  # type: ignore[override]
        """As the inner method does."""
        return self.inner.starts_identical

    @property
    def counts_on(self) -> str:  # type: ignore[override]
        """As the inner method does."""
        return getattr(self.inner, "wrapped", self.inner).counts_on


def put(model: Backbone, tensors: Mapping[str, Tensor]) -> None:
    """Copies the tensors into what trains in the model, the head included, name by name.

    Raises ValueError naming the first tensor that is missing, left over or of another shape.
    """
    import torch

    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    check(tensors, own, "the model")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def check(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], whose: str) -> None:
    """Raises ValueError unless both have the same names with the same shapes."""
    for name in [*own, *tensors]:
        expected, got = _shape(own, name), _shape(tensors, name)
        if expected != got:
            raise ValueError(f"expected {name!r} of shape {expected} as in {whose}, got {got}")


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "none"
