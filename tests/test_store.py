import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.record import Cell, Record
from bench.store import Store

CELL = Cell("head", "sst2", "tiny", "adamw", 0, "sample@1")
BEGIN = """
import itertools, os, signal, sys
from pathlib import Path
from bench.record import Cell, Record
from bench.store import Store

def write(store, seed, turn):
    cell = Cell("head", "sst2", "tiny", "adamw", seed, "sample@1")
    with store.writing(cell) as folder:
        (folder / "weights").write_bytes(bytes(100_000))
        text = Record(cell, "ok", metrics={"turn": turn}).to_json()
        (folder / "record.json").write_text(text)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

root, first = sys.argv[1], int(sys.argv[2])
store = Store(root)
"""
FOR_EVER = """
for turn in itertools.count(first):
    for seed in range(3):
        write(store, seed, turn)
        print(seed, turn, flush=True)
"""
FORTY = """
for turn in range(40):
    write(store, 0, turn)
"""
DIES_WRITING = """
with store.writing(Cell("head", "sst2", "tiny", "adamw", 0, "sample@1")) as folder:
    (folder / "record.json").write_text("{")
    die()
"""
DIES_BETWEEN_RENAMES = """
write(store, 0, first)
rename = Path.rename
Path.rename = lambda folder, to: die() if folder.name.startswith(".draft") else rename(folder, to)
write(store, 0, first + 1)
"""


def command(text: str, root: Path, first: int = 0) -> list[str]:
    return [sys.executable, "-c", BEGIN + text, str(root), str(first)]


def start(text: str, root: Path, first: int = 0) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(text, root, first), **pipes)


def put(store: Store, cell: Cell = CELL, **metrics: float) -> Record:
    record = Record(cell, "ok", metrics=metrics)
    with store.writing(cell) as folder:
        (folder / "record.json").write_text(record.to_json())
    return record


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_store_gives_back_what_was_written(tmp_path):
    record = put(Store(tmp_path / "new" / "store"), accuracy=2 / 3)
    store = Store(tmp_path / "new" / "store")
    assert store.get(CELL) == record
    assert list(store.records()) == [record]
    assert names(store.root) == [CELL.key]


def test_cell_and_its_files_stand_in_a_folder_of_its_key(tmp_path):
    store = Store(tmp_path)
    with store.writing(CELL) as folder:
        (folder / "log.txt").write_text("a line")
        (folder / "record.json").write_text(Record(CELL, "ok").to_json())
    assert store.folder(CELL) == tmp_path / CELL.key
    assert (store.folder(CELL) / "log.txt").read_text() == "a line"
    assert not folder.exists()


def test_folders_inside_a_cell_come_with_it(tmp_path):
    store = Store(tmp_path)
    with store.writing(CELL) as folder:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
        (folder / "record.json").write_text(Record(CELL, "ok").to_json())
    assert (store.folder(CELL) / "model" / "config.json").read_text() == "{}"


def test_state_of_an_unfinished_run_is_no_record_and_goes_with_the_record(tmp_path):
    part = Store(tmp_path).part(CELL)
    part.mkdir()
    (part / "checkpoint.pt").write_text("state")
    assert list(Store(tmp_path).records()) == []
    assert (part / "checkpoint.pt").read_text() == "state"
    put(Store(tmp_path))
    assert names(tmp_path) == [CELL.key]


@pytest.mark.parametrize("clock", [-1e9, 0, 1e9])
def test_state_of_the_run_that_left_the_record_is_dropped_whatever_the_clock(
    tmp_path, monkeypatch, clock
):
    store, part = Store(tmp_path), Store(tmp_path).part(CELL)
    part.mkdir()
    monkeypatch.setattr(Store, "_drop", lambda *_: None)  # a kill before it is gone
    put(store)
    monkeypatch.undo()
    os.utime(part, (2e9 + clock, 2e9 + clock))
    Store(tmp_path)
    assert names(tmp_path) == [CELL.key]


@pytest.mark.parametrize("clock", [-1e9, 0, 1e9])
def test_state_of_a_later_run_is_kept_whatever_the_clock(tmp_path, clock):
    store = Store(tmp_path)
    put(store)
    part = store.part(CELL)
    part.mkdir()
    (part / "state.pt").write_text("state")
    os.utime(part, (2e9 + clock, 2e9 + clock))
    Store(tmp_path)
    assert (part / "state.pt").exists()


def test_state_of_a_run_that_was_killed_before_its_record_was_placed_is_kept(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store, turn=1)
    store.part(CELL).mkdir()
    monkeypatch.setattr(Store, "_publish", lambda *_: os.close(os.open("/nowhere", os.O_RDONLY)))
    with pytest.raises(FileNotFoundError):
        put(store, turn=2)
    monkeypatch.undo()
    Store(tmp_path)
    assert store.part(CELL).is_dir()


def test_record_is_found_by_its_key(tmp_path):
    record = put(Store(tmp_path))
    assert Store(tmp_path).at(CELL.key) == record
    assert Store(tmp_path).at("0" * 12) is None
    (tmp_path / "inside").mkdir()
    assert Store(tmp_path / "inside").at(f"../{CELL.key}") is None


def test_opening_a_store_makes_nothing(tmp_path):
    store = Store(tmp_path / "none")
    assert store.get(CELL) is None
    assert list(store.records()) == []
    assert not store.root.exists()


def test_records_come_in_the_order_of_their_keys(tmp_path):
    store = Store(tmp_path)
    cells = [Cell("head", "sst2", "tiny", "adamw", seed, "hub") for seed in range(6)]
    for cell in cells:
        put(store, cell)
    assert [r.cell.key for r in store.records()] == sorted(cell.key for cell in cells)


def test_what_is_no_record_is_passed_over(tmp_path):
    record = put(Store(tmp_path))
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".draft-notes").mkdir()
    assert list(Store(tmp_path).records()) == [record]
    assert (tmp_path / ".draft-notes").is_dir()


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"^expected a directory for the store, got the file '/.*'"
    ):
        Store(tmp_path / "file")


@pytest.mark.parametrize("before", [False, True])
def test_writer_that_raises_leaves_what_was_there(tmp_path, before):
    store = Store(tmp_path)
    record = put(store) if before else None
    with pytest.raises(KeyboardInterrupt), store.writing(CELL) as folder:
        (folder / "record.json").write_text("{")
        raise KeyboardInterrupt
    assert store.get(CELL) == record
    assert names(tmp_path) == [CELL.key] * before


def test_later_record_of_a_cell_replaces_the_earlier_whole(tmp_path):
    store = Store(tmp_path)
    with store.writing(CELL) as folder:
        (folder / "record.json").write_text(Record(CELL, "failed").to_json())
        (folder / "error.txt").write_text("Traceback")
    record = put(store)
    assert store.get(CELL) == record
    assert names(tmp_path / CELL.key) == ["record.json"]
    assert names(tmp_path) == [CELL.key]


DAMAGED = [
    "",
    "{",
    "[]",
    "{}",
    '{"schema": 1}',
    "\xff",
    "[" * 100_000,
    '{"schema": true}',
    '{"schema": 0}',
    Record(CELL, "ok").to_json()[:-100],
    Record(CELL, "ok", metrics={"accuracy": 0.5}).to_json().replace("0.5", "NaN"),
    Record(CELL, "ok", metrics={"accuracy": 0.5}).to_json().replace("0.5", '"high"'),
    Record(CELL, "ok").to_json().replace('"where": {}', '"where": []'),
    Record(CELL, "ok").to_json().replace('"where": {}', '"where": {"loss": Infinity}'),
    Record(CELL, "ok").to_json().replace('"ok"', '"fine"'),
    Record(CELL, "ok").to_json().replace('"parents": []', '"parents": [7]'),
    Record(CELL, "ok", "\\ud800").to_json().replace("\\\\ud800", "\\ud800"),
    Record(CELL, "ok").to_json().replace("sample@1", "sample@2"),
]


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_record_is_named_and_passed_over(tmp_path, text):
    store = Store(tmp_path)
    put(store)
    other = put(store, Cell("head", "sst2", "tiny", "adamw", 1, "hub"))
    (tmp_path / CELL.key / "record.json").write_text(text, encoding="latin-1")
    told = f"{tmp_path / CELL.key / 'record.json'} is not a record: "
    assert list(store.records()) == [other]
    assert [*store.damaged] == [CELL.key]
    assert store.damaged[CELL.key].startswith(told) and "\n" not in store.damaged[CELL.key]
    assert store.damaged[CELL.key].endswith("; delete its folder")
    failed = store.get(CELL)
    assert (failed.status, failed.reason) == ("failed", store.damaged[CELL.key])
    with pytest.raises(ValueError, match=r"is not a record: .*; delete its folder$"):
        store.at(CELL.key)


def test_record_of_a_later_version_is_not_to_be_deleted(tmp_path):
    text = Record(CELL, "ok").to_json().replace('"schema": 1', '"schema": 2')
    put(Store(tmp_path))
    (tmp_path / CELL.key / "record.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"of a later version: .* schema 1, got 2; update peftbench$"
    ):
        Store(tmp_path).at(CELL.key)


def test_record_larger_than_any_is_refused_unread(tmp_path):
    put(Store(tmp_path))
    with (tmp_path / CELL.key / "record.json").open("w") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match="expected at most 16777216 characters, got more"):
        Store(tmp_path).at(CELL.key)


def test_nothing_is_written_over_a_damaged_record(tmp_path):
    store = Store(tmp_path)
    put(store)
    path = tmp_path / CELL.key / "record.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a record"):
        put(store)
    with pytest.raises(ValueError, match="is not a record"), store.claim(CELL):
        pass
    assert (names(tmp_path), path.read_text()) == ([CELL.key], "{")


def test_draft_of_a_dead_process_is_dropped(tmp_path):
    assert subprocess.run(command(DIES_WRITING, tmp_path)).returncode == -signal.SIGKILL
    left = [name.split("-")[:2] for name in names(tmp_path)]
    assert left == [[".claim", CELL.key], [".draft", CELL.key]]
    assert list(Store(tmp_path).records()) == []
    assert names(tmp_path) == []


def test_draft_of_a_living_process_is_kept(tmp_path):
    with Store(tmp_path).writing(CELL) as folder:
        Store(tmp_path)
        (folder / "record.json").write_text(Record(CELL, "ok").to_json())
    assert names(tmp_path) == [CELL.key]


def test_record_set_aside_by_a_killed_replacement_is_put_back(tmp_path):
    assert subprocess.run(command(DIES_BETWEEN_RENAMES, tmp_path, 7)).returncode == -signal.SIGKILL
    assert CELL.key not in names(tmp_path)
    record = Store(tmp_path).get(CELL)
    assert record and record.metrics == {"turn": 7}
    assert names(tmp_path) == [CELL.key]


def test_record_set_aside_gives_way_to_a_newer_one(tmp_path):
    assert subprocess.run(command(DIES_BETWEEN_RENAMES, tmp_path)).returncode == -signal.SIGKILL
    aside = next(tmp_path.glob(".old-*"))
    aside.rename(tmp_path / "later")
    newer = put(Store(tmp_path))
    (tmp_path / "later").rename(aside)
    assert Store(tmp_path).get(CELL) == newer
    assert names(tmp_path) == [CELL.key]


def test_replacement_outlives_a_store_that_is_opened_between_its_renames(tmp_path, monkeypatch):
    store, rename, opened = Store(tmp_path), Path.rename, []
    put(store, turn=1)

    def interrupted(folder, to):
        if folder.name.startswith(".draft") and not opened:
            opened.append(Store(tmp_path).get(CELL))
        return rename(folder, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    newer = put(store, turn=2)
    assert opened[0].metrics == {"turn": 1}
    assert store.get(CELL) == newer
    assert names(tmp_path) == [CELL.key]


def test_replacement_outlives_another_that_sets_the_record_aside_first(tmp_path, monkeypatch):
    store, rename = Store(tmp_path), Path.rename
    put(store, turn=1)

    def late(folder, to):
        if folder.name == CELL.key:
            rename(folder, tmp_path / f".old-{CELL.key}-1-1")
        return rename(folder, to)

    monkeypatch.setattr(Path, "rename", late)
    newer = put(store, turn=2)
    assert Store(tmp_path).get(CELL) == newer
    assert names(tmp_path) == [CELL.key]


def test_many_writers_of_one_cell_leave_one_record(tmp_path):
    writers = [start(FORTY, tmp_path) for _ in range(3)]
    while any(writer.poll() is None for writer in writers):
        found = Store(tmp_path).get(CELL)
        assert found is None or found.cell == CELL
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    assert Store(tmp_path).get(CELL).metrics == {"turn": 39}
    assert names(tmp_path) == [CELL.key]


def test_kills_at_any_moment_lose_no_record_and_leave_no_half(tmp_path):
    source, least = random.Random(0), {}
    for first in range(0, 20_000_000, 1_000_000):
        with start(FOR_EVER, tmp_path, first) as writer:
            told = [writer.stdout.readline() for _ in range(3)]
            time.sleep(source.uniform(0, 0.05))
            os.kill(writer.pid, signal.SIGKILL)
            told += writer.stdout.readlines()
            assert writer.stderr.read() == ""
        whole = [line.split() for line in told if line.endswith("\n")]  # the last may be cut off
        least |= {int(seed): int(turn) for seed, turn in whole}
        found = {r.cell.seed: r.metrics["turn"] for r in Store(tmp_path).records()}
        assert all(found[seed] >= turn for seed, turn in least.items())
    assert least[2] > 1_000_000
    assert len(names(tmp_path)) == 3
    assert all(json.loads(path.read_text()) for path in tmp_path.glob("*/record.json"))
