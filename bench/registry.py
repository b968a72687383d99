"""Plug-ins by name: declared by a decorator, found by folder scan or entry point."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

Entry = TypeVar("Entry", bound=Callable[..., Any])


class Unknown(ValueError):
    """A name that nothing answers to; the message names the nearest valid choices."""


def unknown(what: str, name: str, choices: Iterable[str]) -> Unknown:
    """The error for `name`, a `what` that is not among `choices`, naming the nearest of them."""
    valid = sorted(choices)
    close = {near.lower(): near for near in valid}
    near = [close[c] for c in difflib.get_close_matches(name.lower(), close, n=3)]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"valid: {', '.join(valid)}"
    return Unknown(f"no {what} named {name!r}; {hint}")


class Registry:
    """Everything declared under one decorator.

    The modules of `package` are imported on first look-up, so adding a plug-in
    means adding a file; nothing lists it anywhere else. Other distributions add
    plug-ins through the entry point group `peftbench.<kind>`, and in no other way. One that
    cannot be loaded, or has a name that is taken, is left out; `broken` says why.
    """

    def __init__(self, kind: str, package: str):
        self.kind, self.package = kind, package
        self._entries: dict[str, Any] = {}
        self._scanned = False
        self.broken: dict[str, str] = {}  # entry points that were left out, and why
        self.origins: dict[str, str] = {}  # of other distributions' plug-ins: "name version"

    def __call__(self, name: str, **facts: Any) -> Callable[[Entry], Entry]:
        """Declares the decorated class (or function) under `name`; `facts` become attributes.

        Raises ValueError when the name is taken.
        """

        def declare(entry: Entry) -> Entry:
            if name in self._entries:
                first = self._entries[name].__module__
                raise ValueError(
                    f"{self.kind} {name!r} is declared in {first} and in {entry.__module__}"
                )
            for fact, value in {"name": name, **facts}.items():
                setattr(entry, fact, value)
            self._entries[name] = entry
            return entry

        return declare

    def __getitem__(self, name: str) -> Any:
        """The plug-in called `name`. Raises Unknown, naming the nearest valid choices."""
        if name not in self.names():
            raise self.missing(name, self._entries)
        return self._entries[name]

    def missing(self, name: str, choices: Iterable[str]) -> Unknown:
        """The error for a name that nothing answers to, or whose plug-in was left out."""
        if name in self.broken:
            return Unknown(f"{self.kind} {name!r} cannot be used: {self.broken[name]}")
        left_out = f"; left out: {', '.join(self.broken)}" if self.broken else ""
        return Unknown(f"{unknown(self.kind, name, choices)}{left_out}")

    def names(self) -> list[str]:
        """Every declared name, sorted."""
        if not self._scanned:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
                importlib.import_module(module.name)
            for point in sorted(entry_points(group=f"peftbench.{self.kind}"), key=_origin):
                self._add(point)
            self._scanned = True  # not before: a module that fails to import fails every time
        return sorted(self._entries)

    def _add(self, point: EntryPoint) -> None:
        """Loads what another distribution has, all of it or nothing."""
        before = dict(self._entries)
        try:
            point.load()
        except (Exception, SystemExit) as error:  # whatever other people's code raises
            self._entries = before
            why = " ".join(str(error).split()) or "no message"
            self.broken[point.name] = f"{_origin(point)}: {type(error).__name__}: {why}"
            return
        for name, entry in self._entries.items():
            if entry.__module__.partition(".")[0] == point.module.partition(".")[0]:
                self.origins[name] = _origin(point)


def _origin(point: EntryPoint) -> str:
    """The distribution that has the entry point, and its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
