"""FLOPs of a step by arithmetic on the model's structure: the second route beside counting.

A linear map of m vectors from i to o features takes 2 m i o FLOPs forward, as many for the gradient
of what it reads, and as many for that of its weight; a product of attention over p pairs of
positions takes 2 p w, and as many for the gradient of each side (Kaplan et al. 2020,
arXiv:2001.08361, section 2.1, with the pairs that they leave out). A gradient is worked out only
where something that trains needs it.
"""

from collections.abc import Sequence
from functools import singledispatchmethod
from typing import Any, NamedTuple

from torch import nn
from torch.nn.utils import parametrize

from bench.backbone import Backbone
from bench.families import Unserved
from bench.flops import Flops, Step
from bench.heads import Described, Gap, Head, Heads
from bench.unfuse import Fused
from methods.layers.bottleneck import Bottleneck, Within
from methods.layers.ensemble import Ensemble
from methods.layers.lowrank import LowRank
from methods.layers.mixture import Mixture
from methods.layers.prefix import Reparameterised
from methods.layers.scaled import Scaled, ScaledInput
from methods.layers.soft import Soft

PLAIN = ("bert", "roberta", "gpt2", "t5")  # DeBERTa's attention has products of its own


class Length(NamedTuple):
    """Positions of a row: so many, and one for each token that it reads, or that it writes."""

    fixed: int = 0
    read: int = 0
    written: int = 0


class Signal(NamedTuple):
    """Hidden states of a batch: their number, and whether something before them trains."""

    vectors: Flops
    moved: bool


ROWS, TARGETS = Flops(row=1), Flops(target=1)


def step(model: Backbone, passes: Sequence[int] = (1,)) -> Step:
    """One training step on a model that a method has prepared.

    `passes`: for each call of the model how many passes it makes at once, see Backbone.part.
    Raises Unserved for an architecture, or a module, that is not written down here.
    """
    if model.settings.model_type not in PLAIN:
        raise Unserved(f"no closed form for {model.name!r}; there is one for {', '.join(PLAIN)}")
    tally = _Tally(model)
    for at_once in passes:
        tally.add(at_once)
    return Step(*tally.parts)


def serve(model: Backbone) -> Flops:
    """One forward pass of the finished model."""
    networks = len(model.around.routings) if isinstance(model.around, Ensemble) else 1
    return _times(step(model).forward, networks)


class _Tally:
    """Adds up what passes through a model cost."""

    def __init__(self, model: Backbone) -> None:
        self.model, self.parts = model, [Flops(), Flops(), Flops()]
        self.base = model.net.get_submodule(model.family.trunk) if model.writes else model.net
        self.width = model.heads * model.head_width
        self.passes = self.times = 1  # of this call, and of what is being walked through

    def add(self, passes: int) -> None:
        """Adds one call of the model that makes so many passes."""
        parting = self.model.parting
        self.passes = passes
        self.times = 1 if parting and parting.layer is not None else passes
        family, prompt = self.model.family, self.model.prompt
        moved = any(_trains(self.base.get_submodule(path)) for path in family.embeddings)
        read, prefix = Length(read=1), self._prefix()
        if prompt is not None:
            if not isinstance(prompt, Soft):
                raise Unserved(f"no closed form for a prompt of type {type(prompt).__name__}")
            read, moved = Length(len(prompt.rows), read=1), True
        if family.writes == "seq2seq":
            other = read, self._stack(0, read, moved)
            moved = self._stack(1, Length(written=1), moved, prefix, other)
        else:
            moved = self._stack(0, read, moved, prefix)
        self._head(moved)

    def _stack(self, number: int, length: Length, moved: bool, prefix=None, other=None) -> bool:
        """The layers of one stack; whether training moves what comes out of it.

        `prefix`: how many keys it has, and whether they train. `other`: the length of what
        cross-attention reads, and whether training moves that.
        """
        stack, signal = self.model.family.stacks[number], Signal(_vectors(length), moved)
        for index, layer in enumerate(self.model.stacks[number]):
            if self._part_before(index):
                self.times = self.passes
            at = {p: [*map(layer.get_submodule, paths)] for p, paths in stack.places.items()}
            *norms, last = [*map(layer.get_submodule, stack.norms)] or [nn.Identity()] * 2
            for part, norm in enumerate(norms):
                read = self.through(norm, signal)
                keys, heard = (length, read) if not part else (other[0], _signal(*other))
                ahead = (0, False) if part or prefix is None else prefix
                q, k, v = (
                    self.through(at[place][part], x).moved
                    for place, x in (("q", read), ("k", heard), ("v", heard))
                )
                if any(isinstance(module, Fused) for module in layer.modules()):
                    q = k = v = q or k or v  # they are put together
                k, v = k or ahead[1], v or ahead[1]
                pairs = _pairs(length, keys._replace(fixed=keys.fixed + ahead[0]))
                weights = self._product(pairs, q, k)
                mixed = signal._replace(moved=self._product(pairs, weights, v))
                out = self.through(at["o"][part], mixed)
                signal = self._sublayer(at, "attn", part, out, signal)
            up = self.through(at["up"][0], self.through(last, signal))
            signal = self._sublayer(at, "ffn", 0, self.through(at["down"][0], up), signal)
        return signal.moved or bool(stack.last and _trains(self.base.get_submodule(stack.last)))

    def _part_before(self, layer: int) -> bool:
        """Whether the passes of this call part in front of the layer."""
        parting = self.model.parting
        return parting is not None and parting.layer == layer and not parting.inside

    def _sublayer(self, at: Any, kind: str, index: int, out: Signal, residual: Signal) -> Signal:
        """What a sublayer puts out, through what stands behind it, added to its residual."""
        out = self.through(at[f"{kind}_out"][index], out)
        signal = out._replace(moved=out.moved or residual.moved)
        return self.through(at[f"{kind}_norm"][0], signal) if f"{kind}_norm" in at else signal

    def _prefix(self) -> tuple[int, bool] | None:
        """Keys of the prefix and whether they train; a network that makes them works once a batch.

        What the batch has no part in counts as weights.
        """
        prefix: Any = self.model.prefix
        if not isinstance(prefix, Reparameterised):
            return None if prefix is None else (len(prefix.rows), _trains(prefix))
        length, trains = prefix.embedding.num_embeddings, _trains(prefix)
        for part in (prefix.network[0], prefix.network[2]):
            map: Any = part.experts[0] if isinstance(part, Mixture) else part
            size = Flops(fixed=2 * length * map.in_features * map.out_features)
            self._add(size, True, False, trains)
            self._add(size, False, False, trains)  # of what it reads, also made of weights
        return length, trains

    def _head(self, moved: bool) -> None:
        """What reads the hidden states: the output map, a head for gaps or one for rows.

        Of several heads the first part's stands for all.
        """
        model: Backbone = self.model
        head = model.head.of[0] if isinstance(model.head, Heads) else model.head
        if model.writes:
            self.through(model.net.lm_head, Signal(TARGETS, moved))
        elif isinstance(head, Gap):
            gaps = self.through(head.norm, self.through(head.dense, Signal(TARGETS, moved)))
            size = _times(TARGETS, 2 * model.width * len(head.bias))
            self._add(size, True, gaps.moved, _trains(model.word_embeddings))
        elif isinstance(head, Described) and head.pool != "pooler":
            self._add(_times(ROWS, 2 * head.classes.numel()), True, moved, False)
        elif isinstance(head, Described):
            raise Unserved("no closed form for descriptions read by a pooler")
        elif isinstance(head, Head):
            rows = Signal(ROWS, moved)
            pooler: Any = getattr(model.net, "pooler", None)
            if pooler is not None and head.pool == "pooler":
                if model.prompt is not None:  # the model's own reads the prompt, to no end
                    self._add(_times(ROWS, 2 * model.width**2), True, False, False)
                rows = self.through(pooler.dense, rows)
            for name in ("dense", "out"):
                rows = self.through(getattr(head, name, nn.Identity()), rows)

    @singledispatchmethod
    def through(self, module: nn.Module, signal: Signal) -> Signal:
        """What the module makes of the hidden states, its cost added.

        Raises Unserved for a module with matrices that is not written down here.
        """
        if any(p.dim() > 1 for p in module.parameters()):
            raise Unserved(f"no closed form for a module of type {type(module).__name__}")
        return signal._replace(moved=signal.moved or _trains(module))

    @through.register
    def _(self, module: nn.Linear, signal: Signal) -> Signal:
        weight = _trains(module, "weight")
        size = _times(signal.vectors, 2 * module.in_features * module.out_features)
        self._add(size, True, signal.moved, weight)
        return signal._replace(moved=signal.moved or weight or _trains(module, "bias"))

    @through.register
    def _(self, module: nn.Sequential, signal: Signal) -> Signal:
        for part in module:
            signal = self.through(part, signal)
        return signal

    @through.register
    def _(self, module: Mixture, signal: Signal) -> Signal:
        self.times = self.passes
        return self.through(module.experts[0], signal)  # one of them, or their mean

    @through.register
    def _(self, module: LowRank, signal: Signal) -> Signal:
        base = self.through(module.base, signal)
        update = self.through(module.up, self.through(module.down, signal))
        return signal._replace(moved=base.moved or update.moved)

    @through.register
    def _(self, module: Bottleneck, signal: Signal) -> Signal:
        read = self.through(getattr(module, "norm", nn.Identity()), signal)
        added = self.through(module.up, self.through(module.down, read))
        return signal._replace(moved=signal.moved or added.moved)

    @through.register
    def _(self, module: Within, signal: Signal) -> Signal:
        added = self.through(module.adapter, self.through(module.norm, signal))
        return self.through(module.norm, added)

    @through.register
    def _(self, module: Scaled, signal: Signal) -> Signal:
        scaled, before = _trains(module, "scale"), isinstance(module, ScaledInput)
        out = self.through(module.base, signal._replace(moved=signal.moved or (scaled and before)))
        return out._replace(moved=out.moved or scaled)

    def _product(self, pairs: Flops, left: bool, right: bool) -> bool:
        """A product of attention; whether training moves what comes out of it."""
        size = _times(pairs, 2 * self.width)
        self._add(size, True, left, False)
        self._add(size, False, right, False)
        return left or right

    def _add(self, size: Flops, *needed: bool) -> None:
        """Adds the size to the parts that are needed: forward, of activations, of weights."""
        size = _times(size, self.times)
        for part, wanted in enumerate(needed):
            if wanted:
                self.parts[part] = Flops(*map(sum, zip(self.parts[part], size, strict=True)))


def _times(polynomial: Flops, factor: int) -> Flops:
    return Flops(*(factor * coefficient for coefficient in polynomial))


def _vectors(length: Length) -> Flops:
    return Flops(row=length.fixed, token=length.read, written=length.written)


def _signal(length: Length, moved: bool) -> Signal:
    return Signal(_vectors(length), moved)


def _pairs(a: Length, b: Length) -> Flops:
    """Pairs of positions of one row, summed over rows."""
    return Flops(
        row=a.fixed * b.fixed,
        token=a.fixed * b.read + a.read * b.fixed,
        square=a.read * b.read,
        written=a.fixed * b.written + a.written * b.fixed,
        decoder=a.written * b.written,
        cross=a.read * b.written + a.written * b.read,
    )


def _trains(module: nn.Module, name: str = "") -> bool:
    """Whether something in the module trains: a tensor of that name, or what is named so below."""
    if name and hasattr(module, name) and not parametrize.is_parametrized(module, name):
        tensor = getattr(module, name)
        return tensor is not None and tensor.requires_grad
    return any(p.requires_grad for path, p in module.named_parameters() if name in path)
