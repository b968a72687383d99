"""The network of a backbone as transformers builds it: from its files or its configuration."""

from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.utils import logging

from bench.families import Family, Unserved
from bench.weights import Weights, complaint

AUTO = {"": AutoModel, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}


def auto(
    name: str, kind: Family, outputs: int, pool: str | None, gaps: bool
) -> tuple[Any, dict[str, bool]]:
    """What transformers builds the model with: its class, and options.

    `gaps`: as an encoder for a head that fills gaps, which needs no pooler.
    """
    if gaps:
        return AutoModel, kind.options("")
    if not outputs:
        if not kind.writes:
            raise Unserved(f"model {name!r} writes no text: it is an encoder")
        return AUTO[kind.writes], {}
    if not kind.pool:
        raise Unserved(f"model {name!r} writes text; it has no head for classes")
    return AutoModel, kind.options("mean" if pool else kind.pool)


def whole() -> tuple[Any, dict[str, bool]]:
    """What transformers builds an encoder with that brings its head for gaps."""
    return AutoModelForMaskedLM, {}


def pretrained(
    weights: Weights, build: Any, options: dict[str, bool], attention: str
) -> PreTrainedModel:
    """The model in float32, every tensor read from safetensors; `build`, `options`: as above."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        net, found = build.from_pretrained(
            weights.location,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, in one line
            attn_implementation=attention,
            **options,
        )
    except (OSError, SafetensorError) as error:
        why = complaint(error, weights)
        raise ValueError(f"no safetensors weights for model {weights.name!r}: {why}") from error
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"weights of {weights.name!r} lack {len(missing)} tensors: {missing[0]}, ..."
        )
    if wrong := sorted(found["mismatched_keys"]):
        raise ValueError(f"weights of {weights.name!r} do not fit its config: {wrong[0][0]}, ...")
    return net
