import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cachefolder import CacheFolder

ARRAYS = {"ids": np.arange(300, dtype=np.uint16), "lengths": np.array([100, 200], dtype=np.int32)}
OTHER = {"ids": np.zeros(5, dtype=np.uint8)}
BUSY = """
import sys
import numpy as np
from pathlib import Path
from bench.cachefolder import CacheFolder
folder = CacheFolder(Path(sys.argv[1]), budget=20_000)
for turn in range(60):
    for key in ("a", "b", "c"):
        kept = folder.get(key)
        assert kept is None or (kept["x"] == ord(key)).all() and kept["x"].shape == (8000,)
        folder.put(key, {"x": np.full(8000, ord(key), dtype=np.uint8)})
"""


def same(found, expected) -> bool:
    assert found is not None
    assert found.keys() == expected.keys()
    return all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array)
        for name, array in expected.items()
    )


def entry(folder, key="k"):
    return folder.root / f"{key}.arrays"


@contextmanager
def no_file_above(size: int):
    """As on a full disk: a write ends where the file has so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def used(folder, key, seconds_ago):
    then = time.time() - seconds_ago
    os.utime(entry(folder, key), (then, then))


def test_what_was_put_is_got(tmp_path):
    folder = CacheFolder(tmp_path / "new" / "deep")
    assert folder.get("k") is None
    folder.put("k", ARRAYS)
    folder.put("other", OTHER)
    assert same(CacheFolder(folder.root).get("k"), ARRAYS)
    assert same(folder.get("other"), OTHER)
    assert {path.name for path in folder.root.iterdir()} == {"k.arrays", "other.arrays"}


def test_later_arrays_take_the_place_of_earlier_ones(tmp_path):
    folder = CacheFolder(tmp_path)
    folder.put("k", OTHER)
    folder.put("k", ARRAYS)
    assert same(folder.get("k"), ARRAYS)


@given(data=st.data())
def test_damaged_entry_reads_as_nothing_and_is_replaced(tmp_path_factory, data):
    folder = CacheFolder(tmp_path_factory.mktemp("damaged"))
    folder.put("k", ARRAYS)
    whole = entry(folder).read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["short", "bit", "longer", "random"]))
    bad = {
        "short": whole[:cut],
        "bit": whole[:cut] + bytes([whole[cut] ^ 1 << cut % 8]) + whole[cut + 1 :],
        "longer": whole + whole[:cut] + b"\0",
        "random": data.draw(st.binary(max_size=200)),
    }[kind]
    entry(folder).write_bytes(bad)
    assert folder.get("k") is None
    folder.put("k", ARRAYS)
    assert same(folder.get("k"), ARRAYS)


def test_entry_of_another_key_reads_as_nothing(tmp_path):
    folder = CacheFolder(tmp_path)
    folder.put("a", ARRAYS)
    shutil.copy(entry(folder, "a"), entry(folder, "k"))
    assert folder.get("k") is None


def test_what_is_no_file_reads_as_nothing_and_is_left_alone(tmp_path):
    folder = CacheFolder(tmp_path)
    entry(folder).mkdir()
    assert folder.get("k") is None
    folder.put("k", ARRAYS)
    assert entry(folder).is_dir()
    assert os.listdir(tmp_path) == ["k.arrays"]


def test_disk_that_is_full_keeps_nothing_and_fails_nobody(tmp_path):
    folder = CacheFolder(tmp_path)
    folder.put("old", OTHER)
    with no_file_above(200):
        folder.put("k", ARRAYS)
    assert folder.get("k") is None
    assert os.listdir(tmp_path) == ["old.arrays"]
    assert same(folder.get("old"), OTHER)


def test_place_that_cannot_be_written_to_keeps_nothing_and_fails_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        folder = CacheFolder(root)
        folder.put("k", ARRAYS)
        assert folder.get("k") is None
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_entries_of_a_read_only_folder_are_read(tmp_path):
    folder = CacheFolder(tmp_path)
    folder.put("k", ARRAYS)
    tmp_path.chmod(0o500)
    folder.put("more", OTHER)
    assert same(folder.get("k"), ARRAYS)
    assert folder.get("more") is None
    tmp_path.chmod(0o700)


def test_what_was_used_longest_ago_goes_first(tmp_path):
    one = np.zeros(1000, dtype=np.uint8)
    folder = CacheFolder(tmp_path, budget=3500)
    for age, key in enumerate("cba", start=1):
        folder.put(key, {"x": one})
        used(folder, key, 100 * age)
    assert folder.get("a") is not None  # the oldest, now the newest
    folder.put("d", {"x": one})
    assert {key for key in "abcd" if folder.get(key)} == {"a", "c", "d"}


def test_what_is_larger_than_the_budget_is_neither_kept_nor_read(tmp_path):
    folder = CacheFolder(tmp_path, budget=500)
    folder.put("small", OTHER)
    folder.put("k", ARRAYS)
    assert os.listdir(tmp_path) == ["small.arrays"]
    CacheFolder(tmp_path).put("k", ARRAYS)
    assert folder.get("k") is None


def test_only_its_own_files_are_dropped(tmp_path):
    (tmp_path / "thesis.tex").write_text("x" * 5000)
    (tmp_path / "photos").mkdir()
    (tmp_path / ".draft-dead").write_text("x")
    (tmp_path / ".draft-live").write_text("x")
    os.utime(tmp_path / ".draft-dead", (0, 0))
    os.utime(tmp_path / "thesis.tex", (0, 0))
    CacheFolder(tmp_path, budget=2000).put("k", ARRAYS)
    assert {*os.listdir(tmp_path)} == {"thesis.tex", "photos", ".draft-live", "k.arrays"}


def test_many_processes_at_once_never_see_half_an_entry(tmp_path):
    words = [sys.executable, "-c", BUSY, str(tmp_path)]
    workers = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(3)]
    assert [worker.communicate()[1] for worker in workers] == [b""] * 3
    assert [worker.returncode for worker in workers] == [0] * 3
    names = os.listdir(tmp_path)
    assert names and {*names} <= {"a.arrays", "b.arrays", "c.arrays"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
