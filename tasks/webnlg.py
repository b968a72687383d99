"""WebNLG 2017: facts from DBpedia in texts (Gardent et al. 2017, aclanthology.org/W17-3518)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tasks import sources, task, triples
from tasks.base import Row
from tasks.generation import DataToText
from tasks.pairs import Pair, grouped
from tasks.sources import Source
from tasks.triples import Entry

HUB, CONFIG = "webnlg-challenge/web_nlg", "webnlg_challenge_2017"
FOLDER = "webnlg_challenge_2017"  # of the challenge's XML
LORA = "lora_nlg/webnlg_challenge_2017"  # of the same as JSON, by microsoft/LoRA
TEST = "testdata_with_lex"  # of the challenge's test files, the one with seen and unseen texts
SEEN = {
    "Airport",
    "Astronaut",
    "Building",
    "City",
    "ComicsCharacter",
    "Food",
    "Monument",
    "SportsTeam",
    "University",
    "WrittenWork",
}


@task("webnlg", source="Gardent et al. 2017, aclanthology.org/W17-3518")
@dataclass(frozen=True)
class WebNLG(DataToText):
    """Say one to seven triples about a thing of one of fifteen categories.

    Ten categories occur in training: those of the split "seen". As in microsoft/LoRA, only
    texts that the challenge marked good are used, 18025 of 18102 in train. The plain scores
    are over both reported splits together.
    """

    title: ClassVar = "WebNLG"
    protocol: ClassVar = "lora"
    scorer: ClassVar = "lora"
    reported: ClassVar = ("seen", "unseen")
    metrics: ClassVar = (
        *("BLEU", "METEOR", "TER"),
        *("BLEU_seen", "METEOR_seen", "TER_seen"),
        *("BLEU_unseen", "METEOR_unseen", "TER_unseen"),
    )
    shown: ClassVar = (
        *("BLEU_unseen", "BLEU_seen", "BLEU"),
        *("METEOR_unseen", "METEOR_seen", "METEOR"),
        *("TER_unseen", "TER_seen", "TER"),
    )
    units: ClassVar = {name: (1, 1 if name.startswith("BLEU") else 2) for name in metrics}
    official: ClassVar = {"train": 18025, "seen": 971, "unseen": 891}  # 2495, 2433 references

    def files(self, root, split):
        """The challenge's XML, sorted by name; LoRA's JSON where that folder is absent."""
        folder = root / FOLDER / split
        pattern = f"{TEST}.xml" if split == "test" else "*triples/*.xml"
        found = sorted(path.relative_to(root).as_posix() for path in folder.glob(pattern))
        return found or [sources.find(root, f"{LORA}/{split}.json", f"{LORA}/{split}.json.xz")]

    def _files(self, source: Source, split: str) -> list[Pair]:
        root = source.path or Path()
        return [p for name in self.files(root, split) for p in _pairs(_entries(root, name))]

    def _hub(self, split):
        """Columns `category`, `modified_triple_sets` (`mtriple_set`: a list of lists of texts),
        `lex` (`comment` and `text`: lists) and `test_category`, the name of the test file.
        """
        rows = sources.hub_rows(HUB, split, CONFIG)
        return _pairs(_of_hub(row) for row in rows if row["test_category"] in ("", TEST))

    def _parts(self, pairs: Sequence[Pair]) -> dict[str, list[Row]]:
        return {
            "seen": grouped(pair for pair in pairs if pair.origin in SEEN),
            "unseen": grouped(pair for pair in pairs if pair.origin not in SEEN),
        }


def _pairs(entries) -> list[Pair]:
    return [
        Pair(triples.linearised(entry.triples), text, entry.category, comment == "good")
        for entry in entries
        for comment, text in entry.texts
    ]


def _entries(root: Path, name: str) -> list[Entry]:
    if name.endswith(".xml"):
        return triples.read_xml(root, name)
    if not (root / name).is_file():
        raise FileNotFoundError(f"expected the folder {FOLDER} or the file {name}, got neither")
    try:
        listed = json.loads(sources.read(root, name))["entries"]
        return [_of_lora(entry) for numbered in listed for entry in numbered.values()]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise ValueError(f"{name}: expected JSON in LoRA's layout, got: {told}") from None


def _of_lora(entry: dict[str, Any]) -> Entry:
    parts = [(t["subject"], t["property"], t["object"]) for t in entry["modifiedtripleset"]]
    texts = [(lex["comment"], lex["lex"]) for lex in entry["lexicalisations"]]
    return triples.of_texts(Entry(parts, texts, entry["category"]))


def _of_hub(row: dict[str, Any]) -> Entry:
    [stated] = row["modified_triple_sets"]["mtriple_set"]
    texts = list(zip(row["lex"]["comment"], row["lex"]["text"], strict=True))
    return Entry([triples.triple(text) for text in stated], texts, row["category"])
