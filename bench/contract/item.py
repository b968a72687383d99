"""A contract: named promises of a plug-in, each looked at by itself."""

import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

Outcome = Literal["ok", "failed", "not applicable"]


class Broken(Exception):
    """An item is not kept; the message says what was expected and what came."""


class Aside(Exception):
    """An item has nothing to say of this plug-in; the message says why."""


class Finding(NamedTuple):
    """What came of one item."""

    subject: str  # the model, or "" where none is needed
    check: str
    outcome: Outcome
    told: str  # one line: what was expected, and what came


@dataclass(frozen=True)
class Item:
    """One promise: `look` returns a line on what was seen, or raises Broken or Aside."""

    name: str
    look: Callable[[Any], str]
    needs: tuple[str, ...] = ()  # items without which this one says nothing


@dataclass
class Contract:
    """The items of one kind, in the order they are looked at."""

    items: list[Item] = field(default_factory=list)

    def item(self, name: str, *needs: str) -> Callable[[Callable[[Any], str]], None]:
        """Declares the decorated function as an item."""
        return lambda look: self.items.append(Item(name, look, needs))

    def findings(
        self,
        case: Any,
        subject: str,
        lost: set[str] | None = None,
        only: Collection[str] = (),
    ) -> list[Finding]:
        """Every item's outcome; one that needs an item which failed is not looked at.

        `lost`: the names of those that failed before, to which this adds. `only`: the items that
        are looked at; none: all.
        """
        found: list[Finding] = []
        lost = set() if lost is None else lost
        for item in (item for item in self.items if not only or item.name in only):
            missing = [name for name in item.needs if name in lost]
            outcome, told = _looked(item, case, missing)
            if outcome == "failed" or missing:
                lost.add(item.name)
            found.append(Finding(subject, item.name, outcome, " ".join(told.split())))
        return found


def _looked(item: Item, case: Any, missing: list[str]) -> tuple[Outcome, str]:
    if missing:
        return "not applicable", f"not looked at: {missing[0]} failed"
    try:
        return "ok", item.look(case)
    except Aside as error:
        return "not applicable", str(error)
    except Broken as error:
        return "failed", str(error)
    except Exception as error:  # whatever other people's code raises is a finding
        return "failed", f"expected it to run, got {_raised(error)}"


def _raised(error: Exception) -> str:
    """Type, first line and place of an error."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    first = next(iter(str(error).splitlines()), "")[:200]
    return f"{type(error).__name__}: {first} ({Path(frame.filename).name}:{frame.lineno})"
