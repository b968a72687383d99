"""Plug-ins' texts as records hold them, and names that may become files."""

import re
from typing import Any

from reports.checks import OPTION

UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
LONGEST = 120  # characters of a file's name that come from a label


def named(text: str) -> str:
    """The plug-in that `lora[rank=8]` is of."""
    return text.partition("[")[0]


def options(text: str) -> dict[str, Any]:
    """The options in `lora[rank=8]`, those of what is nested too: numbers, words, None."""
    return {name: _value(value) for name, value in OPTION.findall(text)}


def slug(text: str) -> str:
    """The text as one part of a path, without a dot in front; never empty."""
    return UNSAFE.sub("-", text).strip(".-")[:LONGEST] or "unnamed"


def _value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text in words:
        return words[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
