"""What the tuners of huggingface/peft are called here, and their options as text.

A tuner is written as any plug-in is: `vera`, `lora[r=4,use_dora=true]`. Its options are the fields
of peft's own configuration, with peft's names and defaults; the text that a cell holds spells all
of them out, for the defaults change from version to version.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
import warnings
from functools import cache
from importlib.metadata import version
from types import NoneType
from typing import Any

from bench import spec
from bench.registry import unknown

SIZE = "20"  # of a prompt, for which peft has no default
PRESETS: dict[str, tuple[str, dict[str, str]]] = {  # by the names that papers use
    "dora": ("lora", {"use_dora": "true"}),
    "rslora": ("lora", {"use_rslora": "true"}),
    "pissa": ("lora", {"init_lora_weights": "pissa"}),
    "olora": ("lora", {"init_lora_weights": "olora"}),
    "orthogonal": ("lora", {"init_lora_weights": "orthogonal"}),
    "mica": ("lora", {"init_lora_weights": "mica"}),
    "eva": ("lora", {"init_lora_weights": "eva"}),
    "corda": ("lora", {"init_lora_weights": "corda"}),
    "loftq": ("lora", {"init_lora_weights": "loftq"}),
    "bat": ("miss", {"init_weights": "bat"}),
    "coft": ("oft", {"coft": "true"}),
}
PAPERS = {  # of variants, as the documentation of LoraConfig names them
    "dora": "2402.09353",
    "rslora": "2312.03732",
    "pissa": "2404.02948",
    "mica": "2604.01694",
    "eva": "2410.07170",
    "corda": "2406.05223",
}
REQUIRED = {  # what peft leaves to its user, by option
    "num_virtual_tokens": SIZE,
}
OURS = (  # set by this project, from the model and the places
    *("target_modules", "exclude_modules", "feedforward_modules", "layers_pattern"),
    *("fan_in_fan_out", "modules_to_save", "megatron_core", "target_parameters"),
    *("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"),
    *("inference_mode", "peft_type", "task_type", "progressbar", "tokenizer_name_or_path"),
    *("base_model_name_or_path", "revision", "peft_version", "auto_mapping"),
    *("prompt_tuning_init_text", "prompt_tuning_init_state_dict_path"),
    *("alora_invocation_tokens", "use_qalora", "qalora_group_size"),  # of models that are not here
)
SCALARS = (int, float, bool, str)


def installed() -> str:
    """The version of peft. Raises ValueError where there is none."""
    try:
        import peft  # noqa: F401

        return version("peft")
    except ImportError:
        how = "python -m pip install 'peftbench[peft]'"
        raise ValueError(f"method 'peft' needs the library peft, got none: {how}") from None


def names() -> list[str]:
    """Every tuner that the installed peft has, and the names of variants."""
    return sorted([*_types(), *PRESETS])


def read(text: str) -> Any:
    """The tuner that `text` names: an object with `name` and, as attributes, every option.

    Raises ValueError naming what is wrong with the text, and the nearest valid choice.
    """
    name, options = spec.parse(text)
    stem, preset = PRESETS.get(name.lower(), (name.lower(), {}))
    if stem not in _types():
        raise unknown("tuner of peft", name, names())
    cls = _plugin(stem)
    hints = typing.get_type_hints(cls)
    given = {name: _bool(value, hints.get(name)) for name, value in {**preset, **options}.items()}
    return spec.construct(cls, given)


def configuration(tuner: Any, **ours: Any) -> Any:
    """peft's own configuration of the tuner; `ours`: what is not among its options here."""
    cls = _types()[tuner.name]
    told = {field.name for field in dataclasses.fields(cls)}
    values = {field.name: getattr(tuner, field.name) for field in dataclasses.fields(tuner)}
    given = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    lists = [f.name for f in dataclasses.fields(cls) if f.default_factory is list]
    given = {name: v for name, v in given.items() if v is not None or name not in lists}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's advice to those who call it themselves
        return cls(**given, **{name: value for name, value in ours.items() if name in told})


def paper(text: str) -> str:
    """Where the tuner comes from: the first paper that its own documentation names."""
    name = spec.parse(text)[0].lower()
    if name in PAPERS:
        return f"arXiv:{PAPERS[name]}"
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.utils import PeftType

    stem = PRESETS.get(name, (name,))[0]
    if stem == "lora" != name:  # of its variants only some have a paper that peft names
        return f"huggingface/peft {installed()}"
    for told in (PEFT_TYPE_TO_TUNER_MAPPING[PeftType(stem.upper())], _types()[stem]):
        if found := re.search(r"(?:papers|abs)/(\d{4}\.\d{5})", told.__doc__ or ""):
            return f"arXiv:{found[1]}"
    return f"huggingface/peft {installed()}"


@cache
def _types() -> dict[str, type]:
    """Configurations by peft's names of their kinds, in lower case."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return {kind.value.lower(): cls for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


@cache
def _plugin(name: str) -> type:
    """A frozen dataclass of the options that have a text form."""
    cls = _types()[name]
    hints, fields = typing.get_type_hints(cls), []
    for field in dataclasses.fields(cls):
        hint = _as_text(hints[field.name])
        if field.name in OURS or hint is None:
            continue
        default = REQUIRED.get(field.name) or _default(field)
        fields.append((field.name, hint | None if default is None else hint, default))
    made = dataclasses.make_dataclass(name, fields, frozen=True)
    made.kind, made.name = "tuner", name  # type: ignore[attr-defined]
    return made


def _as_text(hint: Any) -> Any:
    """The part of a type that has a text form; None where there is none."""
    if hint in (*SCALARS, NoneType) or typing.get_origin(hint) is typing.Literal:
        return hint
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return typing.Literal[tuple(member.value for member in hint)]
    inside = typing.get_args(hint)
    if typing.get_origin(hint) is list and inside[0] in SCALARS:
        return tuple[inside[0], ...]  # type: ignore[valid-type]
    if not _is_union(hint):
        return None
    kept = [part for part in map(_as_text, inside) if part is not None]
    if any(typing.get_origin(part) is typing.Literal for part in kept) and str in kept:
        kept.remove(str)  # an enumeration that peft also takes as a word
    if not set(kept) - {NoneType}:
        return None
    kept.sort(
        key=lambda part: typing.get_origin(part) is not typing.Literal
    )  # complaints name them
    return typing.Union[tuple(kept)]  # noqa: UP007


def _bool(value: str, hint: Any) -> str | bool:
    """True or false where an option that may be a word says so: peft tells them apart."""
    known = {"true": True, "false": False}
    return known.get(value.lower(), value) if bool in typing.get_args(hint) else value


def _is_union(hint: Any) -> bool:
    import types

    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _default(field: dataclasses.Field) -> Any:
    """A default that can be part of a frozen dataclass."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if isinstance(value, enum.Enum):
        return value.value
    return (tuple(value) or None) if isinstance(value, list) else value
