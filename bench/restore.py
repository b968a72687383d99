"""The trained model of a finished cell, from its files."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from bench import spec
from bench.backbone import Backbone
from bench.cellrun import derived
from bench.cost import Planless
from bench.described import headed
from bench.job import Job
from bench.reader import Reader
from bench.recipe import recipe
from bench.record import WEIGHTS
from bench.text import tokenizer
from bench.weights import config
from methods import resolve
from methods.base import Method
from tasks import task as tasks


class _Streams(Planless):
    """The random streams of the cell, for weights that `prepare` draws and nobody trains."""

    def __init__(self, seed: int):
        self.seed = seed

    def generator(self, purpose: str) -> torch.Generator:
        """The stream that the cell's run had for this purpose."""
        return torch.Generator().manual_seed(derived(self.seed, purpose))


def restored(job: Job, folder: Path) -> tuple[Method, Backbone]:
    """The method and its model as it stood when training ended, before anything was merged.

    `folder`: the cell's in the store. `finalize` of the method then merges the model for serving.
    Raises ValueError where the files are not those of this cell.
    """
    method = resolve(job.cell.method, job.cell.model)
    task, tokens = spec.build(tasks, job.cell.task), tokenizer(job.weights)
    reader = Reader(tokens, recipe(job.cell.recipe).length, config(job.weights), job.weights.name)
    model = Backbone.load(job.weights, task.outputs, words=reader.words(task))
    headed(model, task, tokens)
    method.prepare(model, _Streams(job.cell.seed))  # type: ignore[arg-type]
    saved, own = load_file(folder / WEIGHTS), dict(model.named_parameters())
    for name, tensor in saved.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ValueError(f"{folder.name}/{WEIGHTS} does not fit {job.cell.method}: {name}")
        with torch.no_grad():
            own[name].copy_(tensor)
    return method, model.eval()
