"""python -m bench: list, plan, run, report, params, score, pretrain, import, export, reproduce,
doctor.

Heavy imports stand inside the command that needs them, so that help, list and plan start fast.
"""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Train, count and table parameter-efficient fine-tuning methods.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Suite = Annotated[str, typer.Option(help="a suite's name, or a TOML file", show_default=False)]
Profile = Annotated[str, typer.Option(help="quick: minutes on a laptop; paper: full data")]
Methods = Annotated[str, typer.Option(help="comma-separated, e.g. 'full,lora[rank=4]'")]
Tasks = Annotated[str, typer.Option(help="comma-separated, e.g. sst2,rte")]
Models = Annotated[str, typer.Option(help="comma-separated names, hub ids or directories")]
Seeds = Annotated[str, typer.Option(help="comma-separated, e.g. 0,1,2")]
Data = Annotated[str, typer.Option(help="auto, hub, sample, or a directory in official layout")]
Sets = Annotated[list[str], typer.Option("--set", help="key=value of the recipe or the task")]
StoreDir = Annotated[Path, typer.Option("--store", help="where records are kept")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON array")]
NONE: list[str] = []

STOPPED = 130  # the exit code of a program that Ctrl-C ended
WRONG = (  # what a request can be at fault for: words, files and directories
    ValueError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


class Kind(StrEnum):
    """What `list` lists."""

    methods = "methods"
    tasks = "tasks"
    models = "models"
    suites = "suites"
    tables = "tables"
    metrics = "metrics"
    peft = "peft"


class Executor(StrEnum):
    """Who runs the cells."""

    local = "local"
    ray = "ray"


class Format(StrEnum):
    """What a report is written as."""

    md = "md"
    tex = "tex"
    csv = "csv"
    html = "html"
    png = "png"
    svg = "svg"
    pdf = "pdf"
    peft = "peft"
    hub = "hub"


@app.command()
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
        cluster = _cluster(executor, address, cpus, gpus, jobs)
        console = Console(stderr=True)
        plan = _plan(suite, profile, methods, tasks, models, seeds, data, sets, store)
        console.print(plan.opening(force), markup=False, highlight=False, soft_wrap=True)
        plan = finished(plan, force, jobs, console, cluster)
    print(text(of_plan(plan), "md"))
    if any(record.status != "ok" for record in plan.records()):
        raise typer.Exit(1)


@app.command()
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
    plan = _plan(suite, profile, methods, tasks, models, seeds, data, sets, store)
    print(_json(plan.rows()) if as_json else plan.listing())


@app.command()
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
        plan = _table(table, profile, seeds, data, sets, store)
        command = typed.command(**options(table, profile), **chosen)
        made = reporting.of_plan(plan, view, command).titled()
    elif suite:
        plan = _plan(suite, profile, methods, tasks, models, seeds, data, sets, store)
        command = typed.command(suite=suite, profile=profile, **narrower, **chosen)
        made = reporting.of_plan(plan, view, command)
    else:
        typed.nothing_narrows(**narrower, seeds=seeds, set=sets)
        from bench.store import Store

        made = reporting.of_store(place := Store(store), view)
        _warn(place)
    for one in forms:
        if to is None:
            print(reporting.text(made, one, view))
            continue
        path = None
        for path in reporting.written(made, one, to, view):
            print(f"wrote {path}")
        if path is None:
            print(f"no {one}: there is nothing to draw")


@app.command("list")
def list_(kind: Kind, as_json: Json = False) -> None:
    """List methods, tasks, models, suites, tables of the paper or metrics; try peft's tuners."""
    from bench.listing import listing, shown

    rows = listing(kind.value)
    print(_json(rows) if as_json else shown(rows))


@app.command()
def params(
    model: Annotated[str, typer.Option(help="a name, a hub id or a directory")],
    methods: Methods = "full,top,head,bitfit,adapter,lora,prefix,adamix-adapter,adamix-lora",
    outputs: Annotated[
        int | None,
        typer.Option(min=0, help="of the head; 0: it writes text; default: 2, or 0 for a writer"),
    ] = None,
    length: Annotated[int, typer.Option(min=1, help="tokens of the row that FLOPs are for")] = 128,
    as_json: Json = False,
) -> None:
    """Count parameters and FLOPs from a model's configuration alone, beside printed counts."""
    from bench import typed
    from bench.counting import beside, counts, shown
    from reports import published

    rows = counts(model, typed.texts(methods), outputs, length)
    printed = beside(model, published.counts(rows[0]["model"]), rows)
    print(_json([*rows, *printed]) if as_json else shown(rows, printed))


@app.command()
def pretrain(
    texts: Annotated[list[Path] | None, typer.Argument(help="text files, a line a row")] = None,
    model: Annotated[str, typer.Option(help="which one to make: gpt2-mini, t5-mini")] = "gpt2-mini",
    seed: Annotated[int, typer.Option(min=0, help="of its first weights and of the order")] = 0,
    data: Data = "auto",
    sets: Sets = NONE,
    store: StoreDir = Path("results"),
    to: Annotated[Path | None, typer.Option(help="copy the model there")] = None,
) -> None:
    """Make a small model, its tokenizer included, of text files or of the tasks' rows."""
    from rich.console import Console

    from bench import typed
    from bench.made import MODEL
    from bench.pretrain import Asked, below, finished, hand_over, told
    from bench.store import Store

    source, files = below(texts) if texts else (_source(data), ())
    asked = Asked(model, dict(typed.pair(text) for text in sets), seed, source, files)
    console, place = Console(stderr=True), Store(store)
    record = finished(asked.job(place), place, console)
    folder = place.folder(record.cell) / MODEL
    if record.status != "ok":
        print(f"{record.status}: {record.reason}")
        raise typer.Exit(1)
    if to:
        hand_over(folder, to)
    print(f"model: {to or folder}\n{told(record)}")
    print(f"use it: python -m bench run --suite nlg --models {to or folder}")


@app.command()
def score(
    task: Annotated[str, typer.Option(help="e2e, webnlg or dart")] = "",
    hypotheses: Annotated[Path | None, typer.Option(help="a text a line")] = None,
    references: Annotated[
        Path | None, typer.Option(help="a text a line, groups parted by a blank line")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="a record's folder, whose stored texts are scored again")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="lora or organisers (webnlg, dart), e2e-metrics (e2e)")
    ] = "",
    update: Annotated[bool, typer.Option("--update", help="put the scores in the record")] = False,
    as_json: Json = False,
) -> None:
    """Score texts against references: two files, or a record's own."""
    from bench import score as scores
    from bench import typed

    if record is not None:
        typed.alone("--record", task=task, hypotheses=hypotheses, references=references)
        row = scores.of_record(record, protocol, update)
    elif task and hypotheses and references:
        if update:
            raise ValueError("expected --record beside --update, got none")
        row = scores.of_files(task, hypotheses, references, protocol)
    else:
        raise ValueError("expected --task, --hypotheses and --references, or --record")
    print(_json([row]) if as_json else scores.shown(row))


@app.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(help="of peft's method comparison, or of --format peft; folders")
    ],
    store: StoreDir = Path("results"),
) -> None:
    """Put results of huggingface/peft's method comparison in the store."""
    from bench.store import Store
    from reports.interchange.foreign import imported

    for line in imported(files, Store(store)):
        print(line)


@app.command()
def export(
    record: Annotated[Path, typer.Argument(help="a record.json, or its folder")],
    to: Annotated[Path, typer.Option(help="write the adapter there")],
    model: Annotated[str, typer.Option(help="its directory, for a model of no known name")] = "",
    base: Annotated[str, typer.Option(help="what the adapter names as its base model")] = "",
) -> None:
    """Write a trained adapter in the format of the library peft."""
    from bench.export import adapter

    for line in adapter(record, to, model, base):
        print(line)


@app.command()
def check(
    method: Annotated[str, typer.Argument(help="a method, e.g. 'lora[rank=4]'")] = "",
    task: Annotated[str, typer.Option(help="check a task")] = "",
    suite: Annotated[str, typer.Option(help="check a suite: a name, or a TOML file")] = "",
    models: Annotated[str, typer.Option(help="tiny (each family), tiny-t5, minilm, ...")] = "tiny",
    data: Annotated[str, typer.Option(help="of --task and --suite")] = "sample",
    as_json: Json = False,
) -> None:
    """Try whether a method, a task or a suite keeps its contract, item by item."""
    from bench import typed
    from bench.contract import plugin as contract

    found = contract.asked(method, task, suite, typed.words(models), _source(data))
    print(_json(contract.rows(found)) if as_json else contract.shown(found))
    if any(contract.failed(some) for some in found.values()):
        raise typer.Exit(1)


@app.command()
def speed(
    task: Annotated[str, typer.Option(help="of classification, e.g. sst2, mrpc")] = "sst2",
    model: Annotated[
        str, typer.Option(help="an encoder: a name, a hub id or a directory")
    ] = "minilm",
    method: Annotated[str, typer.Option(help="lora, full, bitfit, head or top")] = "lora",
    mixture: Annotated[str, typer.Option(help="beside the module it mixes")] = "adamix-adapter",
    writer: Annotated[str, typer.Option(help="the model that decodes")] = "gpt2-mini",
    rows: Annotated[int, typer.Option(help="training rows")] = 512,
    dev_rows: Annotated[int, typer.Option(help="rows that are scored")] = 400,
    prompts: Annotated[int, typer.Option(help="texts that are written")] = 32,
    epochs: int = 1,
    batch: int = 32,
    repeats: Annotated[int, typer.Option(help="rounds in which everybody takes a turn")] = 5,
    threads: Annotated[int, typer.Option(min=0, help="0: as many as torch takes")] = 0,
    only: Annotated[str, typer.Option(help="of training, evaluation, adamix, decoding")] = "",
    data: Data = "auto",
    sets: Sets = NONE,
    as_json: Json = False,
) -> None:
    """Time training, evaluation and decoding beside Trainer, peft and generate, in turn."""
    from rich.console import Console

    from bench import typed
    from bench.speed.asked import GROUPS, Asked

    names = (model, writer, task, method, mixture)
    numbers = (rows, dev_rows, prompts, epochs, batch, repeats, threads)
    settings = dict(typed.pair(text) for text in sets)
    asked = Asked(_source(data), *names, *numbers, settings, tuple(typed.words(only)) or GROUPS)
    from bench.speed.comparison import compared
    from bench.speed.table import differing, table

    found, about = compared(asked, Console(stderr=True).print)
    print(_json([{**row, **about} for row in found]) if as_json else table(found, about))
    if differing(found):
        raise typer.Exit(1)


@app.command()
def reproduce(
    record: Annotated[Path, typer.Argument(help="a record.json, or its folder")],
    data: Data = "auto",
    model: Annotated[str, typer.Option(help="its directory, for a model of no known name")] = "",
) -> None:
    """Run a record's cell again and compare metrics and weights bit by bit."""
    from bench.reproduce import again

    differences = again(record, _source(data), model)
    for line in differences or ["identical: metrics, predictions and weights"]:
        print(line)
    if differences:
        raise typer.Exit(1)


@app.command()
def doctor(
    suite: Annotated[str, typer.Option(help="what it needs; default: whatever there is")] = "",
    profile: Profile = "quick",
    data: Data = "auto",
    store: StoreDir = Path("results"),
    as_json: Json = False,
) -> None:
    """Find what is missing before a long run does: software, data, models, store."""
    from bench.doctor.visit import checks, shown

    found = checks(store, data, os.environ, suite, profile)
    print(_json([check._asdict() for check in found]) if as_json else shown(found))
    if any(check.state == "problem" for check in found):
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line: exit code 2 and one line on a wrong request."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.Abort:  # Ctrl-C in older typers; later ones return its code
        code = STOPPED
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: a wrong flag
            message = error.format_message()
        elif isinstance(error, WRONG):
            message = str(error)
        else:
            raise
        print(f"bench: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    if code == STOPPED:
        print("bench: stopped; the same command goes on from here", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _plan(suite, profile, methods, tasks, models, seeds, data, sets, store) -> Any:
    from bench import suite as suites
    from bench import typed
    from bench.desk import Plan
    from bench.store import Store

    request = suites.request(
        suites.load(suite),
        profile,
        methods=typed.texts(methods),
        tasks=typed.texts(tasks),
        models=typed.texts(models),
        seeds=[typed.seed(word) for word in typed.words(seeds)],
        sets=dict(typed.pair(text) for text in sets),
    )
    return _warned(Plan(request, _source(data), Store(store)))


def _table(name, profile, seeds, data, sets, store) -> Any:
    from bench import papertable, typed
    from bench.desk import Plan
    from bench.store import Store

    asked = papertable.request(
        name,
        profile,
        seeds=[typed.seed(word) for word in typed.words(seeds)],
        sets=dict(typed.pair(text) for text in sets),
    )
    return _warned(Plan(asked, _source(data), Store(store)))


def _warned(plan) -> Any:
    _warn(plan.store)
    return plan


def _warn(store) -> None:
    """A line for each record that could not be read; the others go on."""
    for line in store.damaged.values():
        print(f"bench: passed over: {line}", file=sys.stderr)


def _cluster(executor, address, cpus, gpus, jobs) -> Any:
    from bench import typed

    if executor is not Executor.ray:
        typed.only_beside("--executor ray", address=address, cpus=cpus, gpus=gpus)
        return None
    from bench.executors.cluster import Cluster, Share

    return Cluster(address, Share(1.0 if cpus is None else cpus, gpus), jobs)


def _source(data: str) -> Any:
    from tasks.sources import resolve

    return resolve(data, os.environ)


def _json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=1)
