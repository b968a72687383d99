"""One model made of the weights of finished runs: what all merges have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods import resolve
from methods.base import Need, Parent, Unsuited
from methods.trained import HEAD, OnRuns, head_of, hold, one_base, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Backbone
    from bench.text import Batch
    from methods.base import Method, Run

    Tensors = dict[str, Tensor]

Space = Literal["delta", "factor"]


@dataclass(frozen=True)
class State:
    """What one run brings into a merge, by the names of the model that is made."""

    run: Parent
    tensors: Tensors
    head: str  # what the names of its head begin with

    def statistic(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> Tensors:
        """Tensors that follow from the run alone, by name; computed once, see bench/parents.py."""
        kept = self.run.statistic(name, lambda: renamed(make(), self.head, HEAD))
        return renamed(kept, HEAD, self.head)


Joined = Callable[[Sequence[State], Sequence[str]], Mapping[str, "Tensor"]]


class Merge(OnRuns):
    """Makes one model of runs of the method `of`: one on each part of a composite task.

    In delta space each run is folded into the pretrained weights first, and dense weights are
    merged: the mean of BA is not that of B times that of A. In factor space the tensors that the
    method trained are merged one by one. A head that reads one run's rows alone stays that run's.
    """

    space: Space

    def needs(self):
        return (Need(self.of, part="each"),)

    @property
    def starts_identical(self) -> bool:  # type: ignore[override]
        return self.space == "delta" or self.inner.starts_identical

    def prepare(self, model, run):
        if self.space == "factor":
            return self.inner.prepare(model, run)
        folded(model, self.inner, run)
        return [*model.net.parameters()]

    def fit(self, model, run):
        states = self.states(model, run)
        hold(model, self.made(model, run, states))
        self.tell(model, [state.run for state in states])

    def finalize(self, model):
        return self.inner.finalize(model) if self.space == "factor" else model.task_parameters()

    def made(self, model: Backbone, run: Run, states: Sequence[State]) -> Tensors:
        """The merged tensors, from the model as it was pretrained."""
        raise NotImplementedError

    def states(self, model: Backbone, run: Run) -> list[State]:
        """What each run brings in. Raises ValueError unless all started from the model's base."""
        runs = run.runs()
        one_base(model, runs)
        return [State(one, self._state(model, one, run), head_of(model, one)) for one in runs]

    def tell(self, model: Backbone, runs: Sequence[Parent]) -> None:
        """Notes for the record what was merged, and where."""
        model.facts["merge"] = {"space": self.space, "parents": [one.told for one in runs]}

    def _state(self, model: Backbone, parent: Parent, run: Run) -> Tensors:
        trained = renamed(parent.tensors, HEAD, head_of(model, parent))
        if self.space == "factor":
            return trained
        alone = folded(model, parent.method, run, trained)
        own = dict(alone.named_parameters())
        heads = {name for name in trained if name.startswith(HEAD)}
        return {n: p.detach() for n, p in own.items() if n.startswith("net.") or n in heads}


def checked(of: str) -> None:
    """Raises ValueError unless `of` names a method that trains."""
    if resolve(of, "").needs():
        raise ValueError(f"expected a method that trains, got of={of}")


def given(model: Backbone) -> None:
    """Raises Unsuited for heads that train: where no run is of a part, no run trained its head."""
    if any(True for _ in model.head.parameters()):
        raise Unsuited("needs heads that are given, as those of zero-shot tasks: no run is of all")


def folded(
    model: Backbone, method: Method, run: Run, tensors: Mapping[str, Tensor] | None = None
) -> Backbone:
    """A copy of the pretrained model into which the method, with what it trained, is folded.

    Raises Unsuited for a method that leaves something of its own in the model.
    """
    alone = copy.deepcopy(model)
    method.prepare(alone, run)
    hold(alone, tensors or {})
    method.finalize(alone)
    own = {name for name, _ in model.named_parameters()}
    kept = {name for name, _ in alone.named_parameters()}
    if own != kept or alone.prefix is not None or alone.prompt is not None:
        told = "leaves modules of its own in the model, which have no place in its weights"
        raise Unsuited(f"{method.name} {told}: merge its factors, space=factor")
    return alone


def joined(states: Sequence[State], merged: Joined) -> Tensors:
    """Every tensor that a run brings in: where several do, merged, else as it is.

    `merged`: states and names that all of them have -> the merged tensors of those names.
    """
    holders: dict[str, tuple[int, ...]] = {}
    for number, state in enumerate(states):
        for name in state.tensors:
            holders[name] = (*holders.get(name, ()), number)
    found: Tensors = {}
    for group in dict.fromkeys(holders.values()):
        names = [name for name, who in holders.items() if who == group]
        some = [states[number] for number in group]
        if len(some) == 1:
            found |= {name: some[0].tensors[name] for name in names}
        else:
            found |= merged(some, names)
    return found


def batches(model: Backbone, state: State, rows: int) -> Iterator[Batch]:
    """At most so many training rows of the state's run, with its tensors in the model."""
    hold(model, state.tensors)
    device = next(model.parameters()).device
    for batch in state.run.batches(rows):
        yield batch.to(device)


def only(state: State, names: Sequence[str]) -> Tensors:
    """The state's tensors of those names."""
    return {name: state.tensors[name] for name in names}
