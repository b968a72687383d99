"""Packages installed from a folder without network, and the command line with them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "peftbench-example"
BUILT = ("build", "*.egg-info", "__pycache__")  # what an installation leaves behind
DRIVER = """
import shlex, sys
from bench import cli
for line in sys.stdin.read().splitlines():
    sys.argv = shlex.split(line)
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            sys.exit(end.code)
"""


def install(folder: Path, target: Path) -> None:
    """Puts the package of the folder where a path can name it."""
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(target)]
    words = [sys.executable, "-m", "pip", "install", *flags, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def environment(target: Path) -> dict[str, str]:
    """The one in which the installed package is found, on one thread."""
    path = os.pathsep.join([str(ROOT), str(target)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def bench(lines: list[str], cwd: Path, target: Path) -> subprocess.CompletedProcess:
    """Runs `bench ...` lines one after another, in one process; the first that fails ends it."""
    assert all(shlex.split(line)[0] == "bench" for line in lines)
    return subprocess.run(
        [sys.executable, "-c", DRIVER],
        input="\n".join(lines),
        cwd=cwd,
        env=environment(target),
        capture_output=True,
        text=True,
    )
