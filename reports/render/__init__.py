"""Tables as text: Markdown, LaTeX and HTML for readers, CSV for programs."""

from reports.render.frame import csv
from reports.render.html import html
from reports.render.latex import latex
from reports.render.markdown import markdown

__all__ = ["csv", "html", "latex", "markdown"]
