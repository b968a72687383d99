import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from bench.executors.agenda import Agenda
from bench.executors.local import execute
from bench.executors.room import processes
from bench.job import Job
from bench.store import Store
from tasks.sources import Source
from tests.jobs import job

KILLER = '''
import os, signal, time
from dataclasses import dataclass, replace
from pathlib import Path
from methods import method
from methods.base import Method

@method("killer", source="a test, 2026")
@dataclass(frozen=True)
class Killer(Method):
    """Kills the process it runs in, unless the file it leaves behind is there."""
    mark: str = ""
    after: float = 0.0

    def fit(self, model, run):
        if not self.mark or not Path(self.mark).exists():
            Path(self.mark or os.devnull).touch()
            time.sleep(self.after)
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(model, run)
'''


SLEEPER = '''
import time
from dataclasses import dataclass
from methods import method
from methods.base import Method

@method("sleeper", source="a test, 2026")
@dataclass(frozen=True)
class Sleeper(Method):
    """Takes its time."""
    seconds: float = 6.0

    def fit(self, model, run):
        time.sleep(self.seconds)
        super().fit(model, run)
'''


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """One core as far as the code can see, so that cells run on one thread."""
    before = torch.get_num_threads()
    see = partial(monkeypatch.setattr, os, "sched_getaffinity")
    see(lambda _: {0})
    yield lambda count: see(lambda _: set(range(count)))
    torch.set_num_threads(before)


@pytest.fixture
def killer(tmp_path, monkeypatch):
    """A method that kills its process, as workers find it."""
    monkeypatch.syspath_prepend(distribution(tmp_path / "site", "killer", KILLER))


@pytest.fixture
def sleeper(tmp_path, monkeypatch):
    """A method that takes six seconds, as workers find it."""
    monkeypatch.syspath_prepend(distribution(tmp_path / "rest", "sleeper", SLEEPER))


def distribution(place: Path, name: str, text: str) -> Path:
    """Another distribution with one method, which is called like its module."""
    about = place / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (place / f"{name}.py").write_text(text)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[peftbench.method]\n{name} = {name}\n")
    return place


def heir(asked: Job, *parents: Job) -> Job:
    """The same cell built on others."""
    keys = tuple(parent.cell.key for parent in parents)
    return replace(asked, cell=replace(asked.cell, parents=keys))


def deadly(folder: Path, method: str) -> Job:
    """A cell of a method that only workers have loaded."""
    asked = job(folder, "head")
    return replace(asked, cell=replace(asked.cell, method=method))


def bits(store: Store, jobs: list[Job]) -> list[bytes]:
    files = ("weights.safetensors", "predictions.jsonl")
    return [(store.folder(j.cell) / name).read_bytes() for j in jobs for name in files]


def silent(key: str, event: dict) -> None:
    pass


def test_one_worker_is_this_process_and_its_records_are_in_the_store(tiny_folder, tmp_path):
    jobs = [job(tiny_folder, "head"), job(tiny_folder, "bitfit")]
    store, told = Store(tmp_path / "store"), []
    for done, record in enumerate(execute(jobs, store, 1, lambda *event: told.append(event)), 1):
        assert record.status == "ok"
        assert len(list(store.records())) == done
        assert store.get(jobs[done - 1].cell) == record
    assert {key for key, _ in told} == {j.cell.key for j in jobs}
    assert all(event["step"] <= event["steps"] == 4 for _, event in told)


def test_failed_cell_is_in_the_store_and_the_next_one_runs(tiny_folder, tmp_path):
    jobs = [job(tiny_folder, "lora", lr=1e30, epochs=4), job(tiny_folder, "head")]
    store = Store(tmp_path / "store")
    assert [r.status for r in execute(jobs, store, 1, silent)] == ["failed", "ok"]
    assert store.get(jobs[0].cell).reason.startswith("loss is")


@pytest.mark.parametrize(
    ("count", "workers", "threads"), [(1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 2, 1), (1, 2, 1)]
)
def test_cell_takes_an_even_share_of_the_cores(
    tiny_folder, tmp_path, cores, count, workers, threads
):
    cores(count)
    asked = job(tiny_folder, "head", source=Source("files", tmp_path))  # fails before any work
    [record] = execute([asked], Store(tmp_path / "store"), workers, silent)
    assert record.status == "failed"
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU takes one cell at a time")
def test_no_more_processes_run_than_there_are_cells_cores_and_memory_for(monkeypatch, cores):
    monkeypatch.setattr("bench.executors.room.BYTES_A_CELL", 1)
    cores(8)
    assert [processes(jobs) for jobs in (1, 3, 8, 99)] == [1, 3, 8, 8]
    monkeypatch.setattr("bench.executors.room.BYTES_A_CELL", 2**60)
    assert processes(99) == 1


@pytest.mark.slow
def test_pool_gives_the_same_bits_as_one_process(tiny_folder, tmp_path):
    jobs = [job(tiny_folder, text) for text in ("full", "adamix-lora", "prefix")]
    pooled, told = Store(tmp_path / "pooled"), []
    alone = Store(tmp_path / "alone")
    found = list(execute(jobs, pooled, 2, lambda *event: told.append(event)))
    for one in jobs:
        [record] = execute([one], alone, 2, silent)
        assert record.metrics == next(r for r in found if r.cell == one.cell).metrics
    assert bits(pooled, jobs) == bits(alone, jobs)
    assert {key for key, _ in told} <= {j.cell.key for j in jobs} and told


@pytest.mark.slow
def test_cell_that_kills_its_worker_is_failed_and_the_others_finish(tiny_folder, tmp_path, killer):
    others = [job(tiny_folder, "head", seed=seed) for seed in (1, 2, 3)]
    jobs = [others[0], deadly(tiny_folder, "killer"), *others[1:]]
    store = Store(tmp_path / "store")
    found = {record.cell: record for record in execute(jobs, store, 2, silent)}
    assert len(found) == 4
    assert all(found[other.cell].status == "ok" for other in others)
    killed = found[jobs[1].cell]
    assert (killed.status, killed.reason) == (
        "failed",
        "the process that ran it died twice (killed, or out of memory)",
    )
    assert store.get(jobs[1].cell) == killed and killed.where["versions"]


@pytest.mark.slow
def test_cell_whose_worker_dies_once_gets_its_result_alone(tiny_folder, tmp_path, killer):
    jobs = [deadly(tiny_folder, f"killer[mark={tmp_path}/mark]"), job(tiny_folder, "head")]
    found = list(execute(jobs, Store(tmp_path / "store"), 2, silent))
    assert sorted(record.status for record in found) == ["ok", "ok"]
    assert (tmp_path / "mark").exists()


@pytest.mark.slow
def test_worker_that_dies_while_a_record_is_looked_at_loses_no_cell(tiny_folder, tmp_path, killer):
    mark = tmp_path / "mark"
    jobs = [deadly(tiny_folder, f"killer[mark={mark},after=1]"), job(tiny_folder, "head")]
    jobs += [job(tiny_folder, "head", seed=seed) for seed in (1, 2)]
    found = []
    for record in execute(jobs, Store(tmp_path / "store"), 2, silent):
        found.append(record.cell)
        while not mark.exists():
            time.sleep(0.1)
        time.sleep(2.5 if len(found) == 1 else 0)
    assert sorted(cell.key for cell in found) == sorted(one.cell.key for one in jobs)


def test_cell_starts_once_its_parents_have_ended(tiny_folder):
    parent, other = job(tiny_folder, "head"), job(tiny_folder, "bitfit")
    child = heir(job(tiny_folder, "lora"), parent)
    agenda = Agenda([child, parent, other])
    assert agenda.next() == parent
    agenda.take(parent)
    assert agenda.next() == other
    agenda.take(other)
    assert agenda.next() is None
    agenda.end(other)
    assert agenda.next() is None
    agenda.end(parent)
    assert agenda.next() == child


def test_cell_whose_parent_was_made_before_starts_at_once(tiny_folder):
    child = heir(job(tiny_folder, "lora"), job(tiny_folder, "head"))
    assert Agenda([child]).next() == child


def test_children_of_a_failed_parent_fail_without_being_run(tiny_folder, tmp_path):
    parent = job(tiny_folder, "lora", lr=1e30, epochs=4)
    child = heir(job(tiny_folder, "head"), parent)
    grandchild = heir(job(tiny_folder, "bitfit"), child)
    store, told = Store(tmp_path / "store"), []
    jobs = [grandchild, child, parent, job(tiny_folder, "head")]
    first, second, third, other = execute(jobs, store, 1, lambda *event: told.append(event))
    assert [first.cell, second.cell, third.cell] == [parent.cell, child.cell, grandchild.cell]
    assert second.status == third.status == "failed" and other.status == "ok"
    said = f"parent {parent.cell.key} ({parent.cell.task}) failed: {first.reason}"
    assert second.reason == said
    assert third.reason == f"parent {child.cell.key} ({child.cell.task}) failed: {said}"
    assert store.get(child.cell) == second and second.where["versions"]
    assert {key for key, _ in told} <= {parent.cell.key, other.cell.key}


def test_child_of_a_parent_that_is_nowhere_fails(tiny_folder, tmp_path):
    parent = job(tiny_folder, "head")
    (record,) = execute([heir(parent, parent)], Store(tmp_path / "store"), 1, silent)
    assert (record.status, record.reason) == (
        "failed",
        f"parent {parent.cell.key} has no record",
    )


@pytest.mark.slow
def test_independent_cell_runs_while_a_child_waits_for_its_parent(tiny_folder, tmp_path, sleeper):
    parent = deadly(tiny_folder, "sleeper")
    child, other = heir(job(tiny_folder, "head"), parent), job(tiny_folder, "head")
    found = list(execute([parent, child, other], Store(tmp_path / "store"), 2, silent))
    assert [record.cell for record in found] == [other.cell, parent.cell, child.cell]
    assert {record.status for record in found} == {"ok"}


@pytest.mark.slow
def test_children_of_a_parent_that_kills_its_workers_fail(tiny_folder, tmp_path, killer):
    parent, other = deadly(tiny_folder, "killer"), job(tiny_folder, "head", seed=1)
    child = heir(job(tiny_folder, "head"), parent)
    jobs = [parent, child, other]
    found = {r.cell: r for r in execute(jobs, Store(tmp_path / "store"), 2, silent)}
    assert len(found) == 3 and found[other.cell].status == "ok"
    assert found[child.cell].reason.endswith(f"failed: {found[parent.cell].reason}")
    assert "died twice" in found[child.cell].reason


@pytest.mark.slow
def test_child_runs_after_its_parent_got_a_second_try(tiny_folder, tmp_path, killer):
    parent = deadly(tiny_folder, f"killer[mark={tmp_path}/mark]")
    child = heir(job(tiny_folder, "head"), parent)
    found = list(execute([parent, child], Store(tmp_path / "store"), 2, silent))
    assert [(r.cell, r.status) for r in found] == [(parent.cell, "ok"), (child.cell, "ok")]
