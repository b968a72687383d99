"""Text of a record as a table may show it: any Unicode made one line that is read as it stands."""

import re
import unicodedata

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
SPACES = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")
CONTROLS = ("Cc", "Cs", "Co", "Cn")  # control, half a pair, private, unassigned
PLAIN = re.compile(r"[ -~]*")


def line(text: str) -> str:
    """One line: white space is single spaces, and what cannot be seen or written is marked.

    Marks that turn the direction of writing are marked too: they would show a row in another
    order than it has. Joiners and other formatting characters go.
    """
    if PLAIN.fullmatch(text) and "  " not in text and text == text.strip():
        return text
    return SPACES.sub(" ", "".join(map(_seen, SPACES.sub(" ", text)))).strip()


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it, with line ends as programs here write them."""
    if text.isascii() and "\r" not in text and "\0" not in text:
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", UNKNOWN)
    return re.sub(r"[\ud800-\udfff]", UNKNOWN, text)


def _seen(c: str) -> str:
    category = unicodedata.category(c)
    if category in CONTROLS or unicodedata.bidirectional(c) in TURNS:
        return UNKNOWN
    return "" if category == "Cf" else c


TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
