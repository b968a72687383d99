"""E2E: restaurants described by crowd workers (Novikova et al. 2017, arXiv:1706.09254)."""

import csv
import io
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from tasks import sources, task
from tasks.generation import DataToText
from tasks.pairs import Pair
from tasks.sources import Source

HUB = "tuetschek/e2e_nlg"
OFFICIAL = {"train": "trainset", "dev": "devset", "test": "testset_w_refs"}
LORA = {"train": "train", "dev": "valid", "test": "test"}
SLOT = re.compile(r"(?:^|, )([^\[\]]+)\[([^\]]*)\]")
NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}


@task("e2e", source="Novikova et al. 2017, arXiv:1706.09254; github.com/tuetschek/e2e-dataset")
@dataclass(frozen=True)
class E2E(DataToText):
    """Describe a restaurant from 3 to 8 slots such as its name, its food and its area.

    `text`: "official" takes texts as published, "lora" the ones that microsoft/LoRA and
    microsoft/AdaMix tokenised, to train on and as references. Both have the same inputs and
    are scored alike, but a score on one says nothing about the other.
    """

    text: Literal["official", "lora"] = "official"

    title: ClassVar = "E2E"
    protocol: ClassVar = "e2e-metrics"
    scorer: ClassVar = "e2e"
    metrics: ClassVar = ("BLEU", "NIST", "NIST_p", "METEOR", "ROUGE_L", "CIDEr")
    shown: ClassVar = ("BLEU", "NIST", "METEOR", "ROUGE_L", "CIDEr")
    units: ClassVar = {
        "BLEU": (100, 1),
        "NIST": (1, 2),
        "METEOR": (100, 1),
        "ROUGE_L": (100, 1),
        "CIDEr": (1, 2),
    }
    official: ClassVar = {"train": 42061, "test": 630}  # 4693 references

    def files(self, root, split):
        if self.text == "official":
            return [f"e2e/{OFFICIAL[split]}.csv"]
        stem = f"lora_nlg/e2e/{LORA[split]}.txt"
        return [sources.find(root, stem, f"{stem}.xz")]

    def pairs(self, source, split):
        if self.text == "lora" and source.kind != "files":
            raise ValueError(f"e2e, text=lora: expected a data directory, got the {source.kind}")
        return super().pairs(source, split)

    def _files(self, source: Source, split: str) -> list[Pair]:
        root = source.path or Path()
        [name] = self.files(root, split)
        return _official(root, name) if self.text == "official" else _lora(root, name)

    def _hub(self, split):
        """Columns `meaning_representation` and `human_reference`; one row a text."""
        rows = sources.hub_rows(HUB, "validation" if split == "dev" else split)
        return [_pair(row["meaning_representation"], row["human_reference"]) for row in rows]


@cache
def linearised(mr: str) -> str:
    """`name[Aromi], eatType[pub]` as `name : Aromi | Type : pub`, the input LoRA made of it.

    Raises ValueError where `mr` is no list of slots.
    """
    slots = SLOT.findall(mr)
    if not slots or ", ".join(f"{name}[{value}]" for name, value in slots) != mr:
        raise ValueError(f"expected slot[value], slot[value], ..., got {mr!r}")
    return " | ".join(f"{NAMES.get(name, name)} : {_spaced(value)}" for name, value in slots)


def _spaced(value: str) -> str:
    """A value with its prices in tokens: `£20-25` is `£ 20 - 25`."""
    return re.sub(r"(?<=\d)-(?=\d)", " - ", value.replace("£", "£ "))


def _pair(mr: str, text: str) -> Pair:
    return Pair(linearised(mr), text)


def _official(root: Path, name: str) -> list[Pair]:
    """CSV with the columns `mr` and `ref`."""
    lines = csv.reader(io.StringIO(sources.read(root, name), newline=""), strict=True)
    pairs = []
    try:
        if (header := next(lines, [])) != ["mr", "ref"]:
            got = " ".join(",".join(header).split())[:60]
            raise ValueError(f"expected the columns mr,ref, got {got}")
        for cells in lines:
            if len(cells) != 2:
                raise ValueError(f"expected 2 columns, got {len(cells)}")
            pairs.append(_pair(*cells))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{name}:{max(1, lines.line_num)}: {error}") from None
    return pairs


def _lora(root: Path, name: str) -> list[Pair]:
    """One `input||text` a line."""
    pairs = []
    lines = sources.read(root, name).removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        source, bars, text = line.partition("||")
        if not bars:
            raise ValueError(f"{name}:{number}: expected input||text, got {line!r}")
        pairs.append(Pair(source, text.strip()))
    return pairs
