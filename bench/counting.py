"""Counts of methods on a model from its configuration alone."""

from typing import Any

import torch
from transformers import AutoModel

from bench.cost import STEP_FLOPS, account, size
from bench.families import FAMILIES, Unserved, Writes
from bench.recipe import AdamW
from bench.text import Shape
from bench.weights import Weights, config, find
from methods import resolve
from methods.base import Unsuited

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


def shown(rows: list[dict[str, Any]]) -> str:
    """The rows of `counts` for a person."""
    whole = f"{rows[0]['backbone_params']:,} parameters without a head"
    lines = [
        f"{rows[0]['model']}: {whole}",
        f"{'method':24} {'trained':>13} {'served':>13} {'head':>11}  GFLOPs a row (train, serve)",
    ]
    for row in rows:
        if row["reason"]:
            lines.append(f"{row['method']:24} {row['reason']}")
            continue
        numbers = [row["trained_params"], row["served_params"], row["head_params"]]
        flops = f"{row['train_flops'] / 1e9:.1f}, {row['inference_flops'] / 1e9:.1f}"
        lines.append("{:24} {:>13,} {:>13,} {:>11,}  {}".format(row["method"], *numbers, flops))
    return "\n".join(lines)


def _writes(weights: Weights) -> Writes:
    """How the family writes text; not at all where it is not served."""
    known = FAMILIES.get(config(weights).model_type)
    return known.writes if known else ""


def _size(weights: Weights) -> int:
    """Parameters of the model without a head, of any architecture transformers knows."""
    with torch.device("meta"):
        return size(AutoModel.from_config(config(weights)).parameters())
