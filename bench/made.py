"""The cell that makes a model: all of it from the rows of a task, or the head that fills gaps."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import spec
from bench.recipe import AdamW
from bench.record import Cell
from bench.store import Store
from bench.weights import Weights, depth
from methods import resolve
from tasks.base import Task

CORPUS = "corpus"  # the task whose rows come from the other tasks
SENTENCES = "sentences"  # the task whose rows teach an encoder to fill gaps
MODEL = "model"  # the folder inside the cell's that transformers reads
WHOLE: dict[str, Any] = {  # the recipe for a few million parameters
    "lr": 1e-3,
    "batch": 32,
    "epochs": 3,
    "warmup": 0.05,
    "length": 256,
}
GAPS: dict[str, Any] = {  # and for an encoder that has its layers already
    "lr": 5e-4,
    "batch": 64,
    "epochs": 1,
    "decay": 0.01,
    "length": 64,
    "dropout": 0.0,
}


def pretraining(
    weights: Weights, task: Task, data: str, recipe: Mapping[str, Any], seed: int = 0
) -> Cell:
    """The cell that makes the model from the rows of `task`.

    Of the formulation "language": a model without files, all of it. Of the formulation "masked":
    the head that fills gaps for an encoder that came without; its layers learn with it, its
    embeddings, to which the head is tied, stay. `data`: the stamp of those rows. `recipe`: options
    that go before the defaults above. Raises ValueError for an option that is wrong.
    """
    gaps = task.formulation == "masked"
    chosen = resolve(f"top[layers={depth(weights)}]" if gaps else "full", weights.name)
    return Cell(
        method=spec.text(chosen),
        task=spec.text(task),
        model=weights.name,
        recipe=spec.text(spec.construct(AdamW, {**(GAPS if gaps else WHOLE), **recipe})),
        seed=seed,
        data=data,
        version=f"{chosen.version}.{task.version}.{weights.version}",
        label="pretraining",
    )


def model_of(cell: Cell, store: Store, weights: Weights) -> Weights:
    """The model that `cell` makes, as those that build on it take it."""
    return placed(store.folder(cell), weights)


def placed(folder: Path, weights: Weights) -> Weights:
    """The model that stands in the folder of the cell that made it."""
    known = {k: v for k, v in weights.known.items() if k not in ("sha256", "gaps")}
    return replace(weights, location=str(folder.resolve() / MODEL), known=known)
