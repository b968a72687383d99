"""What is done with records, one by one."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import asked
from bench.commands.options import Data, Json, StoreDir


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
    print(asked.as_text([row]) if as_json else scores.shown(row))


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


def reproduce(
    record: Annotated[Path, typer.Argument(help="a record.json, or its folder")],
    data: Data = "auto",
    model: Annotated[str, typer.Option(help="its directory, for a model of no known name")] = "",
) -> None:
    """Run a record's cell again and compare metrics and weights bit by bit."""
    from bench.reproduce import again

    differences = again(record, asked.source(data), model)
    for line in differences or ["identical: metrics, predictions and weights"]:
        print(line)
    if differences:
        raise typer.Exit(1)
