"""Sets of triples with texts: the challenge XML that WebNLG and DART are published in."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tasks import sources

BAR = " | "  # between the parts of a triple in the files, and between triples in an input

Triple = tuple[str, str, str]  # subject, property, object


class Entry(NamedTuple):
    """One set of triples and the texts that say it."""

    triples: list[Triple]
    texts: list[tuple[str, str]]  # a comment of the publisher, and the text
    category: str = ""


def of_texts(entry: Entry) -> Entry:
    """The entry. Raises TypeError where a part of it is no text."""
    for part in (entry.category, *sum(entry.triples, ()), *sum(entry.texts, ())):
        if not isinstance(part, str):
            raise TypeError(f"expected texts, got {part!r}")
    return entry


def linearised(triples: Iterable[Triple]) -> str:
    """`subject : property : object | ...`, the input of microsoft/LoRA and microsoft/AdaMix."""
    return BAR.join(" : ".join(triple) for triple in triples)


def triple(text: str) -> Triple:
    """`subject | property | object`, taken apart; an object may hold bars of its own.

    Raises ValueError for fewer than three parts.
    """
    parts = text.split(BAR, 2)
    if len(parts) != 3:
        raise ValueError(f"expected subject | property | object, got {text!r}")
    return parts[0], parts[1], parts[2]


def read_xml(root: Path, name: str) -> list[Entry]:
    """The entries of the file `root/name`, in its order, texts as they stand.

    Raises FileNotFoundError, and ValueError that names the file and what is wrong with it.
    """
    text = sources.read(root, name)
    if "<!ENTITY" in text:  # they may unfold to any size
        raise ValueError(f"{name}: expected XML without entities of its own")
    try:
        document = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{name}:{error.position[0]}: expected XML, got {error}") from None
    return [_entry(element, name) for element in document.iter("entry")]


def _entry(element: ElementTree.Element, name: str) -> Entry:
    where = f"{name}, entry {element.get('eid')}"
    try:
        triples = [
            triple(each.text or "") for each in element.iterfind("modifiedtripleset/mtriple")
        ]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not triples:
        raise ValueError(f"{where}: expected triples, got none")
    texts = [(lex.get("comment", ""), lex.text or "") for lex in element.iterfind("lex")]
    return Entry(triples, texts, element.get("category", ""))
