"""One text form for a plug-in with options: `lora[rank=8,targets=q+v]`.

The same text stands in suites, on the command line, in records and as a row
label. Values are numbers, words, `true`, `false`, `none`, lists joined by `+`, or
again a plug-in with options: `adamix[inner=lora[rank=4]]`.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.registry import Registry, unknown

DEEPEST = 20  # plug-ins inside each other


def parse(text: str) -> tuple[str, dict[str, str]]:
    """`name[a=1,b=x[c=2]]` -> `("name", {"a": "1", "b": "x[c=2]"})`.

    Raises ValueError where brackets or options are malformed.
    """
    if _depth(text) > DEEPEST:
        raise ValueError(
            f"expected at most {DEEPEST} brackets inside each other, got {text[:60]}..."
        )
    name, bracket, rest = text.strip().partition("[")
    if not bracket:
        if not name or any(c in name for c in "],= "):
            raise ValueError(f"expected name[option=value,...], got {text!r}")
        return name, {}
    if not rest.endswith("]") or not name:
        raise ValueError(f"expected name[option=value,...], got {text!r}")
    options: dict[str, str] = {}
    for part in split(rest[:-1]):
        option, equals, value = part.partition("=")
        option = option.strip()
        if not equals or not option or not value.strip():
            raise ValueError(f"expected option=value in {text!r}, got {part!r}")
        if option in options:
            raise ValueError(f"option {option!r} stands twice in {text!r}")
        options[option] = value.strip()
    return name.strip(), options


def _depth(text: str) -> int:
    return max(accumulate((c == "[") - (c == "]") for c in text), default=0)


def split(text: str, at: str = ",") -> list[str]:
    """Splits at commas, or another sign, that stand outside brackets; "" gives an empty list.

    Raises ValueError when brackets do not match.
    """
    parts, depth, start = [], 0, 0
    if "[" not in text and "]" not in text:
        return [part for word in text.split(at) if (part := word.strip())]
    for i, c in enumerate(text):
        depth += (c == "[") - (c == "]")
        if depth < 0:
            break
        if c == at and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth:
        raise ValueError(f"brackets do not match in {text!r}")
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def joined(name: str, options: Mapping[str, Any]) -> str:
    """The text that `parse` takes apart: a name, and its options in their order, if any."""
    inside = ",".join(f"{option}={word(value)}" for option, value in options.items())
    return f"{name}[{inside}]" if inside else name


def build(registry: Registry, text: str, **defaults: Any) -> Any:
    """The plug-in that `text` names, with its options checked; `defaults` give way to the text.

    Raises ValueError naming the option, what was expected and what came.
    """
    name, options = parse(text)
    return construct(registry[name], {**defaults, **options})


def construct(cls: type, options: Mapping[str, Any]) -> Any:
    """An instance of the dataclass `cls` from options that may be text.

    Raises ValueError for unknown options and for values of the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    whose = f"{getattr(cls, 'kind', 'object')} {getattr(cls, 'name', cls.__name__)!r}"
    for option in options:
        if not fields:
            raise ValueError(f"{whose} takes no options, got {option!r}")
        if option not in fields:
            raise unknown(f"option of {whose}", option, fields)
    hints = _hints(cls)
    # Defaults are read like the rest: a float's 20 becomes 20.0, so that equals have one text.
    values = {name: _default(field) for name, field in fields.items()}
    values |= {option: _value(value, hints[option]) for option, value in options.items()}
    given = {name: value for name, value in values.items() if value is not dataclasses.MISSING}
    try:
        plugin = _adapter(cls).validate_python(given)
    except ValidationError as error:
        raise ValueError(f"{whose}, {_complaint(error)}") from None
    for option in options:
        if isinstance(number := getattr(plugin, option), float) and not math.isfinite(number):
            raise ValueError(f"{whose}, {option}: expected a finite number, got {number}")
    return plugin


def text(plugin: Any, *, full: bool = True) -> str:
    """The text that builds an equal plug-in: every option, or (full=False) those that differ."""
    options = {
        field.name: getattr(plugin, field.name)
        for field in sorted(dataclasses.fields(plugin), key=lambda field: field.name)
        if full or getattr(plugin, field.name) != _default(field)
    }
    return joined(plugin.name, options)


@cache
def _adapter(cls: type) -> TypeAdapter:
    return TypeAdapter(cls)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _complaint(error: ValidationError) -> str:
    """The first thing that is wrong: the option, what was expected, what came."""
    first = error.errors()[0]
    if not first["loc"]:  # the plug-in's own check of all its options
        return f"options: {first.get('ctx', {}).get('error', first['msg'])}"
    expected = first["msg"].replace("Input should be", "expected").partition(", unable to")[0]
    return f"{first['loc'][0]}: {expected}, got {first['input']!r}"


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _value(value: Any, hint: Any) -> Any:
    """Text as the option's type reads it; anything that is not text is left as it is."""
    if not isinstance(value, str):
        return value
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    choices = typing.get_args(hint) if union else (hint,)
    if value.lower() == "none" and type(None) in choices:
        return None
    if any(typing.get_origin(choice) is tuple for choice in choices):
        if value.lower() == "none":
            return ()
        return tuple(split(value, "+"))
    return value


def word(value: Any) -> str:
    """An option's value as text."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "+".join(map(word, value)) or "none"
    return str(value)
