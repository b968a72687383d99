"""Each task's own run, side by side: what a merge of them is to come near to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods import method
from methods.merge import checked
from methods.side import SideBySide


@method("single", source="single-task models of Jin et al. 2023, arXiv:2212.09849, table 1")
@dataclass(frozen=True)
class Single(SideBySide):
    """A run of `of` on each part of a composite task; its rows are read by that run's model."""

    of: str = "full"

    together: ClassVar = False

    def __post_init__(self) -> None:
        checked(self.of)
