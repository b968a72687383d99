"""The tables of the paper, and each as a request: its suite, narrowed to it and titled after it."""

from collections.abc import Sequence

from bench import suite as suites
from bench.registry import unknown
from bench.suite import PaperTable, Request

PAPER = "Wang et al. 2022"
QUICK = "quick profile, no reproduction"


def tables() -> dict[str, tuple[str, PaperTable]]:
    """Every table that a shipped suite declares, by name, with the suite's name.

    Raises ValueError for a name that two suites declare.
    """
    found: dict[str, tuple[str, PaperTable]] = {}
    for name in suites.names():
        for key, declared in suites.load(name).tables.items():
            if key in found:
                raise ValueError(f"table {key!r} is declared by suites {found[key][0]} and {name}")
            found[key] = (name, declared)
    return found


def table(name: str) -> tuple[str, PaperTable]:
    """The suite and the declaration of a table. Raises Unknown, naming the nearest."""
    known = tables()
    if name not in known:
        raise unknown("table", name, known)
    return known[name]


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
    of, declared = table(name)
    quick = profile == "quick"
    after = f"{declared.title}, after {declared.of} of {PAPER}"
    title = f"{after} ({QUICK})" if quick else after
    return suites.request(
        suites.load(of).model_copy(update={"name": name, "title": title}),
        profile,
        methods=declared.methods,
        tasks=declared.tasks,
        models=() if quick else declared.models,
        seeds=seeds,
        sets=sets,
    )


def options(name: str, profile: str) -> dict[str, str]:
    """What to type behind `bench run` for the cells of that table; rows are chosen apart."""
    of, declared = table(name)
    models = [] if profile == "quick" else declared.models
    narrower = {"tasks": ",".join(declared.tasks), "models": ",".join(models)}
    return {"suite": of, "profile": profile, **narrower}
