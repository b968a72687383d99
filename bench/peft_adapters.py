"""What a method has trained as an adapter of the library peft: its configuration and tensors.

Format: PeftConfig and get_peft_model_state_dict of huggingface/peft, 0.19 to 0.21. Mixtures are
exported as they serve: the mean of their experts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.backbone import Backbone
from bench.peft_heads import headed, start
from bench.peft_places import Place, places, suffixes, within
from methods.base import Method
from methods.layers.mixture import Mixture

POSITIONS = {  # tables of learned absolute positions
    "bert": "embeddings.position_embeddings",
    "roberta": "embeddings.position_embeddings",
    "gpt2": "wpe",
}


class Part(NamedTuple):
    """What one method is in peft."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]  # by path in the model that peft loads; "": the prompt's own
    saved: tuple[str, ...] = ()  # modules of the model that are replaced whole
    remarks: tuple[str, ...] = ()


class Adapter(NamedTuple):
    """What peft reads, and what it has no place for."""

    config: dict[str, Any]  # without the name of the base model
    tensors: dict[str, Tensor]
    head: dict[str, Tensor]  # trained; empty where it is among the tensors, or there is none
    remarks: tuple[str, ...]


def adapter(method: Method, model: Backbone) -> Adapter:
    """The adapter of a trained model before merging; leaves the model in eval mode.

    Raises ValueError as `counterpart` does.
    """
    export = counterpart(method)
    model.eval()
    with torch.no_grad():
        part, head = export(_inner(method), model), headed(model)
        front = "base_model." if part.config["peft_type"] in PROMPTS else "base_model.model."
        whole = {
            f"{front}{path}": x for path, x in {**part.tensors, **head.tensors}.items() if path
        }
        if "" in part.tensors:
            whole["prompt_embeddings"] = part.tensors[""]
        tensors = {name: x.detach().cpu().clone().contiguous() for name, x in whole.items()}
    told = {
        "task_type": head.task_type,
        "inference_mode": True,
        "modules_to_save": [*part.saved, *head.saved] or None,
    }
    return Adapter(part.config | told, tensors, head.apart, part.remarks + head.remarks)


def counterpart(method: Method) -> Callable[[Any, Backbone], Part]:
    """What exports the method.

    Raises ValueError for one that peft does not have, naming those that it has.
    """
    name = _inner(method).name
    if name not in KINDS:
        asked = method.name if name == method.name else f"{method.name} around {name}"
        valid = f"{', '.join(KINDS)}, or adamix around one of them"
        raise ValueError(f"expected a method that peft has too ({valid}), got {asked}")
    return KINDS[name]


def _inner(method: Method) -> Method:
    return getattr(method, "wrapped", method)


def _lora(method: Any, model: Backbone) -> Part:
    """Maps that transformers fuses (GPT-2's q, k, v) share factors of the sum of their ranks."""
    tensors, ranks = {}, {}
    for path, parts in places(model, method.targets, start(model)).items():
        down = torch.cat([_weight(part.layer.down) for part in parts])
        up, column = torch.zeros(parts[0].total, len(down)), 0
        for part in parts:
            weight = _weight(part.layer.up)
            up[part.first : part.first + len(weight), column : column + method.rank] = weight
            column += method.rank
        tensors[f"{path}.lora_A.weight"], tensors[f"{path}.lora_B.weight"] = down, up
        ranks[path] = len(down)
    most, scale = max(ranks.values()), method.alpha / method.rank
    fewer = {path: rank for path, rank in ranks.items() if rank < most}
    config = {
        "peft_type": "LORA",
        "r": most,
        "lora_alpha": scale * most,
        "lora_dropout": method.dropout,
        "bias": "none",
        "fan_in_fan_out": _transposed(model),
        "target_modules": suffixes(ranks, within(model, start(model))),
        "rank_pattern": fewer,
        "alpha_pattern": {path: scale * rank for path, rank in fewer.items()},
    }
    return Part(config, tensors)


def _ia3(method: Any, model: Backbone) -> Part:
    """Maps that transformers fuses are scaled as one, by ones where the method has no scale."""
    tensors, known = {}, within(model, start(model))
    found = places(model, method.targets, start(model))
    reading = {path for path, parts in found.items() if parts[0].place == "down"}
    for path, parts in found.items():
        scale = parts[0].layer.scale[None] if path in reading else _scales(parts)
        tensors[f"{path}.ia3_l"] = scale
    before = suffixes(reading, known)
    config = {
        "peft_type": "IA3",
        "fan_in_fan_out": _transposed(model),
        "target_modules": [*suffixes(found.keys() - reading, known), *before],
        "feedforward_modules": before,
    }
    return Part(config, tensors)


def _scales(parts: Sequence[Place]) -> Tensor:
    """(outputs, 1) of the map that the parts make up."""
    scale = torch.ones(parts[0].total, 1)
    for part in parts:
        scale[part.first : part.first + len(part.layer.scale), 0] = part.layer.scale
    return scale


def _prefix(_: Any, model: Backbone) -> Part:
    """The finished keys and values, without the network that made them.

    peft counts a prefix as positions, this project does not: a table of learned positions goes with
    the adapter, moved by the prefix, so that the text meets the positions it was trained at. For
    two stacks peft deals out pairs of layers, to the decoder's self-attention and to attention that
    it then leaves without a prefix: every second layer is empty here.
    """
    assert model.prefix is not None
    made = model.prefix(1)[:, :, 0]  # (layers, 2, heads, length, head width)
    two = model.family.writes == "seq2seq"
    if two:
        made = torch.stack([made, torch.zeros_like(made)], dim=1).flatten(0, 1)
    length = made.shape[-2]
    config = {
        "peft_type": "PREFIX_TUNING",
        **_shape(length, model.heads * model.head_width, len(made), model.heads),
        "num_transformer_submodules": 2 if two else 1,
        "encoder_hidden_size": model.heads * model.head_width,
        "prefix_projection": False,
    }
    part = Part(config, {"": made.permute(3, 0, 1, 2, 4).reshape(length, -1)})
    if model.settings.model_type not in POSITIONS:
        return part
    inside = f"{model.family.trunk}." if model.writes else ""
    path = f"{inside}{POSITIONS[model.settings.model_type]}"
    table = model.net.get_parameter(f"{path}.weight")
    moved = {f"{start(model)}{path}.weight": torch.cat([table[:length], table[:-length]])}
    told = (
        f"with {path}, moved by {length} rows, for peft counts a prefix as positions: "
        f"a text may have {length} tokens less"
    )
    return Part(config, part.tensors | moved, (path.rpartition(".")[2],), (told,))


def _prompt(_: Any, model: Backbone) -> Part:
    assert model.prompt is not None
    rows = model.prompt(1)[0]
    config = {
        "peft_type": "PROMPT_TUNING",
        **_shape(len(rows), model.width, len(model.layers), model.heads),
        "num_transformer_submodules": 1,
        "prompt_tuning_init": "RANDOM",
    }
    return Part(config, {"": rows})


def _shape(length: int, width: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "num_virtual_tokens": length,
        "token_dim": width,
        "num_layers": layers,
        "num_attention_heads": heads,
    }


def _transposed(model: Backbone) -> bool:
    """Whether transformers keeps the maps as (inputs, outputs)."""
    return model.settings.model_type == "gpt2"


def _weight(map: Any) -> Tensor:
    return map.merged().weight if isinstance(map, Mixture) else map.weight


PROMPTS = ("PREFIX_TUNING", "PROMPT_TUNING")
KINDS: dict[str, Callable[[Any, Backbone], Part]] = {
    "lora": _lora,
    "ia3": _ia3,
    "prefix": _prefix,
    "prompt": _prompt,
}
