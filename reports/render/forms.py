"""What all forms of a table write alike."""

from reports.layout import Remark, Table

FROM_PAPERS = "as printed in papers"
TRIANGLES = {"": "", "better": "▲", "worse": "▼"}
SENSES = {
    "better": "significantly better than the baseline",
    "worse": "significantly worse than the baseline",
}


def told(remark: Remark) -> str:
    """The sentence of a numbered note, with the places that it is about."""
    return f"{remark.sentence} ({remark.places})." if remark.places else f"{remark.sentence}."


def notes(table: Table) -> tuple[list[str], list[str]]:
    """The numbered notes, from 1, and those about the whole table."""
    return [told(remark) for remark in table.remarks], [*table.footnotes]
