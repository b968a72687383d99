"""The circumstances of a run: versions, commit, machine."""

import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import bench
from bench.record import Cell

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scikit-learn", "scipy")


@cache
def circumstances() -> dict[str, Any]:
    """What a record says of where it was made; nothing that names a person or a path."""
    return {
        **_commit(),
        "versions": {"peftbench": bench.__version__, "python": platform.python_version()}
        | {package: _version(package) for package in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def plugins(cell: Cell) -> dict[str, dict[str, str]]:
    """The plug-ins of other distributions that the cell is made of: "name version" by name.

    Nothing where all are ours.
    """
    from methods import alias, method
    from tasks import task

    used = re.findall(r"[^\[\],=+]+", cell.method)
    found = {
        name: kind.origins[name]
        for kind in (method, alias)
        for name in used
        if name in kind.origins
    }
    used = re.findall(r"[^\[\],=+]+", cell.task)
    found |= {name: task.origins[name] for name in used if name in task.origins}
    return {"plugins": found} if found else {}


def _commit() -> dict[str, Any]:
    """The commit this code was run from, and whether files differed from it; None outside git."""
    try:
        _git("ls-files", "--error-unmatch", "bench/where.py")  # fails in another project's tree
        commit = _git("rev-parse", "--short=12", "HEAD")
        changes = _git("status", "--porcelain", "--", "bench", "methods", "tasks")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(changes)}


def _git(*words: str) -> str:
    root = Path(__file__).parents[1]
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
