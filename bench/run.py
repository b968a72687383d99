"""One cell: seed, build, prepare, fit, finalize, measure -> Record."""

import json
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from bench import spec
from bench.backbone import Backbone
from bench.cellrun import CellRun, Tell, derived
from bench.cost import Account, account, free
from bench.described import headed
from bench.families import Unserved
from bench.job import Job
from bench.making import drawn, keep
from bench.record import WEIGHTS, Record, Status
from bench.store import no_room
from bench.train import Diverged
from bench.where import circumstances, plugins
from bench.work import Work
from methods import resolve
from methods.base import Method, Unsuited
from tasks import task as tasks

EXPECTED = (Unsuited, Unserved, Diverged, MemoryError, torch.OutOfMemoryError)
REASON = 300  # characters of a reason, at most


def attempt(job: Job, folder: Path, tell: Tell = lambda **_: None) -> Record:
    """Runs the cell and writes its files into `folder`; an error becomes a record that names it.

    Raises what a full disk gives, for then there is no room for a record.
    """
    lines: list[str] = []

    def log(**event: Any) -> None:
        lines.append(json.dumps(event))
        tell(**event)

    try:
        record = _run(job, folder, log)
        record.to_json()  # refuses a score that is no number
    except Exception as error:  # the one place where an error becomes a record
        if no_room(error):
            raise
        if not isinstance(error, EXPECTED):
            (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        status: Status = "skipped" if isinstance(error, Unsuited | Unserved) else "failed"
        where = circumstances() | plugins(job.cell)
        record = Record(job.cell, status, _reason(error, job), where=where)
    (folder / "log.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
    return record


def _run(job: Job, folder: Path, tell: Tell) -> Record:
    method, task = resolve(job.cell.method, job.cell.model), spec.build(tasks, job.cell.task)
    gaps = task.formulation in ("prompt", "masked")
    counted = account(method, job.weights, task.outputs, gaps, task.heads)  # before any weights
    run = CellRun(job, folder, tell)
    with closing(run.energy):
        return _measured(job, method, counted, run, folder)


def _measured(job: Job, method: Method, counted: Account, run: CellRun, folder: Path) -> Record:
    model = ready(job, method, run)
    began = time.perf_counter()
    method.fit(model, run)
    run.fitted = time.perf_counter() - began
    _save(model, folder / WEIGHTS)
    method.finalize(model)
    run.evaluated = Work()  # what the selection took is not asked for
    try:
        metrics = method.measure(model, run)
    finally:  # what was predicted can be scored again
        _write_predictions(run, folder / "predictions.jsonl")
    if job.weights.fresh or run.task.formulation == "masked":
        keep(model, run.tokens, folder)
    cost = run.cost(counted) | {"checkpoint_bytes": (folder / WEIGHTS).stat().st_size}
    where = run.where() | model.facts | plugins(job.cell)
    return Record(job.cell, "ok", "", run.task.primary, metrics, cost, where)


def ready(job: Job, method: Method, run: CellRun) -> Backbone:
    """The model as training starts: the method's modules in it, all but what trains frozen."""
    model = _build(job, run)
    torch.manual_seed(derived(run.seed, "prepare"))
    trained = method.prepare(model, run)
    free(model.to(run.device), trained)
    return model


def _reason(error: Exception, job: Job) -> str:
    """Why a cell has no result, in one line without this machine's paths."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text:
        text = f"out of memory: {text}"  # what torch's CPU allocator raises is a RuntimeError
    elif not isinstance(error, EXPECTED):
        text = f"{type(error).__name__}: {text}"
    places = {str(job.source.path): "DATA", job.weights.location: job.weights.name}
    for place, name in (places | {str(Path.home()): "~"}).items():
        if Path(place).is_absolute() and place != "/":
            text = text.replace(place, name)
    return text if len(text) <= REASON else f"{text[:REASON]}..."


def _build(job: Job, run: CellRun) -> Backbone:
    """The pretrained model with a freshly drawn head, whose digest it notes."""
    attention = "sdpa" if run.device.type == "cuda" else "eager"
    if job.weights.fresh:
        model = drawn(job.weights, derived(run.seed, "weights"), attention)
    else:
        model = Backbone.load(job.weights, run.task.outputs, attention, run.words)
        headed(model, run.task, run.tokens)
    model.head.draw(derived(run.seed, "head"))
    model.facts["head_init"] = model.head.digest()
    model.smoothing = run.recipe.smoothing
    if run.recipe.dropout is not None:
        drop(model, run.recipe.dropout)
    return model


def drop(model: nn.Module, rate: float) -> None:
    """Sets every dropout rate; attention may keep its own as a plain number."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = rate  # type: ignore[assignment]


def _save(model: Backbone, path: Path) -> None:
    """Writes what trained, the head included, under the names it had in training."""
    trained = {
        name: p.detach().cpu().contiguous()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    save_file(trained, path)


def _write_predictions(run: CellRun, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for split, predictions in run.predictions.items():
            for row, value in enumerate(predictions):
                label = run.splits[split].labels[row]
                line = {"split": split, "row": row, "prediction": value, "label": label}
                file.write(json.dumps(line) + "\n")
