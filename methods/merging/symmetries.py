"""Which hidden units of a network may stand in any order: its tensors' axes, by name.

Each table was proved by reordering units at random and comparing outputs (tests/test_permute.py).

Source: Ainsworth et al. 2022, arXiv:2209.04836, section 3.1, for layers in a chain. The
transformer's is ours: there a permutation can be undone only where the next map reads, so all that
adds to the residual stream shares one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from methods.merging.permute import Heads, Symmetries, Units

if TYPE_CHECKING:
    from bench.backbone import Backbone

SERVED = ("bert", "roberta")  # encoders whose norms stand behind each sublayer
STREAM = "residual"
Axes = dict[str, tuple[str | None, ...]]


def chain(maps: Sequence[str], read: str | None = None) -> Symmetries:
    """Linear maps with biases one behind the other, an elementwise activation between two of them.

    `maps`: their names, first to last. `read`: the space of what the first one reads, if it is one.
    """
    spaces = [read, *(f"{name} out" for name in maps[:-1]), None]
    axes: Axes = {}
    for name, before, behind in zip(maps, spaces[:-1], spaces[1:], strict=True):
        axes |= _map(name, behind, before)
    return Symmetries(axes, tuple(Units(space) for space in spaces[1:-1] if space))


def encoder(model: Backbone) -> Symmetries:
    """A BERT or RoBERTa with its head, every parameter.

    One space is the residual stream: what embeddings, norms and the maps into the stream put out
    and all others read, the table of a head for gaps too. Each layer has units of its FFN and
    heads; a pooler and a dense layer in the head have units of their own.
    """
    axes = _embeddings(model)
    groups: list[Units | Heads] = [Units(STREAM)]
    (stack,) = model.family.stacks
    paths = {place: found for place, (found,) in stack.places.items()}
    for number in range(len(model.layers)):
        at = f"net.{stack.layers}.{number}"
        heads = Heads(f"{at} keys", f"{at} values", model.heads)
        ffn = Units(f"{at} ffn")
        within = {"q": heads.keys, "k": heads.keys, "v": heads.values, "up": ffn.space}
        for place, space in within.items():
            axes |= _map(f"{at}.{paths[place]}", space, STREAM)
        axes |= _map(f"{at}.{paths['o']}", STREAM, heads.values)
        axes |= _map(f"{at}.{paths['down']}", STREAM, ffn.space)
        axes |= _norm(f"{at}.{paths['attn_norm']}") | _norm(f"{at}.{paths['ffn_norm']}")
        groups += [ffn, heads]
    top = _head(model)
    return Symmetries({**axes, **top.axes}, (*groups, *top.groups))


def head(model: Backbone, before: Sequence[str] = (), read: str | None = None) -> Symmetries:
    """The task's head behind the maps of those names, which stand between it and what it reads."""
    inner = ["head.dense"] if hasattr(model.head, "dense") else []
    return chain([*before, *inner, "head.out"], read)


def _head(model: Backbone) -> Symmetries:
    """What stands on the encoder: a pooler if it has one, and the head."""
    pooler = ["net.pooler.dense"] if getattr(model.net, "pooler", None) is not None else []
    if hasattr(model.head, "norm"):  # it fills gaps: its output map is the table of words
        axes = _map("head.dense", STREAM, STREAM) | _norm("head.norm") | {"head.bias": (None,)}
        return Symmetries(axes, ())
    if pooler and model.head.pool != "pooler":  # nobody reads it
        top, unread = head(model, read=STREAM), _map("net.pooler.dense", "pooler", STREAM)
        return Symmetries({**top.axes, **unread}, (*top.groups, Units("pooler")))
    return head(model, pooler, STREAM)


def _embeddings(model: Backbone) -> Axes:
    """Tables (entries, residual) and the norm behind them."""
    return {
        f"net.{path}.{name}": (*[None] * (parameter.dim() - 1), STREAM)
        for path in model.family.embeddings
        for name, parameter in model.net.get_submodule(path).named_parameters()
    }


def _map(name: str, behind: str | None, before: str | None) -> Axes:
    return {f"{name}.weight": (behind, before), f"{name}.bias": (behind,)}


def _norm(name: str) -> Axes:
    return {f"{name}.weight": (STREAM,), f"{name}.bias": (STREAM,)}
