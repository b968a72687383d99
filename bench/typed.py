"""What a person typed, as words, numbers and pairs; each complaint is one line."""

from enum import StrEnum
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
