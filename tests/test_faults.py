"""What the machine may do to a run: no room, no rights, no memory, no Java, another clock."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import run as runs
from bench.executors.local import execute
from bench.record import Cell, Record
from bench.store import NoRoom, Store, no_room
from methods.bitfit import BitFit
from tasks.metrics import java, meteor
from tests.jobs import job
from tests.test_execute import distribution, silent

ROOT = Path(__file__).parents[1]
SMALL = "run --suite glue --data sample --tasks sst2 --methods head,bitfit --jobs 1"
SETS = ("rows=32", "dev_rows=20", "epochs=1", "precision=fp32")
BOMB = '''
from dataclasses import dataclass
from methods import method
from methods.bitfit import BitFit

@method("bomb", source="a test, 2026")
@dataclass(frozen=True)
class Bomb(BitFit):
    """Asks for more memory than there is, in one of several ways."""
    kind: str = "torch"

    def fit(self, model, run):
        import torch
        if self.kind == "torch":
            torch.empty(2**46)
        if self.kind == "python":
            bytearray(2**46)
        kept = []
        while self.kind == "slowly":
            kept.append(bytearray(2**24))
        super().fit(model, run)
'''


def bench(folder: Path, store: Path, *words: str, **options) -> subprocess.CompletedProcess:
    """A suite of two small cells, in a process of its own."""
    sets = [word for text in SETS for word in ("--set", text)]
    command = [sys.executable, "-m", "bench", *SMALL.split(), *sets, *words]
    command += ["--models", str(folder), "--store", str(store)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


@contextmanager
def mounted(place: Path, *options: str):
    """A file system of its own; skips where that is not allowed."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no program mount")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def damaged(tmp_path):
    """A store with records of a later version, of another program, and of half a file."""
    from tests.records import cell, scored

    store = Store(tmp_path / "results")
    for seed in range(4):
        record = scored(cell(seed=seed), 0.875)
        with store.writing(record.cell) as folder:
            (folder / "record.json").write_text(record.to_json())
    paths = [store.folder(cell(seed=seed)) / "record.json" for seed in range(3)]
    paths[0].write_text(paths[0].read_text().replace('"schema": 1', '"schema": 2'))
    paths[1].write_text('{"name": "another program"}')
    paths[2].write_text(paths[2].read_text()[:300])
    return store, paths


def test_report_goes_on_without_damaged_records_and_names_them(damaged, request):
    run = request.getfixturevalue("bench")
    _, paths = damaged
    code, out, err = run("report", "--store", str(paths[0].parents[1]))
    assert code == 0 and "| lora" in out
    told = err.splitlines()
    assert sorted(line.split()[3].removesuffix(":") for line in told) == sorted(map(str, paths))
    assert all(line.startswith("bench: passed over: ") for line in told)
    assert out.count("- Passed over: ") == 3
    to = str(paths[0].parents[2] / "out")
    assert (
        run("report", "--store", str(paths[0].parents[1]), "--format", "html", "--to", to)[0] == 0
    )
    assert (Path(to) / "report.html").read_text().count("Passed over") == 3


@pytest.mark.parametrize("half", ["{", '{"schema": 2}'])
def test_run_goes_on_without_a_damaged_cell_and_leaves_it_as_it_is(request, tiny_folder, half):
    run = request.getfixturevalue("bench")
    words = ["--suite", "glue", "--data", "sample", "--tasks", "sst2", "--models", str(tiny_folder)]
    words += [word for text in SETS for word in ("--set", text)] + ["--methods", "head,bitfit"]
    code, listed, _ = run("plan", *words)
    key = listed.split()[0]
    Path("results", key).mkdir(parents=True)
    path = Path("results", key, "record.json")
    path.write_text(half)
    code, listed, err = run("plan", *words)
    assert code == 0 and f"{key}  failed " in listed and str(path) in err and err.count("\n") == 1
    code, out, err = run("run", *words, "--jobs", "1")
    assert code == 1 and "[1/1] bitfit" in err and f"passed over: {path}" in err
    assert str(path) in out and path.read_text() == half
    assert run("run", *words, "--jobs", "1", "--force")[0] == 1 and path.read_text() == half
    path.unlink()
    assert run("run", *words, "--jobs", "1")[0] == 0


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (OSError(errno.ENOENT, "x"), False),
        (RuntimeError("os error 2"), False),
        (None, False),
    ],
)
def test_full_disk_is_told_from_other_errors(error, full):
    assert no_room(error) is full
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = error
    assert no_room(wrapped) is full


def test_full_disk_stops_the_run_and_room_lets_it_go_on(tiny_folder, tmp_path, monkeypatch):
    jobs, store = [job(tiny_folder, "head"), job(tiny_folder, "bitfit")], Store(tmp_path)
    save = runs.save_file

    def full(tensors, path):
        if "out.bias" in str(tensors.keys()) and len(tensors) > 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(runs, "save_file", full)
    with pytest.raises(NoRoom, match=r"^expected room on the disk of the store .* once there is"):
        list(execute(jobs, store, 1, silent))
    (done,) = store.records()
    assert (done.cell, [p.name for p in tmp_path.iterdir()]) == (jobs[0].cell, [done.cell.key])
    monkeypatch.undo()
    assert [r.status for r in execute(jobs[1:], store, 1, silent)] == ["ok"]


@pytest.mark.slow
def test_full_disk_is_one_line_and_the_same_command_goes_on(tiny_folder, tmp_path):
    with mounted(tmp_path / "disk", "size=24k") as disk:
        done = bench(tiny_folder, disk / "store")
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("bench: expected room on the disk of the ")
        assert [r.status for r in Store(disk / "store").records()] in ([], ["ok"])
        assert not list((disk / "store").glob(".draft*"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        done = bench(tiny_folder, disk / "store")
        assert done.returncode == 0, done.stderr
        assert [r.status for r in Store(disk / "store").records()] == ["ok", "ok"]


@pytest.mark.slow
def test_limit_on_the_size_of_files_is_one_line(tiny_folder, tmp_path):
    limit = 1024
    done = bench(
        tiny_folder,
        tmp_path / "store",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bench: expected room on the disk of the store")
    assert list(Store(tmp_path / "store").records()) == []
    assert bench(tiny_folder, tmp_path / "store").returncode == 0


def test_store_for_reading_reports_and_plans_and_runs_nothing(tiny_folder, tmp_path, request):
    run = request.getfixturevalue("bench")
    words = [*SMALL.split()[1:], "--models", str(tiny_folder)]
    words = [w for w in words if w not in ("--jobs", "1")] + ["--store", str(tmp_path / "store")]
    words += [word for text in SETS for word in ("--set", text)]
    store = tmp_path / "store"
    with mounted(store, "size=64m"):
        assert run("run", *words, "--methods", "head")[0] == 0
        (store / ".draft-0123456789ab-1-1").mkdir()
        left = next(store.glob("[0-9a-f]*"))
        left.rename(store / f".old-{left.name}-1-1")
        Store(store)
        (store / ".old-aa-1-1").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        before = sorted(store.rglob("*"))
        assert run("report", "--store", str(store))[0] == 0
        assert run("plan", *words)[0] == 0
        assert run("run", *words, "--methods", "head")[0] == 0, "nothing is left to run"
        code, _, err = run("run", *words)
        told = f"bench: expected a store that can be written, got '{store}': Read-only file system"
        assert (code, err.splitlines()[-1]) == (2, told)
        assert sorted(store.rglob("*")) == before


def test_folder_without_the_right_to_write_is_one_line(tmp_path, tiny_folder, monkeypatch):
    store = Store(tmp_path / "store")
    store.root.mkdir()
    if os.geteuid():
        store.root.chmod(stat.S_IRUSR | stat.S_IXUSR)
    else:  # root may write everywhere

        def refused(*_):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr("bench.claim.os.open", refused)
    with pytest.raises(ValueError, match=r"^expected a store that can be written, got .*: Permiss"):
        list(execute([job(tiny_folder, "head")], store, 1, silent))


@pytest.mark.parametrize("ask", [lambda: torch.empty(2**46), lambda: bytearray(2**46)])
def test_cell_that_asks_for_too_much_memory_fails_and_the_others_go_on(
    tiny_folder, tmp_path, monkeypatch, ask
):
    monkeypatch.setattr(BitFit, "fit", lambda *_: ask())
    jobs = [job(tiny_folder, "bitfit"), job(tiny_folder, "head")]
    found = list(execute(jobs, Store(tmp_path), 1, silent))
    assert [r.status for r in found] == ["failed", "ok"]
    assert found[0].reason.startswith("out of memory: ")


@pytest.mark.slow
def test_worker_over_its_limit_of_memory_fails_and_the_others_go_on(tiny_folder, tmp_path):
    place = distribution(tmp_path / "site", "bomb", BOMB)
    limit = 6 * 2**30
    done = bench(
        tiny_folder,
        tmp_path / "store",
        "--methods",
        "head,bomb[kind=slowly],bitfit",
        "--jobs",
        "2",
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{place}"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1, done.stderr
    found = {r.cell.label: r for r in Store(tmp_path / "store").records()}
    assert {label: r.status for label, r in found.items()} == {
        "head": "ok",
        "bomb[kind=slowly]": "failed",
        "bitfit": "ok",
    }
    assert found["bomb[kind=slowly]"].reason.startswith("out of memory")
    assert found["bomb[kind=slowly]"].where["plugins"] == {"bomb": "bomb 1.0"}


JAVA = """#!{python}
import os, signal, sys, time
if "-version" not in sys.argv:
    sys.stdin.read()
    {dies}
"""
DEATHS = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "java ended with code -9 and said: nothing"),
    "no memory": (
        "sys.exit('java.lang.OutOfMemoryError: Java heap space')",
        "java ended with code 1 and said: java.lang.OutOfMemoryError: Java heap space",
    ),
    "half": ("print('1.0 2.0')", "expected 2 lines of METEOR, got 1"),
    "words": ("print(*['word'] * 23); print(*['word'] * 23)", "could not convert string"),
    "hangs": ("time.sleep(60)", "expected java to end within 1 s"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_java_that_dies_while_scoring_is_told_and_never_waited_for(tmp_path, monkeypatch, death):
    dies, told = DEATHS[death]
    (tmp_path / "java").write_text(JAVA.format(python=sys.executable, dies=dies))
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(java, "SECONDS", 1 if death == "hangs" else 60)
    with pytest.raises((RuntimeError, ValueError), match=told):
        meteor.meteor(["a text", "another"], [["a text"], ["other"]])


def test_predictions_of_a_run_whose_scoring_died_are_kept(tiny_folder, tmp_path, monkeypatch):
    def dies(*_):
        raise RuntimeError("java ended with code -9 and said: nothing")

    asked = job(tiny_folder, "head")
    monkeypatch.setattr("tasks.glue.scored", dies)
    (record,) = execute([asked], Store(tmp_path), 1, silent)
    assert record.status == "failed" and "java ended with code -9" in record.reason
    lines = (Store(tmp_path).folder(asked.cell) / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == 20
    monkeypatch.undo()
    store = Store(tmp_path)
    assert [r.status for r in store.records()] == ["failed"]
    assert [r.status for r in execute([asked], store, 1, silent)] == ["ok"]


def test_clock_that_jumps_changes_nothing(tiny_folder, tmp_path, monkeypatch):
    jobs = [job(tiny_folder, "head"), job(tiny_folder, "bitfit")]
    list(execute(jobs, Store(tmp_path / "whole"), 1, silent))
    now, turn, jump = time.time, [0], 1e9

    def jumping() -> float:
        turn[0] += 1
        return now() + jump * (turn[0] % 3 - 1)

    monkeypatch.setattr("time.time", jumping)
    store = Store(tmp_path / "store")
    for asked in jobs:
        list(execute([asked], store, 1, silent))
        jump = -jump
        for path in store.root.rglob("*"):
            os.utime(path, (now() + jump, now() + jump))
        store = Store(store.root)
        list(store.records())
    found = {r.cell.key: r.metrics for r in store.records()}
    assert found == {r.cell.key: r.metrics for r in Store(tmp_path / "whole").records()}
    assert not list(store.root.glob(".*"))


def test_process_that_dies_in_the_middle_of_a_metric_loses_no_other_cell(tmp_path):
    store = Store(tmp_path)
    asked = Cell("head", "sst2", "tiny", "adamw", 0, "sample@1")
    with store.writing(asked) as folder:
        (folder / "record.json").write_text(Record(asked, "ok").to_json())
    child = os.fork()
    if not child:
        with Store(tmp_path).writing(replace(asked, seed=1)) as folder:
            (folder / "predictions.jsonl").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [r.cell for r in Store(tmp_path).records()] == [asked]
    assert [path.name for path in tmp_path.iterdir()] == [asked.key]
