"""What stands in the way of a run, found before it: a line a check."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.doctor import machine, supplies
from bench.doctor.check import Check, Wanted, problem
from tasks.sources import Source


def checks(
    store: Path, data: str, environ: Mapping[str, str], suite: str = "", profile: str = "quick"
) -> list[Check]:
    """Every check; of models, data and extras those that the suite needs, where one is named."""
    wanted, wrong = _wanted(suite, profile)
    answer = machine.Reached(environ)  # asks while the others are looked at
    source, missing = supplies.source(data, environ, answer)
    found = [*wrong, *machine.software(wanted), *machine.hardware(), *machine.java(wanted)]
    found += [*supplies.store(store), *supplies.plugins(), *supplies.models(wanted, answer)]
    found += missing or [answer.check(source is not None and source.kind == "hub")]
    if source:
        found += supplies.rows(wanted, source)
    if source and suite and not wrong:
        found += _planned(suite, profile, source, store)
    return found


def shown(found: list[Check]) -> str:
    """A line a check, and the count of what is wrong."""
    width = max(len(check.name) for check in found)
    lines = [
        f"{check.state:7}  {check.name:{width}}  {check.told}{check.todo and f'; {check.todo}'}"
        for check in found
    ]
    counts = [
        f"{sum(check.state == state for check in found)} {state}s"
        for state in ("problem", "warning")
    ]
    return "\n".join([*lines, ", ".join(counts)])


def _wanted(suite: str, profile: str) -> tuple[Wanted, list[Check]]:
    from bench import suite as suites

    if not suite:
        return Wanted(), []
    try:
        return Wanted(suites.request(suites.load(suite), profile)), []
    except ValueError as error:
        return Wanted(), [problem("suite", str(error), "mend the suite or name another one")]


def _planned(suite: str, profile: str, source: Source, store: Path) -> Iterator[Check]:
    """Whether the suite can be planned, and how much of it is done."""
    from bench.desk import Plan
    from bench.store import Store
    from bench.suite import load, request

    try:
        plan = Plan(request(load(suite), profile), source, Store(store))
    except (ValueError, OSError) as error:
        yield problem("plan", " ".join(str(error).split()), "see `bench plan`")
        return
    yield Check("plan", "ok", plan.opening(force=False))
