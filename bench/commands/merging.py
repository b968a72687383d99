"""Merges of runs that there are."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import asked
from bench.commands.options import Data, Json, StoreDir


def merge(
    parents: Annotated[list[str], typer.Argument(help="keys or folders of finished runs")],
    method: Annotated[str, typer.Option(help="regmean, soup[by=greedy], ...")],
    on: Annotated[str, typer.Option(help="measured on; default: the tasks of the runs")] = "",
    data: Data = "auto",
    store: StoreDir = Path("results"),
    model: Annotated[str, typer.Option(help="its directory, for a model of no known name")] = "",
    as_json: Json = False,
) -> None:
    """Make one model of finished runs, and score it; nothing is trained."""
    from bench.executors.local import execute
    from bench.merging import merge as merged
    from bench.merging import told
    from bench.store import Store

    place = Store(store)
    job = merged(method, parents, on, asked.source(data), place, model)
    record = place.get(job.cell)
    if record is None or record.status == "failed":
        (record,) = execute([job], place, 1, lambda *_: None)
    print(record.to_json() if as_json else told(record))
    if record.status != "ok":
        raise typer.Exit(1)
