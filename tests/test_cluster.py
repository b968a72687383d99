"""Cells on a Ray cluster of two nodes with one core each, which the tests start."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench import spec
from bench.executors import cluster as clusters
from bench.executors.cluster import Cluster, Share
from bench.executors.errand import Errand
from bench.executors.local import execute
from bench.store import Store
from methods import resolve
from tests.jobs import job
from tests.test_execute import KILLER, bits, deadly, distribution, heir, silent

pytest.importorskip("ray")

ROOT = Path(__file__).parents[1]
SLOW = '''
import time
from dataclasses import dataclass
from pathlib import Path
from methods import method
from methods.base import Method

@method("slow", source="a test, 2026")
@dataclass(frozen=True)
class Slow(Method):
    """Takes its time, and leaves a file each time that it begins."""
    marks: str = ""
    seconds: float = 8.0

    def fit(self, model, run):
        (Path(self.marks) / str(time.time_ns())).touch()
        for _ in range(int(10 * self.seconds)):
            time.sleep(0.1)
        super().fit(model, run)
'''


@pytest.fixture(autouse=True)
def core(monkeypatch):
    """One core as far as this process can see: cells run on one thread here as they do there."""
    monkeypatch.setattr("bench.executors.room.cores", lambda: 1)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """A cluster of two nodes; workers find two more methods."""
    from ray.cluster_utils import Cluster as Nodes

    site = distribution(tmp_path_factory.mktemp("site"), "killer", KILLER)
    distribution(site, "slow", SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
        size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        found = Nodes(initialize_head=True, head_node_args={**size, "include_dashboard": False})
        found.add_node(**size)
        found.size = size
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def ray_cluster(nodes):
    with Cluster(nodes.address) as found:
        yield found


@pytest.fixture
def apart(monkeypatch):
    """Workers that do not see the store: it stands somewhere else for them."""

    def errand(job, store, *rest):
        return Errand(
            replace(job, part=job.part and Path("/nowhere")), Store(store.root / "away"), *rest
        )

    monkeypatch.setattr(clusters, "Errand", errand)


def run(ray_cluster, jobs, store, tell=silent):
    return list(ray_cluster.execute(jobs, store, tell))


def hidden(store):
    return [path.name for path in store.root.glob(".*")]


@pytest.mark.slow
def test_records_are_those_of_the_local_executor_bit_by_bit(ray_cluster, tiny_folder, tmp_path):
    jobs = [job(tiny_folder, text) for text in ("full", "adamix-lora", "prefix")]
    jobs.append(heir(job(tiny_folder, "head"), jobs[0]))
    far, near, told = Store(tmp_path / "far"), Store(tmp_path / "near"), []
    found = run(ray_cluster, jobs, far, lambda *event: told.append(event))
    order = [record.cell.key for record in found]
    assert order.index(jobs[0].cell.key) < order.index(jobs[3].cell.key)
    for record in execute(jobs, near, 1, silent):
        sent = far.get(record.cell)
        assert (record.status, sent.status) == ("ok", "ok"), sent.reason
        assert sent.metrics == record.metrics
    assert bits(far, jobs) == bits(near, jobs)
    assert {key for key, _ in told} <= {*order} and told
    assert all(event["step"] <= event["steps"] == 4 for _, event in told)
    assert hidden(far) == []


def inferred(trained, store):
    """A cell that evaluates what another one has trained."""
    asked = resolve(f"infer[of={trained.cell.method}]", trained.cell.model)
    child = replace(trained, cell=replace(trained.cell, method=spec.text(asked)))
    return replace(heir(child, trained), built_on=(store.folder(trained.cell),))


@pytest.mark.slow
def test_store_that_workers_do_not_see_gets_the_same_folders(
    ray_cluster, tiny_folder, tmp_path, apart
):
    far, near = Store(tmp_path / "far"), Store(tmp_path / "near")
    trained, broken = job(tiny_folder, "adamix-lora"), job(tiny_folder, "lora", lr=1e30, epochs=4)
    for store in (far, near):
        jobs = [trained, broken, inferred(trained, store)]
        jobs.append(heir(job(tiny_folder, "head"), broken))
        if store is near:
            found = {record.cell: record for record in execute(jobs, store, 1, silent)}
        else:
            sent = {record.cell: record for record in run(ray_cluster, jobs, store)}
    assert [sent[one.cell].status for one in jobs] == ["ok", "failed", "ok", "failed"]
    for one in jobs:
        record = sent[one.cell]
        assert far.get(one.cell) == record
        assert (record.metrics, record.reason) == (found[one.cell].metrics, found[one.cell].reason)
        names = [sorted(p.name for p in s.folder(one.cell).iterdir()) for s in (far, near)]
        assert names[0] == names[1]
    assert bits(far, [trained]) == bits(near, [trained])
    assert hidden(far) == []


@pytest.mark.slow
def test_worker_that_dies_costs_one_more_try_and_dies_twice_at_most(
    ray_cluster, tiny_folder, tmp_path
):
    jobs = [
        deadly(tiny_folder, f"killer[mark={tmp_path}/mark]"),
        deadly(tiny_folder, "killer"),
        job(tiny_folder, "head"),
    ]
    jobs.append(heir(job(tiny_folder, "bitfit"), jobs[0]))
    store = Store(tmp_path / "store")
    found = {record.cell: record for record in run(ray_cluster, jobs, store)}
    assert [found[one.cell].status for one in jobs] == ["ok", "failed", "ok", "ok"]
    assert found[jobs[1].cell].reason == (
        "the process that ran it died twice (killed, or out of memory)"
    )
    assert store.get(jobs[1].cell) == found[jobs[1].cell]


@pytest.mark.slow
def test_cells_of_a_node_that_goes_are_run_on_another(nodes, ray_cluster, tiny_folder, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    jobs = [
        replace(one, cell=replace(one.cell, method=f"slow[marks={marks}]", seed=seed))
        for seed, one in enumerate([job(tiny_folder, "head")] * 3)
    ]
    third = nodes.add_node(**nodes.size)
    records = ray_cluster.execute(jobs, Store(tmp_path / "store"), remover(nodes, third, marks))
    assert [record.status for record in records] == ["ok"] * 3
    assert len([*marks.iterdir()]) == 4


def remover(nodes, node, marks):
    """Removes a node once three cells are under way; called when one tells something."""
    import threading

    def watch():
        while len([*marks.iterdir()]) < 3:
            time.sleep(0.1)
        nodes.remove_node(node)

    threading.Thread(target=watch, daemon=True).start()
    return silent


@pytest.mark.slow
def test_cells_under_way_are_cancelled_where_the_rest_is_not_wanted(
    ray_cluster, tiny_folder, tmp_path
):
    marks, store = tmp_path / "marks", Store(tmp_path / "store")
    marks.mkdir()
    jobs = [job(tiny_folder, "head"), deadly(tiny_folder, f"slow[marks={marks},seconds=90]")]
    records = ray_cluster.execute(jobs, store, silent)
    assert next(records).cell == jobs[0].cell
    while not [*marks.iterdir()]:
        time.sleep(0.1)
    began = time.monotonic()
    records.close()
    while hidden(store):
        assert time.monotonic() - began < 30, hidden(store)
        time.sleep(0.2)
    assert [record.cell for record in store.records()] == [jobs[0].cell]


@pytest.mark.slow
def test_cell_that_no_node_has_room_for_is_told(nodes, tiny_folder, tmp_path):
    asked = Cluster(nodes.address, Share(cpus=3))
    with pytest.raises(ValueError, match=r"machine with 3 CPUs and 0 GPUs.*got 1 and 0, 1 and 0"):
        run(asked, [job(tiny_folder, "head")], Store(tmp_path))


WORDS = "run --suite glue --data sample --tasks sst2 --methods head,lora,adamix-lora --executor ray"
SETS = "rows=2000 dev_rows=40 epochs=9 precision=fp32"


def start(folder, place):
    """The command, in a group of processes as a terminal has it."""
    words = [*WORDS.split(), "--models", str(folder)]
    words += [w for s in SETS.split() for w in ("--set", s)]
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def under_way(process, place):
    """Waits until a cell is; every process that the command has started."""
    while not list(place.glob("results/.draft-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.2)
    return psutil.Process(process.pid).children(recursive=True)


def gone(started, seconds=30):
    _, alive = psutil.wait_procs(started, seconds)
    return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
def test_command_that_is_stopped_leaves_nothing_running_and_goes_on(tiny_folder, tmp_path):
    process = start(tiny_folder, tmp_path)
    started = under_way(process, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "bench: stopped; the same command goes on from here"
    assert "Traceback" not in said
    assert len(started) > 3 and gone(started)
    assert not [*tmp_path.glob("results/.draft-*"), *tmp_path.glob("results/.token-*")]
    process = start(tiny_folder, tmp_path)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert len([*tmp_path.glob("results/*/record.json")]) == 3


@pytest.mark.slow
def test_workers_end_when_the_command_is_killed(tiny_folder, tmp_path):
    process = start(tiny_folder, tmp_path)
    started = under_way(process, tmp_path)
    process.kill()
    process.communicate()
    assert len(started) > 3 and gone(started, 100)  # Ray's own agents look once a minute


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--address here",
            "expected the address of a Ray cluster as HOST:PORT or auto, got 'here'",
        ),
        ("--address ray://a:1", "HOST:PORT or auto, got 'ray://a:1'"),
        ("--cpus 0", "expected --cpus above 0, got 0"),
        ("--gpus 1.5", "expected --gpus from 0 to 1 or a whole number, got 1.5"),
        ("--gpus -1", "expected --gpus from 0 to 1 or a whole number, got -1"),
    ],
)
def test_wrong_wish_for_a_cluster_is_told_in_a_line(bench, tiny_folder, words, told):
    code, _, complaint = bench(*WORDS.split(), "--models", str(tiny_folder), *words.split())
    assert code == 2 and told in complaint and complaint.count("\n") <= 2


def test_cluster_that_does_not_answer_is_told_at_once(bench, tiny_folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = (*WORDS.split(), "--models", str(tiny_folder), "--address", address)
    code, _, complaint = bench(*words)
    assert code == 2 and f"bench: expected a Ray cluster at {address}, got no answer" in complaint


def test_machine_without_ray_is_told_how_to_get_it(bench, tiny_folder, monkeypatch):
    monkeypatch.setattr(clusters, "find_spec", lambda _: None)
    code, _, complaint = bench(*WORDS.split(), "--models", str(tiny_folder))
    assert code == 2
    needs = "bench: --executor ray needs the package ray: pip install 'peftbench[cluster]'\n"
    assert complaint == needs


@pytest.mark.parametrize("words", ["--address auto", "--cpus 2", "--gpus 0"])
def test_options_of_a_cluster_stand_beside_its_executor(bench, tiny_folder, words):
    asked = [word for word in WORDS.split() if word not in ("--executor", "ray")]
    code, _, complaint = bench(*asked, *words.split())
    assert code == 2
    assert complaint == f"bench: expected --executor ray beside {words.split()[0]}, got none\n"


def test_places_on_a_cluster_are_counted_machine_by_machine(monkeypatch):
    monkeypatch.setattr(clusters, "_machines", lambda: [(4.0, 1.0), (3.0, 0.0), (16.0, 8.0)])
    places = {wish: clusters._places(*wish) for wish in [(1, 0), (2, 0), (2, 0.5), (1, 1), (17, 0)]}
    assert places == {(1, 0): 23, (2, 0): 11, (2, 0.5): 10, (1, 1): 9, (17, 0): 0}
