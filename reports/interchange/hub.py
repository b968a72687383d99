"""Scores as the hub's evaluation results: `.eval_results/*.yaml` in a model's repository.

Format: huggingface.co/docs/hub/eval-results and EvalResultEntry of huggingface_hub. The hub shows
an entry where the data set is registered there as a benchmark; its ids are those of the data set
and of a task in it. Records have no dates: the hub takes that of the commit.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.record import Record
from bench.registry import unknown
from reports.blocks import Slot
from reports.checks import source
from reports.interchange.text import slug
from reports.material import Material
from reports.measures import METRICS
from reports.notes import circumstances

FOLDER = ".eval_results"


class Benchmark(NamedTuple):
    """Where the hub has the rows of a task."""

    id: str  # of the data set: "nyu-mll/glue"
    task_id: str  # in it: "sst2", or "default"


def export_hub(material: Material, datasets: Mapping[str, Benchmark]) -> dict[str, str]:
    """YAML texts by file: `<method>-<model>/.eval_results/<task>.yaml`, a repository a folder.

    One entry a method and task: the mean over seeds of the task's primary metric, in the unit that
    tables print (of a fraction: times 100), unrounded. Its notes say metric and unit, seeds, how
    the weights were chosen, and what was capped or partial. A method without any score on a task
    has no file for it.
    `datasets`: by the names of tasks. Raises ValueError for generated rows, which are no results,
    for a task that is not among them, and for two results of one method on one task.
    """
    _refuse_generated(material)
    slots: dict[str, list[Slot]] = {}
    for part in material.parts:
        for slot in (slot for row in part.block.rows for slot in row if slot.scored):
            task = slot.column.task
            if task not in datasets:
                raise unknown("data set of the hub for the task", task, datasets)
            name = f"{slug(f'{slot.label}-{part.block.model}')}/{FOLDER}/{slug(task)}.yaml"
            same = slots.setdefault(name, [])
            if same and same[0].records != slot.records:
                expected = f"expected one result of {slot.label!r} on {task!r} ({part.block.model})"
                raise ValueError(f"{expected}, got two; narrow the report to one of them")
            same.append(slot)
    made = {name: _entry(same, datasets[same[0].column.task]) for name, same in slots.items()}
    return {name: _yaml(entry) for name, entry in made.items() if entry}


def _entry(slots: list[Slot], where: Benchmark) -> dict[str, Any]:
    """Of the slots of one task: columns of a table of its own where there are several.

    Empty where the primary metric is undefined for some seed.
    """
    told = {}
    for slot in slots:
        for metric in slot.column.shown:
            values = [record.metrics.get(metric) for record in slot.scored]
            known = [value for value in values if value is not None]
            if known and len(known) == len(values):
                factor, _ = slot.column.unit(metric)
                told[metric] = (sum(known) / len(known) * factor, _named(metric, factor))
    primary = _primary(slots)
    if primary not in told:
        return {}
    value, unit = told.pop(primary)
    others = "; ".join(f"{unit}: {score:.4g}" for score, unit in told.values())
    records = slots[0].scored
    sentences = [
        f"{unit}, on the split {_split(records[0])}.",
        *([f"Beside it: {others}."] if others else []),
        _runs(slots[0]),
        f"Method: {records[0].cell.method}.",
        *circumstances([(slots[0].place, record) for record in records], slots[0].column.title),
    ]
    return {
        "dataset": {"id": where.id, "task_id": where.task_id},
        "value": value,
        "notes": " ".join(sentences),
    }


def _primary(slots: list[Slot]) -> str:
    """The metric that the records name; of older ones the first column's."""
    named = {record.primary for record in slots[0].scored} - {""}
    return min(named) if len(named) == 1 else slots[0].column.primary


def _named(metric: str, factor: float) -> str:
    known = METRICS.get(metric)
    name = known.name if known else metric
    return name if factor == 1 else f"{name}, times {factor:g}"


def _runs(slot: Slot) -> str:
    seeds = ", ".join(str(record.cell.seed) for record in slot.scored)
    lost = len(slot.records) - len(slot.scored)
    told = f"One run, seed {seeds}" if len(slot.scored) == 1 else f"Mean over seeds {seeds}"
    return f"{told}; {lost} more without a result." if lost else f"{told}."


def _split(record: Record) -> str:
    """The reported splits by name, as the record has them."""
    data = record.where.get("data")
    used = data.get("used") if isinstance(data, Mapping) else None
    names = [name for name in used or () if name not in ("train", "selection")]
    return ", ".join(names) or "that is reported"


def _refuse_generated(material: Material) -> None:
    made_up = sorted({r.cell.task.partition("[")[0] for r in material.records if _generated(r)})
    if made_up:
        raise ValueError(
            f"expected results on published rows, got generated data for {', '.join(made_up)}: "
            "these are no results of a benchmark"
        )


def _generated(record: Record) -> bool:
    return source(record) == "sample"


def _yaml(entry: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=100)
