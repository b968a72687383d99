"""Labels, numbers, texts or losses from a model, in eval mode."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bench.backbone import Backbone
from bench.decode import search
from bench.device import Precision, autocast
from bench.lowered import lowered
from bench.pairs import Pairs
from bench.steppers import Causal, Seq2Seq, Stepper
from bench.text import Rows, Shape
from bench.train import Diverged
from tasks.base import Decoding

ROWS = 64  # a batch; rows of like length stand together, so there is little padding
PROMPTS = 32  # a batch of a search, with all beams of each


@torch.no_grad()
def predict(
    model: Backbone,
    data: Rows,
    device: torch.device,
    precision: Precision,
    shapes: Counter[Shape] | None = None,
) -> list[float]:
    """A class index, or a number for regression, for each row in order.

    `shapes`: where those of the batches are counted.
    Leaves the model in the mode it was in, and the random state untouched.
    Raises Diverged where an output is not finite: its largest entry would be a class like any.
    """
    found: list[float] = [0.0] * len(data)
    with evaluating(model), lowered(model, precision):
        for batch in data.in_order(ROWS):
            with autocast(device, precision):
                logits = model(batch.to(device))
            if shapes is not None:
                shapes[batch.shape] += 1
            if not logits.isfinite().all():
                raise Diverged("the model's outputs are not finite; a lower learning rate may help")
            values = logits.squeeze(-1) if model.regression else logits.argmax(-1)
            for row, value in zip(batch.rows.tolist(), values.tolist(), strict=True):
                found[row] = value
    return found


@torch.no_grad()
def features(
    model: Backbone,
    data: Rows,
    device: torch.device,
    precision: Precision,
    most: int | None = None,
) -> Tensor:
    """What the head reads of each of the first `most` rows in order: (rows, width), float32.

    Leaves the model in the mode it was in, and the random state untouched.
    """
    order = np.argsort(-data.lengths[:most], kind="stable")
    found = torch.zeros(len(order), model.width)
    with evaluating(model), lowered(model, precision):
        for start in range(0, len(order), ROWS):
            batch = data.batch(order[start : start + ROWS])
            with autocast(device, precision):
                found[batch.rows] = model.features(batch.to(device)).float().cpu()
    return found


@torch.no_grad()
def write(
    model: Backbone,
    data: Pairs,
    tokens: PreTrainedTokenizerBase,
    decoding: Decoding,
    device: torch.device,
    precision: Precision,
) -> list[str]:
    """A text for each row in order: one line, without blanks around it.

    Leaves the model in the mode it was in, and the random state untouched.
    """
    found, ends = [""] * len(data), end_tokens(tokens, decoding)
    with evaluating(model), lowered(model, precision):
        for ids, mask, rows in data.prompts(PROMPTS):
            with autocast(device, precision):
                stepper = _stepper(model, len(rows))
                written = search(stepper, ids.to(device), mask.to(device), decoding, ends)
            for row, new in zip(rows, written, strict=True):
                found[row] = " ".join(str(tokens.decode(new, skip_special_tokens=True)).split())
    return found


@torch.no_grad()
def mean_loss(model: Backbone, data: Rows, device: torch.device, precision: Precision) -> float:
    """Mean cross-entropy in nats per target token, or per row: over all rows together."""
    total, count = 0.0, 0
    with evaluating(model), lowered(model, precision):
        for batch in data.in_order(ROWS):
            with autocast(device, precision):
                value = model.loss(batch.to(device))
            total += float(value) * len(batch.labels)
            count += len(batch.labels)
    return total / max(1, count)


def end_tokens(tokens: PreTrainedTokenizerBase, decoding: Decoding) -> list[int]:
    """The model's own end token, and the texts of `decoding.ends` that are one token."""
    coded = [tokens(text, add_special_tokens=False)["input_ids"] for text in decoding.ends]
    return list(dict.fromkeys([tokens.eos_token_id, *(ids[0] for ids in coded if len(ids) == 1)]))


@contextmanager
def evaluating(model: Backbone) -> Iterator[None]:
    """The model is in eval mode while the block runs, and then in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _stepper(model: Backbone, prompts: int) -> Stepper:
    prefix = None if model.prefix is None else model.prefix(prompts)
    kind = Causal if model.family.writes == "causal" else Seq2Seq
    return kind(model.net, prefix)  # type: ignore[arg-type]
