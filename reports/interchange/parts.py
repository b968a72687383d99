"""Foreign JSON read part by part; whatever is wrong with it is told in one line."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

WORDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def loaded(text: str, sections: Iterable[str]) -> dict[str, Any]:
    """The object that a text holds; numbers that are not finite are None.

    `sections`: what it should consist of. Raises ValueError for another text, RecursionError for
    one that is nested too deep.
    """
    try:
        made = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        json.dumps(made, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(
            "expected a result file, got half a character in one of its texts"
        ) from None
    except ValueError as error:
        raise ValueError(f"expected a result file in JSON, got: {error}") from None
    if not isinstance(made, dict):
        raise ValueError(f"expected a result file with {', '.join(sections)}, got {_kind(made)}")
    return made


def part(of: Mapping[str, Any], name: str, kind: type, whole: str) -> Any:
    """`of[name]`. Raises ValueError where it is missing, or of another kind."""
    value = of.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        got = "none" if name not in of else _kind(value)
        raise ValueError(f"expected {WORDS[kind]} {name!r} in the {whole}, got {got}")
    return value


def inside(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`of[name]`, or an empty object where that is none."""
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def is_number(value: Any) -> bool:
    """Whether it is a finite number that a float can hold; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def number(value: Any) -> float | None:
    """The number, or None where it is none."""
    return value if is_number(value) else None


def _finite(text: str) -> float | None:
    return number(float(text))


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return "a number" if isinstance(value, int | float) else WORDS[type(value)]
