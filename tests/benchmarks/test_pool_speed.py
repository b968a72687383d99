"""Two processes with a thread each against one with two, on a suite of small cells."""

import json
import os
import subprocess
import sys
import time

import pytest

from bench.executors.room import cores

WORDS = "run --suite glue --tasks rte,mrpc --set rows=256 --set epochs=2 --set dev_rows=100"
RUNS = 3


def seconds(store, jobs: int, data) -> float:
    """What the command takes, all of it."""
    words = [*WORDS.split(), "--jobs", str(jobs), "--store", str(store), "--data", str(data)]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "bench", *words], check=True, capture_output=True, env=environment
    )
    return time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.skipif(cores() != 2, reason="the goal is about two cores")
def test_two_jobs_finish_a_suite_of_small_cells_earlier(real_data, tmp_path, capsys):
    ratios = []
    for turn in range(RUNS):
        one, two = (seconds(tmp_path / f"{turn}-{n}", n, real_data) for n in (1, 2))
        ratios.append(one / two)
    cells = [json.loads(p.read_text()) for p in (tmp_path / "0-2").glob("*/record.json")]
    assert len(cells) >= 16 and {cell["status"] for cell in cells} == {"ok"}
    with capsys.disabled():
        print("\n--jobs 1 / --jobs 2:", *(f"{ratio:.2f}" for ratio in ratios))
    assert sorted(ratios)[RUNS // 2] >= 1.25
