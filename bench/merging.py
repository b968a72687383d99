"""A merge of runs that a store holds already, as a cell of its own."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from bench import spec
from bench.cells import versions
from bench.job import Job
from bench.kept import finished, model_of
from bench.record import Cell, Record
from bench.registry import unknown
from bench.store import Store
from methods import method as methods
from methods import resolve
from methods.base import Method, Need, spread
from tasks import task as tasks
from tasks.base import Task
from tasks.sources import Source

ALIKE = {"model": "model", "seed": "seed, for the selection rows of one train another"}


def merge(
    text: str, parents: Sequence[str], on: str, source: Source, store: Store, model: str = ""
) -> Job:
    """The cell that merges the runs by the method `text`, on the rows `source` of their tasks.

    `parents`: keys in the store, or folders there, in the order in which the method needs them.
    `on`: the task that it is measured on; "": that of the runs, or where those differ a composite
    of them in their order. `model`: the directory of a model that is known by its digest only.
    Raises ValueError where the runs do not go together, naming the first that does not.
    """
    runs = [_run(word, store) for word in parents]
    if not runs:
        raise ValueError("expected runs to merge, got none")
    first = runs[0].cell
    for run in runs:
        for name, told in ALIKE.items():
            _same(run, getattr(run.cell, name), getattr(first, name), told)
    task = _task(on, runs)
    chosen, needs = _method(text, runs, task)
    for need, run in zip(needs, runs, strict=True):
        _fits(need, run, task)
    own = [run for run in runs if _base(run) != _base(runs[0])]
    if own and chosen.name != "rebasin":
        _same(own[0], _base(own[0])[:12], _base(runs[0])[:12], "base weights")
    made_by = tuple(runs[0].where.get("made_by", ()))
    folders = tuple(store.root / run.cell.key for run in runs)
    cell = Cell(
        method=spec.text(chosen),
        task=spec.text(task),
        model=first.model,
        recipe=first.recipe,
        seed=first.seed,
        data=task.stamp(source),
        parents=(*made_by, *(run.cell.key for run in runs)),
        version=versions(chosen, spec.text(task)),
        label=text,
    )
    for run, part in zip(runs, (_part(task, need) for need in needs), strict=True):
        _same(run, run.cell.data, part.stamp(source), "rows")
    maker = store.root / made_by[0] if made_by else None
    return Job(cell, source, model_of(first, maker, model), built_on=folders, role="row")


def _run(word: str, store: Store) -> Record:
    """The finished run of that key, or in that folder, of the store."""
    path = Path(word) if Path(word).exists() else store.root / word
    folder, record = finished(path)
    if folder.resolve().parent != store.root.resolve():
        raise ValueError(f"expected a run in {store.root}, got {word!r}")
    return record


def _task(on: str, runs: Sequence[Record]) -> Task:
    texts = list(dict.fromkeys(run.cell.task for run in runs))
    if on:
        task: Task = spec.build(tasks, on)
    elif len(texts) == 1:
        return spec.build(tasks, texts[0])
    else:
        task = spec.construct(tasks["mix"], {"of": tuple(texts)})
    if task.composed:  # parts as the runs have them, options and all
        known = {text.partition("[")[0]: text for text in texts}
        of = tuple(
            known.get(part.name, text) if text == part.name else spec.text(part)
            for text, part in zip(task.of, task.parts, strict=True)  # type: ignore[attr-defined]
        )
        return dataclasses.replace(task, of=of)  # type: ignore[type-var]
    return task


def _method(text: str, runs: Sequence[Record], task: Task) -> tuple[Method, list[Need]]:
    """The method on these runs, and what it needs, a need each."""
    name, options = spec.parse(text)
    mergers = [n for n in methods.names() if "of" in _options(n) and methods[n]().needs()]
    if name not in mergers:
        raise unknown("method that merges runs", name, mergers)
    options.setdefault("of", runs[0].cell.method)
    chosen = resolve(spec.joined(name, options), runs[0].cell.model)
    needs = spread(chosen.needs(), len(task.parts))
    if len(needs) != len(runs) and "count" in _options(name) and "count" not in options:
        chosen = dataclasses.replace(chosen, count=len(runs))  # type: ignore[type-var]
        needs = spread(chosen.needs(), len(task.parts))
    if len(needs) != len(runs):
        raise ValueError(f"expected {len(needs)} runs for {text} on {task.name}, got {len(runs)}")
    return chosen, needs


def _options(name: str) -> set[str]:
    return (
        {field.name for field in dataclasses.fields(methods[name])}
        if name in methods.names()
        else set()
    )


def _part(task: Task, need: Need) -> Task:
    return task.parts[need.part] if isinstance(need.part, int) else task


def _fits(need: Need, run: Record, task: Task) -> None:
    expected = spec.text(_part(task, need))
    if not isinstance(need.part, tuple) and run.cell.task != expected:
        raise ValueError(f"expected a run on {expected}, got {run.cell.key} on {run.cell.task}")


def _base(run: Record) -> str:
    return run.where.get("weights_sha256", "")


def _same(run: Record, got: object, expected: object, what: str) -> None:
    if got != expected:
        raise ValueError(f"expected runs of one {what}: {expected}, got {got} in {run.cell.key}")


def told(record: Record) -> str:
    """The record for a person: its key, its scores, and what it took."""
    cell = record.cell
    lines = [f"{cell.key}  {cell.label} of {len(cell.parents)} runs, seed {cell.seed}"]
    if record.status != "ok":
        return f"{lines[0]}\n{record.status}: {record.reason}"
    merge = record.where.get("merge", {})
    lines += [f"  of {name}" for name in merge.get("parents", record.where.get("beside", ()))]
    for name, value in record.metrics.items():
        lines.append(f"  {name:20}  {'undefined' if value is None else f'{value:.4f}'}")
    if "sweep" in record.where:
        sweep = record.where["sweep"]
        lines.append(f"  {sweep['of']} {sweep['chosen']}: {sweep['rule']}")
    cost = record.cost
    space = f" in {merge['space']} space" if merge else ""
    seconds, peak = cost.get("merge_seconds", 0.0), cost["peak_memory_bytes"] / 2**20
    lines.append(f"  merged{space} in {seconds:.1f} s, {peak:,.0f} MiB; nothing trained")
    return "\n".join(lines)
