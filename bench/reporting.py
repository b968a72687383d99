"""Reports of a plan or of a whole store: the material gathered, and written in every form."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import spec
from bench.desk import Plan
from bench.plan import chosen_tasks
from bench.record import Record
from bench.store import Store
from methods import resolve
from tasks import task as tasks
from tasks.base import Task

if TYPE_CHECKING:
    from reports.interchange.hub import Benchmark
    from reports.layout import Column, Table
    from reports.material import Material
    from reports.measures import Measure

SCREEN = ("md", "tex", "csv", "html")  # what may stand there: tables alone
PICTURES = ("png", "svg", "pdf")


class View(NamedTuple):
    """What a report sets its rows beside."""

    baseline: str = ""  # the row that marks compare with
    compare: str = ""  # the row that every other is compared with, in place of the table
    published: bool = False  # beside the numbers that papers print, in place of the table


PLAIN = View()


def of_plan(plan: Plan, view: View = PLAIN, command: str = "") -> "Material":
    """What the store has of the plan's rows, marked against the suite's baseline if none is named.

    Raises ValueError where no cell has a record, or for a row that there is not.
    """
    from reports.files import Files
    from reports.material import Material, laid_out, papers

    records, asked, labels = plan.records(), chosen_tasks(plan.request), plan.labels()
    if not records:
        raise ValueError(f"no records of suite {plan.name!r} as asked in {plan.store.root}")
    usual = plan.request.suite.baseline
    title = plan.request.suite.title
    return Material(
        name=plan.name,
        title=title,
        parts=laid_out(records, [_column(task, records) for task in asked], title, labels),
        published=papers(records),
        baseline=view.baseline or (usual if usual in labels else ""),
        files=Files(plan.store),
        command=command,
        labels={task.name: task.labels for task in asked},
    )


def of_store(store: Store, view: View = PLAIN) -> "Material":
    """Every record of the store but trials and those of models that were made.

    Runs that do not fit one table, being of other data, stand in tables of their own. Raises
    ValueError where there is no record, or for a row that there is not.
    """
    from reports.apart import apart
    from reports.checks import task as named
    from reports.files import Files
    from reports.material import Material, Part, laid_out, papers

    records = [record for record in store.records() if _shown_at_all(record)]
    if not records:
        raise ValueError(next(iter(store.damaged.values()), f"no records in {store.root}"))
    parts: list[Part] = []
    for group in apart(records):
        known = {named(record): record for record in reversed(group)}
        columns = [_column(_task(known[name]), group, name) for name in sorted(known)]
        parts += laid_out(group, columns, "All records", [])
    return Material(
        name="report",
        title="All records",
        parts=tuple(parts),
        published=papers(records),
        baseline=view.baseline,
        files=Files(store),
        labels={
            name: task.labels
            for name, record in {named(record): record for record in records}.items()
            if (task := _task(record))
        },
        unread=tuple(store.damaged.values()),
    )


def text(made: "Material", form: str, view: View = PLAIN) -> str:
    """The tables as md, tex, csv or html. Raises ValueError for a row that there is not."""
    from reports import render

    write = {"md": render.markdown, "tex": render.latex, "csv": render.csv, "html": render.html}
    return write[form](*_shown(made, view))


def written(made: "Material", form: str, to: Path, view: View = PLAIN) -> Iterator[Path]:
    """Writes the material into the folder in that form; yields each file once it is there.

    The forms that stand on a screen are one file, and "html" is the page unless the view puts
    something in place of the tables; "png", "svg" and "pdf" are a file a plot, "peft" one a run and
    "hub" one a method and task, in folders of those names.
    """
    to.mkdir(parents=True, exist_ok=True)
    if form in PICTURES:
        from reports.plots import plots

        for plot in plots(made):
            path = to / f"{plot.name}.{form}"
            plot.save(path)
            yield path
        return
    for name, content in _files(made, form, view).items():
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        yield path


def _files(made: "Material", form: str, view: View) -> dict[str, str]:
    """Texts by file."""
    if form == "peft":
        from reports.interchange.peft import export_peft

        return {f"peft/{name}": content for name, content in export_peft(made).items()}
    if form == "hub":
        from reports.interchange.hub import export_hub

        return {f"hub/{name}": text for name, text in export_hub(made, _benchmarks()).items()}
    kind = "-compared" if view.compare else "-published" if view.published else ""
    if form == "html" and not kind:
        from reports.page import page
        from reports.plots import plots

        return {f"{made.name}.html": page(made, plots(made))}
    return {f"{made.name}{kind}.{form}": text(made, form, view)}  # beside the table, not over it


def _shown(made: "Material", view: View) -> list["Table"]:
    from reports import compare, tables
    from reports.published import beside

    if view.compare:
        return compare.of_parts(made.parts, view.compare, made.files.answers)
    if view.published:
        return beside.of_parts(made.parts, made.published, _resolved)
    shown = tables.of_parts(made.parts, made.published, made.baseline, made.files.answers)
    told = tuple(f"Passed over: {line}." for line in made.unread)
    return [*shown[:-1], replace(shown[-1], footnotes=(*shown[-1].footnotes, *told))]


def _resolved(method: str, model: str) -> str:
    """The method with every option spelled out, as cells have it."""
    return spec.text(resolve(method, model))


def _benchmarks() -> dict[str, "Benchmark"]:
    """Where the hub has the rows of each task."""
    from reports.interchange.hub import Benchmark
    from tasks import dart, e2e, few_shot, glue, opinions, webnlg
    from tasks.sources import HUB

    found = {
        "e2e": Benchmark(e2e.HUB, "default"),
        "dart": Benchmark(dart.HUB, "default"),
        "webnlg": Benchmark(webnlg.HUB, webnlg.CONFIG),
    }
    for name in tasks.names():
        kind = tasks[name]
        if issubclass(kind, few_shot.FewPhrases):
            found[name] = Benchmark(kind.place, "default")
        elif issubclass(kind, opinions.Opinions):
            found[name] = Benchmark(kind.few.place, "default")
        elif issubclass(kind, few_shot.FewGlue | glue.Glue):
            found[name] = Benchmark(HUB, getattr(kind, "of", kind).name)
    return found


def _column(task: Task | None, records: Sequence[Record], name: str = "") -> "Column":
    """The column of a task; of one that is not known here, its records' primary metric."""
    from reports import checks
    from reports.layout import Column

    name = _named(task) if task else name
    own = [record for record in records if checks.task(record) == name]
    had = {metric for record in own for metric in record.metrics}
    if task is None:
        primary = next((r.primary for r in own if r.primary), "") or min(had, default="score")
        return Column(name, name, (primary,), primary)
    # a reported split may be absent from the data
    shown = tuple(metric for metric in task.shown if metric == task.primary or metric in had)
    title = f"{task.title} of {_listed(_titles(task))}" if _parts(task) else task.title
    return Column(name, title, shown, task.primary, task.spread, task.units, _measures(task))


def _named(task: Task) -> str:
    """As records' tasks go by in tables: "sst2"; a composite one with what it is made of."""
    parts = [part.name for part in _parts(task)]
    return f"{task.name}[of={'+'.join(parts)}]" if parts else task.name


def _parts(task: Task) -> Sequence[Task]:
    return getattr(task, "parts", ())


def _titles(task: Task) -> list[str]:
    """What tables call the parts of a composite task; a metric's name where they share a title."""
    titles = [part.title for part in _parts(task)]
    return [
        title if titles.count(title) == 1 else metric
        for title, metric in zip(titles, task.metrics, strict=False)
    ]


def _measures(task: Task) -> dict[str, "Measure"]:
    """What the metrics of a composite task are: one a part, called as the part is, and the mean."""
    from reports.measures import MEAN, Measure, measure

    if not _parts(task):
        return {}
    found = {}
    for metric, part, title in zip(task.metrics, _parts(task), _titles(task), strict=False):
        own = measure(part.primary)
        found[metric] = Measure(f"{title}{'↓' * own.falls}", own.name, own.falls)
    return {**found, MEAN: Measure("Mean", "mean over these", all(m.falls for m in found.values()))}


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _shown_at_all(record: Record) -> bool:
    task = _task(record)
    makes = task is not None and task.formulation in ("language", "masked")
    return not makes and "report=selection" not in record.cell.recipe


def _task(record: Record) -> Task | None:
    """The task of the record; of a composite one with its parts, else as it is by itself.

    None where it is another distribution's that is not installed here.
    """
    name, bracket, _ = record.cell.task.partition("[")
    whole = bracket and name in tasks.names() and getattr(tasks[name], "composed", False)
    try:
        return spec.build(tasks, record.cell.task if whole else name)
    except ValueError:
        return None
