"""Records as result files of the method comparison of huggingface/peft.

Format: method_comparison/MetaMathQA/utils.py (log_results) and method_comparison/processing.py,
which reads it. What a record does not hold is null; that project's page wants numbers for memory
and tokens where it makes a table of all runs, and those of a CPU have none. The whole record stands
under the key "peftbench", so that a file read back gives it unchanged.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from bench.record import Record
from reports.checks import label, task
from reports.interchange.own import OWN
from reports.interchange.text import named, options, slug
from reports.material import Material

TYPES = {"lora": "LORA", "ia3": "IA3", "prefix": "PREFIX_TUNING", "prompt": "PROMPT_TUNING"}
STATUS = {"ok": "success", "failed": "failed", "skipped": "canceled"}
PACKAGES = ("transformers", "peft", "datasets", "bitsandbytes", "torch")
ALLOCATED = "CUDA allocator"  # what `memory_source` says on a GPU
DECODING = {
    "beams": "num_beams",
    "length_penalty": "length_penalty",
    "no_repeat": "no_repeat_ngram_size",
    "new_tokens": "max_new_tokens",
}


def export_peft(material: Material, created: Mapping[str, str] | None = None) -> dict[str, str]:
    """A JSON text for every run, by the name of its file: one that was skipped or failed too.

    `created`: ISO dates by the keys of records, which hold none; without it that field is null.
    """
    found = {}
    for record in material.records:
        made = exported(record, (created or {}).get(record.cell.key))
        text = json.dumps(made, indent=2, allow_nan=False)
        found[f"{slug(label(record))}--{_experiment(record)}.json"] = f"{text}\n"
    return found


def exported(record: Record, created: str | None = None) -> dict[str, Any]:
    """One run as that project's sections."""
    run = {
        "created_at": created,
        "total_time": None,  # theirs counts loading, which records do not
        "experiment_name": f"{label(record)}/{_experiment(record)}",
        "peft_branch": None,
        "train_config": _train_config(record),
        "peft_config": _peft_config(record),
        "error_msg": record.reason,
    }
    own = {"record": dataclasses.asdict(record), "notes": _notes(record)}
    return {"run_info": run, "train_info": _train(record), "meta_info": _meta(record), OWN: own}


def _experiment(record: Record) -> str:
    """The second part of a run's name; the key tells runs apart."""
    cell = record.cell
    return f"{slug(cell.model)}-{slug(task(record))}-seed{cell.seed}-{cell.key}"


def _train_config(record: Record) -> dict[str, Any]:
    recipe, asked = options(record.cell.recipe), options(record.cell.task)
    precision = record.where.get("precision")
    decoding = {theirs: asked[ours] for ours, theirs in DECODING.items() if ours in asked}
    betas = [recipe.get("beta1"), recipe.get("beta2")]
    return {
        "model_id": record.cell.model,
        "dtype": "float32" if precision else None,  # of the weights; bf16 is autocast's
        "max_seq_length": recipe.get("length"),
        "batch_size": recipe.get("batch"),
        "batch_size_eval": None,
        "max_steps": record.where.get("steps"),
        "eval_steps": None,
        "compile": None,
        "use_gc": None,
        "query_template": None,
        "seed": record.cell.seed,
        "grad_norm_clip": recipe.get("clip"),
        "optimizer_type": {"adamw": "AdamW"}.get(named(record.cell.recipe)),
        "optimizer_kwargs": {
            "lr": recipe.get("lr"),
            "weight_decay": recipe.get("decay"),
            "betas": betas if None not in betas else None,
            "eps": recipe.get("eps"),
        },
        "lr_scheduler": None,
        "use_amp": None if precision is None else precision == "bf16",
        "autocast_adapter_dtype": None,
        "generation_kwargs": decoding or None,
        "attn_implementation": None,
    }


def _peft_config(record: Record) -> dict[str, Any] | None:
    """The method; null is full fine-tuning. Of one that peft has, its options in peft's names."""
    name, asked = named(record.cell.method), options(record.cell.method)
    if name == "full":
        return None
    common = {"base_model_name_or_path": record.cell.model, "task_type": None}
    known: dict[str, Any] = {}
    if name == "lora":
        known = {
            "r": asked.get("rank"),
            "lora_alpha": asked.get("alpha"),
            "lora_dropout": asked.get("dropout"),
            "target_modules": None,  # ours are places, theirs names of modules
        }
    elif name in ("prefix", "prompt"):
        known = {"num_virtual_tokens": asked.get("length")}
    return {"peft_type": TYPES.get(name, name.upper()), **common, **known}


def _train(record: Record) -> dict[str, Any]:
    cost = record.cost
    trained, head = cost.get("trained_params"), cost.get("head_params")
    memory = cost.get("peak_memory_bytes") if cost.get("memory_source") == ALLOCATED else None
    return {
        "accelerator_memory_reserved_avg": None,
        "accelerator_memory_max": memory,
        "accelerator_memory_reserved_99th": None,
        "train_time": cost.get("train_seconds"),
        "file_size": cost.get("checkpoint_bytes"),
        "num_trainable_params": None if trained is None or head is None else trained + head,
        "num_total_params": None,
        "status": STATUS[record.status],
        "metrics": [_metrics(record)] if record.status == "ok" else [],
    }


def _metrics(record: Record) -> dict[str, Any]:
    """The entry after the last step; `test accuracy` is what their page reads."""
    return {
        "step": record.where.get("steps"),
        "test accuracy": None,
        **{f"test {name}": value for name, value in record.metrics.items()},
        "train loss": record.where.get("train_loss"),
        "train samples": rows_seen(record),
        "train total tokens": None,
    }


def rows_seen(record: Record) -> int | None:
    """Training rows that the steps saw, repeats counted; None where the record cannot tell.

    An epoch is every row once, its last batch smaller where the rows do not come out even.
    """
    used = (record.where.get("data") or {}).get("used") or {}
    batch = options(record.cell.recipe).get("batch")
    known = [used.get("train"), record.where.get("steps"), batch]
    rows, steps, size = (n if isinstance(n, int) else 0 for n in known)
    if min(rows, steps, size) < 1:
        return None
    epochs, rest = divmod(steps, math.ceil(rows / size))
    if rest and rows % size:
        return None  # which of the batches was the small one is not recorded
    return epochs * rows + rest * size


def _meta(record: Record) -> dict[str, Any]:
    versions, where = record.where.get("versions") or {}, record.where
    packages: dict[str, Any] = {}
    for name in PACKAGES:
        packages |= {f"{name}-version": versions.get(name), f"{name}-commit-hash": None}
    system, _, machine = str(where.get("platform") or "").partition(" ")
    accelerated = record.cost.get("memory_source") == ALLOCATED
    accelerated = accelerated or bool(re.search("nvidia|tesla", str(where.get("device")), re.I))
    return {
        "model_info": {"sha": None, "created_at": None},
        "dataset_info": {task(record): {"sha": None, "created_at": None}},
        "package_info": packages,
        "system_info": {
            "system": system or None,
            "release": None,
            "version": None,
            "machine": machine or None,
            "processor": None if accelerated else where.get("device"),
            "accelerator": where.get("device") if accelerated else None,
        },
        "pytorch_info": None,
    }


def _notes(record: Record) -> list[str]:
    """Where a field's name promises something not quite the same."""
    cost, name = record.cost, named(record.cell.method)
    notes = ["num_trainable_params: what trains, the task's head included"]
    if peak := cost.get("peak_memory_bytes"):
        kind = cost.get("memory_source") or "the whole resident set of the process"
        notes.append(
            "accelerator_memory_max: the greatest that torch had allocated; peft's own is reserved"
            if kind == ALLOCATED
            else f"memory: {peak} bytes, {kind}; no accelerator's, so not in its fields"
        )
    if record.status == "ok":
        notes.append("train loss: that of one of the last steps, no mean")
        notes.append(f"test: the reported split of {record.cell.task}")
        if "accuracy" not in record.metrics:
            notes.append("test accuracy: the task has another metric, which stands beside it")
    if record.status == "skipped":
        notes.append("status canceled: the method does not suit the model; nothing was run")
    if record.where.get("precision") == "bf16":
        notes.append("use_amp: bfloat16 by autocast, weights in float32")
    if name not in TYPES and name != "full":
        notes.append(f"peft_type: peft has no method {name}; {record.cell.method}")
    return notes
