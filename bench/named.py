"""What the name of a row stands for on one task and model: a method, and the rows it needs."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

from bench import spec
from bench.registry import unknown
from bench.suite import Ranges, Request, Settings
from methods import alias, resolve
from methods import method as methods
from methods.base import Method, Need

Options = Mapping[str, Any]
NOTHING: Options = {}


class Names:
    """Names as they were typed: methods with their options, and variants of the suite.

    `task`: as it was typed. `found`: the options of the method that a search has found for a name.
    """

    def __init__(self, request: Request, task: str, model: str, found: Callable[[str], Options]):
        self.request, self.task, self.model, self.found = request, task, model, found
        self.settings = cache(self._settings)
        self.known: dict[tuple[str, str], Method] = {}
        self._seen = cache(self._read)

    def read(self, name: str, above: tuple[str, ...] = ()) -> tuple[Method, Sequence[Need]]:
        """The method, naming in `of` that of the first run it needs, and its needs by row name.

        Raises ValueError for what does not resolve, and where a row (those `above` it are given)
        builds on itself.
        """
        return self._seen(name, above)

    def _settings(self, name: str) -> Settings:
        """What the suite says of the row, `--set` left out."""
        return self.request.settings(name, self.task, self.model)

    def ranges(self, name: str) -> Ranges:
        """Where the suite's search looks for options of the row."""
        return self.request.ranges(name, self.task, self.model)

    def typed(self, name: str) -> dict[str, str]:
        """The options of the method that were typed with it."""
        return self._parsed(name)[1]

    def method(self, name: str, options: Options) -> Method:
        """The method with the options of the rules, those typed with it, and those given here.

        Raises ValueError for what does not resolve.
        """
        asked = name, repr(options)
        if asked not in self.known:
            self.known[asked] = self._method(name, options)
        return self.known[asked]

    def _method(self, name: str, options: Options) -> Method:
        stem, typed = self._parsed(name)
        every = {**self.settings(name).method_options, **typed, **options}
        with self._told(name):
            return resolve(spec.joined(stem, every), self.model)

    def leaves(self, name: str, above: tuple[str, ...] = ()) -> list[str]:
        """The rows that train and so settle this one: itself, or what its needs lead to.

        Raises ValueError as `read` does.
        """
        _, needs = self.read(name, above)
        below = (self.leaves(need.method, (*above, name)) for need in needs)
        return list(dict.fromkeys(chain(*below))) if needs else [name]

    def _read(self, name: str, above: tuple[str, ...]) -> tuple[Method, Sequence[Need]]:
        path = (*above, name)
        if name in above:
            raise ValueError(f"{name!r} builds on itself: {' <- '.join(path)}")
        typed = self.typed(name).get("of")
        method = self.method(name, {"of": self._text(typed, path)} if typed else NOTHING)
        needs = method.needs()
        if not needs:
            return self.method(name, self.found(name)), ()
        stands = method.of  # type: ignore[attr-defined]
        first = typed or stands
        method = replace(method, of=self._text(first, path))  # type: ignore[type-var]
        return method, [n._replace(method=first) if n.method == stands else n for n in needs]

    def _text(self, name: str, above: tuple[str, ...]) -> str:
        return spec.text(self.read(name, above)[0])

    def _parsed(self, name: str) -> tuple[str, dict[str, str]]:
        variants, known = self.request.suite.variants, {*methods.names(), *alias.names()}
        if variants and name not in variants and name.partition("[")[0].strip() not in known:
            raise unknown("method or variant", name, [*known, *variants])
        with self._told(name):
            return spec.parse(self.request.text(name))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Names the variant in what is said of its text."""
        try:
            yield
        except ValueError as error:
            if name not in self.request.suite.variants:
                raise
            raise ValueError(f"variant {name!r}: {error}") from error


def among(names: Container[str], options: Options) -> dict[str, Any]:
    """The options of those names."""
    return {name: value for name, value in options.items() if name in names}
