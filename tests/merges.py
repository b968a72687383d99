"""Records of merges and of model selection, made by hand in closed form."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.record import Record
from reports.layout import Column
from reports.measures import MEAN, Measure
from tasks.glue import SST2, CoLA
from tests.records import cell, scored

PARTS = {"sst2": "SST-2", "subj": "Subj", "trec": "TREC"}
TASK = f"mix[of={'+'.join(PARTS)},rows=none]"
MIX = Column(
    f"mix[of={'+'.join(PARTS)}]",
    "SST-2 + Subj + TREC",
    (*PARTS, MEAN),
    MEAN,
    spread=True,
    units=dict.fromkeys((*PARTS, MEAN), (100, 1)),
    measures={
        **{name: Measure(title, "accuracy") for name, title in PARTS.items()},
        MEAN: Measure("Mean", "mean over these"),
    },
)
GRID = [round(0.1 * n, 1) for n in range(21)]
POINTS = [n / 24 for n in range(25)]
SIBLINGS = [f"full on {name}" for name in PARTS]
COST = {"trained_params": 0, "served_params": 22_700_000, "head_params": 2_700, "train_flops": 0}


@dataclass(frozen=True)
class Mix:
    """Stands in for the composite task of two tasks of GLUE."""

    name = "mix"
    title = "Mix"
    primary = MEAN
    spread = True
    formulation = "classification"
    labels = ()
    parts = (SST2(), CoLA())
    metrics = shown = ("sst2", "cola", MEAN)
    units = dict.fromkeys(("sst2", "cola", MEAN), (100, 1))


def mixed(
    method: str = "mean",
    scores: float | Sequence[float | None] = 0.8,
    seed: int = 0,
    cost: Mapping[str, Any] = COST,
    **where: Any,
) -> Record:
    """A run on the composite task; `scores`: one for all parts, or one each."""
    each = [scores] * len(PARTS) if isinstance(scores, int | float) else [*scores]
    known = [score for score in each if score is not None]
    whole = sum(known) / len(known) if len(known) == len(each) else None
    asked = replace(
        cell(method, "mix", seed, data="files@0a"), task=TASK, method=f"{method}[of=full]"
    )
    found = scored(asked, {**dict(zip(PARTS, each, strict=True)), MEAN: whole}, cost, **where)
    return replace(found, primary=MEAN)


def hump(value: float, top: float, low: float = 0.5, high: float = 0.88) -> float:
    """A score that rises from `low` to `high` at `top` and falls again."""
    return low + (high - low) * math.exp(-(((value - top) / 0.7) ** 2))


def sweep(seed: int = 0, chosen: float = 0.8, of: str = "scale") -> dict[str, Any]:
    """A task vector's sweep: a hump for every part, at other places."""
    parts = {
        name: [hump(v, 0.6 + 0.2 * n + 0.05 * seed, 0.45 + 0.1 * n) for v in GRID]
        for n, name in enumerate(PARTS)
    }
    mean = [sum(scores) / len(PARTS) for scores in zip(*parts.values(), strict=True)]
    return {
        "of": of,
        "values": GRID,
        "selection": {MEAN: mean, **parts},
        "chosen": chosen,
        "rule": "the highest mean on selection rows",
    }


def merge(space: str = "delta", parents: Sequence[str] = tuple(SIBLINGS)) -> dict[str, Any]:
    return {"space": space, "parents": [*parents]}


def barrier(seed: int = 0, high: float = 1.2, low: float = 0.2, **more: Any) -> dict[str, Any]:
    """Parabolas over the interpolation; train stands 0.1 nats below test, aligned lower."""
    ends = 0.3 + 0.02 * seed

    def curve(height: float, base: float) -> list[float]:
        return [base + 4 * height * x * (1 - x) for x in POINTS]

    kinds = {"naive": high, "aligned": low}
    curves = {
        kind: {"train": curve(height, ends - 0.1), "test": curve(height, ends)}
        for kind, height in kinds.items()
    }
    heights = {kind: {"train": height, "test": height} for kind, height in kinds.items()}
    return {"points": POINTS, **curves, "height": heights, "identity": False, "rounds": 3, **more}


RATES = ("3e-05", "5e-05", "0.0001", "0.0002", "0.0003", "0.001")
RUNS = ((0.79, 0.752), (0.8, 0.764), (0.805, 0.761), (0.81, 0.77), (0.8, 0.768), (0.62, 0.601))


def soup(seed: int = 0, kept: Sequence[int] = (3, 1), runs: Any = RUNS) -> dict[str, Any]:
    """A greedy soup over learning rates, the last of which diverged."""
    shift = 0.006 * seed
    told = [
        {"told": f"lr={rate}", "selection": a + shift, "test": b + shift}
        for rate, (a, b) in zip(RATES, runs, strict=False)
    ]
    return {
        "runs": told,
        "kept": [*kept],
        "trace": [0.81 + shift, 0.8125 + shift][: len(kept)],
        "selection": [run["selection"] for run in told],
    }


def table() -> list[Record]:
    """A merge table: single, joint, merges, at three seeds."""
    found = []
    rows = {
        "single": (0.88, None, {"train_flops": 10**12, "train_seconds": 312.0}),
        "joint": (0.87, None, {"train_flops": 10**12, "train_seconds": 330.0}),
        "mean": (0.76, merge(), {}),
        "fisher": (0.78, merge(), {"merge_seconds": 31.2}),
        "regmean": (0.81, merge(), {"merge_seconds": 14.5}),
        "taskvector": (0.85, merge(), {"merge_seconds": 1.26}),
        "soup": (0.79, merge("factor", [f"lora on {name}" for name in PARTS]), {}),
    }
    for label, (score, of, cost) in rows.items():
        for seed in range(3):
            needed = {"train_seconds": 0.0, "needed_train_seconds": 312.0} if of else {}
            where: dict[str, Any] = {"merge": of} if of else {}
            if label == "taskvector":
                where["sweep"] = sweep(seed, (0.8, 0.8, 0.9)[seed])
            noise = 0.004 * math.cos(len(label) + 2 * seed)
            scores = [score + 0.01 * n + noise * (n + 2) for n in range(-1, 2)]
            found.append(mixed(label, scores, seed, {**COST, **needed, **cost}, **where))
    return found


EVIDENCE = (-0.62, -0.55, -0.5, -0.46, -0.41, -0.38, -0.42, -0.66, -0.58)
TUNED = (0.6, 0.68, 0.71, 0.76, 0.82, 0.81, 0.8, 0.57, 0.66)


def candidate(number: int) -> str:
    """Layers 0 to 6 by their mean, then two by their first token."""
    layers, pool = (number, "mean") if number < 7 else (3 * (number - 6), "first")
    return f"cut[layers={layers},pool={pool}]"


def selection(
    task: str = "sst2", seeds: int = 1, turned: bool = False, shift: float = 0.0
) -> list[Record]:
    """LogME and the tuned runs of nine candidates; `turned`: ranked the other way round."""
    found = []
    for number, (evidence, score) in enumerate(zip(EVIDENCE, TUNED, strict=True)):
        name = candidate(number)
        for seed in range(seeds):
            told = {
                "evidence": (-1 if turned else 1) * evidence + shift,
                "candidate": name,
                **{"classes": [evidence], "rows": 600, "width": 384},
            }
            asked = cell(f"logme {number}", task, seed), cell(f"cut {number}", task, seed)
            each = ({"accuracy": None}, {"logme": told}), ({"accuracy": score}, {"candidate": name})
            found += [
                replace(scored(a, metrics, **where), primary="accuracy")
                for a, (metrics, where) in zip(asked, each, strict=True)
            ]
    return found
