"""Git Re-Basin: networks brought into one order of their hidden units, then merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import spec
from bench.registry import unknown
from methods import method, resolve
from methods.base import Method, Need, Unsuited
from methods.full import Full
from methods.mlp import MLP
from methods.scratch import Scratch
from methods.soup import uniform
from methods.trained import put

if TYPE_CHECKING:
    from bench.backbone import Backbone
    from methods.merging.barrier import Aligned
    from methods.merging.permute import Symmetries

ALIGNED = (Full, MLP, Scratch)  # what trains all tensors that a permutation reorders
MERGES = {"soup": uniform}  # of weights alone


@method("rebasin", source="Ainsworth et al. 2022, arXiv:2209.04836, weight matching and MergeMany")
@dataclass(frozen=True)
class Rebasin(Method):
    """`count` runs of the method `of` with their hidden units in one order, merged by `inner`.

    Where `of` has a `draw` the runs are of as many draws, counted on from its own: independent
    networks. Elsewhere they differ in `order`, as those of a soup do, and start from one network;
    then matching is expected to move nothing, which the record tells.

    The record's `barrier` has the mean loss on the line between the first two runs at 25 points,
    as they are (naive) and in one order (aligned), on training and test rows, in nats; and how far
    each rises above the line between the losses at its ends. A number to predict has none.

    Departs from the source: the merge of two networks is their mean there, `inner` here; text
    encoders are ours, see methods/merging/symmetries.py.
    """

    of: str = "mlp"
    inner: str = "soup"  # the uniform mean, as in the source
    count: int = 2
    rows: int | None = None  # of each split the losses are of, the first ones; none: all, as there

    def __post_init__(self) -> None:
        if not isinstance(self.trained, ALIGNED):
            served = ", ".join(cls.name for cls in ALIGNED)
            raise ValueError(
                f"expected a method that trains whole networks ({served}), got of={self.of}"
            )
        if self.inner not in MERGES:
            raise unknown("merge of weights alone", self.inner, MERGES)
        if self.count < 2:
            raise ValueError(f"expected count of at least 2, got {self.count}")
        if self.rows is not None and self.rows < 1:
            raise ValueError(f"expected rows of at least 1 or none, got {self.rows}")

    @property
    def trained(self) -> Method:
        """The method of the runs that it builds on."""
        return resolve(self.of, "")

    @property
    def starts_identical(self) -> bool:  # type: ignore[override]
        """As the method of its runs does."""
        return self.trained.starts_identical

    def needs(self):
        if not hasattr(self.trained, "draw"):
            return tuple(Need(self.of, {"order": order}) for order in range(self.count))
        return tuple(Need(drawn(self.of, number)) for number in range(self.count))

    def prepare(self, model, run):
        from methods.merging.symmetries import SERVED

        kind = model.settings.model_type
        if not isinstance(self.trained, MLP) and kind not in SERVED:
            served = " and ".join(SERVED)
            raise Unsuited(
                f"rebasin knows the permutations of {served}; {model.name!r} is a {kind}"
            )
        return self.trained.prepare(model, run)

    def fit(self, model, run):
        put(model, MERGES[self.inner](self._aligned(model, run).runs))

    def finalize(self, model):
        return self.trained.finalize(model)

    def measure(self, model, run):
        metrics = run.evaluate(model, "test")
        if not model.regression:
            merged = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
            model.facts["barrier"] = self._barrier(model, run)
            put(model, merged)
        return metrics

    def _aligned(self, model: Backbone, run) -> Aligned:
        from methods.merging.barrier import aligned

        return aligned(run.parents(), self._symmetries(model), run.generator("rebasin"))

    def _symmetries(self, model: Backbone) -> Symmetries:
        from methods.merging import symmetries

        if not isinstance(self.trained, MLP):
            return symmetries.encoder(model)
        maps = [f"around.module.maps.{number}" for number in range(self.trained.layers)]
        return symmetries.head(model, maps)

    def _barrier(self, model: Backbone, run):
        from methods.merging.barrier import height, shares

        found = self._aligned(model, run)
        naive = self._line(model, run, run.parents())
        aligned = naive if found.identity else self._line(model, run, found.runs)
        heights = [{split: height(line[split]) for split in line} for line in (naive, aligned)]
        return {
            "points": shares(),
            "naive": naive,
            "aligned": aligned,
            "height": dict(zip(("naive", "aligned"), heights, strict=True)),
            "identity": found.identity,
            "rounds": found.rounds,
        }

    def _line(self, model: Backbone, run, runs) -> dict[str, list[float]]:
        """The loss at each point between the first two of the runs, by split."""
        from methods.merging.barrier import between, shares

        found: dict[str, list[float]] = {"train": [], "test": []}
        for share in shares():
            put(model, between(runs[0], runs[1], share))
            for split, losses in found.items():
                losses.append(run.mean_loss(model, split, self.rows))
        return found


def drawn(text: str, number: int) -> str:
    """The method of that text, its draw so many further on; the other options as they were typed.

    The text itself for 0.
    """
    if not number:
        return text
    name, options = spec.parse(text)
    draw = resolve(text, "").draw + number  # type: ignore[attr-defined]
    return spec.joined(name, options | {"draw": draw})
