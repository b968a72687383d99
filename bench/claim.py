"""The right to run a cell, which one process has at a time.

A claim is a file `.claim-<key>` in the store that the process running the cell holds locked
(flock). The kernel takes the lock away when that process ends, however it ends, so a dead
process never stands in the way. No clock of two machines is ever compared.

Where locks hold (one machine; NFS version 4 or with lockd; Lustre with -o flock; CephFS; GPFS) no
cell is under way twice. A shared folder may have no locks, or keep them to each machine: there the
file's text, which its holder changes every BEAT seconds, says that a claim is alive; a claim whose
text stood still for PATIENCE seconds while one looked at it is taken over. Without locks two
processes that claim within SETTLE seconds of each other tell by whose text stays.
"""

import errno
import fcntl
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

CLAIM = ".claim-"
BEAT, PATIENCE, SETTLE = 10.0, 60.0, 1.0  # seconds
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Claims:
    """The claims on the cells of the store in the folder `root`."""

    def __init__(self, root: Path):
        self.root = root
        self.watched: dict[str, tuple[bytes, float]] = {}  # texts by key, and since when they stand

    def take(self, key: str) -> "Claim | None":
        """The claim on the cell with that key, or None where another process has it.

        Raises OSError where the store cannot be written.
        """
        path = self.root / f"{CLAIM}{key}"
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            locked = _lock(file)
            if locked is not False and _there(file, path):
                break
            os.close(file)
            if locked is False:
                return None
        text = os.pread(file, 200, 0)
        if text and self._alive(key, text, bool(locked)):
            os.close(file)
            return None
        claim = Claim(path, file)
        if not locked and not claim.settled():
            return None
        return claim

    def busy(self, key: str) -> bool:
        """Whether another process runs the cell now."""
        if not (self.root / f"{CLAIM}{key}").exists():
            return False
        claim = self.take(key)
        if claim:
            claim.release()
        return claim is None

    def _alive(self, key: str, text: bytes, locked: bool) -> bool:
        """Whether the text that another claim left may still be changed by its holder.

        One of this machine that left its lock is dead; of others a lock may not be seen.
        """
        if locked and text.startswith(_machine()):
            return False
        now = time.monotonic()
        before, since = self.watched.setdefault(key, (text, now))
        if text != before:
            self.watched[key] = (text, now)
            return True
        return now - since < PATIENCE


class Claim:
    """A claim that this process has, until it lets go or ends."""

    def __init__(self, path: Path, file: int):
        self.path, self.file, self.beats = path, file, 0
        self.name = b"%s %d %s" % (_machine(), os.getpid(), uuid.uuid4().hex.encode())
        self.over, self.writing = threading.Event(), threading.Lock()
        self._beat()
        threading.Thread(target=self._beat_on, daemon=True).start()

    def settled(self) -> bool:
        """Whether the text is still ours after a while; lets go where it is not."""
        time.sleep(SETTLE)
        ours = os.pread(self.file, 200, 0).startswith(self.name)
        if not ours:
            self._close()
        return ours

    def release(self) -> None:
        """Lets go; the file is gone before the lock is."""
        self.path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        with self.writing:  # its number may be another file's at once
            self.over.set()
            os.close(self.file)

    def _beat_on(self) -> None:
        while not self.over.wait(BEAT):
            self._beat()

    def _beat(self) -> None:
        self.beats += 1
        with self.writing, suppress(OSError):  # a full disk: the lock stands without it
            if not self.over.is_set():
                os.pwrite(self.file, b"%s %012d\n" % (self.name, self.beats), 0)


def _lock(file: int) -> bool | None:
    """True: locked; False: another process has the lock; None: there are no locks here."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None
    return True


def _there(file: int, path: Path) -> bool:
    """Whether the open file is still the one of that name: its holder takes it away at the end."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


@cache
def _machine() -> bytes:
    """What tells this machine's running kernel from others: processes under one share its locks."""
    booted = Path("/proc/sys/kernel/random/boot_id")
    return booted.read_bytes().strip() if booted.exists() else socket.gethostname().encode()
