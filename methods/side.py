"""Models of several runs side by side, none of them changed: what merges are measured against."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from methods.base import Need
from methods.trained import HEAD, OnRuns, head_of, hold, one_base, renamed

if TYPE_CHECKING:
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
        from methods.layers.several import Several, shared

        models, trained = [copy.deepcopy(model) for _ in range(self._count(model))], []
        models[0].head = model.head
        for number, alone in enumerate(models):
            heads = alone.head.parameters() if number else ()
            own = [*self.inner.prepare(alone, run), *heads]
            shared(alone, model, own)
            trained += own
        Site("around", model, "around").put(Several(models, self.together))
        return trained

    def fit(self, model, run):
        runs = run.runs()
        one_base(model, runs)
        for one, alone in zip(runs, model.around.models, strict=True):
            hold(alone, renamed(one.tensors, HEAD, head_of(alone, one)))
        model.facts["beside"] = [one.told for one in runs]

    def finalize(self, model):
        _first, *others = models = [*model.around.models]
        kept = [p for alone in models for p in self.inner.finalize(alone)]
        return [*kept, *(p for alone in others for p in alone.head.parameters())]

    def _count(self, model: Backbone) -> int:
        """How many runs there are."""
        from bench.heads import Heads

        return len(model.head.which) if isinstance(model.head, Heads) else 1
