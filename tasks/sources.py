"""Where rows come from: the hub, a directory in the official layout, or a generated sample."""

import codecs
import difflib
import hashlib
import lzma
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HUB = "nyu-mll/glue"  # the data set on the hub
WORDS = ("auto", "hub", "sample")  # what may stand where a directory is expected
LARGEST = 512 * 2**20  # bytes of a file that is unpacked
PROBE_SECONDS = 3.0  # how long the hub has to answer


@dataclass(frozen=True)
class Source:
    """One place that rows come from."""

    kind: Literal["files", "hub", "sample"]
    path: Path | None = None  # the directory, for files

    def describe(self) -> str:
        """What people read about the source, without the path on this machine."""
        return {
            "files": "files in the official layout",
            "hub": "the hub",
            "sample": "a GENERATED SAMPLE, not the published rows",
        }[self.kind]


def resolve(text: str, environ: Mapping[str, str]) -> Source:
    """The source that `auto`, `hub`, `sample` or the name of a directory stands for.

    `auto` is the directory that BENCH_DATA names if it is set, else the hub if it answers
    now, else the sample. Raises ValueError where the directory does not exist.
    """
    if text == "hub":
        return Source("hub")
    if text == "sample":
        return Source("sample")
    if text != "auto":
        near = difflib.get_close_matches(text, WORDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        expected = "data: expected auto, hub, sample or an existing directory"
        return _files(text, f"{expected}, got {text!r}{hint}")
    if named := environ.get("BENCH_DATA"):
        return _files(named, f"BENCH_DATA: expected an existing directory, got {named!r}")
    return Source("hub") if reachable(environ) else Source("sample")


def _files(text: str, complaint: str) -> Source:
    path = Path(text).expanduser().resolve()
    if not text or not path.is_dir():
        raise ValueError(complaint)
    return Source("files", path)


def reachable(environ: Mapping[str, str], seconds: float = PROBE_SECONDS) -> bool:
    """Whether the hub answers one HEAD request within `seconds`; no retries.

    Asks HF_ENDPOINT where that is set, and nobody where HF_HUB_OFFLINE or
    HF_DATASETS_OFFLINE is on.
    """
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}:
            return False
    endpoint = environ.get("HF_ENDPOINT") or "https://huggingface.co"
    url = f"{endpoint.rstrip('/')}/datasets/{HUB}/resolve/main/README.md"
    answers: list[bool] = []
    # In a thread, because the look-up of a host name knows no time limit.
    probe = threading.Thread(target=lambda: answers.append(_answers(url, seconds)), daemon=True)
    probe.start()
    probe.join(seconds)
    return any(answers)


def _answers(url: str, seconds: float) -> bool:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(url, method="HEAD"), timeout=seconds):
            return True
    except HTTPError as refusal:
        refusal.close()
        return False
    except (OSError, HTTPException, ValueError):  # ValueError: HF_ENDPOINT is no URL
        return False


def digest(folder: Path, names: Iterable[str]) -> str:
    """First 12 hex digits of a sha256 over the files' names and bytes.

    A missing file counts by its name, so that adding it later changes the digest.
    """
    total = hashlib.sha256()
    for name in names:
        content = "missing"
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{name} {content}\n".encode())
    return total.hexdigest()[:12]


def find(root: Path, *names: str) -> str:
    """The first of the files `names` that stands in `root`; where none does, the first name."""
    return next((name for name in names if (root / name).is_file()), names[0])


def read(root: Path, name: str) -> str:
    """The text of the file `root/name`, unpacked where the name ends in `.xz`.

    Line ends are left as they are, a byte order mark is not.
    Raises FileNotFoundError, and ValueError for a damaged archive and bytes that are not UTF-8.
    """
    if not (root / name).is_file():
        raise FileNotFoundError(f"expected the file {name} in the data directory, got none")
    data = (root / name).read_bytes()
    try:
        data = _unpacked(data, name) if name.endswith(".xz") else data
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except lzma.LZMAError as error:
        raise ValueError(f"{name}: expected an xz archive, got: {error}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"{data[error.start]:#04x}"
        raise ValueError(f"{name}:{line}: expected UTF-8, got the byte {byte}") from None


def _unpacked(data: bytes, name: str) -> bytes:
    """What an xz archive holds; one of a few kilobytes may hold any number of bytes."""
    unpacker = lzma.LZMADecompressor()
    found = unpacker.decompress(data, max_length=LARGEST + 1)
    if len(found) > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST // 2**20} MiB, got more")
    if not unpacker.eof:
        raise lzma.LZMAError("it ends too early")
    return found


def hub_rows(name: str, split: str, config: str = "default") -> list[dict[str, Any]]:
    """The rows of a data set of the hub as the hub itself turned them into Parquet files.

    For data sets published with a loading script, which `datasets` 4 no longer runs. The
    files of the branch are `<config>/<split>/*.parquet`; a sequence of records arrives as
    one record of lists.
    """
    import datasets

    files = {split: f"{config}/{split}/*.parquet"}
    branch = "refs/convert/parquet"
    table = datasets.load_dataset(name, data_files=files, split=split, revision=branch)
    return table.to_list()
