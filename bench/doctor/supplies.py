"""Checks of what a run works with: its store, plug-ins, models and rows."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import spec
from bench.doctor.check import Check, Wanted, problem, warning
from bench.doctor.machine import Reached, disk
from tasks import task
from tasks.base import Task
from tasks.sources import Source, resolve

ROOM, SCARCE = 200 * 2**20, 2 * 2**30  # bytes on the disk of the store: too few, and few
SECONDS = 2.5  # for reading rows, where no suite says which are needed


def store(path: Path) -> Iterator[Check]:
    """Whether cells can be written, on how much room; what is damaged or under way there."""
    from bench.store import DRAFT, OLD, PART, Store

    try:
        place = Store(path)
    except ValueError as error:
        yield problem("store", str(error), "name another --store")
        return
    there = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield problem("store", f"{path} cannot be written: {error.strerror}", "see --store")
        return
    free = disk(str(there))
    told = f"{sum(1 for _ in place.records())} records, {free / 2**30:.1f} GiB free"
    if free < ROOM:
        yield problem("store", told, "make room: a run leaves up to a few hundred MB a cell")
    elif free < SCARCE:
        yield warning("store", told, "make room: weights of a large model do not fit")
    else:
        yield Check("store", "ok", told)
    for line in place.damaged.values():
        yield warning("record", line, "its cell is not run before that")
    parts = len(list(path.glob(f"{PART}*")))
    under = len([left for kind in (DRAFT, OLD) for left in path.glob(f"{kind}*")])
    if parts or under:
        yield Check("unfinished", "ok", f"{parts} runs to go on with, {under} cells being written")


def plugins() -> Iterator[Check]:
    """What other distributions add, and whether it loads."""
    from methods import alias, method
    from tasks.metrics import metric

    broken: dict[str, str] = {}
    for kind in (method, alias, task, metric):
        kind.names()
        broken |= {f"{kind.kind} {name}": why for name, why in kind.broken.items()}
        for name, origin in kind.origins.items():
            yield Check("plug-in", "ok", f"{kind.kind} {name} of {origin}")
    for name, why in broken.items():
        yield warning("plug-in", f"{name} of {why}", "it is left out: update or remove it")


def models(wanted: Wanted, answer: Reached) -> Iterator[Check]:
    """Each model: its files are the right ones, will be made, or can be had."""
    from bench.weights import find, verify

    for name in wanted.models:
        try:
            weights = find(name)
            if weights.fresh:
                yield Check("model", "ok", f"{name}: made here, by a cell")
            elif weights.local:
                yield Check("model", "ok", f"{name}: there, sha256 {verify(weights)[:12] or '-'}")
            elif _cached(weights.location):
                yield Check("model", "ok", f"{name}: in the cache of the hub")
            elif answer:
                yield Check("model", "ok", f"{name}: comes from the hub")
            else:
                yield problem("model", f"{name}: neither here nor from the hub", "see --models")
        except ValueError as error:
            yield Check("model", wanted.state(True), str(error), "or name another of --models")


def source(
    data: str, environ: Mapping[str, str], answer: Reached
) -> tuple[Source | None, list[Check]]:
    """Where rows come from; none where there is no such place."""
    try:
        if data == "auto" and not environ.get("BENCH_DATA"):
            return Source("hub" if answer else "sample"), []
        return resolve(data, environ), []
    except ValueError as error:
        return None, [problem("data", str(error), "set BENCH_DATA or --data")]


def rows(wanted: Wanted, place: Source) -> Iterator[Check]:
    """The rows of each task: there, partial, or absent."""
    if place.kind == "sample":
        told = "no rows that were published: they are generated"
        yield warning("data", told, "set BENCH_DATA or --data to a directory that has them")
        return
    if place.kind == "hub":
        yield Check("data", "ok", "rows come from the hub")
        return
    end = time.monotonic() + SECONDS
    unread = []
    for name in wanted.tasks:
        if wanted.request is None and time.monotonic() > end:
            unread.append(name)
            continue
        yield _task(wanted, place, name)
    if unread:
        told = f"not read in {SECONDS} s: {', '.join(unread)}"
        yield Check("data", "ok", told, "name a --suite to have its rows read")


def _task(wanted: Wanted, place: Source, name: str) -> Check:
    try:
        asked: Task = spec.build(task, name)
        seeds = wanted.request.seeds if wanted.request else [SEED_OF_ALL]
        facts = asked.load(place, seeds[0]).facts
    except (ValueError, OSError) as error:
        told = f"{name}: {' '.join(str(error).split())}"
        return Check("data", wanted.state(True), told, "get its files, or leave the task out")
    used = ", ".join(f"{count:,} {split}" for split, count in facts.get("used", {}).items())
    if partial := facts.get("partial"):
        return warning("data", f"{name}: {used}; {'; '.join(partial)}", "tables will say so")
    return Check("data", "ok", f"{name}: {used}")


SEED_OF_ALL = 13  # one that the published few-shot splits have, too


def _cached(name: str) -> bool:
    """Whether a model of the hub has been fetched before."""
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str | os.PathLike)
    except ValueError:  # no name that the hub could have
        return False
