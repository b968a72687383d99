"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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
