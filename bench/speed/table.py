"""The rows of a comparison as Markdown."""

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
NONE = "\N{EN DASH}"

COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("Seconds", lambda row: _with_ends(row, "seconds", 2)),
    ("Ratio", lambda row: _with_ends(row, "ratio", 2)),
    ("Goal", lambda row: _goal(row)),
    ("Score", lambda row: _with_ends(row, "score", 3)),
    ("Steps", lambda row: str(row.get("steps", ""))),
    ("FLOPs", lambda row: f"{row['flops_ratio']:.2f}" if "flops_ratio" in row else ""),
    ("MiB", lambda row: _mebibytes(row)),
    ("Same texts", lambda row: f"{row['same_texts']}/{row['texts']}" if "texts" in row else ""),
    (
        "Computed in",
        lambda row: ", ".join(filter(None, (row.get("precision"), row.get("attention")))),
    ),
)
RATIOS = {  # of what, by the first word of a group
    "training": "their time over ours",
    "evaluation": "their time over ours",
    "adamix": "to the single module",
    "decoding": "their time over ours",
}


def table(rows: Sequence[Row], about: Row) -> str:
    """A table a group, and notes; `about`: what was asked and where it ran."""
    groups = dict.fromkeys(row["group"] for row in rows)
    parts = [_group(name, [row for row in rows if row["group"] == name]) for name in groups]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(rows, about))])


def notes(rows: Sequence[Row], about: Row) -> list[str]:
    """What the numbers are, in sentences."""
    asked, repeats = about["asked"], about["asked"]["repeats"]
    versions = [f"{name} {version}" for name, version in about["versions"].items() if version]
    said = [
        f"{asked['task']} ({about['data']}), {about['train_rows']} training rows of "
        f"{about['train_tokens']:.1f} tokens on average, {about['dev_rows']} for scoring; "
        f"{asked['model']}, {asked['method']}, {about['recipe']}.",
        f"Median of {repeats} rounds (least to greatest); in a round everybody takes a turn, after "
        "a warm-up. Ratios are formed in each round: median (least to greatest).",
        "Seconds of the work alone: models and rows as tokens stand ready.",
        f"{about['device']}, {about['threads']} threads on {about['cores']} cores, load before and "
        f"after {_load(about)}; {', '.join(versions)}.",
    ]
    if any("memory_source" in row for row in rows):
        source = next(row["memory_source"] for row in rows if "memory_source" in row)
        said.append(f"MiB: {source}, the model included, on two batches of the longest rows.")
    if about.get("drawn"):
        said.append(f"{asked['writer']} is drawn at random: it writes nonsense of full length.")
    if repeats < 5:
        said.append(f"Only {repeats} rounds: no measurement to quote.")
    said += [f"Other texts than ours: {row['about']}, {row['group']}." for row in differing(rows)]
    missed = [row for row in rows if row["met"] is False]
    said += [
        f"Missed: {row['about']}: {row['ratio']:.3f}, expected {row['goal']}." for row in missed
    ]
    return said


def differing(rows: Sequence[Row]) -> list[Row]:
    """Those whose texts are not the ones that ours are to equal."""
    return [row for row in rows if row.get("same_texts", 0) < row.get("texts", 0)]


def _group(name: str, rows: Sequence[Row]) -> str:
    shown = [(head, [cell(row) for row in rows]) for head, cell in COLUMNS]
    shown = [(head, cells) for head, cells in shown if any(cells)]
    unit = RATIOS[name.split(",")[0]]
    heads = ["Contestant", *(f"{head}, {unit}" if head == "Ratio" else head for head, _ in shown)]
    lines = [
        [row["about"], *cells] for row, *cells in zip(rows, *(c for _, c in shown), strict=True)
    ]
    rules = [":--", *("--:" for _ in shown)]
    table = [heads, rules, *lines]
    return "\n".join([f"**{name}**", "", *("| " + " | ".join(line) + " |" for line in table)])


def _with_ends(row: Row, name: str, decimals: int) -> str:
    """ "1.23 (1.20 to 1.31)"; a dash where the number is undefined, nothing where there is none."""
    if name not in row:
        return ""
    if row[name] is None:
        return NONE
    middle, low, high = (f"{row[name + end]:.{decimals}f}" for end in ("", "_low", "_high"))
    return f"{middle} ({low} to {high})"


def _load(about: Row) -> str:
    return " and ".join("?" if load is None else f"{load:.1f}" for load in about["load"])


def _goal(row: Row) -> str:
    return f"{row['goal']}: {'met' if row['met'] else 'missed'}" if row["goal"] else ""


def _mebibytes(row: Row) -> str:
    return f"{row['peak_memory_bytes'] / 2**20:.0f}" if "peak_memory_bytes" in row else ""
