"""The head of a trained model where the library peft loads it: in its file, or apart from it."""

from typing import Any, NamedTuple

from torch import Tensor

from bench.backbone import Backbone

HEADS = {  # of the family's own classification model: path there -> attribute of ours
    "bert": {"classifier": "out"},
    "roberta": {"classifier.dense": "dense", "classifier.out_proj": "out"},
    "deberta-v2": {"pooler.dense": "dense", "classifier": "out"},
}
WRITERS = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}
READS = {
    "mean": "the mean over the text",
    "pooler": "the pooler's output",
    "first": "the first token",
    "last": "the last token",
}


class Headed(NamedTuple):
    """What of an adapter depends on the head."""

    task_type: str  # peft's name
    saved: tuple[str, ...]  # modules that peft loads besides those of the method
    tensors: dict[str, Tensor]  # of those modules, by path in the model that peft loads
    apart: dict[str, Tensor]  # of a head that the model that peft loads does not have
    remarks: tuple[str, ...] = ()


def own_head(model: Backbone) -> bool:
    """Whether the head is that of the family's own classification model, read at the same place.

    Not where it reads a mean, fills gaps or has a bias that theirs lacks (GPT-2), nor behind a
    prompt, for theirs reads the first position of all.
    """
    inner = getattr(model.settings, "pooler_hidden_act", model.family.inner)
    return (
        model.settings.model_type in HEADS
        and getattr(model.head, "pool", None) == model.family.pool
        and inner == model.family.inner
        and model.prompt is None
    )


def start(model: Backbone) -> str:
    """What stands before the path of a module of our network in the model that peft loads."""
    return f"{model.net.base_model_prefix}." if own_head(model) else ""


def headed(model: Backbone) -> Headed:
    """The kind of model that peft loads, and the trained head."""
    if model.writes:
        return Headed(WRITERS[model.family.writes], (), {}, {})
    if own_head(model):
        names = HEADS[model.settings.model_type]
        tensors = {
            f"{path}.{name}": tensor
            for path, mine in names.items()
            for name, tensor in model.head.get_submodule(mine).state_dict().items()
        }
        saved = dict.fromkeys(path.partition(".")[0] for path in names)
        return Headed("SEQ_CLS", tuple(saved), tensors, {})
    told = f"without the head, which the model that peft loads lacks: it reads {_reads(model)}"
    return Headed("FEATURE_EXTRACTION", (), {}, dict(model.head.state_dict()), (told,))


def _reads(model: Backbone) -> str:
    pool: Any = getattr(model.head, "pool", None)
    where = READS[pool] if pool else "the gap"
    return f"{where} behind the prompt" if model.prompt is not None else where
