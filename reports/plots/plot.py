"""One plot: what it is called, what it says, and how it is written."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.plots.style import DOTS, STYLE

FORMS = (".pdf", ".png", ".svg")
STROKES = "*{stroke-linejoin: round; stroke-linecap: butt}"  # what matplotlib says of a whole page

_styled = RLock()  # matplotlib keeps fonts, and how files are written, for the whole process


@dataclass(frozen=True)
class Plot:
    """A plot that is drawn when it is written; equal material gives equal bytes."""

    name: str  # of a file, without its ending: "score-params-glue-minilm"
    title: str  # as it stands in the picture
    caption: str  # what is shown, in plain sentences
    draw: Callable[[], Figure] = field(repr=False, compare=False)

    def svg(self) -> str:
        """The `svg` element, text as text: for a page, or alone as a file.

        No identifier in it is that of another plot's, and no rule in it reaches the page.
        """
        text = self._written("svg").decode("utf-8")
        text = text[text.index("<svg ") :].replace(f'<style type="text/css">{STROKES}</style>', "")
        text = text.replace("<svg ", f'<svg role="img" style="{STROKES[2:-1]}" ', 1)
        return re.sub(r'<g id="', f'<g id="{self.name}-', text)

    def save(self, path: Path | str) -> None:
        """Writes a file of the form that its name ends in.

        Raises ValueError for another ending than .pdf, .png or .svg.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in FORMS:
            raise ValueError(f"expected a file name with {', '.join(FORMS)}, got {path.name!r}")
        made = self.svg().encode() if form == ".svg" else self._written(form.removeprefix("."))
        path.write_bytes(made)

    def _written(self, form: str) -> bytes:
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        titled = {} if form == "png" else {"Title": self.title}
        file = BytesIO()
        with styled(self.name):
            self.draw().savefig(
                file, format=form, dpi=DOTS, metadata={**titled, **dates.get(form, {})}
            )
        return file.getvalue()


@contextmanager
def styled(salt: str = "") -> Iterator[None]:
    """Matplotlib in the style of these plots, whatever the user's own; one thread at a time.

    `salt` goes into the identifiers of an SVG.
    """
    with _styled, matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(STYLE)
        settings["svg.hashsalt"] = salt or "plot"
        yield


def settled(figure: Figure) -> Figure:
    """The figure with everything in its final place, in pixels of its canvas."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure
