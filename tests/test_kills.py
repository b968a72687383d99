"""A suite that is killed again and again ends as one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.store import Store

KILLS = 20
RUNNERS = """
import os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from bench import cellrun
from bench.executors import local as execute, room
from bench.store import Store
from dataclasses import replace
from tests.jobs import job

cellrun.EVERY = 0.0
folder = Path(sys.argv[1])
room.cores = lambda: 1
settings = {"batch": 8, "epochs": 3}
wanted = [job(folder, m, t, **settings) for m in ("lora", "adamix-lora")
          for t in ("rte", "stsb")]
torch.zeros(1)
print("ready", flush=True)
for line in sys.stdin:
    runner = os.fork()
    if not runner:
        store = Store(line.strip())
        done = {record.cell.key for record in store.records() if record.status == "ok"}
        todo = [replace(j, part=store.part(j.cell)) for j in wanted if j.cell.key not in done]
        for record in execute.execute(todo, store, 1, lambda *_: None):
            assert record.status == "ok", record.reason
        os._exit(0)
    print(runner, flush=True)
    sys.stdin.readline()  # until then it is there to be killed, if only as a zombie
    print(os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1]), flush=True)
"""
FORKED, SUITE = 4, 6  # cells


def start(folder: Path, store: Path, jobs: int, **pipes) -> subprocess.Popen:
    words = "run --suite glue --data sample --tasks sst2,stsb --methods head,lora,adamix-lora"
    sets = "rows=64 dev_rows=40 epochs=1 precision=fp32"
    command = [sys.executable, "-m", "bench", *words.split(), "--jobs", str(jobs)]
    command += [
        "--models",
        str(folder),
        "--store",
        str(store),
        *(w for s in sets.split() for w in ("--set", s)),
    ]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **{**silent, **pipes})


@contextmanager
def runners(folder: Path) -> Iterator[subprocess.Popen]:
    """A process that has read everything and forks a runner for each store that it is told."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", RUNNERS, str(folder)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], **pipes) as forks:
        assert forks.stdout.readline() == "ready\n"
        try:
            yield forks
        finally:
            forks.stdin.close()


def begun(forks: subprocess.Popen, store: Path) -> int:
    forks.stdin.write(f"{store}\n")
    forks.stdin.flush()
    return int(forks.stdout.readline())


def ended(forks: subprocess.Popen) -> int:
    forks.stdin.write("\n")
    forks.stdin.flush()
    return int(forks.stdout.readline())


def whole(store: Path) -> bool:
    """Nothing stands in the store but what cells have left, all of it."""
    files = {"record.json", "weights.safetensors", "predictions.jsonl", "log.txt"}
    folders = [path for path in store.iterdir() if not path.name.startswith(".")]
    return all(files == {path.name for path in folder.iterdir()} for folder in folders)


def outcomes(store: Path) -> dict[str, dict]:
    return {record.cell.key: record.metrics for record in Store(store).records()}


def weights(store: Path) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in store.glob("[0-9a-f]*/weights.safetensors")}


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_runner_killed_at_random_moments_loses_nothing(kills, tiny_folder, tmp_path):
    source, killed = random.Random(kills), 0
    at_ease, store = tmp_path / "whole", tmp_path / "killed"
    done: dict[str, dict] = {}
    with runners(tiny_folder) as forks:
        began = time.monotonic()
        begun(forks, at_ease)
        assert ended(forks) == 0
        seconds = time.monotonic() - began
        while killed < kills:
            runner = begun(forks, store)
            time.sleep(source.uniform(0, 0.5) * seconds)
            os.kill(runner, signal.SIGKILL)
            code = ended(forks)
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
            now = outcomes(store)
            assert done.items() <= now.items() and not Store(store).damaged and whole(store)
            for key in source.sample(sorted(now), len(now) if len(now) == FORKED else 0):
                Store(store)
                (store / key).rename(tmp_path / f"{key}-{killed}")  # something left to kill
                now.pop(key)
            done = now
        begun(forks, store)
        assert ended(forks) == 0
    assert len(outcomes(at_ease)) == FORKED
    assert outcomes(store) == outcomes(at_ease)
    assert weights(store) == weights(at_ease)
    assert whole(store) and not list(store.glob(".*"))


@pytest.mark.slow
def test_workers_killed_at_random_moments_lose_nothing(tiny_folder, tmp_path):
    assert start(tiny_folder, tmp_path / "whole", 2).wait() == 0
    source, killed, done = random.Random(3), 0, {}
    while killed < KILLS:
        process = start(tiny_folder, tmp_path / "killed", 2)
        while process.poll() is None and killed < KILLS:
            time.sleep(source.uniform(0, 2))
            if children := workers(process):
                os.kill(source.choice(children), signal.SIGKILL)
                killed += 1
        assert process.wait(300) in (0, 1)
        now = {r.cell.key: r for r in Store(tmp_path / "killed").records()}
        assert all(now[key].metrics == metrics for key, metrics in done.items())
        assert {r.status for r in now.values()} <= {"ok", "failed"} and len(now) == SUITE
        assert all("died twice" in r.reason for r in now.values() if r.status == "failed")
        done = {key: r.metrics for key, r in now.items() if r.status == "ok"}
        for key in source.sample(sorted(done), 4 if killed < KILLS and len(done) == SUITE else 0):
            (tmp_path / "killed" / key).rename(tmp_path / f"{key}-{killed}")
            done.pop(key)
    assert start(tiny_folder, tmp_path / "killed", 2).wait() == 0
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "whole")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert whole(tmp_path / "killed") and not list((tmp_path / "killed").glob(".*"))


def workers(process: subprocess.Popen) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True
    )
    return [int(word) for word in found.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_suite_loses_and_corrupts_nothing(jobs, tiny_folder, tmp_path):
    whole = start(tiny_folder, tmp_path / "whole", jobs)
    began = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - began
    source, killed = random.Random(jobs), 0
    done: dict[str, dict] = {}
    while killed < KILLS:
        process = start(tiny_folder, tmp_path / "killed", jobs)
        try:
            process.wait(source.uniform(0.2, 1.1) * seconds)
            Store(tmp_path / "killed")
            # finished in time: take some away, so that there is something left to kill
            for folder in source.sample(sorted((tmp_path / "killed").glob("[0-9a-f]*")), 4):
                (folder / "record.json").unlink()
                done.pop(folder.name, None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        now = outcomes(tmp_path / "killed")
        assert done.items() <= now.items()
        done = now
    last = start(tiny_folder, tmp_path / "killed", jobs)
    assert last.wait() == 0
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "whole")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tiny_folder, tmp_path):
    process = start(tiny_folder, tmp_path, jobs=2)
    children: list[int] = []
    while len(children) < 2 and process.poll() is None:
        time.sleep(0.1)
        children = workers(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path("/proc", str(child)).exists() for child in children):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.2)
    assert len(children) == 2
