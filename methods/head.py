"""The head alone."""

from dataclasses import dataclass

from methods import method
from methods.base import Method


@method("head", source="linear probing: Alain and Bengio 2016, arXiv:1610.01644")
@dataclass(frozen=True)
class Head(Method):
    """Only the task's head trains; the backbone stays as it is, dropout within it off.

    What the head reads of a row is the same in every epoch and computed once (bench.features).
    Where the model writes text, the head is its output map. It is taken apart from the input
    embeddings first, where the two are tied: what the model reads stays as it was.
    """

    version = 2  # the backbone runs as in evaluation

    def prepare(self, model, run):
        import copy

        model.still = True
        site = model.output_site()
        if site is None:
            return []
        site.put(copy.deepcopy(site.module))
        return list(site.module.parameters())
