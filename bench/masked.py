"""A masked language model taken apart into its encoder and its head, and put together again."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import AutoModelForMaskedLM, PretrainedConfig, PreTrainedModel

from bench.families import Family, GapPaths, Unserved
from bench.heads import Gap


def fresh(name: str, kind: Family, settings: PretrainedConfig, words: Sequence[int] = ()) -> Gap:
    """A head yet to be drawn, for those words (see bench.heads).

    Raises Unserved where the family has no masked language model.
    """
    head = Gap(settings, _paths(name, kind, settings).activation)
    head.choose(words)
    return head


def apart(
    name: str, kind: Family, whole: PreTrainedModel, words: Sequence[int] = ()
) -> tuple[PreTrainedModel, Gap]:
    """The encoder, without a pooler, and the pretrained head for those words."""
    paths, head = _paths(name, kind, whole.config), fresh(name, kind, whole.config)
    head.dense.load_state_dict(whole.get_submodule(paths.dense).state_dict())
    head.norm.load_state_dict(whole.get_submodule(paths.norm).state_dict())
    with torch.no_grad():
        head.bias.copy_(whole.get_parameter(paths.bias))
    head.pretrained = True
    head.choose(words)
    return whole.get_submodule(paths.trunk), head  # type: ignore[return-value]


def together(name: str, kind: Family, net: PreTrainedModel, head: Gap) -> PreTrainedModel:
    """The masked language model as transformers saves and loads it; shares the tensors."""
    paths = _paths(name, kind, net.config)
    whole = AutoModelForMaskedLM.from_config(net.config)
    _put(whole, paths.trunk, net)
    whole.get_submodule(paths.dense).load_state_dict(head.dense.state_dict())
    whole.get_submodule(paths.norm).load_state_dict(head.norm.state_dict())
    with torch.no_grad():
        whole.get_parameter(paths.bias).copy_(head.bias)
    whole.tie_weights()
    return whole


def _put(whole: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, attribute = path.rpartition(".")
    setattr(whole.get_submodule(parent), attribute, module)


def _paths(name: str, kind: Family, settings: PretrainedConfig) -> GapPaths:
    if kind.gap is None or not settings.tie_word_embeddings:
        raise Unserved(f"model {name!r} is no masked language model that is served")
    return kind.gap
