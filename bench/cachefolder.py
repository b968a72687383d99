"""A folder of arrays by key that outlives runs: nothing needs it, and nothing in it is trusted."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

SUFFIX, DRAFT = ".arrays", ".draft-"
BUDGET = 2**30  # bytes of all entries together
STALE = 3600.0  # seconds after which a draft is that of a dead process
SEAL = hashlib.sha256().digest_size  # bytes in front of an entry


class CacheFolder:
    """Arrays by key under one directory, which need not exist yet.

    An entry is a digest over key and content, then a file of safetensors: what is damaged, cut
    short or another key's reads as nothing. Safe for many writers; a disk that is full or may not
    be written to only means that nothing is kept. `budget`: bytes, above which the entries go that
    were read or written longest ago.
    """

    def __init__(self, root: Path, budget: int = BUDGET):
        self.root, self.budget = root, budget

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays kept under the key, or None."""
        path = self._path(key)
        try:
            if not path.is_file() or path.stat().st_size > self.budget:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        seal, content = data[:SEAL], data[SEAL:]
        if seal != _seal(key, content):
            return None
        with suppress(OSError):
            os.utime(path)
        return load(content)

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps the arrays under the key, in place of what was there, if that can be done."""
        content = save(dict(arrays))
        if SEAL + len(content) > self.budget:
            return
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
            with self._draft() as draft:
                draft.write_bytes(_seal(key, content) + content)
                draft.replace(self._path(key))
            self._trim()

    def _path(self, key: str) -> Path:
        return self.root / f"{key}{SUFFIX}"

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """An empty file that nobody else writes to, gone when the block ends."""
        handle, name = tempfile.mkstemp(prefix=DRAFT, dir=self.root)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _trim(self) -> None:
        """Drops drafts that were left behind, and then the oldest entries above the budget."""
        now, entries = time.time(), []
        for path in self.root.iterdir():
            with suppress(FileNotFoundError):  # another process trims too
                facts = path.stat()
                if path.suffix == SUFFIX:
                    entries.append((facts.st_mtime, facts.st_size, path))
                elif path.name.startswith(DRAFT) and now - facts.st_mtime > STALE:
                    path.unlink()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.budget:
                return
            path.unlink(missing_ok=True)
            total -= size


def _seal(key: str, content: bytes) -> bytes:
    digest = hashlib.sha256(f"{key}\n".encode())
    digest.update(content)
    return digest.digest()
