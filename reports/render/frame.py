"""Tables as pandas data frames: the facts behind them, and what stands in their places."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from reports.layout import Fact, Table
from reports.render.legible import encodable

if TYPE_CHECKING:
    from pandas import DataFrame, Series

WHOLE = 1 << 63  # what a column of integers holds less than


def facts_frame(tables: Iterable[Table]) -> DataFrame:
    """A line a fact of all tables, which are of one kind; a column a field.

    Whole numbers are Int64, others float64, and a missing one is missing; what is none of them,
    as records made elsewhere may hold, leaves its column as it is.
    """
    import pandas as pd

    facts = [fact for table in tables for fact in table.facts]
    kind = type(facts[0]) if facts else Fact
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    return pd.DataFrame(
        {name: _column([getattr(fact, name) for fact in facts], hints[name]) for name in names}
    )


def csv(*tables: Table) -> str:
    """The facts of the tables, all of one kind, unrounded.

    Of runs a line a metric; papers' numbers follow, on the same scale.
    """
    return str(facts_frame(tables).to_csv(index=False, lineterminator="\n"))


def _column(values: Sequence[Any], hint: Any) -> Series:
    import pandas as pd

    kinds = {*(typing.get_args(hint) or (hint,))} - {type(None)}
    plain = [None if value != value else value for value in values]  # NaN is the missing one
    if kinds == {int} and all(_whole(value) for value in plain):
        return pd.Series(plain, dtype="Int64")
    if kinds == {float} and all(_real(value) for value in plain):
        return pd.Series(plain, dtype="float64")
    return pd.Series([encodable(v) if isinstance(v, str) else v for v in plain], dtype=object)


def _whole(value: Any) -> bool:
    return value is None or (type(value) is int and -WHOLE <= value < WHOLE)


def _real(value: Any) -> bool:
    return value is None or type(value) is float or (type(value) is int and abs(value) < 1 << 53)
