"""Footnotes: what a reader must know about the records behind a table."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from bench.record import Record
from reports.checks import source
from reports.layout import Column
from reports.measures import METRICS, PARTS, parted, short

Place = tuple[str, str]  # (row label, column title)

SOURCES = {
    "sample": "GENERATED DATA: the rows were made up by this program and only bear the names of "
    "the data sets; the scores are NOT {} scores",
    "files": "Data: files in the official layout",
    "hub": "Data: the Hugging Face hub",
}
CAPS = {"rows": "trained on at most {:,} rows", "dev_rows": "scored on at most {:,} dev rows"}
DRAWS = {
    "lm-bff": "{} training rows of every class (LM-BFF)",
    "list": "{} training rows in total (as LiST)",
}
PROTOCOLS = {
    "e2e-metrics": "the official scorer of E2E",
    "lora": "the scorers of LoRA and AdaMix (GenerationEval): lower-cased, punctuation set apart, "
    "six references an input at most and fewer ones filled up with the first",
}
SEARCHES = {"grid": "a grid", "random": "a random search", "tpe": "a TPE search (optuna)"}
TEXTS = {"official": "on texts as published", "lora": "on texts as LoRA tokenised them"}


def scope(places: Iterable[Place], present: Iterable[Place]) -> str:
    """Which of the `present` places are meant, in few words; empty when it is all of them."""
    meant, present = dict.fromkeys(places), list(present)
    if meant.keys() == set(present):
        return ""
    for axis in (1, 0):  # whole columns, then whole rows
        names = dict.fromkeys(place[axis] for place in meant)
        if meant.keys() == {place for place in present if place[axis] in names}:
            return ", ".join(names)
    rows: dict[str, list[str]] = {}
    for row, column in meant:
        rows.setdefault(row, []).append(column)
    return "; ".join(f"{row} on {', '.join(columns)}" for row, columns in rows.items())


def circumstances(placed: Sequence[tuple[Place, Record]], benchmark: str = "GLUE") -> list[str]:
    """Data, caps, selection rule, weights, decoding and scoring, each where it is true.

    `benchmark`: what the scores must not be taken for where the data are generated.
    """
    present = [place for place, _ in placed]
    footnotes, data = [], partial(_data, benchmark)
    for speaks in (data, _partial, _few, _caps, _tuning, _selection, _model, _decoding, _protocol):
        said: dict[str, list[Place]] = {}
        for place, record in placed:
            for sentence in speaks(record):
                said.setdefault(sentence.rstrip("."), []).append(place)
        for sentence, places in said.items():
            where = scope(places, present)
            footnotes.append(f"{sentence} ({where})." if where else f"{sentence}.")
    return footnotes


def runs(seeds: Sequence[int]) -> str:
    """How many runs stand behind a number."""
    if len(seeds) == 1:
        return f"One run a place, seed {seeds[0]}."
    named = ", ".join(map(str, seeds))
    return f"Mean ± sample standard deviation over {len(seeds)} seeds: {named}."


def parameters(records: Iterable[Record]) -> list[str]:
    """What the parameter column counts, and how large the head is that it leaves out."""
    told = (
        "Trained / served: parameters that train, and those that one task keeps for serving after "
        "merging, even if they fold into the pretrained model; a range where tasks differ."
    )
    heads = sorted({r.cost["head_params"] for r in records if "head_params" in r.cost})
    if heads == [0]:
        return [told]
    footnotes = [f"{told} The head is counted apart."]
    if heads:
        size = " to ".join(f"{head:,}" for head in dict.fromkeys((heads[0], heads[-1])))
        footnotes.append(f"Head of a task: {size} parameters.")
    return footnotes


def metrics(columns: Sequence[Column]) -> str:
    """What the headings abbreviate, units, and what the average is the mean of."""
    if columns[0].spread:
        return _of_one_task(columns)
    names = dict.fromkeys(metric for column in columns for metric in column.shown)
    told = "; ".join(f"{short(n)}: {METRICS[n].name}" for n in names if n in METRICS)
    text = f"Scores are fractions times 100. {told}." if told else "Scores are fractions times 100."
    if len(columns) == 1:
        return text
    several = [f"{c.title} {short(c.primary)}" for c in columns if len(c.shown) > 1]
    return f"{text} Avg.: the mean over the tasks{_with(several)}."


def peeked(record: Record) -> bool:
    """True where the reported split itself chose the weights."""
    return str(record.where.get("selection", "")).startswith("dev")


def _of_one_task(columns: Sequence[Column]) -> str:
    """Names, direction and unit of metrics that have a column each, then what U, S and A are."""
    known = {_base(c): (c.measure(c.primary), c.unit(c.primary)[0]) for c in columns}
    told = ["; ".join(f"{m.short}: {m.name}" for m, _ in known.values() if m.name != m.short)]
    falls = any(m.falls for m, _ in known.values())
    told.append("↓: lower is better, of the others higher" if falls else "Higher is better")
    for factor in dict.fromkeys(factor for _, factor in known.values() if factor != 1):
        names = [m.short for m, times in known.values() if times == factor]
        told.append(f"Printed times {factor:g}: {', '.join(names)}")
    if any(parted(c.primary)[1] for c in columns if not c.composed):
        told.append("; ".join(f"{letter}: {part}" for letter, part in PARTS.values()))
    return " ".join(f"{sentence}." for sentence in told if sentence)


def _base(column: Column) -> str:
    """The metric of a column, whatever part of the data it is of; of a composite task the part."""
    return column.primary if column.composed else parted(column.primary)[0]


def _with(primaries: Sequence[str]) -> str:
    return f", taking {', '.join(primaries)}" if primaries else ""


def _data(benchmark: str, record: Record) -> list[str]:
    kind = source(record)
    return [SOURCES[kind].format(benchmark) if kind in SOURCES else f"Data: {kind}"]


def _partial(record: Record) -> list[str]:
    return [f"Partial data: {sentence}" for sentence in _of(record, "partial", list)]


def _few(record: Record) -> list[str]:
    """How few-shot rows were drawn, and how they were put."""
    draw, k = _of(record, "draw", str), _of(record, "k", int)
    if draw not in DRAWS:
        return []
    put = "as prompts" if _options(record).get("form") == "prompt" else "to a head"
    return [f"Few-shot: {DRAWS[draw].format(k)}, other rows for each seed; put {put}"]


def _caps(record: Record) -> list[str]:
    caps = _of(record, "caps", dict)
    told = [text.format(caps[name]) for name, text in CAPS.items() if caps.get(name)]
    if note := caps.get("note"):
        alone = record.metrics.get("CIDEr") is not None  # its document frequencies are of the part
        told.append(f"{note}{', whose CIDEr does not compare with that of all' * alone}")
    return [f"Capped: {'; '.join(told)}"] if told else []


def _selection(record: Record) -> list[str]:
    rule = record.where.get("selection")
    if not rule:
        return []
    name, _, what = rule.partition(": ")
    return [f'Selection "{name}": {what}' if what else f"Selection: {rule}"]


def _tuning(record: Record) -> list[str]:
    """How the settings were searched for, and at what price; nothing where they were given."""
    found = record.where.get("tuning")
    if not found:
        return []
    over, kind = ", ".join(found["over"]), SEARCHES.get(found["search"], found["search"])
    count = "1 trial" if found["trials"] == 1 else f"{found['trials']} trials"
    return [
        f"Tuned: {over} by {kind} of {count} a method and task, seed {found['seed']}, "
        f"on the {found['split']} rows"
    ]


def _model(record: Record) -> list[str]:
    weights = record.where.get("weights_sha256")
    makers = record.where.get("made_by", record.cell.parents)
    made = f", made by record {', '.join(makers)}" if makers else ""
    known = f", weights {weights[:12]}" if weights else ""
    return [f"Model: {record.cell.model}{made}{known}"]


def _decoding(record: Record) -> list[str]:
    """How texts were searched for, by the options of the task; nothing where it has none."""
    options = _options(record)
    if "beams" not in options:
        return []
    told = [f"{options['beams']} beams, length penalty {options.get('length_penalty', '1')}"]
    if options["beams"] == "1":
        told = ["greedy"]
    if options.get("no_repeat", "0") != "0":
        told.append(f"no {options['no_repeat']}-gram twice")
    if "new_tokens" in options:
        told.append(f"at most {options['new_tokens']} new tokens")
    return [f"Decoding: {', '.join(told)}"]


def _protocol(record: Record) -> list[str]:
    name = record.where.get("protocol")
    if not name:
        return []
    told = (PROTOCOLS.get(name, ""), TEXTS.get(_options(record).get("text", ""), ""))
    return [": ".join(filter(None, (f'Scoring protocol "{name}"', ", ".join(filter(None, told)))))]


def _options(record: Record) -> dict[str, str]:
    """The options of the record's task, as written in its cell."""
    return dict(re.findall(r"(\w+)=([^,\[\]]*)", record.cell.task))


def _of(record: Record, name: str, kind: Callable[[], Any]) -> Any:
    """`where["data"][name]`, or an empty `kind` where an older or other record lacks it."""
    data = record.where.get("data")
    return (data.get(name) if isinstance(data, Mapping) else None) or kind()
