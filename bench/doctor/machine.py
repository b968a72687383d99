"""Checks of this machine: software, processors, memory, Java, the way to the hub."""

import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from bench.doctor.check import Check, Wanted, problem, warning

SECONDS = 2.0  # that the hub or Java have to answer
LITTLE = 2**30  # bytes of memory: below, even a small model does not fit
EXTRAS = {  # what each package is for
    "peft": "adapters of the library peft",
    "optuna": 'the search "tpe"',
    "codecarbon": "energy where no counter can be read",
    "ray": "cells on several machines",
}


def software(wanted: Wanted) -> Iterator[Check]:
    """Python and every package that is required, against the versions that are supported."""
    from packaging.requirements import Requirement

    try:
        python, needed = metadata("peftbench")["Requires-Python"], requires("peftbench") or []
    except PackageNotFoundError:
        yield problem("packages", "peftbench is not installed", "python -m pip install -e .")
        return
    yield _version("python", platform.python_version(), python)
    plain = [Requirement(text) for text in needed]
    asked = [one for one in plain if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = [_version(one.name, _installed(one.name), str(one.specifier)) for one in asked]
    yield from (check for check in found if check.state != "ok")
    if all(check.state == "ok" for check in found):
        yield Check("packages", "ok", f"{len(found)} required, all in their supported range")
    for name, use in EXTRAS.items():
        if has := _installed(name):
            yield Check(name, "ok", has)
        elif wanted.request is None or (name == "optuna" and wanted.optuna):
            grave = wanted.state(True)
            yield Check(name, grave, f"not installed: for {use}", f"pip install {name}")


def hardware() -> Iterator[Check]:
    """torch and its devices, threads, memory."""
    from bench.executors.room import BYTES_A_CELL, available, cores

    try:
        import torch

        from bench import device
    except ImportError as error:
        yield problem("torch", str(error), "install torch")
        return
    on = device.device()
    kind = device.precision("auto", on)
    half = "bf16" if kind == "bf16" else "no native bf16: precision=auto is fp32"
    yield Check("torch", "ok", f"{torch.__version__}, {on.type} ({device.name(on)}), {half}")
    has, threads = cores(), os.environ.get("OMP_NUM_THREADS", "")
    told = f"{has} cores, {torch.get_num_threads()} threads"
    if threads.isdecimal() and int(threads) > has:
        yield warning("threads", told, f"OMP_NUM_THREADS={threads} is more than the cores")
    else:
        yield Check("threads", "ok", told)
    free = available()
    told = f"{free / 2**30:.1f} GiB free"
    if free < LITTLE:
        yield problem("memory", told, "end other programs: a small model needs 1 GiB")
    elif free < BYTES_A_CELL:
        yield warning("memory", told, "a base-size model in full fine-tuning needs about 4 GiB")
    else:
        yield Check("memory", "ok", told)


def java(wanted: Wanted) -> Iterator[Check]:
    """Java, where texts are scored by its programs."""
    from bench import spec
    from tasks import task
    from tasks.metrics import java

    try:
        asked = [task[spec.parse(name)[0]] for name in wanted.tasks]
    except ValueError:
        return
    if not any(one.formulation == "generation" for one in asked):
        return
    if not java.found():
        lost = sorted({name for one in asked for name in one().lacks()})
        todo = "install a Java runtime, or the tables say n/a"
        yield warning("java", f"none: without it no {', '.join(lost)}", todo)
        return
    try:
        done = subprocess.run(["java", "-version"], capture_output=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield warning("java", f"does not answer: {error}", "install another Java runtime")
        return
    said = (done.stderr or done.stdout).decode(errors="replace").splitlines() or [""]
    if done.returncode:
        yield warning("java", f"does not run: {said[-1]}", "install another Java runtime")
    else:
        yield Check("java", "ok", said[0])


class Reached:
    """Whether the hub answers, asked in a thread of its own."""

    def __init__(self, environ: Mapping[str, str]):
        self.environ, self.answers = environ, False
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def __bool__(self) -> bool:
        self.thread.join(SECONDS + 1)
        return self.answers

    def check(self, needed: bool) -> Check:
        """The line about it: a problem where something has to come from there."""
        off = [n for n in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if self.environ.get(n)]
        if self:
            return Check("hub", "ok", "answers")
        told = f"not asked: {off[0]} is set" if off else f"no answer within {SECONDS:.0f} s"
        if needed:
            return problem("hub", told, "the rows come from there: see --data")
        return Check("hub", "ok", f"{told}; no rows have to come from there")

    def _ask(self) -> None:
        from tasks.sources import reachable

        self.answers = reachable(self.environ, SECONDS)


def disk(path: str) -> int:
    """Bytes that are free where the path is."""
    return shutil.disk_usage(path).free


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _version(name: str, found: str, expected: str) -> Check:
    from packaging.specifiers import SpecifierSet

    bare = re.sub(r"\+.*", "", found)  # a build of torch names its device there
    if not found:
        return problem(name, f"not installed, expected {expected or 'any'}", f"pip install {name}")
    if not SpecifierSet(expected or "").contains(bare, prereleases=True):
        return problem(name, f"expected {expected}, got {found}", f"pip install '{name}{expected}'")
    return Check(name, "ok", found)
