"""Every matrix product that a call makes, and what for: forward or one of the two gradients."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Kind = Literal["forward", "activations", "weights"]


class Products(TorchDispatchMode):
    """Counts FLOPs, 2 a multiply-add, as torch.utils.flop_counter does, apart by kind.

    A product in the backward pass is of `weights` where the forward operand whose gradient it is
    was computed from `parameters` alone (a weight, the mean of several, the keys of a prefix), and
    of `activations` where the batch had a part in it, or where that cannot be told. Call `turn`
    between the two passes.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        super().__init__()
        self.counts: Counter[Kind] = Counter()
        self.backward = False
        self.known = _Known()
        self.held: dict[int, Any] = {}  # storages, kept alive so that no number is used again
        self.batchless = {self._number(tensor) for tensor in parameters}
        # of a forward operand and the size of the product: what the other operand is
        self.partners: dict[tuple[int, int], set[Kind]] = {}

    def turn(self) -> None:
        """What follows is the backward pass."""
        self.backward = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = self.known.call(func, args, kwargs)
        packet = func._overloadpacket
        if not self.backward and self._batchless((*args, *kwargs.values())):
            self.batchless.update(map(self._number, _tensors(out)))
        if packet in flop_registry:
            self._count(packet, args, kwargs, out)
        return out

    def _count(self, packet: Any, args: Any, kwargs: Any, out: Any) -> None:
        count = flop_registry[packet]
        if not self.backward:
            self.counts["forward"] += count(*args, **kwargs, out_val=out)
            self._remember(_operands(packet, args), out.numel())
        elif packet is torch.ops.aten.convolution_backward:
            *rest, mask = args
            for which, kind in ((0, "activations"), (1, "weights")):
                only = [mask[which] and i == which for i in range(3)]
                self.counts[kind] += count(*rest, only, **kwargs, out_val=out)  # type: ignore
        elif "attention" in packet.__name__:  # a fused kernel: queries, keys and values
            self.counts["activations"] += count(*args, **kwargs, out_val=out)
        else:
            kind = self._gives(_operands(packet, args))
            self.counts[kind] += count(*args, **kwargs, out_val=out)

    def _remember(self, operands: list[Tensor], size: int) -> None:
        """For both operands of a forward product, what their partner is."""
        numbers = [self._number(tensor) for tensor in operands]
        for number, partner in zip(numbers, reversed(numbers), strict=True):
            kind: Kind = "weights" if partner in self.batchless else "activations"
            self.partners.setdefault((number, size), set()).add(kind)

    def _gives(self, operands: list[Tensor]) -> Kind:
        """The kind of a gradient: that of the partner of the forward operand in its product.

        The other factor is the gradient of the product, and as large.
        """
        found: set[Kind] = set()
        for tensor, other in zip(operands, reversed(operands), strict=True):
            found |= self.partners.get((self._number(tensor), other.numel()), set())
        return "weights" if found == {"weights"} else "activations"

    def _batchless(self, inputs: tuple[Any, ...]) -> bool:
        return all(self._number(tensor) in self.batchless for tensor in _tensors(inputs))

    def _number(self, tensor: Tensor) -> int:
        if tensor.layout != torch.strided:  # has no storage of its own
            self.held.setdefault(-id(tensor), tensor)
            return -id(tensor)
        storage = tensor.untyped_storage()
        number = storage._cdata
        self.held.setdefault(number, storage)
        return number


class _Known:
    """Calls operators, each with equal shapes once: what layers repeat has one answer on meta."""

    def __init__(self) -> None:
        self.results: dict[Any, Any] = {}

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What the operator gives: of a repeated call an empty tensor just like it."""
        if any(value.alias_info for value in func._schema.returns):  # a view, or in place
            return func(*args, **kwargs)
        try:
            key = func, _shapes(args), _shapes(tuple(kwargs.items()))
            found = self.results.get(key)
        except TypeError:  # an argument that cannot be told from others
            return func(*args, **kwargs)
        if found is None:
            found = func(*args, **kwargs)
            if all(isinstance(one, Tensor) and one.is_meta for one in _each(found)):
                self.results[key] = found
            return found
        fresh = [
            torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")
            for t in _each(found)
        ]
        return fresh[0] if isinstance(found, Tensor) else type(found)(fresh)


def _each(out: Any) -> tuple[Any, ...]:
    return tuple(out) if isinstance(out, (list, tuple)) else (out,)


def _shapes(values: Any) -> Any:
    """The arguments with shapes in the place of tensors. Raises TypeError for what has no hash."""
    if isinstance(values, Tensor):
        return values.shape, values.stride(), values.dtype, values.device
    if isinstance(values, (list, tuple)):
        return tuple(map(_shapes, values))
    hash(values)
    return type(values), values


def _tensors(values: Any) -> list[Tensor]:
    """The tensors of arguments or results, lists of them included."""
    if isinstance(values, Tensor):
        return [values]
    nested = values if isinstance(values, (list, tuple)) else ()
    return [tensor for value in nested for tensor in _tensors(value)]


def _operands(packet: Any, args: Any) -> list[Tensor]:
    """The two factors: the last two tensors, for what is added to a product stands first."""
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    return tensors[:2] if packet is torch.ops.aten.convolution else tensors[-2:]
