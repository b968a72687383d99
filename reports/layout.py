"""What a table is made of; nothing here decides what stands in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from reports.measures import PARTS, PERCENT, Measure, measure, parted, short

NOT_RUN, NO_VALUE, UNDEFINED = "·", "\N{EN DASH}", "n/a"
AVERAGE = "Avg."
COST_UNITS = ("_params", "_flops", "_tokens", "_seconds", "_per_second", "_bytes", "_joules")


@dataclass(frozen=True)
class Column:
    """One task across the table, and which of its metrics are printed."""

    task: str  # without options: "sst2"
    title: str  # "SST-2"
    shown: tuple[str, ...]  # metrics printed in one place: ("accuracy", "f1")
    primary: str  # the one that averages and bold print use
    spread: bool = False  # of a table of the task's own, which has a column for every metric
    units: Mapping[str, tuple[float, int]] = field(default_factory=dict, hash=False)
    measures: Mapping[str, Measure] = field(default_factory=dict, hash=False)  # of tasks in one

    def __post_init__(self) -> None:
        if self.primary not in self.shown:
            raise ValueError(
                f"expected the primary metric of {self.task!r} among those shown "
                f"({', '.join(self.shown)}), got {self.primary!r}"
            )

    @property
    def heading(self) -> str:
        """Title and metrics: "MRPC Acc/F1"; a metric alone in a table of one task."""
        if self.spread:
            return self.title
        return f"{self.title} {'/'.join(map(short, self.shown))}"

    @property
    def falls(self) -> bool:
        """Whether lower is better."""
        return self.measure(self.primary).falls

    @property
    def composed(self) -> bool:
        """Whether the task is made of others, each of which is one of its metrics."""
        return bool(self.measures)

    def measure(self, metric: str) -> Measure:
        """What is known of `metric`, which may be a part of a composite task."""
        return self.measures.get(metric) or measure(metric)

    def unit(self, metric: str) -> tuple[float, int]:
        """Factor and decimals that `metric` is printed with."""
        return self.units.get(metric, PERCENT)

    def each(self) -> tuple["Column", ...]:
        """A column for every metric shown, headed by it: "BLEU U" where there are parts."""
        several = not self.composed and any(parted(metric)[1] for metric in self.shown)
        columns = []
        for metric in self.shown:
            part = f" {PARTS[parted(metric)[1]][0]}" if several else ""
            title = f"{self.measure(metric).short}{part}"
            columns.append(replace(self, title=title, shown=(metric,), primary=metric))
        return tuple(columns)


def averaged(columns: Sequence[Column]) -> bool:
    """Whether the columns are of several tasks, which alone have an average."""
    return len({column.task for column in columns}) > 1


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table."""

    text: str
    value: float | None = None  # the primary metric as printed, where there is one
    remarks: tuple[str, ...] = ()  # sentences that the table numbers and explains beneath
    best: bool = False
    sense: Literal["", "better", "worse"] = ""  # significantly so than the baseline


Row = tuple[Entry, ...]


@dataclass(frozen=True)
class Fact:
    """One metric of one run, or one number printed in a paper: a line of the tidy CSV."""

    method: str  # the row's label
    model: str
    task: str
    seed: int | None = None
    metric: str = ""
    value: float | None = None  # unrounded, as recorded: of GLUE a fraction in [-1, 1]
    spread: float | None = None  # printed with a paper's number, on the same scale
    status: str = ""
    reason: str = ""
    trained_params: int | None = None
    served_params: int | None = None
    head_params: int | None = None
    key: str = ""
    data: str = ""
    source: str = "run"  # or "paper"
    note: str = ""  # paper and table, or scoring protocol; what to know about the number
    baseline: str = ""  # the row that the tests compare with; of a primary metric
    verdict: str = ""  # "better", "worse" or "no difference seen"; empty without a test
    test: str = ""  # by which test, or why there is none
    p: float | None = None  # corrected for all methods of the column
    of_single: float | None = None  # share of what the runs of the parts score apart
    backbone_params: int | None = None
    train_flops: int | None = None
    forward_flops: int | None = None  # with the next two, all of `train_flops`
    activation_gradient_flops: int | None = None
    weight_gradient_flops: int | None = None
    optimizer_flops: int | None = None  # besides
    inference_flops: int | None = None  # of one row
    inference_tokens: int | None = None  # of that row
    train_seconds: float | None = None
    eval_seconds: float | None = None
    train_flops_per_second: float | None = None
    eval_flops_per_second: float | None = None
    train_rows_per_second: float | None = None
    train_tokens_per_second: float | None = None
    eval_rows_per_second: float | None = None
    eval_tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    memory_source: str = ""  # numbers of different sources do not compare
    checkpoint_bytes: int | None = None
    energy_joules: float | None = None
    energy_source: str = ""
    energy_kind: str = ""  # "measured", "modelled" or "unavailable"
    needed_train_flops: int | None = None  # of the runs that it builds on
    needed_train_seconds: float | None = None
    merge_seconds: float | None = None


COSTS = tuple(  # by their names in records
    field.name
    for field in fields(Fact)
    if field.name.endswith(COST_UNITS) or field.name.startswith(("memory_", "energy_"))
)


@dataclass(frozen=True)
class Remark:
    """A numbered footnote and the places it is about; no places means all."""

    sentence: str
    places: str = ""


@dataclass(frozen=True)
class Table:
    """One table, ready to be written in any form."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]  # about the whole table
    papers: tuple[Row, ...] = ()  # as printed in papers, set apart beneath our rows
    remarks: tuple[Remark, ...] = ()  # numbered from 1
    facts: tuple[Any, ...] = field(default=(), repr=False)  # lines of its CSV: dataclasses, alike

    def numbers(self, entry: Entry) -> list[int]:
        """The numbers of the remarks that `entry` carries, ascending."""
        return [n for n, r in enumerate(self.remarks, start=1) if r.sentence in entry.remarks]
