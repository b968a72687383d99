"""Where each architecture keeps what methods edit. All layer names live in this table."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from transformers import PretrainedConfig

Paths = tuple[str, ...]
Writes = Literal["", "causal", "seq2seq"]


@dataclass(frozen=True)
class Stack:
    """A list of layers, and the places of one layer: attribute paths, from the layer down."""

    layers: str  # path of the list, from the base model down
    places: dict[str, Paths]
    norms: Paths = ()  # in front of each sublayer, from the layer down; none: they stand behind
    last: str = ""  # the norm behind the last layer, from the base model down


class GapPaths(NamedTuple):
    """Where a masked language model keeps the head that fills gaps: paths from the model down."""

    trunk: str
    dense: str
    norm: str
    bias: str
    activation: str  # the name transformers gives it; "": as the configuration says


@dataclass(frozen=True)
class Family:
    """One architecture."""

    stacks: tuple[Stack, ...]  # the last one is where text comes out
    pool: str = ""  # what a head reads: "pooler", "first" or "last" token, "mean"; "": no head
    inner: str = ""  # activation of a dense layer inside the head; none if empty
    pooler: bool = False  # whether the model can be built without its pooler
    interface: bool = True  # attention takes past keys and values, and prepared masks
    writes: Writes = ""  # how it writes text: in one stack, or in a decoder of its own
    trunk: str = ""  # path of the base model inside the language model
    gelu: str = "gelu"  # the variant that the family's own code uses
    gap: GapPaths | None = None  # None: no masked language model is served
    embeddings: Paths = ("embeddings",)  # what stands before the first layer, from the base model

    def options(self, pool: str) -> dict[str, bool]:
        """What the base model is built with where the head reads `pool`."""
        return {"add_pooling_layer": pool == "pooler"} if self.pooler else {}

    @property
    def places(self) -> list[str]:
        """Every place that some layer has."""
        return list(dict.fromkeys(place for stack in self.stacks for place in stack.places))


class Unserved(ValueError):
    """A model, or a place in it, that this version cannot reach."""


def _encoder(q: str, k: str, v: str) -> tuple[Stack, ...]:
    places = {
        "q": f"attention.self.{q}",
        "k": f"attention.self.{k}",
        "v": f"attention.self.{v}",
        "o": "attention.output.dense",
        "up": "intermediate.dense",
        "down": "output.dense",
        "attn_out": "attention.output.dropout",  # after it: Add&Norm
        "ffn_out": "output.dropout",
        "attn_norm": "attention.output.LayerNorm",  # reads residual + output
        "ffn_norm": "output.LayerNorm",
    }
    paths: dict[str, Paths] = {place: (path,) for place, path in places.items()}
    return (Stack("encoder.layer", paths),)


def _t5(layers: str, ffn: int, attentions: Paths) -> Stack:
    places: dict[str, Paths] = {n: tuple(f"{path}.{n}" for path in attentions) for n in "qkvo"}
    up = {"up": (f"layer.{ffn}.DenseReluDense.wi",)}
    down = {"down": (f"layer.{ffn}.DenseReluDense.wo",)}
    out = {"attn_out": tuple(f"layer.{i}.dropout" for i in range(len(attentions)))}
    return Stack(
        layers,
        {**places, **up, **down, **out, "ffn_out": (f"layer.{ffn}.dropout",)},
        norms=tuple(f"layer.{i}.layer_norm" for i in range(ffn + 1)),
        last=layers.replace("block", "final_layer_norm"),
    )


BERT = _encoder("query", "key", "value")
GPT2: dict[str, Paths] = {
    "q": ("attn.c_attn.q",),
    "k": ("attn.c_attn.k",),
    "v": ("attn.c_attn.v",),
    "o": ("attn.c_proj",),
    "up": ("mlp.c_fc",),
    "down": ("mlp.c_proj",),
    "attn_out": ("attn.resid_dropout",),  # after it: the residual sum
    "ffn_out": ("mlp.dropout",),
}
BERT_GAP = GapPaths(
    trunk="bert",
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    activation="",
)
ROBERTA_GAP = GapPaths("roberta", "lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "gelu")
FAMILIES = {
    "bert": Family(BERT, pool="pooler", pooler=True, gap=BERT_GAP),
    "roberta": Family(BERT, pool="first", inner="tanh", pooler=True, gap=ROBERTA_GAP),
    "deberta-v2": Family(
        _encoder("query_proj", "key_proj", "value_proj"),
        pool="first",
        inner="gelu",
        interface=False,
    ),
    "gpt2": Family(
        (Stack("h", GPT2, norms=("ln_1", "ln_2"), last="ln_f"),),
        pool="last",
        writes="causal",
        trunk="transformer",
        gelu="gelu_new",
        embeddings=("wte", "wpe"),
    ),
    "t5": Family(
        (
            _t5("encoder.block", 1, ("layer.0.SelfAttention",)),
            _t5("decoder.block", 2, ("layer.0.SelfAttention", "layer.1.EncDecAttention")),
        ),
        writes="seq2seq",
        embeddings=("shared",),
    ),
}


def family(name: str, settings: PretrainedConfig) -> Family:
    """The family of the model called `name`. Raises Unserved where it is none of the table."""
    if settings.model_type not in FAMILIES:
        raise Unserved(
            f"model {name!r} is of type {settings.model_type!r}; served: {', '.join(FAMILIES)}"
        )
    return FAMILIES[settings.model_type]
