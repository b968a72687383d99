"""DART: triples from tables, E2E and WebNLG said in texts (Nan et al. 2021, arXiv:2007.02871)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tasks import sources, task, triples
from tasks.generation import DataToText
from tasks.pairs import Pair
from tasks.sources import Source
from tasks.triples import Entry

HUB = "Yale-LILY/dart"
FILE = "dart/dart-v1.1.1-full-{}"


@task("dart", source="Nan et al. 2021, arXiv:2007.02871; github.com/Yale-LILY/dart, v1.1.1")
@dataclass(frozen=True)
class DART(DataToText):
    """Say the triples of a tree over the cells of a table, in an open domain.

    One of the 12552 test texts is empty as published and stays a reference. Where a data
    directory lacks the training split, the development split is trained on instead, and
    every record says so.
    """

    title: ClassVar = "DART"
    protocol: ClassVar = "lora"
    scorer: ClassVar = "lora"
    metrics: ClassVar = ("BLEU", "METEOR", "TER")
    shown: ClassVar = ("BLEU", "METEOR", "TER")
    units: ClassVar = {"BLEU": (1, 1), "METEOR": (1, 2), "TER": (1, 2)}
    official: ClassVar = {"train": 62659, "test": 4159}  # 12552 references, 5097 entries

    def files(self, root, split):
        stem = FILE.format(split)
        return [sources.find(root, f"{stem}.json", f"{stem}.xml")]

    def trained_on(self, source):
        if source.kind != "files":
            return "train"
        root = source.path or Path()
        there = {split: (root / self.files(root, split)[0]).is_file() for split in ("train", "dev")}
        return "dev" if there["dev"] and not there["train"] else "train"

    def _files(self, source: Source, split: str) -> list[Pair]:
        return _pairs(self._entries(source, split))

    def _entries(self, source: Source, split: str) -> list[Entry]:
        root = source.path or Path()
        [name] = self.files(root, split)
        return triples.read_xml(root, name) if name.endswith(".xml") else _read_json(root, name)

    def _hub(self, split):
        """Columns `tripleset` and `annotations` (`source` and `text`, a list each)."""
        rows = sources.hub_rows(HUB, "validation" if split == "dev" else split)
        return _pairs(_of_hub(row) for row in rows)

    def _partial(self, source, read):
        said = super()._partial(source, read)
        if self.trained_on(source) == "train":
            return said
        count = len(self._entries(source, "dev"))
        absent = f"DART train is absent: trained on dev, {count:,} entries"
        return [absent, *(each for each in said if not each.startswith("DART train"))]


def _pairs(entries) -> list[Pair]:
    return [
        Pair(triples.linearised(_lowered(entry)), text, part)
        for entry in entries
        for part, text in entry.texts
    ]


def _lowered(entry: Entry) -> list[triples.Triple]:
    """The triples with their relations in lower case, as in microsoft/LoRA."""
    return [(subject, relation.lower(), object_) for subject, relation, object_ in entry.triples]


def _read_json(root: Path, name: str) -> list[Entry]:
    try:
        return [_of_json(entry) for entry in json.loads(sources.read(root, name))]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise ValueError(f"{name}: expected JSON in DART's layout, got: {told}") from None


def _of_json(entry: dict[str, Any]) -> Entry:
    texts = [(note["source"], note["text"]) for note in entry["annotations"]]
    return triples.of_texts(Entry([(a, b, c) for a, b, c in entry["tripleset"]], texts))


def _of_hub(row: dict[str, Any]) -> Entry:
    notes = row["annotations"]
    texts = list(zip(notes["source"], notes["text"], strict=True))
    return Entry([(a, b, c) for a, b, c in row["tripleset"]], texts)
