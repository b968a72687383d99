"""What every test shares: one torch thread, a tiny model folder, the real data if present."""

import os
import sys
from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(autouse=True, scope="session")
def cache_of_their_own(tmp_path_factory):
    os.environ["PEFTBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The directory with real data in the official layout; skips where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("BENCH_DATA") or beside)
    if not (path / "glue").is_dir():
        pytest.skip("no real data: set BENCH_DATA to a directory with glue/<TASK>/*.tsv")
    return path


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A directory with a tiny BERT and its tokenizer, as a user would have one."""
    return tiny.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Runs the command line in an empty directory: exit code, output, complaints.

    On one core as far as it knows, so that later tests have one thread too.
    """
    from bench import cli
    from bench.executors import room

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "cores", lambda: 1)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        out, err = capsys.readouterr()
        return exit.value.code, out, err

    return run
