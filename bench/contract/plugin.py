"""The contract of a method, looked at item by item: what `bench check` prints."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench import spec
from bench.contract import suite as check_suite
from bench.contract import task as check_task
from bench.contract.case import Case
from bench.contract.declared import Declared, declared
from bench.contract.item import Finding
from bench.contract.serving import serving
from bench.contract.start import start
from bench.contract.subject import Subject, subjects
from bench.contract.training import training
from methods import alias, method, resolve
from tasks.sources import Source

CONTRACT = (start, training, serving)  # what is looked at on every model, in this order
MARKS = {"ok": "ok", "failed": "FAILED", "not applicable": "n/a"}


def findings(text: str, models: Sequence[str] = ("tiny",)) -> list[Finding]:
    """What came of every item of the contract for the method of that text.

    `models`: "tiny" (every family), "tiny-bert", a name, a hub id or a directory. Raises
    ValueError for a name, an option or a model that is wrong.
    """
    tried = [subject for word in models for subject in subjects(word)]
    as_it_stands = _declared(text)
    found = declared.findings(as_it_stands, "")
    if as_it_stands.method is None:
        return found
    found += [one for subject in tried for one in on_model(text, subject)]
    if all(one.check == "serves" for one in found if one.subject):
        told = f"expected a model that it serves among {', '.join(s.name for s in tried)}, got none"
        found.append(Finding("", "serves-a-model", "failed", told))
    return found


def on_model(text: str, subject: Subject, only: Collection[str] = ()) -> Iterator[Finding]:
    """What came of the items that are looked at on one model; `only`: of some of them."""
    case = Case(resolve(text, subject.name), subject)
    if why := case.unserved():
        yield Finding(subject.name, "serves", "not applicable", f"not served: {why}")
        return
    lost: set[str] = set()
    for contract in CONTRACT:
        yield from contract.findings(case, subject.name, lost, only)


def asked(
    method: str, task: str, suite: str, models: Sequence[str], source: Source
) -> dict[str, list[Finding]]:
    """What came of each contract that is asked for, by the text of what it is about.

    Raises ValueError where none is, or what is asked for is wrong.
    """
    found = {}
    if method:
        found[method] = findings(method, models)
    if task:
        found[task] = check_task.findings(task, source)
    if suite:
        found[suite] = check_suite.findings(suite, source)
    if not found:
        raise ValueError("expected a method, --task or --suite to check, got none")
    return found


def failed(found: Iterable[Finding]) -> list[str]:
    """A line for each item that is not kept."""
    return [f"{f.subject} {f.check}: {f.told}".strip() for f in found if f.outcome == "failed"]


def rows(found: Mapping[str, Iterable[Finding]]) -> list[dict[str, Any]]:
    """A flat row an item."""
    return [{"of": text, **one._asdict()} for text, some in found.items() for one in some]


def shown(found: Mapping[str, Sequence[Finding]]) -> str:
    """The findings for a person."""
    return "\n\n".join(_told(text, some) for text, some in found.items())


def _told(text: str, found: Sequence[Finding]) -> str:
    lines, width = [text], max(len(one.check) for one in found)
    for subject in dict.fromkeys(one.subject for one in found):
        lines += ["", subject] if subject else []
        lines += [
            f"  {MARKS[one.outcome]:6}  {one.check:{width}}  {one.told}"
            for one in found
            if one.subject == subject
        ]
    counts: Counter[str] = Counter(one.outcome for one in found)
    total = ", ".join(f"{counts[outcome]} {outcome}" for outcome in MARKS)
    return "\n".join([*lines, "", total])


def _declared(text: str) -> Declared:
    """The method's entry and what the text builds: nothing where the declaration is at fault."""
    name, _ = spec.parse(text)
    if name in alias.names():
        entry = alias[name]
        return Declared(entry, type(resolve(text, "")), resolve(text, ""))
    cls = method[name] if name in method.names() else None
    case = Declared(cls, cls, None)
    try:
        return Declared(cls, cls, resolve(text, ""))
    except ValueError:
        if cls is None or not failed(declared.findings(case, "")):
            raise
        return case
