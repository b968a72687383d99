"""Four costs of a run, and which runs can be set beside each other by each."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from reports.plots import lettering
from reports.plots.lettering import Unit


class Cost(NamedTuple):
    """One cost: its column of the frame, and what an axis and a caption say of it."""

    name: str  # in the name of the plot
    column: str
    words: str
    units: Sequence[Unit]
    told: str
    alike: str = ""  # the column that must be one for all runs


COSTS = (
    Cost(
        "params",
        "trained_params",
        "Trained parameters",
        lettering.COUNT,
        "Trained parameters are counted without the head of a task",
    ),
    Cost(
        "flops",
        "train_flops",
        "Training compute",
        lettering.FLOPS,
        "Training compute is counted, with that of the runs that a run builds on",
    ),
    Cost(
        "time",
        "train_seconds",
        "Training time",
        lettering.SECONDS,
        "Training time is measured, with that of the runs that a run builds on",
        "device",
    ),
    Cost(
        "memory",
        "peak_memory_bytes",
        "Peak memory",
        lettering.BYTES,
        "Peak memory is measured",
        "memory_source",
    ),
)


def alike(runs: pd.DataFrame, cost: Cost) -> tuple[pd.DataFrame, str]:
    """The scored runs whose cost is known, and the device or source that all of these are of.

    That is the most common one; "" where it is no matter.
    """
    known = runs[runs[cost.column].notna() & runs["score"].notna()]
    if not cost.alike:
        return known, ""
    if cost.alike == "memory_source":  # a record without it counts another kind of memory
        known = known[known[cost.alike] != ""]
    counts = known.drop_duplicates("key")[cost.alike].value_counts()
    common = min(counts[counts == counts.max()].index, default="")
    return known[known[cost.alike] == common], str(common)
