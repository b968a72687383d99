"""What records tell of themselves in `where`, whatever stands there."""

import math
from collections.abc import Mapping
from typing import Any

from bench.record import Record

HUGEST = 1e30  # a number beyond is damaged or useless; no axis can show it


def number(value: Any) -> float:
    """A number of at most 1e30 either way, 0 below 1e-30; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    if not abs(value) <= HUGEST:
        return math.nan
    return float(value) if abs(value) >= 1 / HUGEST else 0.0


def numbers(found: Any) -> list[float]:
    """Each item of a list as `number` has it; empty for what is none."""
    return [number(item) for item in found] if isinstance(found, list | tuple) else []


def texts(found: Any) -> list[str]:
    """Each item of a list as a text; empty for what is none."""
    return [str(item) for item in found] if isinstance(found, list | tuple) else []


def fact(record: Record, name: str) -> Mapping[str, Any]:
    """`where[name]`, or nothing where it is no mapping."""
    return mapping(record.where.get(name))


def mapping(found: Any) -> Mapping[str, Any]:
    """`found`, or an empty mapping where it is none."""
    return found if isinstance(found, Mapping) else {}
