"""One trained AdaMix run, evaluated another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from methods import method, resolve
from methods.adamix import AdaMix
from methods.base import Need, Unsuited
from methods.trained import OnRuns, put


@method("infer", source="Wang et al. 2022, arXiv:2205.12410, section 3.5 and table 7")
@dataclass(frozen=True)
class Infer(OnRuns):
    """What the run of method `of` has trained, served as one or as several of its networks.

    A network is a choice of one expert in every mixture. `by`:
    - "merged": the mean of the experts, as AdaMix itself does it;
    - "fixed": `expert` everywhere ("always use module 1"); a server keeps that one alone;
    - "random": a network drawn at random for the whole test set, `draws` times; the scores are the
      means over the draws, the record's `draws` has each one's, `draw_kl` is the mean symmetric KL
      between two of them in nats per row, and the stored predictions are those of the last.
      A server keeps all experts;
    - "ensemble": the mean of the logits of `draws` such networks, at the price of as many passes.

    Nothing is trained, and what is drawn for the ensemble and for "random" is the same.

    Departs from the source: the released code has neither "fixed" nor an ensemble, and its random
    routing draws for each sentence or token, so it never scores one network by itself.
    """

    of: str = "adamix-adapter"
    by: Literal["merged", "fixed", "random", "ensemble"] = "random"
    draws: int = 10  # ours; the number behind the paper's figure 5 is not known
    expert: int = 0  # table 7

    def __post_init__(self) -> None:
        if not isinstance(inner := resolve(self.of, ""), AdaMix):
            raise ValueError(f"expected an AdaMix method to infer with, got of={self.of}")
        if self.draws < 1:
            raise ValueError(f"expected draws of at least 1, got {self.draws}")
        if not 0 <= self.expert < inner.experts:
            raise ValueError(f"expected expert from 0 to {inner.experts - 1}, got {self.expert}")

    def needs(self):
        return (Need(self.of),)

    def prepare(self, model, run):
        from methods.layers.mixture import mixtures

        if self.by == "ensemble" and model.writes:
            raise Unsuited("an ensemble is of logits in one pass; texts are searched step by step")
        trained = self.inner.prepare(model, run)
        if self.by == "fixed":
            for mixture in mixtures(model):
                mixture.chosen = self.expert
        elif self.by == "ensemble":
            from methods.layers.ensemble import Ensemble

            self._around(model, Ensemble(mixtures(model), self.routings(model, run)))
        return trained

    def fit(self, model, run):
        (trained,) = run.parents()
        put(model, trained)

    def finalize(self, model):
        if self.by in ("merged", "fixed"):
            return self.inner.finalize(model)
        return model.task_parameters()

    def measure(self, model, run):
        if self.by != "random":
            return run.evaluate(model, "test")
        scores = self._scores(model, run)
        model.facts["draws"] = {name: [score[name] for score in scores] for name in scores[0]}
        return {name: _mean(values) for name, values in model.facts["draws"].items()}

    def routings(self, model, run):
        """The networks that are drawn, each as the index of an expert for every mixture."""
        from methods.layers.ensemble import drawn
        from methods.layers.mixture import mixtures

        return drawn(mixtures(model), self.draws, run.generator("infer"))

    def _scores(self, model, run):
        """The metrics of each draw; how far the draws are apart goes in the facts."""
        from torch import cat

        from methods.layers.ensemble import Heard, routed, spread
        from methods.layers.mixture import mixtures

        self._around(model, heard := Heard())
        scores, logits = [], []
        for routing in self.routings(model, run):
            with routed(mixtures(model), routing), heard.listening() as batches:
                scores.append(run.evaluate(model, "test"))
            logits += [cat(batches)] if batches else []
        if model.outputs > 1:
            model.facts["draw_kl"] = spread(logits)
        return scores

    @staticmethod
    def _around(model, module):
        from bench.backbone import Site

        Site("around", model, "around").put(module)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
