"""What a person typed, as words, numbers and pairs; each complaint is one line."""

import shlex
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bench import spec
from bench.registry import unknown

Choice = TypeVar("Choice", bound=StrEnum)


def nothing_narrows(**options: Any) -> None:
    """Raises ValueError where an option that narrows a suite is given without one."""
    for option in (option for option, value in options.items() if value):
        raise ValueError(f"expected --suite beside --{option}, which narrows one; got none")


def alone(option: str, **others: Any) -> None:
    """Raises ValueError where another option is given beside one that stands alone."""
    for name in (name for name, value in others.items() if value):
        raise ValueError(f"expected {option} or --{name}, got both")


def only_beside(option: str, **others: Any) -> None:
    """Raises ValueError where another option is given that means nothing without one."""
    for name in (name for name, value in others.items() if value not in (None, "")):
        raise ValueError(f"expected {option} beside --{name}, got none")


def writes(forms: Sequence[str], screen: Sequence[str], to: Path | None, **instead: Any) -> None:
    """Raises ValueError where a form needs a folder, or has no place for what stands instead.

    `screen`: the forms that are a text each; `instead`: what is asked for in place of the tables.
    """
    for form in (form for form in forms if form not in screen):
        if to is None:
            raise ValueError(f"expected --to beside --format {form}, which is files; got none")
        for name in (name for name, value in instead.items() if value):
            raise ValueError(f"expected --format {', '.join(screen)} for --{name}, got {form}")


def command(**options: Any) -> str:
    """The command that runs what those options ask for, as one would type it.

    A directory that is told from the root is left to the reader: DIR.
    """
    words = ["python", "-m", "bench", "run"]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value] if value else []:
            words += [f"--{name}", "DIR" if Path(one).is_absolute() else one]
    return shlex.join(words)


def texts(text: str) -> list[str]:
    """Texts with options, at the commas outside brackets."""
    return _some(spec.split(text), text)


def words(text: str) -> list[str]:
    """Words at the commas."""
    return _some([word.strip() for word in text.split(",") if word.strip()], text)


def _some(found: list[str], text: str) -> list[str]:
    """The words; none only where nothing was typed, for then the suite says which."""
    if text and not found:
        raise ValueError(f"expected words separated by commas, got {text!r}")
    return found


def seed(word: str) -> int:
    """A whole number. Raises ValueError for anything else."""
    if not word.isdecimal():
        raise ValueError(f"expected seeds such as 0,1,2, got {word!r}")
    return int(word)


def pair(text: str) -> tuple[str, str]:
    """`key=value` in two. Raises ValueError where either is missing."""
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise ValueError(f"expected --set key=value, got {text!r}")
    return key.strip(), value.strip()


def choice(kind: type[Choice], word: str, what: str) -> Choice:
    """The member of that name. Raises Unknown, naming the nearest."""
    if word not in list(kind):
        raise unknown(what, word, [one.value for one in kind])
    return kind(word)
