"""One part of a material, as plots see it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import pandas as pd
from matplotlib.figure import Figure

from reports.blocks import Block
from reports.files import Files
from reports.material import Material
from reports.plots.averages import Mean, means
from reports.plots.frame import frame
from reports.plots.lettering import MISSING, plain, slug
from reports.plots.plot import Plot
from reports.plots.style import Look, looks


@dataclass(frozen=True)
class Scene:
    """The records of one model that share a table, and how each method is drawn."""

    title: str  # of the table: "GLUE development split"
    block: Block
    files: Files
    looks: Mapping[str, Look]  # by label, of the whole material
    slug: str  # what tells the part from the others in the names of plots

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row for every run and column, see `frame`."""
        return frame(self.block, self.files)

    @cached_property
    def _known(self) -> dict[tuple[int, ...], list[Mean]]:
        return {}

    def means(self, columns: Sequence[int]) -> list[Mean]:
        """What every method scores over those columns, see `averages.means`; computed once."""
        wanted = tuple(columns)
        if wanted not in self._known:
            self._known[wanted] = means(self.runs, wanted)
        return self._known[wanted]

    def plot(
        self, stem: str, what: str, sentences: Iterable[str], draw: Callable[[str], Figure]
    ) -> Plot:
        """The plot of that name and caption; `draw` takes its title.

        The title says of what the plot is, and what no reader may miss.
        """
        name = f"{slug(stem)}-{self.slug}"
        title = plain(self.block.titled(f"{what}: {self.title}"))
        caption = plain(" ".join(filter(None, (*sentences, self._unwritten()))))
        return Plot(name, title, caption, lambda: draw(title))

    def _unwritten(self) -> str:
        texts = (self.title, *(row[0].label for row in self.block.rows if row))
        if MISSING not in plain(" ".join(texts)):
            return ""
        return f"{MISSING} stands for characters that the font lacks."

    def lost(self) -> str:
        """A sentence on runs without any score; empty where there are none."""
        runs = self.runs
        without = runs.groupby("key")["score"].count() == 0
        count = int(without.sum())
        if not count:
            return ""
        have = "has" if count == 1 else "have"
        return (
            f"Of {len(without)} runs {count} {have} no finite score: failed, skipped or undefined."
        )


def scenes(material: Material) -> list[Scene]:
    """The parts that have records, each under a name of its own."""
    labels = [row[0].label for part in material.parts for row in part.block.rows if row]
    known, taken = looks(labels), set[str]()
    found = []
    for part in material.parts:
        base = slug(part.title, part.block.model)
        name = next(n for n in _numbered(base) if n not in taken)
        taken.add(name)
        if part.block.records:
            found.append(Scene(part.title, part.block, material.files, known, name))
    return found


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in count(2))
