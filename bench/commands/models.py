"""Models counted, and made."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import asked
from bench.commands.options import NONE, Data, Json, Methods, Sets, StoreDir


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
    print(asked.as_text([*rows, *printed]) if as_json else shown(rows, printed))


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

    source, files = below(texts) if texts else (asked.source(data), ())
    wanted = Asked(model, dict(typed.pair(text) for text in sets), seed, source, files)
    console, place = Console(stderr=True), Store(store)
    record = finished(wanted.job(place), place, console)
    folder = place.folder(record.cell) / MODEL
    if record.status != "ok":
        print(f"{record.status}: {record.reason}")
        raise typer.Exit(1)
    if to:
        hand_over(folder, to)
    print(f"model: {to or folder}\n{told(record)}")
    print(f"use it: python -m bench run --suite nlg --models {to or folder}")
