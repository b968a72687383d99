"""What is there, whether it works, and how fast."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import asked
from bench.commands.options import NONE, Data, Json, Kind, Profile, Sets, StoreDir


def list_(kind: Kind, as_json: Json = False) -> None:
    """List methods, tasks, models, suites, tables of the paper or metrics; try peft's tuners."""
    from bench.listing import listing, shown

    rows = listing(kind.value)
    print(asked.as_text(rows) if as_json else shown(rows))


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

    found = contract.asked(method, task, suite, typed.words(models), asked.source(data))
    print(asked.as_text(contract.rows(found)) if as_json else contract.shown(found))
    if any(contract.failed(some) for some in found.values()):
        raise typer.Exit(1)


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
    wanted = Asked(
        asked.source(data), *names, *numbers, settings, tuple(typed.words(only)) or GROUPS
    )
    from bench.speed.comparison import compared
    from bench.speed.table import differing, table

    found, about = compared(wanted, Console(stderr=True).print)
    print(asked.as_text([{**row, **about} for row in found]) if as_json else table(found, about))
    if differing(found):
        raise typer.Exit(1)


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
    print(asked.as_text([check._asdict() for check in found]) if as_json else shown(found))
    if any(check.state == "problem" for check in found):
        raise typer.Exit(1)
