"""A cell together with where its rows and weights are on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.record import Cell
from bench.weights import Weights
from tasks.sources import Source

Role = Literal["row", "trial", "parent"]
Tell = Callable[[str, dict[str, Any]], None]  # the cell's key, and what happens in it


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to run one cell; only the cell is part of its key."""

    cell: Cell
    source: Source
    weights: Weights
    part: Path | None = None  # folder for what an unfinished run leaves; None: it leaves nothing
    built_on: tuple[Path, ...] = ()  # folders of the runs that its method needs, in their order
    tuning: dict[str, Any] | None = None  # how its settings were found, for the record
    role: Role = "parent"  # in the plan: in a table, scored for a search, or for others to build on
    lost: str = ""  # why it can have no result: no trial told its settings; it is never run

    @property
    def made_by(self) -> tuple[str, ...]:
        """The key of the cell that made the model, if one did: it stands before the runs needed."""
        return self.cell.parents[: len(self.cell.parents) - len(self.built_on)]
