"""What is spent besides training: plans, restarts, tokens read again, imports."""

import json
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest

from bench.desk import Plan
from bench.executors.agenda import put
from bench.record import Record
from bench.reporting import of_plan, text
from bench.store import Store
from bench.suite import load, request
from bench.text import Encoded, tokenizer
from bench.tokencache import VARIABLE, remembered
from bench.weights import find
from tasks import task as tasks
from tasks.base import Row
from tasks.sources import Source

TASKS = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]
SUITE = """
name = "wide"
title = "Wide"
baseline = "adapter[width=1]"
tasks = {tasks}
methods = {methods}

[profiles.quick]
models = ["minilm"]
seeds = {seeds}
recipe = {{ lr = 3e-3, batch = 16, epochs = 1 }}
options = {{ rows = 1024 }}
rules = [
  {{ task = "cola", recipe = {{ epochs = 3 }}, options = {{ dev_rows = 500 }} }},
  {{ method = "lora", recipe = {{ lr = 1e-4 }}, method_options = {{ dropout = 0.1 }} }},
]
"""
COST = {"trained_params": 9, "served_params": 9, "head_params": 9, "train_seconds": 1.0}
COST["eval_seconds"] = 1.0
WHERE = {"selection": "last: the final weights; no score was looked at", "lacks": {}}
LIGHT = """
import sys
from bench.cli import main
sys.argv = ["bench", "run", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
READY = """
import sys
import bench.run
print(*sys.modules)
"""


def suite(folder: Path, methods: int, seeds: int, tasks=TASKS) -> Path:
    """A suite file of so many rows, half of them adapters and half LoRA."""
    sizes = range(1, methods // 2 + 1)
    names = [f"adapter[width={n}]" for n in sizes] + [f"lora[rank={n}]" for n in sizes]
    path = folder / f"wide-{methods}-{seeds}-{len(tasks)}.toml"
    lists = {"tasks": tasks, "methods": names, "seeds": [*range(seeds)]}
    path.write_text(SUITE.format(**{k: json.dumps(v) for k, v in lists.items()}), encoding="utf-8")
    return path


def planned(path: Path, store: Path) -> Plan:
    return Plan(request(load(str(path))), Source("sample"), Store(store))


def finished(path: Path, store: Path) -> Path:
    """A store that has a record of every cell of the suite."""
    plan = planned(path, store)
    for n, one in enumerate(plan.cells):
        asked = tasks[one.job.cell.task.partition("[")[0]]
        scores = dict.fromkeys(asked.metrics, n % 97 / 100)
        put(Record(one.job.cell, "ok", "", asked.primary, scores, COST, WHERE), plan.store)
    return store


def restarted(path: Path, store: Path) -> str:
    """What `bench run` does of a finished suite."""
    plan = planned(path, store)
    assert not plan.todo(force=False)
    return text(of_plan(plan), "md")


def seconds(work, *args) -> float:
    """Processor seconds, the least of three."""
    found = []
    for _ in range(3):
        start = process_time()
        work(*args)
        found.append(process_time() - start)
    return min(found)


def calls(work, *args) -> int:
    """Calls of functions: work that no other process can change."""
    count = 0

    def seen(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work(*args)
    finally:
        sys.setprofile(before)
    return count


def test_plan_of_ten_thousand_cells(benchmark, tmp_path):
    path = suite(tmp_path, methods=26, seeds=50)
    plan = benchmark.pedantic(planned, (path, tmp_path / "store"), rounds=3)
    assert len({one.job.cell.key for one in plan.cells}) == 26 * 50 * 8 > 10_000


@pytest.mark.slow
def test_restart_of_a_finished_suite_of_a_thousand_cells(benchmark, tmp_path):
    path = suite(tmp_path, methods=26, seeds=5)
    store = finished(path, tmp_path / "store")
    table = benchmark.pedantic(restarted, (path, store), rounds=3)
    assert table.count("lora[rank=13]") == 1 and "5 seeds" in table


@pytest.mark.parametrize(("methods", "seeds"), [(10, 16), (40, 1)])
def test_plan_costs_no_more_a_cell_where_there_are_more(tmp_path, methods, seeds):
    four = (methods, 4 * seeds) if seeds > 1 else (4 * methods, seeds)
    small, large = suite(tmp_path, methods, seeds, TASKS[:4]), suite(tmp_path, *four, TASKS[:4])
    planned(small, tmp_path / "store")  # reads plug-ins
    once = calls(planned, small, tmp_path / "store")
    assert calls(planned, large, tmp_path / "store") < 6 * once


def test_seeds_cost_little_in_a_plan(tmp_path):
    few, many = suite(tmp_path, 16, 1), suite(tmp_path, 16, 8)
    planned(few, tmp_path / "store")
    once = calls(planned, few, tmp_path / "s")
    assert calls(planned, many, tmp_path / "store") < 6 * once


def test_restart_costs_no_more_a_cell_where_there_are_more(tmp_path):
    small, large = suite(tmp_path, 6, 3, TASKS[:2]), suite(tmp_path, 24, 3, TASKS[:2])
    stores = [finished(path, tmp_path / path.stem) for path in (small, large)]
    restarted(small, stores[0])
    once = calls(restarted, small, stores[0])
    assert calls(restarted, large, stores[1]) < 6 * once


def test_restart_reads_each_record_once_for_the_plan(tmp_path, monkeypatch):
    path = suite(tmp_path, 4, 2, TASKS[:1])
    store, read = finished(path, tmp_path / "store"), []
    decode = Record.from_json.__func__
    monkeypatch.setattr(
        Record, "from_json", classmethod(lambda cls, text: read.append(text) or decode(cls, text))
    )
    restarted(path, store)
    assert len(read) == len(set(read)) == 8


def test_restart_reads_neither_torch_nor_what_trains(tmp_path):
    path = suite(tmp_path, 2, 2, TASKS[:1])
    store = finished(path, tmp_path / "store")
    words = ["--suite", str(path), "--data", "sample", "--store", str(store)]
    done = subprocess.run([sys.executable, "-c", LIGHT, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lora[rank=1]" in done.stdout and "4 done" in done.stderr
    read = {*done.stderr.splitlines()[-1].split()}
    assert "bench" in read
    assert not read & {"torch", "transformers", "datasets", "pandas", "sklearn", "matplotlib"}


@pytest.mark.slow
def test_what_scores_and_draws_is_not_read_before_the_first_step():
    done = subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True)
    read = {*done.stdout.split()}
    assert "bench.train" in read, done.stderr
    assert not read & {"sklearn", "datasets", "evaluate", "nltk", "matplotlib", "peft"}
    assert "transformers.models.t5.modeling_t5" not in read


def test_tokens_kept_are_read_much_faster_than_made(benchmark, tmp_path):
    tokens = tokenizer(find("minilm"))
    code = remembered(tokens, {VARIABLE: str(tmp_path)})
    line = "the film is a charming and often affecting journey of a woman"
    rows = [Row((f"{line} number {n}",), 0) for n in range(2000)]
    new = seconds(Encoded, rows, tokens, 64)
    Encoded(rows, tokens, 64, code)
    kept = benchmark(Encoded, rows, tokens, 64, code)
    assert len(kept) == 2000
    assert 2 * seconds(Encoded, rows, tokens, 64, code) < new
