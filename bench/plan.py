"""A request becomes cells, in the order they are run, parents first. Needs no torch."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

from bench import spec
from bench.cells import Cells, Ground, options, parts
from bench.executors.agenda import failed
from bench.job import Job
from bench.made import CORPUS, SENTENCES, model_of, pretraining
from bench.named import among
from bench.recipe import AdamW
from bench.record import Cell, Record
from bench.registry import unknown
from bench.store import Store
from bench.suite import Request
from bench.weights import Weights, fills_gaps, find
from methods import alias, method
from tasks import task as tasks
from tasks.base import Task
from tasks.sources import Source

PRETRAIN = "pretrain."  # in `--set`: what follows is about the cells that make models


@dataclass(frozen=True)
class Planned:
    """One cell with what is known of it before it runs."""

    job: Job
    done: Record | None  # the record in the store, whatever its status
    row_passes: int | None  # rows times epochs of its own training; None where unknown
    seconds: float | None  # what a like cell in the store took

    @property
    def todo(self) -> bool:
        """Not run yet, or failed: failures are tried again, what is unsuited is not."""
        return not self.job.lost and (self.done is None or self.done.status == "failed")


@dataclass(frozen=True)
class Outline:
    """What is known of a request before its trials have ended, or after."""

    jobs: list[Job]  # trials and parents first
    waiting: list[str]  # a name for each cell whose settings the trials have yet to tell


def outline(request: Request, source: Source, store: Store) -> Outline:
    """The cells of the request, task by task, and before them those that they build on.

    A model without files is made once for each evaluated task, from a corpus without its rows.
    A row whose settings are searched for has no cells before its trials are in the store.
    Raises ValueError for the first name, option or value that is wrong.
    """
    models = [find(model) for model in request.models]
    _check_sets(request, models)
    _check_variants(request)
    planner = _Planner(request, source, store)
    found: dict[str, Job] = {}
    for weights, task in product(models, request.tasks):
        for job in planner.jobs(weights, task):
            first = found.setdefault(job.cell.key, job)
            if job.role == "row" and first.role != "row":  # and its label, not that of a parent
                found[job.cell.key] = job
    return Outline(list(found.values()), planner.waiting)


def jobs(request: Request, source: Source, store: Store) -> list[Job]:
    """The cells of the request that are known, parents first; see `outline`."""
    return outline(request, source, store).jobs


def plan(jobs: Iterable[Job], store: Store) -> list[Planned]:
    """The jobs with what the store knows of them; where a record is damaged a job is lost."""
    records = {record.cell.key: record for record in store.records()}
    jobs = [replace(job, lost=job.lost or store.damaged.get(job.cell.key, "")) for job in jobs]
    times = ((record.cell, _seconds(record)) for record in records.values())
    seconds = {_like(cell): took for cell, took in times if took is not None}
    passes = cache(_row_passes)  # cells that differ in the seed alone are many
    return [
        Planned(
            job,
            _done(job, records),
            0 if job.built_on else passes(job.cell.recipe, job.cell.task, job.cell.data),
            seconds.get(_like(job.cell)),
        )
        for job in jobs
    ]


def chosen_tasks(request: Request) -> list[Task]:
    """The tasks of the request, for the columns of its table."""
    return [spec.build(tasks, name) for name in request.tasks]


class _Planner:
    """What the cells of one request have in common."""

    def __init__(self, request: Request, source: Source, store: Store):
        self.request, self.source, self.store = request, source, store
        self.ground = Ground(request, source, store)
        self.stamp = self.ground.stamp
        self.waiting: list[str] = []

    def jobs(self, weights: Weights, task: str) -> Iterator[Job]:
        """The cells of one task, and before them the one that makes the model, if it has none."""
        parents: tuple[str, ...] = ()
        evaluated = _evaluated(self.request, task)
        if corpus := _made_from(weights, evaluated):
            made = self._parent(weights, evaluated, corpus)
            yield Job(made, self.source, weights, self.store.part(made))
            parents = (made.key,)
            weights = model_of(made, self.store, weights)
        yield from self._rows(Cells(self.ground, weights, task, parents))

    def _rows(self, cells: Cells) -> Iterator[Job]:
        """Trials, then each row that they leave no question about, after what it builds on."""
        for name in self.request.methods:
            yield from cells.trials(name)
        for seed, name in product(self.request.seeds, self.request.methods):
            if cells.waits(name):
                self.waiting.append(name)
                continue
            *below, row = cells.jobs(name, seed)
            yield from below
            yield replace(row, role="row")

    def _parent(self, weights: Weights, evaluated: Task, corpus: str) -> Cell:
        """What makes the model from a `corpus`: rows of the task are for its evaluation alone."""
        sets = {
            k.removeprefix(PRETRAIN): v
            for k, v in self.request.sets.items()
            if k.startswith(PRETRAIN)
        }
        settings = self.request.profile.pretrain
        chosen = {**settings.options, **among(options(tasks[corpus]), sets)}
        task = spec.construct(tasks[corpus], chosen)
        if kept := evaluated.formulation == "generation":
            task = replace(task, without=_with(task.without or (), evaluated.name))
        recipe = {**settings.recipe, **among(options(AdamW), sets)}
        made = pretraining(weights, task, self.stamp(spec.text(task)), recipe)
        return replace(made, label=f"pretraining for {evaluated.name}") if kept else made


def _evaluated(request: Request, task: str) -> Task:
    """The task with what the profile and the request say of it, rules by method left out."""
    stem, typed = spec.parse(task)
    given = {**request.profile.options, **typed, **request.sets}
    return spec.construct(tasks[stem], among(options(tasks[stem]), given))


def _made_from(weights: Weights, evaluated: Task) -> str:
    """The task whose rows make what the model lacks for `evaluated`; "" where it lacks nothing."""
    if weights.fresh:
        return CORPUS
    return SENTENCES if evaluated.formulation == "prompt" and not fills_gaps(weights) else ""


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(sorted({*names, name}))


def _check_sets(request: Request, models: Iterable[Weights]) -> None:
    every = [part for task in request.tasks for part in (task, *parts(task))]
    known = set(options(AdamW)).union(*(options(tasks[spec.parse(task)[0]]) for task in every))
    asked = [_evaluated(request, task) for task in request.tasks]
    for corpus in filter(None, (_made_from(weights, t) for weights in models for t in asked)):
        known |= {PRETRAIN + name for name in (*options(AdamW), *options(tasks[corpus]))}
    for name in request.sets:
        if name not in known:
            raise unknown("setting", name, known)


def _check_variants(request: Request) -> None:
    taken = {*method.names(), *alias.names()} & request.suite.variants.keys()
    for name in sorted(taken):
        raise ValueError(f"variant {name!r} has the name of a method; call it something else")


def _done(job: Job, records: Mapping[str, Record]) -> Record | None:
    """The record of the job's cell; one made up here where there can be none."""
    return failed(job, job.lost) if job.lost else records.get(job.cell.key)


def _row_passes(trained: str, task: str, data: str) -> int | None:
    """Rows times epochs of a recipe, on a task and its data; None where unknown."""
    _, recipe = spec.parse(trained)
    times = float(recipe["times"])
    if recipe["steps"] != "none":
        return round(times * int(recipe["steps"]) * int(recipe["batch"]))
    name, chosen = spec.parse(task)
    cap = chosen.get("rows", "none")
    most = [] if cap == "none" else [int(cap)]
    if not data.startswith("sample"):
        most += [count for split, count in tasks[name].official.items() if split == "train"]
    return math.ceil(times * min(most) * float(recipe["epochs"])) if most else None


def _like(cell: Cell) -> tuple[Any, ...]:
    return cell.method, cell.task, cell.model, cell.recipe


def _seconds(record: Record) -> float | None:
    train, evaluation = record.cost.get("train_seconds"), record.cost.get("eval_seconds")
    return None if train is None or evaluation is None else train + evaluation
