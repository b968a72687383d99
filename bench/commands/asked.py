"""What the words of a request stand for. Heavy imports stand where they are used."""

import json
import os
import sys
from typing import Any

from bench.commands.options import Executor


def planned(suite, profile, methods, tasks, models, seeds, data, sets, store) -> Any:
    """The plan of a suite; what of the store cannot be read is told."""
    from bench import suite as suites
    from bench import typed
    from bench.desk import Plan
    from bench.store import Store

    request = suites.request(
        suites.load(suite),
        profile,
        methods=typed.texts(methods),
        tasks=typed.texts(tasks),
        models=typed.texts(models),
        seeds=[typed.seed(word) for word in typed.words(seeds)],
        sets=dict(typed.pair(text) for text in sets),
    )
    return warned(Plan(request, source(data), Store(store)))


def tabled(name, profile, seeds, data, sets, store) -> Any:
    """The plan of a table of the paper."""
    from bench import papertable, typed
    from bench.desk import Plan
    from bench.store import Store

    asked = papertable.request(
        name,
        profile,
        seeds=[typed.seed(word) for word in typed.words(seeds)],
        sets=dict(typed.pair(text) for text in sets),
    )
    return warned(Plan(asked, source(data), Store(store)))


def cluster(executor, address, cpus, gpus, jobs) -> Any:
    """The Ray cluster that the cells are run on; None: this machine."""
    from bench import typed

    if executor is not Executor.ray:
        typed.only_beside("--executor ray", address=address, cpus=cpus, gpus=gpus)
        return None
    from bench.executors.cluster import Cluster, Share

    return Cluster(address, Share(1.0 if cpus is None else cpus, gpus), jobs)


def source(data: str) -> Any:
    """Where rows come from."""
    from tasks.sources import resolve

    return resolve(data, os.environ)


def as_text(rows: list[dict[str, Any]]) -> str:
    """Rows as a JSON array."""
    return json.dumps(rows, indent=1)


def warned(plan) -> Any:
    """The plan; what of its store cannot be read is told."""
    warn(plan.store)
    return plan


def warn(store) -> None:
    """A line for each record that could not be read; the others go on."""
    for line in store.damaged.values():
        print(f"bench: passed over: {line}", file=sys.stderr)
