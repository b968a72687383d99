"""The pretrained model as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods import method
from methods.base import Method
from methods.merge import given


@method("untuned", source="zero-shot CLIP: Radford et al. 2021, arXiv:2103.00020, section 3.1")
@dataclass(frozen=True)
class Untuned(Method):
    """Nothing is trained: serves tasks whose heads are given, as zero-shot ones are."""

    asks_given: ClassVar = True

    def prepare(self, model, run):
        given(model)
        return []

    def fit(self, model, run):
        """Leaves the weights as they are."""
