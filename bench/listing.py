"""What there is: methods, tasks, models, suites, tables, metrics, tuners, as flat rows."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from bench.spec import word


def listing(kind: str) -> list[dict[str, Any]]:
    """A flat row an entry, with at least `name` and `about`."""
    return _KINDS[kind]()


def _methods() -> list[dict[str, Any]]:
    from methods import alias, method

    rows = [_plugin(method[name]) for name in method.names()]
    return rows + [_plugin(alias[name]) for name in alias.names()]


def _tasks() -> list[dict[str, Any]]:
    from tasks import task

    return [_plugin(task[name]) | {"title": task[name].title} for name in task.names()]


def _metrics() -> list[dict[str, Any]]:
    from tasks.metrics import metric

    return [_plugin(metric[name]) for name in metric.names()]


def _models() -> list[dict[str, Any]]:
    from bench.weights import known

    return [
        {"name": name, "about": _whence(entry), "model_type": entry["model_type"]}
        for name, entry in known().items()
    ]


def _whence(entry: dict[str, Any]) -> str:
    if "made" in entry:
        return "made here from the rows of other tasks: works offline"
    return entry.get("hub", "from a package: works offline")


def _suites() -> list[dict[str, Any]]:
    from bench.suite import load, names

    return [
        {"name": s.name, "about": f"{s.title}: {len(s.methods)} methods on {', '.join(s.tasks)}"}
        for s in map(load, names())
    ]


def _tables() -> list[dict[str, Any]]:
    from bench.papertable import tables

    return [
        {"name": name, "about": f"{table.title}, {table.of}", "suite": suite}
        for name, (suite, table) in tables().items()
    ]


def _peft() -> list[dict[str, Any]]:
    from bench.capabilities import rows

    return rows()


def _plugin(entry: Any) -> dict[str, Any]:
    doc = inspect.cleandoc(entry.__doc__ or "").splitlines()
    options = ""
    if dataclasses.is_dataclass(entry):
        options = ", ".join(f"{f.name}={word(f.default)}" for f in dataclasses.fields(entry))
    source = getattr(entry, "source", "")
    return {
        "name": entry.name,
        "about": doc[0] if doc else "",
        "source": source,
        "options": options,
    }


_KINDS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "methods": _methods,
    "tasks": _tasks,
    "models": _models,
    "suites": _suites,
    "tables": _tables,
    "metrics": _metrics,
    "peft": _peft,
}


def shown(rows: list[dict[str, Any]]) -> str:
    """The rows for a person."""
    width, lines = max(len(row["name"]) for row in rows), []
    for row in rows:
        lines.append(f"{row['name']:{width}}  {row['about']}")
        if row.get("options"):
            lines.append(f"{'':{width}}  {row['options']}")
    return "\n".join(lines)
