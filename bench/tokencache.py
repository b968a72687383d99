"""Tokens of a split kept on disk by what they follow from: the texts, the tokenizer, its options.

Rows are cut, put in templates and hidden after this (bench/text.py, pairs.py, prompts.py,
hidden.py), so that one entry serves whatever asks the same of the same texts.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import transformers
from transformers import PreTrainedTokenizerBase

from bench.cachefolder import CacheFolder
from bench.text import Coder, Lists

VARIABLE = "PEFTBENCH_CACHE"  # names the directory; empty: nothing is kept
FORMAT = 1  # raised whenever entries would read differently
FEW = 64  # texts that are tokenised sooner than looked up
KEPT = ("input_ids", "token_type_ids")  # masks follow from lengths
ASIDE = '"added_tokens"'  # of a tokenizer's text; in front: truncation and padding, set by calls


def place(environ: Mapping[str, str]) -> Path | None:
    """The directory that the variables name: their own, else one under the user's cache.

    None where the cache is turned off or the user has no home.
    """
    told, base = environ.get(VARIABLE), Path(environ.get("XDG_CACHE_HOME") or ".")
    try:
        if told is not None:
            return Path(told).expanduser() if told.strip() else None
        # what is relative is to be ignored (XDG Base Directory Specification 0.8)
        home = base if base.is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return home / "peftbench" / "tokens"


def remembered(tokens: PreTrainedTokenizerBase, environ: Mapping[str, str]) -> Coder:
    """The tokenizer, with its answers kept where the variables say; itself where nowhere."""
    root, identity = place(environ), _identity(tokens)
    return Remembered(tokens, identity, CacheFolder(root)) if root and identity else tokens


class Remembered:
    """A tokenizer that looks up what it was asked before.

    `identity`: what its answers depend on, the texts and the options of a call left out.
    """

    def __init__(self, tokens: PreTrainedTokenizerBase, identity: str, folder: CacheFolder):
        self.tokens, self.identity, self.folder = tokens, identity, folder

    def __call__(
        self, texts: list[str], pairs: list[str] | None = None, **options: Any
    ) -> Mapping[str, Lists]:
        """What the tokenizer answers, token by token; attention masks are left out."""
        if len(texts) < FEW:
            return self.tokens(texts, pairs, **options)
        asked = [self.identity, sorted(options.items()), _digest(texts), pairs and _digest(pairs)]
        key = hashlib.sha256(repr(asked).encode()).hexdigest()
        if kept := self.folder.get(key):
            return _unpacked(kept)
        answer = self.tokens(texts, pairs, **options)
        found = {name: answer[name] for name in KEPT if name in answer}
        self.folder.put(key, _packed(found))
        return found


def _identity(tokens: PreTrainedTokenizerBase) -> str:
    """A digest of what the tokenizer is and of what runs it; "" where it cannot be told."""
    backend = getattr(tokens, "backend_tokenizer", None)
    if backend is None:
        return ""
    text = backend.to_str()
    _, found, content = text.partition(ASIDE)
    facts = {
        "format": FORMAT,
        "class": f"{type(tokens).__module__}.{type(tokens).__qualname__}",
        "versions": [tokenizers.__version__, transformers.__version__],
        "gives": list(tokens.model_input_names),
        "cuts": [tokens.truncation_side, tokens.model_max_length],
        "splits": tokens.split_special_tokens,
        "content": hashlib.sha256((content if found else text).encode()).hexdigest(),
    }
    return json.dumps(facts, sort_keys=True)


def _digest(texts: Sequence[str]) -> str:
    """Of the texts and of where each ends."""
    digest = hashlib.sha256(np.array([len(text) for text in texts], dtype=np.int64).tobytes())
    digest.update("".join(texts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _packed(found: Mapping[str, Lists]) -> dict[str, np.ndarray]:
    """Lists of equal lengths, one after another, in the smallest type that holds them."""
    lengths = np.array([len(ids) for ids in found["input_ids"]], dtype=np.int32)
    flat = {name: np.array([t for ids in lists for t in ids]) for name, lists in found.items()}
    small = {
        name: all_.astype(np.min_scalar_type(all_.max(initial=0))) for name, all_ in flat.items()
    }
    return {"lengths": lengths, **small}


def _unpacked(kept: Mapping[str, np.ndarray]) -> dict[str, Lists]:
    ends = np.cumsum(kept["lengths"]).tolist()
    spans = list(zip([0, *ends], ends, strict=False))
    found = {}
    for name in KEPT:
        if name in kept:
            flat = kept[name].tolist()
            found[name] = [flat[start:end] for start, end in spans]
    return found
