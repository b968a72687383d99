"""Texts and numbers as they stand in a picture."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import text_to_path

MISSING = "\N{REPLACEMENT CHARACTER}"
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
RAISED = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
LONGEST = 400  # characters of a text, more of which no picture can show
POINTS = 72.0  # an inch


class Unit(NamedTuple):
    """What numbers are divided by, and what an axis calls them then."""

    divisor: float
    name: str


COUNT = (Unit(1e9, "billions"), Unit(1e6, "millions"), Unit(1e3, "thousands"), Unit(1, ""))
FLOPS = tuple(
    Unit(10.0**power, f"{prefix}FLOP")
    for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""))
)
BYTES = (Unit(1e12, "TB"), Unit(1e9, "GB"), Unit(1e6, "MB"), Unit(1e3, "kB"), Unit(1, "bytes"))
SECONDS = (Unit(3600, "hours"), Unit(60, "minutes"), Unit(1, "seconds"), Unit(1e-3, "milliseconds"))


def unit(units: Sequence[Unit], values: Iterable[float]) -> Unit:
    """The greatest unit that the greatest value is at least one of; the smallest for zeros."""
    most = max(values, default=0.0)
    return next((unit for unit in units if most >= unit.divisor), units[-1])


def plain(text: str) -> str:
    """One line of characters that the font has; others are shown as a replacement character."""
    kept = (c for c in " ".join(text.split()) if not unicodedata.category(c).startswith("C"))
    line = " ".join("".join(kept).split())
    return "".join(c if ord(c) in _characters() else MISSING for c in line)


def cut(text: str, most: float, size: float) -> str:
    """`text` in plain, cut with an ellipsis to at most `most` inches at `size` points."""
    text = plain(text)[:LONGEST]
    if inches(text, size) <= most:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest start that fits
        middle = (low + high + 1) // 2
        fits = inches(f"{text[:middle].rstrip()}…", size) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{text[:low].rstrip()}…"


def named(text: str, most: float, size: float) -> str:
    """As `cut`, with the ellipsis in the middle: names of methods differ at their ends."""
    text = _squeezed(plain(text), LONGEST)
    if inches(text, size) <= most:
        return text
    low, high = 0, len(text)
    while low < high:  # as many characters as fit
        middle = (low + high + 1) // 2
        fits = inches(_squeezed(text, middle), size) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return _squeezed(text, low)


def _squeezed(text: str, kept: int) -> str:
    """That many of its characters around an ellipsis; all of it where that many are all."""
    if kept >= len(text):
        return text
    end = 2 * kept // 5
    return f"{text[: kept - end].rstrip()}…{text[len(text) - end :].lstrip()}"


def wrapped(text: str, most: float, size: float, lines: int, *, bold: bool = False) -> str:
    """`text` in plain over at most `lines` lines of `most` inches; cut in its middle for that."""
    text = _squeezed(plain(text), LONGEST)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(_rows(_squeezed(text, middle), most, size, bold)) <= lines
        low, high = (middle, high) if fits else (low, middle - 1)
    return "\n".join(_rows(_squeezed(text, low), most, size, bold))


def _rows(text: str, most: float, size: float, bold: bool) -> list[str]:
    """Lines of at most `most` inches, broken between words where they can be."""
    rows = [""]
    for word in text.split(" "):
        joined = f"{rows[-1]} {word}".strip()
        if inches(joined, size, bold=bold) <= most:
            rows[-1] = joined
            continue
        rows += [word] if rows[-1] else []
        rows[-1] = rows[-1] or word
        while inches(rows[-1], size, bold=bold) > most and len(rows[-1]) > 1:
            kept = max(1, int(len(rows[-1]) * most / inches(rows[-1], size, bold=bold)) - 1)
            rows[-1:] = [rows[-1][:kept], rows[-1][kept:]]
    return rows


@lru_cache(10_000)
def inches(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a line is at `size` points."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / POINTS


def slug(*texts: str) -> str:
    """The texts as a part of a file's name: lower case letters, digits and single hyphens."""
    flat = unicodedata.normalize("NFKD", " ".join(texts)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", flat.lower()).strip("-")[:60].rstrip("-") or "plot"


def short(value: float) -> str:
    """A number in three digits with an SI letter: "1.99 M", "811 k", "25", "0"."""
    if value == 0:
        return "0"
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, "")):
        if abs(value) >= 10.0**power * 0.9995:
            return f"{float(f'{value / 10.0**power:.3g}'):g} {letter}".rstrip()
    return f"{value:.3g}"


def tick(value: float, _position: object = None) -> str:
    """A number at an axis: as a power of ten below 0.0001 and from a million on."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else ""
    if 1e-4 <= abs(value) < 1e6:
        return f"{value:.10g}".replace("-", "\N{MINUS SIGN}")
    digits, _, power = f"{value:.2e}".partition("e")
    digits = digits.rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")
    times = "" if digits == "1" else f"{digits}\N{MULTIPLICATION SIGN}"
    return f"{times}10{str(int(power)).translate(RAISED)}"


def listed(items: Sequence[str], most: int = 6) -> str:
    """ "a, b and c"; "a, b, c and 7 others" where there are many."""
    names = [plain(item) for item in items]
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


@cache
def _characters() -> frozenset[int]:
    """What can be written, in bold too."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    maps = (FT2Font(str(folder / font)).get_charmap() for font in FONTS)
    return frozenset.intersection(*map(frozenset, maps))
