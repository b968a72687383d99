"""The Trainer of transformers: as the GLUE example script has it, and at its best."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)

from bench.speed.ground import Ground
from bench.speed.timing import Span
from bench.text import Encoded

SCRIPT_EVAL_BATCH = 8  # per_device_eval_batch_size of TrainingArguments


class Clock(TrainerCallback):
    """Seconds from the first batch asked for to the end of the last step, and the steps."""

    def __init__(self, device: torch.device):
        self.span, self.steps = Span(device), 0

    def on_train_begin(self, args, state, control, **_):
        """Model, optimizer and loader stand ready."""
        self.span.begin()

    def on_step_end(self, args, state, control, **_):
        """The optimizer has stepped and the gradients are gone."""
        self.steps = state.global_step
        if state.global_step == state.max_steps:
            self.span.end()


def padded(ground: Ground, rows: Encoded, model: nn.Module, order: int) -> Trainer:
    """As run_glue.py trains by default: every row padded to `max_seq_length`, float32.

    Source: examples/pytorch/text-classification/run_glue.py of transformers, whose
    `pad_to_max_length` is true, and whose rows are a `datasets.Dataset` read through
    `default_data_collator`. Departs from it in favour of speed: no progress bar, no logs, no
    checkpoints.
    """
    from datasets import Dataset

    data = Dataset.from_dict(_columns(ground, rows, ground.recipe.length))
    how = _arguments(ground, order, bf16=False, per_device_eval_batch_size=SCRIPT_EVAL_BATCH)
    return _trainer(model, args=how, train_dataset=data, data_collator=default_data_collator)


def best(ground: Ground, rows: Encoded, model: nn.Module, order: int, **more: Any) -> Trainer:
    """The same with what its documentation has for speed.

    Rows of like length together (`train_sampling_strategy="group_by_length"`), padded to the
    longest of a batch (`DataCollatorWithPadding`), to a multiple of 8 on a GPU; autocast to
    bfloat16 where the device has it (`bf16`); the fused AdamW (the default of `optim`); batches
    made in this process (`dataloader_num_workers=0`: a worker would take a core from two), rows in
    a plain list, which is read faster than a `datasets.Dataset`; no look at every loss
    (`logging_nan_inf_filter=False`), which makes a GPU wait. Not compiled, as nobody here is.

    Source: transformers 5.23, "Trainer" and "GPU" guides and the docstring of TrainingArguments.
    """
    columns = _columns(ground, rows, None)
    data = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    multiple = 8 if ground.device.type == "cuda" else None
    options: dict[str, Any] = {"train_sampling_strategy": "group_by_length"}
    options |= {"bf16": ground.precision == "bf16", "logging_nan_inf_filter": False, **more}
    return _trainer(
        model,
        args=_arguments(ground, order, **options),
        train_dataset=data,
        data_collator=DataCollatorWithPadding(ground.run.tokens, pad_to_multiple_of=multiple),
        processing_class=ground.run.tokens,
    )


def trained(trainer: Trainer, device: torch.device) -> tuple[float, int]:
    """Trains; the seconds of that, and the steps."""
    clock = Clock(device)
    trainer.add_callback(clock)
    trainer.train()
    return clock.span.seconds, clock.steps


def _arguments(ground: Ground, order: int, **how: Any) -> TrainingArguments:
    recipe = ground.recipe
    return TrainingArguments(
        output_dir=str(ground.folder / "trainer"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.lr,
        lr_scheduler_type="linear",
        weight_decay=recipe.decay,
        max_grad_norm=recipe.clip or 0.0,
        optim="adamw_torch_fused",
        seed=order,
        use_cpu=ground.device.type == "cpu",
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **how,
    )


def _trainer(model: nn.Module, **how: Any) -> Trainer:
    trainer = Trainer(model, **how)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _columns(ground: Ground, rows: Encoded, length: int | None) -> dict[str, list[Any]]:
    """The rows by the names of a model's arguments, padded where there is a `length`."""
    pad = ground.run.tokens.pad_token_id or 0
    masks = [[1] * len(ids) for ids in rows.ids]
    kinds = {} if rows.kinds is None else {"token_type_ids": _to(rows.kinds, 0, length)}
    labels = [float(x) for x in rows.labels] if ground.task.outputs == 1 else rows.labels
    return {
        "input_ids": _to(rows.ids, pad, length),
        "attention_mask": _to(masks, 0, length),
        **kinds,
        "labels": copy.copy(labels),
    }


def _to(lists: list[list[int]], padding: int, length: int | None) -> list[list[int]]:
    if length is None:
        return lists
    return [ids + [padding] * (length - len(ids)) for ids in lists]
