"""Plan, run and report."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import asked
from bench.commands.options import (
    NONE,
    Data,
    Executor,
    Format,
    Json,
    Methods,
    Models,
    Profile,
    Seeds,
    Sets,
    StoreDir,
    Suite,
    Tasks,
)


def run(
    suite: Suite,
    profile: Profile = "quick",
    methods: Methods = "",
    tasks: Tasks = "",
    models: Models = "",
    seeds: Seeds = "",
    data: Data = "auto",
    sets: Sets = NONE,
    store: StoreDir = Path("results"),
    executor: Annotated[Executor, typer.Option(help="who runs the cells")] = Executor.local,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="cells at a time; default: by room")
    ] = None,
    address: Annotated[
        str, typer.Option(help="of a Ray cluster, HOST:PORT or auto; default: this machine's own")
    ] = "",
    cpus: Annotated[float | None, typer.Option(help="that a cell takes on Ray; default: 1")] = None,
    gpus: Annotated[
        float | None, typer.Option(help="likewise, 0.5 for two on one; default: 1 if there are any")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="run finished cells again")] = False,
) -> None:
    """Run a suite's cells that are not done yet, then print its table."""
    from rich.console import Console

    from bench.executors import ranks
    from bench.reporting import of_plan, text
    from bench.rounds import finished

    if ranks.follows():
        ranks.follow()
        return
    with ranks.leading():
        jobs = ranks.one_at_a_time(executor is Executor.ray, jobs)
        cluster = asked.cluster(executor, address, cpus, gpus, jobs)
        console = Console(stderr=True)
        plan = asked.planned(suite, profile, methods, tasks, models, seeds, data, sets, store)
        console.print(plan.opening(force), markup=False, highlight=False, soft_wrap=True)
        plan = finished(plan, force, jobs, console, cluster)
    print(text(of_plan(plan), "md"))
    if any(record.status != "ok" for record in plan.records()):
        raise typer.Exit(1)


def plan(
    suite: Suite,
    profile: Profile = "quick",
    methods: Methods = "",
    tasks: Tasks = "",
    models: Models = "",
    seeds: Seeds = "",
    data: Data = "auto",
    sets: Sets = NONE,
    store: StoreDir = Path("results"),
    as_json: Json = False,
) -> None:
    """Print the cells of a suite, what is done, and what the rest will cost."""
    plan = asked.planned(suite, profile, methods, tasks, models, seeds, data, sets, store)
    print(asked.as_text(plan.rows()) if as_json else plan.listing())


def report(
    suite: Annotated[str, typer.Option(help="a suite; default: everything in the store")] = "",
    table: Annotated[str, typer.Option(help="a table of the paper, e.g. glue-bert-base")] = "",
    profile: Profile = "quick",
    methods: Methods = "",
    tasks: Tasks = "",
    models: Models = "",
    seeds: Seeds = "",
    data: Data = "auto",
    sets: Sets = NONE,
    store: StoreDir = Path("results"),
    form: Annotated[
        str, typer.Option("--format", help=f"of {', '.join(Format)}; comma-separated")
    ] = "md",
    to: Annotated[Path | None, typer.Option(help="write files there, not to the screen")] = None,
    baseline: Annotated[str, typer.Option(help="mark what differs significantly from it")] = "",
    compare: Annotated[str, typer.Option(help="every method beside this one, tested")] = "",
    published: Annotated[
        bool, typer.Option("--published", help="our numbers beside those that papers print")
    ] = False,
) -> None:
    """Print or write the tables, plots and page of a suite, or of everything in the store."""
    from bench import reporting, typed

    forms = [typed.choice(Format, one, "format") for one in typed.words(form or "md")]
    typed.writes(forms, reporting.SCREEN, to, compare=compare, published=published)
    view = reporting.View(baseline, compare, published)
    if compare or published:
        name = "--compare" if compare else "--published"
        typed.alone(name, baseline=baseline, published=published and compare)
    narrower = {"methods": methods, "tasks": tasks, "models": models}
    chosen = {"seeds": seeds, "set": sets, "data": "" if data == "auto" else data}
    if table:
        from bench.papertable import options

        typed.alone("--table", suite=suite, **narrower)
        plan = asked.tabled(table, profile, seeds, data, sets, store)
        command = typed.command(**options(table, profile), **chosen)
        made = reporting.of_plan(plan, view, command).titled()
    elif suite:
        plan = asked.planned(suite, profile, methods, tasks, models, seeds, data, sets, store)
        command = typed.command(suite=suite, profile=profile, **narrower, **chosen)
        made = reporting.of_plan(plan, view, command)
    else:
        typed.nothing_narrows(**narrower, seeds=seeds, set=sets)
        from bench.store import Store

        made = reporting.of_store(place := Store(store), view)
        asked.warn(place)
    for one in forms:
        if to is None:
            print(reporting.text(made, one, view))
            continue
        path = None
        for path in reporting.written(made, one, to, view):
            print(f"wrote {path}")
        if path is None:
            print(f"no {one}: there is nothing to draw")
