"""The contract of a suite: every profile can be planned, and each row has a name of its own."""

import tempfile
from functools import partial

from bench.contract.item import Broken, Contract, Finding
from bench.plan import outline
from bench.store import Store
from bench.suite import Suite, load, request
from tasks.sources import Source


def findings(text: str, source: Source) -> list[Finding]:
    """What came of every item for the suite of that name or in that file.

    Raises ValueError for a file that is no suite.
    """
    suite, contract = load(text), Contract()
    contract.item("rows-are-distinct")(_distinct)
    for profile in suite.profiles:
        contract.item(f"plans-{profile}")(partial(_plans, str(profile), source))
    return contract.findings(suite, "")


def _distinct(suite: Suite) -> str:
    for what, names in (("method", suite.methods), ("task", suite.tasks)):
        for name in names:
            if names.count(name) > 1:
                raise Broken(f"expected each {what} once, got {name!r} again")
    return f"{suite.title}: {len(suite.methods)} methods on {', '.join(suite.tasks)}"


def _plans(profile: str, source: Source, suite: Suite) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = outline(request(suite, profile), source, Store(folder))
        except ValueError as error:
            raise Broken(
                f"expected names, options and values that are valid, got: {error}"
            ) from None
    rows = [job for job in found.jobs if job.role == "row"]
    more = len(found.jobs) - len(rows)
    return f"{len(rows) + len(found.waiting)} cells of rows, {more} that others build on or try"
