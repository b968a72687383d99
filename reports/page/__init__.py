"""One static page of a report: it asks for nothing from outside and opens from a file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import __version__
from reports import tables
from reports.material import Material
from reports.page import about, safe
from reports.page.cells import payload
from reports.page.results import shown

if TYPE_CHECKING:
    from reports.plots.plot import Plot

HERE = Path(__file__).parent
WIDE = 360  # points, 5 inches
SCRIPTS = ("dom.js", "units.js", "tables.js", "runs.js", "parts.js", "cell.js", "pictures.js")


def page(material: Material, pictures: Sequence["Plot"] = ()) -> str:
    """The whole page as HTML: tables, pictures, every run with its record, what failed and why.

    Results, pictures and failures can be read without JavaScript. Pictures stand in `img`
    elements: there nothing in an SVG can run, load, style the page or clash with its ids.

    Raises ValueError where `material.baseline` is no row.
    """
    records = material.records
    script = "".join(_read(name) for name in SCRIPTS)
    style = _read("page.css")
    made = tables.of_parts(
        material.parts, material.published, material.baseline, material.files.answers
    )
    return _template().render(
        policy=safe.policy(script, style),
        script=safe.markup(script),
        style=safe.markup(style),
        title=material.title,
        generated=any(part.block.generated for part in material.parts),
        facts=[
            *about.facts(material.name, records),
            *(("Passed over", line) for line in material.unread),
        ],
        tables=shown(made, material.parts),
        pictures=[_picture(plot) for plot in pictures],
        lost=about.lost(material.files, records),
        data=safe.markup(safe.json_text(payload(material, records))),
        count=len(records),
        note=about.limits(len(records)),
        version=__version__,
    )


def _picture(plot: "Plot") -> dict[str, Any]:
    """What the page shows of a plot; one of a page's width takes both columns."""
    svg = plot.svg()
    width = re.search(r'width="([0-9.]+)pt"', svg)
    return {
        "title": plot.title,
        "caption": plot.caption,
        "address": safe.image(svg),
        "wide": width is not None and float(width[1]) > WIDE,
    }


def _template():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = safe.plain
    return environment.get_template("page.html")


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
