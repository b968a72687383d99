"""A bare loop of PyTorch over our batches, and our own loop as a cell runs it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.device import autocast
from bench.speed.ground import Ground
from bench.speed.opponent import inputs
from bench.speed.timing import timed
from bench.text import Batch, Encoded


def bare(ground: Ground, rows: Encoded, model: nn.Module, order: int) -> tuple[float, int]:
    """Seconds and steps of a model of transformers and peft over our batches, the very same ones.

    What the recipe asks for and nothing besides: autocast, backward, clipping, the fused AdamW, its
    schedule. Batches are made where they are used, as in ours; on a GPU they are pinned and sent
    ahead. No look at the loss, no bookkeeping.
    """
    recipe, seed = ground.recipe, ground.seed(order)
    source = np.random.default_rng(seed)
    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    free = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(_groups(free, recipe.decay), lr=recipe.lr, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    torch.manual_seed(seed)
    done = 0
    with timed(ground.device) as span:
        for _ in range(int(recipe.epochs)):
            for numbers in rows.shuffled(recipe.batch, source):
                batch = _sent(rows.batch(numbers), ground.device)
                with autocast(ground.device, ground.precision):
                    loss = model(**inputs(batch), labels=_labels(batch, ground))["loss"]
                loss.backward()
                if recipe.clip is not None:
                    nn.utils.clip_grad_norm_(free, recipe.clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                done += 1
    return span.seconds, done


def ours(ground: Ground, method: Any, model: nn.Module, run: Any) -> tuple[float, int]:
    """Seconds and steps of a cell's training, the making of its optimizer among them."""
    with timed(ground.device) as span:
        method.fit(model, run)
    return span.seconds, run.trace.steps


def _sent(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    tensors = {k: v for k, v in vars(batch).items() if v is not None}
    sent = {k: v.pin_memory().to(device, non_blocking=True) for k, v in tensors.items()}
    return Batch(**{**vars(batch), **sent})


def _labels(batch: Batch, ground: Ground) -> Tensor:
    return batch.labels.float() if ground.task.outputs == 1 else batch.labels


def _groups(free: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Biases and norms do not decay."""
    large, small = ([p for p in free if (p.dim() > 1) == wide] for wide in (True, False))
    return [{"params": large, "weight_decay": decay}, {"params": small, "weight_decay": 0.0}]
