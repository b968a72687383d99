"""What makes a text of a record harmless on the page: visible, of bounded length, never markup."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

LONG = 2_000  # characters of one text
ITEMS = 64  # of one list or mapping
DEPTH = 6
EXACT = 2**53  # a script keeps whole numbers up to here
HIDDEN = re.compile(  # controls, what turns the direction of other text, halves of a character
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
IN_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def plain(text: object, most: int = LONG) -> str:
    """The text with what cannot be seen spelled out, "[U+202E]", and cut with a note."""
    whole = str(text).replace("\r\n", "\n")
    rest = len(whole) - most
    cut = f"{whole[:most]}… [{rest:,} more characters]" if rest > 0 else whole
    return HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", cut)


def value(found: Any, most: int = LONG, depth: int = DEPTH) -> Any:
    """Anything that a record may hold, as JSON that a script reads without loss.

    Numbers that are not finite, and whole ones that a script would round, become texts.
    """
    if found is None or isinstance(found, bool):
        return found
    if isinstance(found, int):
        return found if abs(found) <= EXACT else plain(found, most)
    if isinstance(found, float):
        return found if math.isfinite(found) else str(found)
    if depth and isinstance(found, Mapping):
        return _mapping(found, most, depth - 1)
    if depth and isinstance(found, list | tuple):
        return _list(found, most, depth - 1)
    return plain(found, most)


def json_text(made: Any) -> str:
    """JSON that may stand inside a script element of any page."""
    text = json.dumps(made, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(IN_SCRIPT)


def policy(script: str, style: str) -> str:
    """What the page may load and run: its own script and style, images within it, no more."""
    return (
        f"default-src 'none'; img-src data:; script-src {_hash(script)}; "
        f"style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )


def image(svg: str) -> str:
    """The address of a picture that is its own content."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def markup(text: str) -> "Markup":
    """Text of our own that is not escaped again."""
    from markupsafe import Markup

    return Markup(text)


def _mapping(found: Mapping[Any, Any], most: int, depth: int) -> dict[str, Any]:
    kept = list(found.items())[:ITEMS]
    made = {plain(name, most): value(item, most, depth) for name, item in kept}
    return made | ({"…": f"{len(found) - ITEMS:,} more"} if len(found) > ITEMS else {})


def _list(found: Sequence[Any], most: int, depth: int) -> list[Any]:
    made = [value(item, most, depth) for item in found[:ITEMS]]
    return made + ([f"… {len(found) - ITEMS:,} more"] if len(found) > ITEMS else [])


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
