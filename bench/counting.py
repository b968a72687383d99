"""Counts of methods on a model from its configuration alone."""

from collections.abc import Iterable
from typing import Any

import torch
from transformers import AutoModel

from bench.cost import STEP_FLOPS, account, size, sizes
from bench.families import FAMILIES, Unserved, Writes
from bench.recipe import AdamW
from bench.text import Shape
from bench.weights import Weights, config, find
from methods import resolve
from methods.base import Unsuited

NONE = "no such method here"
LEGEND = (
    "trained: what trains in modules, the head apart. served: what one task keeps after merging,",
    "and its share of the model. GFLOPs a row, 2 a multiply-add: forward, gradients of activations",
    "and of weights in a training step with all its passes; one forward pass in serving.",
)
UPDATE = AdamW().operations  # of a parameter, with clipping


def counts(
    model: str, methods: list[str], outputs: int | None, length: int
) -> list[dict[str, Any]]:
    """A flat row a method: parameters, and FLOPs of one row of `length` tokens.

    `train_flops` are of one training step on that row, the sum of its three parts;
    `optimizer_flops`, the update after it, stand apart. Where the model writes text (`outputs` 0,
    the default of a family that can) the second half of the row is what it writes; a decoder of
    its own reads that half, and its encoder the first. Where a method cannot serve the model,
    `reason` says why and there is only the size of the model itself.
    """
    weights = find(model)
    writes = _writes(weights)
    outputs = (0 if writes else 2) if outputs is None else outputs
    shape = Shape.of_row(length - length // 2, length // 2, "" if outputs else writes)
    rows = []
    for text in methods:
        row: dict[str, Any] = {"method": text, "model": weights.name, "reason": ""}
        try:
            counted = account(resolve(text, weights.name), weights, outputs)
        except (Unsuited, Unserved) as error:
            rows.append({**row, "reason": str(error), "backbone_params": _size(weights)})
            continue
        rows.append(
            {
                **row,
                **counted.params,
                **{
                    name: part.of(*shape)
                    for name, part in zip(STEP_FLOPS, counted.step, strict=True)
                },
                "train_flops": counted.step.of(*shape),
                "optimizer_flops": UPDATE * (counted.trained_params + counted.head_params),
                "inference_flops": counted.serve.of(*shape),
            }
        )
    return rows


def beside(
    model: str, printed: Iterable[Any], counted: Iterable[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """A flat row a printed count, with what our method of the same kind serves on that model.

    `printed`: see reports.published.Count. `counted`: rows of `counts`, whose methods are not
    counted again.
    """
    weights = find(model)
    outputs = 0 if _writes(weights) else 2
    known = {resolve(row["method"], weights.name): row.get("served_params") for row in counted}
    served: dict[str, int | None] = {"": None}
    rows = []
    for one in printed:
        if one.ours not in served:
            chosen = resolve(one.ours, weights.name)
            told = known.get(chosen)
            served[one.ours] = told or sizes(chosen, weights, outputs).served_params
        ours = served[one.ours]
        rows.append(
            {
                "method": one.ours,
                "model": weights.name,
                "served_params": ours,
                "printed_millions": one.printed,
                "printed_as": one.method,
                "paper": one.authors,
                "table": one.table,
                "agrees": None if ours is None else one.agrees(ours),
                "note": one.note,
            }
        )
    return rows


def shown(rows: list[dict[str, Any]], printed: list[dict[str, Any]]) -> str:
    """The rows of `counts` and of `beside` for a person."""
    whole = rows[0]["backbone_params"]
    heads = ("trained", "served", "share", "head", "forward", "grad(a)", "grad(w)", "serve")
    lines = [
        f"{rows[0]['model']}: {whole:,} parameters without a head",
        "",
        "{:16} {:>12} {:>12} {:>9} {:>11} {:>8} {:>8} {:>8} {:>8}".format("method", *heads),
    ]
    for row in rows:
        if row["reason"]:
            lines.append(f"{row['method']:16} {row['reason']}")
            continue
        flops = [row[name] / 1e9 for name in (*STEP_FLOPS, "inference_flops")]
        lines.append(
            f"{row['method']:16} {row['trained_params']:>12,} {row['served_params']:>12,}"
            f" {row['served_params'] / whole:>9.3%} {row['head_params']:>11,}"
            + "".join(f" {number:>8.2f}" for number in flops)
        )
    lines += ["", *LEGEND]
    if printed:
        lines += ["", "As papers print them, in millions, beside what the same method serves here:"]
        lines += _printed(printed)
    return "\n".join(lines)


def _printed(rows: list[dict[str, Any]]) -> list[str]:
    """A line a count, with all who print it so, and one beneath that says why it is not ours."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        name = row["method"] or row["printed_as"]
        groups.setdefault((row["printed_millions"], name), []).append(row)
    lines = []
    for (millions, _), same in groups.items():
        first = same[0]
        count = "" if first["served_params"] is None else f"{first['served_params']:,}"
        papers = "; ".join(dict.fromkeys(row["paper"] for row in same))
        names = ", ".join(dict.fromkeys(row["printed_as"] for row in same))
        lines.append(f"{millions:>7} {count:>12}  {first['method'] or NONE}: {names} ({papers})")
        notes = dict.fromkeys(row["note"] for row in same if row["note"] and not row["agrees"])
        lines += [f"{'':22}{note}" for note in notes]
    return lines


def _writes(weights: Weights) -> Writes:
    """How the family writes text; not at all where it is not served."""
    known = FAMILIES.get(config(weights).model_type)
    return known.writes if known else ""


def _size(weights: Weights) -> int:
    """Parameters of the model without a head, of any architecture transformers knows."""
    with torch.device("meta"):
        return size(AutoModel.from_config(config(weights)).parameters())
