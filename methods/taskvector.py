"""Task arithmetic: what fine-tuning changed, added to the pretrained weights or taken from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods import method
from methods.base import Need
from methods.merge import HEAD, Merge, Space, checked, given
from methods.sweep import grid, highest, swept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from methods.sweep import Scores


@method("taskvector", source="Ilharco et al. 2023, arXiv:2212.04089, section 2 and appendix")
@dataclass(frozen=True)
class TaskVector(Merge):
    """The pretrained weights plus `scale` times the task vectors of runs of `of`.

    A task vector is what a run changed. `by`:
    - "addition": the sum over the runs on every part of a composite task; the scale that is best
      on average on selection rows;
    - "negation": minus that of the run on the first part, which is to be unlearnt; the largest
      scale at which every other part keeps `keep` of what the pretrained model scores;
    - "analogy": of parts A, B, C and D, that of C plus what B has and A has not, where D, which no
      run has seen, scores highest.

    Vectors may be made sparse: trimmed, with a sign elected for each number ("ties", Yadav et al.
    2023, arXiv:2306.01708), or dropped at random and scaled up ("dare", Yu et al. 2024,
    arXiv:2311.03099). The scale goes from 0 to `most` by `step`, unless it is told. Heads that are
    trained stay those of their runs; one that reads rows of several is their mean.
    """

    of: str = "full"
    by: Literal["addition", "negation", "analogy"] = "addition"
    space: Space = "delta"  # the paper merges whole weights
    most: float = 1.0  # appendix: 0.00 to 1.00 by 0.05
    step: float = 0.05
    scale: float | None = None  # none: chosen; else this one, nothing looked at
    sparse: Literal["none", "ties", "dare"] = "none"  # the paper adds whole vectors
    density: float = 0.2  # Yadav et al. 2023, section 4: what of a vector is kept, if not all
    keep: float = 0.95  # section 3: controls keep 95 % of the pretrained accuracy

    def __post_init__(self) -> None:
        checked(self.of)
        if not 0 < self.step <= self.most:
            raise ValueError(f"expected 0 < step <= most, got step {self.step}, most {self.most}")
        if not 0 < self.density <= 1:
            raise ValueError(f"expected density above 0 and at most 1, got {self.density}")

    def needs(self):
        if self.by == "addition":
            return (Need(self.of, part="each"),)
        parts = (0,) if self.by == "negation" else (0, 1, 2)
        return tuple(Need(self.of, part=part) for part in parts)

    def prepare(self, model, run):
        if self.by != "addition":
            given(model)
        return super().prepare(model, run)

    def made(self, model, run, states):
        from methods.merging.algebra import delta, mean, moved, negated

        base = {n: p.detach().clone() for n, p in model.named_parameters() if not _head(n)}
        bodies = [{n: t for n, t in state.tensors.items() if not _head(n)} for state in states]
        base = {name: base[name] for name in bodies[0]}
        vectors = [delta(body, base) for body in bodies]
        if self.by == "negation":
            vectors = [negated(vectors[0])]
        elif self.by == "analogy":
            a, b, c = vectors
            vectors = [c, b, negated(a)]
        vectors = self._sparse(vectors, run)
        heads = {}
        for name in dict.fromkeys(n for state in states for n in state.tensors if _head(n)):
            heads[name] = mean([{name: s.tensors[name]} for s in states if name in s.tensors])[name]

        def at(scale: float):
            return {**moved(base, vectors, scale), **heads}

        if self.scale is not None:
            return at(self.scale)
        values = grid(self.most, self.step)
        return at(swept(model, run, "scale", values, at, *self._rule(run)))

    def _sparse(self, vectors, run):
        from methods.merging.ties import dropped, ties

        if self.sparse == "ties":
            return [ties(vectors, density=self.density)]
        if self.sparse == "dare":
            source = run.generator("dare")
            return [dropped(vector, self.density, source) for vector in vectors]
        return vectors

    def _rule(self, run):
        parts = list(run.parts)
        if self.by == "negation":
            rule = largest_that_keeps(parts[1:], self.keep)
            return rule, f"largest at which {', '.join(parts[1:])} keep {self.keep:.0%}"
        name = parts[3] if self.by == "analogy" else run.primary
        return highest(name), f"highest {name} on selection rows"


def largest_that_keeps(names: Sequence[str], share: float):
    """The last place at which each of those scores is at least that share of its first."""

    def keeps(scores: Scores, first: Scores) -> bool:
        return all((scores[n] or 0.0) >= share * (first[n] or 0.0) for n in names)

    def rule(every: Sequence[Scores]) -> int:
        return max(i for i, scores in enumerate(every) if not i or keeps(scores, every[0]))

    return rule


def _head(name: str) -> bool:
    return name.startswith(HEAD)
