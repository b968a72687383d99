import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import claim
from bench.claim import CLAIM, Claims
from bench.executors.agenda import Agenda, put
from bench.executors.local import execute
from bench.job import Job
from bench.record import Cell, Record
from bench.store import Store
from bench.weights import Weights
from tasks.sources import Source

CELL = Cell("head", "sst2", "tiny", "adamw", 0, "sample@1")
HOLDS = """
import sys, time
from bench.claim import Claims
from pathlib import Path
assert Claims(Path(sys.argv[1])).take(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""
ELSEWHERE = b"another-machine 7 0a 000000000001\n"


def write(store: Store, status="ok", cell: Cell = CELL, **metrics: float) -> Record:
    record = Record(cell, status, metrics=metrics)
    with store.writing(cell) as folder:
        (folder / "record.json").write_text(record.to_json())
    return record


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass as they are told to."""
    now = [0.0]
    monkeypatch.setattr(claim.time, "monotonic", lambda: now[0])
    return now


def test_claim_is_held_by_one_and_leaves_nothing(tmp_path):
    mine = Claims(tmp_path).take("a")
    assert Claims(tmp_path).take("a") is None
    assert Claims(tmp_path).busy("a") and not Claims(tmp_path).busy("b")
    mine.release()
    assert not Claims(tmp_path).busy("a")
    assert list(tmp_path.iterdir()) == []


def test_claim_of_a_killed_process_is_free_at_once(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path), "a"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert Claims(tmp_path).take("a") is None
        os.kill(holder.pid, signal.SIGKILL)
    assert (tmp_path / f"{CLAIM}a").exists()
    assert not Claims(tmp_path).busy("a")
    assert list(tmp_path.iterdir()) == []


def test_claim_whose_file_went_while_it_was_opened_is_taken_anew(tmp_path, monkeypatch):
    first, lock = Claims(tmp_path).take("a"), claim._lock

    def late(file):
        monkeypatch.undo()
        first.release()
        return lock(file)

    monkeypatch.setattr(claim, "_lock", late)
    mine = Claims(tmp_path).take("a")
    assert mine and mine.path.exists()
    assert Claims(tmp_path).take("a") is None
    mine.release()


def test_claim_of_another_machine_stands_while_its_text_changes(tmp_path, clock):
    claims, path = Claims(tmp_path), tmp_path / f"{CLAIM}a"
    for beat in range(1, 9):
        path.write_bytes(b"another-machine 7 0a %012d\n" % beat)
        assert claims.take("a") is None
        clock[0] += claim.PATIENCE - 1
    clock[0] += 2
    mine = claims.take("a")
    assert mine and path.read_bytes().startswith(mine.name)
    mine.release()


@pytest.mark.parametrize("text", [ELSEWHERE, b"%s 7 0a 000000000001\n" % claim._machine()])
def test_without_locks_only_what_stands_still_is_taken_over(tmp_path, monkeypatch, clock, text):
    monkeypatch.setattr(claim, "_lock", lambda _: None)
    monkeypatch.setattr(claim.time, "sleep", lambda _: None)
    (tmp_path / f"{CLAIM}a").write_bytes(text)
    claims = Claims(tmp_path)
    assert claims.take("a") is None
    clock[0] = claim.PATIENCE
    mine = claims.take("a")
    assert mine
    mine.release()


def test_without_locks_the_text_that_stays_tells_who_has_the_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "_lock", lambda _: None)
    path, other = tmp_path / f"{CLAIM}a", b"%s 1 ff" % claim._machine()
    monkeypatch.setattr(claim.time, "sleep", lambda _: path.write_bytes(other))
    assert Claims(tmp_path).take("a") is None
    assert path.read_bytes() == other


def test_holder_changes_the_text_until_it_lets_go(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT", 0.01)
    mine = Claims(tmp_path).take("a")
    texts, deadline = set(), time.monotonic() + 20
    while len(texts) < 3 and time.monotonic() < deadline:
        texts.add(mine.path.read_bytes())
    mine.release()
    reused = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # the number that was let go
    time.sleep(0.05)
    assert len(texts) == 3 and os.fstat(reused).st_size == 0
    os.close(reused)


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_record_that_another_put_there_since_stands_for_the_cell(tmp_path, status):
    mine, other = Store(tmp_path), Store(tmp_path)
    write(mine, "failed")
    assert [r.status for r in mine.records()] == ["failed"]
    with mine.claim(CELL) as found:
        assert found is None
    theirs = write(other, status, accuracy=0.5)
    with pickle.loads(pickle.dumps(mine)).claim(CELL) as found:
        assert found == theirs
    assert put(Record(CELL, "failed", "late"), mine) == theirs
    assert mine.get(CELL) == theirs


def test_store_that_goes_to_a_worker_holds_no_claim_there(tmp_path):
    store = Store(tmp_path)
    with store.claim(CELL):
        assert pickle.loads(pickle.dumps(store)).busy(CELL.key)
        copy = pickle.loads(pickle.dumps(store))
        assert copy._held == set()


def test_draft_of_another_machine_is_swept_only_once_its_claim_is_dead(tmp_path, clock):
    (tmp_path / f".draft-{CELL.key}-7-1").mkdir()
    held = tmp_path / f"{CLAIM}{CELL.key}"
    held.write_bytes(ELSEWHERE)
    store = Store(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    clock[0] = claim.PATIENCE
    with store.claim(CELL):
        pass
    Store(tmp_path)
    assert list(tmp_path.iterdir()) == []


def jobs(count: int) -> list[Job]:
    place, weights = Source("sample"), Weights("tiny", "/nowhere")
    return [Job(replace(CELL, seed=seed), place, weights) for seed in range(count)]


def test_what_is_under_way_elsewhere_is_put_off():
    first, second, third = jobs(3)
    agenda = Agenda([first, second, third], {first.cell.key}.__contains__)
    assert agenda.next() is second
    agenda.take(second)
    agenda.take(third)
    assert agenda.next() is first


def test_two_runners_do_no_cell_twice_and_both_have_every_record(tmp_path, monkeypatch):
    done: list[tuple[str, int]] = []

    def attempt(job, folder, tell):
        done.append((job.cell.key, threading.get_ident()))
        time.sleep(0.02)
        status = "failed" if job.cell.seed % 3 == 0 else "ok"
        record = Record(job.cell, status, metrics={"by": float(len(done))})
        (folder / "record.json").write_text(record.to_json())
        return record

    monkeypatch.setattr("bench.run.attempt", attempt)
    wanted, found = jobs(12), {}

    def runner(number):
        store = Store(tmp_path)
        assert list(store.records()) == []
        ready.wait()
        found[number] = list(execute(wanted, store, 1, lambda *_: None))

    ready = threading.Barrier(2)
    threads = [threading.Thread(target=runner, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(key for key, _ in done) == sorted(job.cell.key for job in wanted)
    assert len({ident for _, ident in done}) == 2, "one runner only waited for the other"
    by_key = [{r.cell.key: r for r in records} for records in found.values()]
    assert by_key[0] == by_key[1] == {r.cell.key: r for r in Store(tmp_path).records()}
    assert len(by_key[0]) == 12 and not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_two_runs_of_one_suite_do_no_cell_twice(tiny_folder, tmp_path):
    from tests.test_kills import start

    runs = [start(tiny_folder, tmp_path / "store", 1, stderr=subprocess.PIPE) for _ in range(2)]
    told = [run.communicate()[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert all("[6/6]" in text or "6 cells, 6 done" in text for text in told)
    pids = {path: Path(path, "pid").read_text() for path in (tmp_path / "store").glob("*/pid")}
    assert not pids and len(list(Store(tmp_path / "store").records())) == 6
