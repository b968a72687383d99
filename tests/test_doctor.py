import json
import subprocess
import sys
import time

import pytest

from bench.doctor import machine, supplies
from bench.doctor.check import Check, Wanted
from bench.record import Cell, Record
from bench.store import Store
from bench.suite import load, request
from tasks.sources import resolve
from tests.test_execute import distribution


def named(checks, name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def wanted(suite: str = "glue", **chosen) -> Wanted:
    return Wanted(request(load(suite), **chosen))


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_doctor_of_a_sound_suite_finds_no_problem(bench, offline, tmp_path):
    words = ("--suite", "glue", "--data", "sample", "--store", "new")
    code, out, err = bench("doctor", *words, "--json")
    checks = [Check(**row) for row in json.loads(out)]
    assert (code, err) == (0, "") and not (tmp_path / "new").exists()
    assert not [check for check in checks if check.state == "problem"]
    names = {check.name for check in checks}
    assert {"python", "packages", "torch", "threads", "memory", "store", "model", "plan"} <= names
    assert named(checks, "plan")[0].told.startswith("glue: 64 cells, 0 done")
    assert "java" not in names, "GLUE needs no Java"
    code, out, _ = bench("doctor", *words)
    assert code == 0 and out.splitlines()[-1] == "0 problems, 1 warnings"
    assert len(out.splitlines()) == len(checks) + 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--suite", "glu"], "problem  suite"),
        (["--suite", "glue", "--data", "/nowhere"], "problem  data"),
        (["--data", "sample", "--store", "file"], "problem  store"),
        (["--suite", "glue", "--profile", "paper", "--data", "sample"], "problem  model"),
        (["--suite", "glue", "--data", "empty"], "problem  data"),
        (["--suite", "glue", "--data", "hub"], "problem  hub"),
    ],
)
def test_what_would_stop_a_run_is_a_problem_and_the_exit_code_one(bench, offline, words, told):
    (supplies.Path.cwd() / "file").write_text("")
    (supplies.Path.cwd() / "empty").mkdir()
    code, out, err = bench("doctor", *words)
    assert (code, err) == (1, "")
    assert any(line.startswith(told) for line in out.splitlines()), out


def test_version_outside_the_supported_range_is_a_problem(monkeypatch):
    have = {"torch": "2.10.0+cpu", "numpy": ""}
    real = machine._installed
    monkeypatch.setattr(machine, "_installed", lambda name: have.get(name, real(name)))
    checks = list(machine.software(wanted()))
    (torch,), (numpy,) = named(checks, "torch"), named(checks, "numpy")
    assert torch[1:3] == ("problem", "expected >=2.11, got 2.10.0+cpu")
    assert numpy[1:3] == ("problem", "not installed, expected >=2.0")
    assert not named(checks, "packages")


def test_extra_that_lacks_is_a_problem_only_where_it_is_needed(monkeypatch):
    real = machine._installed
    monkeypatch.setattr(machine, "_installed", lambda name: real(name) * (name != "optuna"))
    searched = wanted()
    tuned = searched.request.profile.model_copy(
        update={"tune": type("Tune", (), {"search": "tpe"})()}
    )
    searched = Wanted(searched.request.__class__(load("glue"), tuned, (), (), (), ()))
    assert named(machine.software(searched), "optuna")[0].state == "problem"
    assert not named(machine.software(wanted()), "optuna")
    assert named(machine.software(Wanted()), "optuna")[0].state == "warning"


@pytest.mark.parametrize(
    ("free", "state"), [(2**29, "problem"), (2 * 2**30, "warning"), (2**36, "ok")]
)
def test_memory_is_held_against_what_a_cell_takes(monkeypatch, free, state):
    monkeypatch.setattr("bench.executors.room.available", lambda: free)
    assert named(machine.hardware(), "memory")[0].state == state


def test_more_threads_than_cores_are_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert named(machine.hardware(), "threads")[0].state == "warning"


def test_without_java_the_metrics_that_lack_are_named(monkeypatch):
    monkeypatch.setattr("tasks.metrics.java.found", lambda: False)
    (check,) = machine.java(wanted("nlg"))
    assert check.state == "warning" and "CIDEr, METEOR" in check.told
    assert list(machine.java(wanted("glue"))) == []


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (subprocess.CompletedProcess([], 1, b"", b"no JVM"), "does not run: no JVM"),
        (subprocess.TimeoutExpired("java", 2), "does not answer: "),
        (subprocess.CompletedProcess([], 0, b"", b'version "17"\nmore'), 'version "17"'),
    ],
)
def test_java_has_to_run(monkeypatch, done, told):
    def run(*_, **__):
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr("tasks.metrics.java.found", lambda: True)
    monkeypatch.setattr(machine.subprocess, "run", run)
    (check,) = machine.java(wanted("nlg"))
    assert check.told.startswith(told)


def test_hub_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("tasks.sources.reachable", lambda *_: time.sleep(60))
    monkeypatch.setattr(machine, "SECONDS", -0.9)
    began = time.monotonic()
    answer = machine.Reached({})
    assert answer.check(needed=True).state == "problem"
    assert answer.check(needed=False).state == "ok"
    assert time.monotonic() - began < 5
    assert "HF_HUB_OFFLINE is set" in machine.Reached({"HF_HUB_OFFLINE": "1"}).check(True).told


@pytest.mark.parametrize(("free", "state"), [(2**20, "problem"), (2**30, "warning"), (2**40, "ok")])
def test_room_on_the_disk_of_the_store(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(supplies, "disk", lambda path: free * (path == str(tmp_path)))
    (check,) = supplies.store(tmp_path / "not" / "there")
    assert check.state == state


def test_damaged_and_unfinished_cells_of_a_store_are_told(tmp_path):
    store = Store(tmp_path)
    cells = [Cell("head", "sst2", "tiny", "adamw", seed, "hub") for seed in range(2)]
    for cell in cells:
        with store.writing(cell) as folder:
            (folder / "record.json").write_text(Record(cell, "ok").to_json())
    (store.folder(cells[0]) / "record.json").write_text("{")
    store.part(cells[1]).mkdir()
    checks = list(supplies.store(tmp_path))
    assert named(checks, "store")[0].told.startswith("1 records, ")
    assert cells[0].key in named(checks, "record")[0].told
    assert named(checks, "unfinished")[0].told == "1 runs to go on with, 0 cells being written"


def test_encoder_with_other_bytes_is_a_problem(monkeypatch):
    def damaged(weights):
        raise ValueError("weights of 'minilm': expected sha256 0, got 1")

    monkeypatch.setattr("bench.weights.verify", damaged)
    (check,) = supplies.models(wanted(), False)
    assert (check.state, check.told[:19]) == ("problem", "weights of 'minilm'")


def test_rows_are_counted_and_partial_and_absent_ones_told(tmp_path):
    (tmp_path / "glue" / "RTE").mkdir(parents=True)
    lines = "index\tsentence1\tsentence2\tlabel\n" + "1\ta\tb\tentailment\n" * 30
    for name in ("train", "dev"):
        (tmp_path / "glue" / "RTE" / f"{name}.tsv").write_text(lines)
    asked = wanted(tasks=["rte", "cola"])
    rte, cola = supplies.rows(asked, resolve(str(tmp_path), {}))
    assert rte.state == "warning" and "30 of 2,490 rows" in rte.told
    assert cola.state == "problem" and "CoLA/train.tsv" in cola.told


def test_plug_ins_are_told_and_broken_ones_are_warnings(tmp_path):
    place = distribution(tmp_path / "site", "hollow", "import no_such_module\n")
    good = "from dataclasses import dataclass\nfrom methods import method\n"
    good += "from methods.bitfit import BitFit\n@method('thin', source='a test')\n"
    good += "@dataclass(frozen=True)\nclass Thin(BitFit):\n    pass\n"
    distribution(tmp_path / "site", "thin", good)
    command = "from bench.doctor import supplies as s, visit; print(visit.shown(list(s.plugins())))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        env={**supplies.os.environ, "PYTHONPATH": f"{supplies.Path.cwd()}:{place}"},
    )
    assert "ok       plug-in  method thin of thin 1.0\n" in done.stdout, done.stderr
    told = "method hollow of hollow 1.0: ModuleNotFoundError: No module named 'no_such_module'"
    assert f"warning  plug-in  {told}; it is left out: update or remove it" in done.stdout
