"""Models of several runs side by side, none of them changed: what merges are measured against."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from methods.base import Need
from methods.trained import HEAD, OnRuns, head_of, hold, one_base, renamed

if TYPE_CHECKING:
    from torch import nn

    from bench.backbone import Backbone


class SideBySide(OnRuns):
    """Serves the models of its runs as they are, at the price of keeping all of them.

    `together`: every row is read by all, and their logits averaged; else by that of its part.
    """

    together: ClassVar[bool]

    def needs(self):
        return (Need(self.of, part="each"),)

    def prepare(self, model, run):
        from bench.backbone import Site
        from methods.layers.several import Several

        models = [copy.deepcopy(model) for _ in range(self._count(model))]
        self._trained(models, run)
        Site("around", model, "around").put(Several(models, self.together))
        return []

    def fit(self, model, run):
        runs = run.runs()
        one_base(model, runs)
        for one, alone in zip(runs, model.around.models, strict=True):
            hold(alone, renamed(one.tensors, HEAD, head_of(alone, one)))
        model.facts["beside"] = [one.told for one in runs]

    def finalize(self, model):
        return [p for alone in model.around.models for p in self.inner.finalize(alone)]

    def _count(self, model: Backbone) -> int:
        """How many runs there are."""
        return max(1, len(model.head.which) if hasattr(model.head, "which") else 1)

    def _trained(self, models: list[nn.Module], run) -> None:
        """Prepares each of them; what trains there is what a server keeps."""
        for alone in models:
            trained = self.inner.prepare(alone, run)
            alone.requires_grad_(False)
            for parameter in trained:
                parameter.requires_grad_(True)
