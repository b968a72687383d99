"""The record inside a file that this project wrote in another format."""

import json
from collections.abc import Mapping
from typing import Any

from bench.record import Record

OWN = "peftbench"  # the key that is ours


def own_record(made: Mapping[str, Any]) -> Record | None:
    """The record under our key, unchanged; None where there is no such key.

    Raises ValueError where what stands there is not a whole record.
    """
    if OWN not in made:
        return None
    inside = made[OWN].get("record") if isinstance(made[OWN], dict) else None
    if not isinstance(inside, dict) or not isinstance(inside.get("cell"), dict):
        raise ValueError(f"expected a record under {OWN!r}, got {type(inside).__name__}")
    return Record.from_json(json.dumps(inside))
