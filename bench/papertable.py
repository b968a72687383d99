"""A table of the paper as a request: its suite, narrowed to it and titled after it."""

from collections.abc import Sequence

from bench import suite as suites
from bench.suite import Request

PAPER = "Wang et al. 2022"
QUICK = "quick profile, no reproduction"


def request(
    name: str,
    profile: str = "quick",
    *,
    seeds: Sequence[int] = (),
    sets: dict[str, str] | None = None,
) -> Request:
    """The cells of that table; the quick profile has models of its own and reproduces nothing.

    The suite goes by the table's name, as do the files of its reports. Raises ValueError for a
    table or a profile that there is not.
    """
    of, table = suites.table(name)
    quick = profile == "quick"
    after = f"{table.title}, after {table.of} of {PAPER}"
    title = f"{after} ({QUICK})" if quick else after
    return suites.request(
        suites.load(of).model_copy(update={"name": name, "title": title}),
        profile,
        methods=table.methods,
        tasks=table.tasks,
        models=() if quick else table.models,
        seeds=seeds,
        sets=sets,
    )
