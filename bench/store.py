"""A folder of cells: `<store>/<key>/record.json` and what stands beside it.

Safe for many runners and for a kill at any moment: a cell is run by who has its claim, and its
folder is written under a private name and renamed into place whole. Nothing goes by a clock.
"""

import copy
import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.claim import CLAIM, Claims
from bench.record import LARGEST, NAME, Cell, Later, Record

DRAFT, OLD, PART = ".draft-", ".old-", ".part-"
ENDED = "ended"  # in the state of a run: which record it ended in
WAIT = 0.1  # seconds between two looks at a claim that another process has
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class NoRoom(ValueError):
    """The disk is full: no cell can leave a record before there is room again."""


class Store:
    """Finished cells under one directory, which need not exist yet.

    Raises ValueError where something else than a directory stands there.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"expected a directory for the store, got the file {str(root)!r}")
        self.damaged: dict[str, str] = {}  # what `records` could not read, by key: a line each
        self._seen: dict[str, str] = {}  # which record stood there when it was last read, by key
        self._held: set[str] = set()  # keys whose claims this object has
        self._claims = Claims(self.root)
        self._recover()

    def get(self, cell: Cell) -> Record | None:
        """The record of `cell`, or None; a failed one that says so where the file is damaged."""
        try:
            return self.at(cell.key)
        except ValueError as error:
            return Record(cell, "failed", str(error))

    def at(self, key: str) -> Record | None:
        """The record of the cell with that key, or None. Raises ValueError naming a bad file."""
        return self._read(self.root / key) if NAME.fullmatch(key) else None

    def records(self) -> Iterator[Record]:
        """Every record that can be read, in the order of their keys; `damaged` has the others."""
        self.damaged = {}
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if folder.name.startswith("."):
                continue
            try:
                record = self._read(folder)
            except ValueError as error:
                self.damaged[folder.name] = str(error)
                continue
            if record:
                yield record

    def folder(self, cell: Cell) -> Path:
        """Where `cell`'s files stand once it is finished."""
        return self.root / cell.key

    def part(self, cell: Cell) -> Path:
        """Where an unfinished run of `cell` keeps its state; gone once the cell is finished."""
        return self.root / f"{PART}{cell.key}"

    def busy(self, key: str) -> bool:
        """Whether another process runs the cell with that key now."""
        with suppress(OSError):  # a store to read
            return self._claims.busy(key)
        return False

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[Record | None]:
        """Nobody else runs `cell` while the block lasts; waits for who does so now.

        Gives the record that another process put there since this one read the store, which then
        stands for the cell, or None: it is still to be run. Raises ValueError for a damaged record,
        which nothing may write over, and for a store that cannot be written.
        """
        with self._sole(cell.key):
            before = self._seen.get(cell.key)
            record = self.at(cell.key)
            yield record if self._seen.get(cell.key) != before else None

    @contextmanager
    def writing(self, cell: Cell) -> Iterator[Path]:
        """A private empty folder that becomes `cell`'s when the block ends without an error.

        Raises NoRoom where the disk is full, and ValueError as `claim` does.
        """
        draft = self._aside(cell.key)
        with self._sole(cell.key), _room(self.root):
            self.at(cell.key)
            try:
                draft.mkdir(parents=True)
                yield draft
                self._end(self.part(cell), draft)
                self._publish(draft, self.root / cell.key)
                self._drop(self.part(cell))
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def resolved(self) -> "Store":
        """The same store, what was read of it included, for a process in another directory."""
        found = copy.copy(self)
        found.root = self.root.resolve()
        found._held, found._claims = set(), Claims(found.root)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which holds no claim of this one."""
        return self.__dict__ | {"_held": set()}

    @contextmanager
    def _sole(self, key: str) -> Iterator[None]:
        """This object has the claim on that cell in the block, as it may have had before."""
        if key in self._held:
            yield
            return
        with _writable(self.root):
            while not (claim := self._claims.take(key)):
                time.sleep(WAIT)
        self._held.add(key)
        try:
            yield
        finally:
            self._held.discard(key)
            claim.release()

    def _read(self, folder: Path) -> Record | None:
        path = folder / "record.json"
        try:
            with path.open(encoding="utf-8") as file:
                self._seen[folder.name] = _which(path, file.fileno())
                text = file.read(LARGEST + 1)
            record = Record.from_json(text)
            if record.cell.key != folder.name:
                raise ValueError(f"expected the cell {folder.name}, got {record.cell.key}")
        except (FileNotFoundError, NotADirectoryError):
            self._seen.pop(folder.name, None)
            return None
        except Later as error:
            raise ValueError(f"{path} is of a later version: {error}; update peftbench") from error
        except ValueError as error:
            raise ValueError(f"{path} is not a record: {error}; delete its folder") from error
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        return record

    def _publish(self, draft: Path, final: Path) -> None:
        for path in filter(Path.is_file, draft.rglob("*")):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        old = draft.with_name(draft.name.replace(DRAFT, OLD, 1))
        placed = False
        while not placed and not old.exists():  # a process that opens the store may put `old` back
            with suppress(FileNotFoundError):
                final.rename(old)
            placed = _place(draft, final)  # no: another writer was first, whose record is equal
        shutil.rmtree(old, ignore_errors=True)

    def _end(self, part: Path, draft: Path) -> None:
        """Notes in the state which record the run ended in, for a kill before the state is gone."""
        if part.is_dir():
            (part / ENDED).write_text(_which(draft / "record.json"), encoding="utf-8")

    def _drop(self, part: Path) -> None:
        """The state goes all at once: half of it could be taken for one to go on from."""
        aside = self._aside(part.name.removeprefix(PART))
        with suppress(FileNotFoundError):
            part.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, key: str) -> Path:
        """A private name, which is swept once nobody has the claim."""
        return self.root / f"{DRAFT}{key}-{os.getpid()}-{time.monotonic_ns()}"

    def _recover(self) -> None:
        """Puts back what a kill between two renames left aside.

        Drops what dead processes left: drafts, claims, the states of runs that had ended.
        """
        with suppress(OSError):  # another one recovers it, or a store to read
            for old in list(self.root.glob(f"{OLD}*")):
                final = self.root / old.name.removeprefix(OLD).partition("-")[0]
                if not _place(old, final):
                    shutil.rmtree(old, ignore_errors=True)
        with suppress(OSError):
            for left in [p for kind in (DRAFT, PART, CLAIM) for p in self.root.glob(f"{kind}*")]:
                self._sweep(left)

    def _sweep(self, left: Path) -> None:
        """Drops what nobody needs any more; what is under way has its claim taken."""
        kind, key, *rest = left.name.split("-")
        draft = f"{kind}-" == DRAFT and len(rest) >= 2
        if not (draft or f"{kind}-" == CLAIM or self._over(left, key)):
            return
        if not (claim := self._claims.take(key)):
            return
        if draft:
            shutil.rmtree(left, ignore_errors=True)
        elif self._over(left, key):
            self._drop(left)
        claim.release()

    def _over(self, part: Path, key: str) -> bool:
        """Whether the state is of a run whose record is the one in the store."""
        with suppress(OSError):
            ended = (part / ENDED).read_text(encoding="utf-8")
            return ended == _which(self.root / key / "record.json")
        return False


def no_room(error: BaseException | None) -> bool:
    """Whether a full disk is behind the error; libraries tell it in words of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if f"os error {errno.ENOSPC}" in str(error) or f"os error {errno.EFBIG}" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _room(root: Path) -> Iterator[None]:
    """Says in one line that the disk is full."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NoRoom) or not no_room(error):
            raise
        expected = f"expected room on the disk of the store {str(root)!r}, got {error}"
        raise NoRoom(f"{expected}; the same command goes on once there is some") from error


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    """Says in one line that the store is only for reading."""
    with _room(root):
        try:
            yield
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            expected = f"expected a store that can be written, got {str(root)!r}"
            raise ValueError(f"{expected}: {error.strerror}") from error


def _place(folder: Path, final: Path) -> bool:
    """Renames the folder, unless another one is there."""
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _which(path: Path, file: int | None = None) -> str:
    """What tells one record from another that stood or stands at the same place."""
    found = os.fstat(file) if file is not None else path.stat()
    return f"{found.st_ino}.{found.st_mtime_ns}"
