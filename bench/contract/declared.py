"""The contract of a method as it is declared: its name, its source, its options."""

import ast
import dataclasses
import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from bench import spec
from bench.contract.item import Aside, Broken, Contract
from methods import resolve
from methods.base import Method

declared = Contract()
YEAR = re.compile(r"\b(19|20)\d\d\b")
PLACE = re.compile(r"arXiv:\d{4}\.\d{4,5}|https?://|10\.\d{4,}/|\b[\w.-]+/[\w.-]+\b")


@dataclass(frozen=True)
class Declared:
    """A method as it stands in the registry."""

    entry: Any  # the class, or the function of an alias
    cls: Any  # the class
    method: Method | None  # what the text builds, where it can be built


@declared.item("declared")
def _declared(case: Declared) -> str:
    cls = case.cls
    if not (inspect.isclass(cls) and issubclass(cls, Method)):
        raise Broken(f"expected a subclass of methods.base.Method, got {cls!r}")
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:
        raise Broken(f"expected a frozen dataclass, got {cls.__name__}, which is none")
    for option in dataclasses.fields(cls):
        if option.default is option.default_factory is dataclasses.MISSING:
            raise Broken(f"expected a default of every option, got none of {option.name!r}")
    if not isinstance(cls.version, int) or cls.version < 1:
        raise Broken(f"expected a version of at least 1, got {cls.version!r}")
    doc = inspect.cleandoc(case.entry.__doc__ or "").splitlines()  # or a dataclass's signature
    if not doc or not doc[0].rstrip().endswith("."):
        raise Broken("expected a docstring whose first line is a sentence, got none")
    return f"a frozen dataclass; options with a default each: {len(dataclasses.fields(cls))}"


@declared.item("names-its-source")
def _source(case: Declared) -> str:
    said = getattr(case.entry, "source", "")
    if not isinstance(said, str) or not (YEAR.search(said) or PLACE.search(said)):
        raise Broken(
            f"expected source= to name a paper with its year, or a repository, got {said!r}"
        )
    return said


@declared.item("documents-its-options", "declared")
def _documented(case: Declared) -> str:
    fields = dataclasses.fields(case.cls)
    if not fields:
        return "there are no options"
    doc, lines = inspect.getdoc(case.cls) or "", _lines(case.cls)
    for option in fields:
        if not re.search(rf"\b{option.name}\b", doc) and "#" not in lines.get(option.name, "#"):
            raise Broken(
                f"expected a comment or a word of the docstring on where the default of "
                f"{option.name!r} is from, got none"
            )
    if not lines:
        raise Aside("its source text is not at hand")
    return "every option has a comment or a word in the docstring"


@declared.item("round-trips", "declared")
def _round(case: Declared) -> str:
    if case.method is None:
        raise Aside("it cannot be built")
    for full in (True, False):
        written = spec.text(case.method, full=full)
        if resolve(written, "") != case.method:
            raise Broken(f"expected {written!r} to build the same method, got another")
    if hash(case.method) != hash(resolve(spec.text(case.method), "")):
        raise Broken("expected equal methods to have one hash, got two")
    return spec.text(case.method)


def _lines(cls: type) -> dict[str, str]:
    """The lines on which each option is defined, its comment included, by name."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):
            continue
        lines = source.splitlines()
        (node,) = ast.parse(source).body
        for part in getattr(node, "body", ()):
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                above = (
                    [lines[part.lineno - 2]] if lines[part.lineno - 2].strip()[:1] == "#" else []
                )
                own = lines[part.lineno - 1 : part.end_lineno]
                found[part.target.id] = "\n".join([*above, *own])
    return found
