"""What a merge needs to know of a model on its own rows: Gram matrices, Fisher information.

All of it is of the model in eval mode and in one pass; weights, gradients, modes and the random
state are afterwards as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from methods.merging.rows import kept, plain, single

if TYPE_CHECKING:
    from bench.backbone import Backbone
    from bench.text import Batch

Sample = Literal["exact", "empirical"]


@torch.no_grad()
def pooled(model: Backbone, batches: Iterable[Batch]) -> Tensor:
    """What the head reads: (rows, width), rows in the order of the batches.

    Raises ValueError where there are no batches.
    """
    with _untouched(model) as device:
        found = [model.features(batch.to(device)) for batch in batches]
    if not found:
        raise ValueError("expected at least one batch, got none")
    return torch.cat(found)


@torch.no_grad()
def grams(
    model: Backbone, batches: Iterable[Batch], names: Collection[str]
) -> dict[str, tuple[Tensor, int]]:
    """x^T x (inputs, inputs) in float64 and the count of the rows x, for weights of linear maps.

    `names`: of parameters; those that are the weight of an `nn.Linear` are answered. Inputs at
    positions of the text are rows, those at padding are not, for texts that are written too;
    positions of a prompt are rows like the text's, keys and values in front of it are no inputs.
    What has no position counts whole: pooled features, and what is the same for all rows (DeBERTa's
    relative positions, the maps that make a prefix) once a batch. A map that is never reached (an
    expert of AdaMix, of which the mean runs) has a Gram matrix of zeros and the count 0.

    Source: Jin et al. 2023, arXiv:2212.09849, section 3. Departs from its release, where padding
    counts and maps called by keyword do not.
    Raises ValueError for a name that is no parameter.
    """
    _check(model, names)
    maps = {
        f"{path}.weight": module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and f"{path}.weight" in names
    }
    sums = {
        name: _zeros(module.weight, (module.in_features, module.in_features))
        for name, module in maps.items()
    }
    counts = dict.fromkeys(maps, 0)
    under_way: list[Batch] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], told: dict[str, Any]) -> None:
            x = args[0] if args else told["input"]
            x = kept(x, under_way[0], model.prompt is not None).double()
            sums[name] += x.T @ x
            counts[name] += len(x)

        return hook

    hooks = [
        module.register_forward_pre_hook(watch(name), with_kwargs=True)
        for name, module in maps.items()
    ]
    try:
        with _untouched(model) as device:
            for batch in batches:
                under_way[:] = [plain(batch.to(device))]
                model(under_way[0])
    finally:
        for one in hooks:
            one.remove()
    return {name: (sums[name], counts[name]) for name in maps}


def fisher(
    model: Backbone,
    batches: Iterable[Batch],
    names: Collection[str],
    *,
    sample: Sample = "exact",
) -> dict[str, Tensor]:
    """The diagonal of the Fisher information of those parameters, in float64: a mean over rows.

    "exact": E_y (d log p(y|x) / d theta)^2 with y as the model itself expects it, for all classes;
    for regression, of a normal distribution of variance 1. "empirical": the same of the row's own
    label, which is another quantity (Kunstner et al. 2019, arXiv:1905.12558).

    Source: Matena and Raffel 2022, arXiv:2111.09832, section 3.2. Each row goes through the model
    by itself, without its padding, so the batches do not matter. The expectation over C classes
    takes C - 1 backward passes, see `_roots`.
    Raises ValueError for a name that is no parameter, for a model that writes text, and where there
    are no rows.
    """
    if sample not in ("exact", "empirical"):
        raise ValueError(f"expected sample=exact or sample=empirical, got {sample!r}")
    if not model.outputs:
        raise ValueError("expected a model of classes or numbers for its Fisher, got one of tokens")
    _check(model, names)
    leaves = {name: one.detach() for name, one in model.named_parameters()}
    asked = {name: leaves[name].requires_grad_() for name in leaves if name in names}
    sums = {name: _zeros(one, one.shape) for name, one in asked.items()}
    count = 0
    with _untouched(model) as device, _sparse(model), torch.enable_grad():
        for row in (row for batch in batches for row in single(batch.to(device))):
            logits = functional_call(model, leaves, (row,))
            seeds = _seeds(logits.detach()[0], row.labels[0], model.regression, sample)
            for seed in seeds if logits.requires_grad else ():
                slopes = torch.autograd.grad(
                    logits[0], list(asked.values()), seed, retain_graph=True, allow_unused=True
                )
                for name, slope in zip(asked, slopes, strict=True):
                    if slope is not None:
                        _square(sums[name], slope)
            count += 1
    if not count:
        raise ValueError("expected at least one row, got none")
    return {name: one.div_(count) for name, one in sums.items()}


def _seeds(logits: Tensor, label: Tensor, regression: bool, sample: Sample) -> Tensor:
    """Vectors v (count, outputs) such that the Fisher is the sum of the squares of v^T d logits."""
    if regression:
        return (label - logits if sample == "empirical" else torch.ones_like(logits))[None]
    shares = logits.double().softmax(-1)
    if sample == "empirical":
        seeds = (nn.functional.one_hot(label, len(shares)) - shares)[None]
    else:
        seeds = _roots(shares)
    return seeds.to(logits.dtype)


def _roots(shares: Tensor) -> Tensor:
    """L (classes - 1, classes) with L^T L = diag(p) - p p^T, the Fisher of the logits.

    Row k is class k against all later ones. Source: Tanabe and Sagae 1992, J. R. Statist. Soc. B
    54(1), the Cholesky factor of a multinomial's covariance.
    """
    left = shares.flip(0).cumsum(0).flip(0)  # the share of each class and all later ones
    found = torch.zeros(len(shares) - 1, len(shares), dtype=shares.dtype, device=shares.device)
    for k in range(len(shares) - 1):
        if left[k + 1] > 0:
            found[k, k] = (shares[k] * left[k + 1] / left[k]).sqrt()
            found[k, k + 1 :] = -shares[k + 1 :] * (shares[k] / (left[k] * left[k + 1])).sqrt()
    return found


def _square(whole: Tensor, slope: Tensor) -> None:
    """Adds the squares of a gradient, of which only some rows may be told."""
    if slope.is_sparse:
        told = slope.coalesce()
        whole.index_add_(0, told.indices()[0], told.values().double().square_())
    else:
        whole += slope.double().square_()


@contextmanager
def _sparse(model: nn.Module) -> Iterator[None]:
    """In the block gradients of embeddings tell of the rows that were read alone."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    modes = [module.sparse for module in tables]
    for module in tables:
        module.sparse = True
    try:
        yield
    finally:
        for module, mode in zip(tables, modes, strict=True):
            module.sparse = mode


def _check(model: nn.Module, names: Collection[str]) -> None:
    own = dict(model.named_parameters())
    for name in names:
        if name not in own:
            raise ValueError(f"expected names of the model's parameters, got {name!r}")


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64, device=like.device)


@contextmanager
def _untouched(model: nn.Module) -> Iterator[torch.device]:
    """In the block the model is in eval mode; told its device. All is put back behind it."""
    device = next(model.parameters()).device
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield device
        finally:
            for module, mode in modes:
                module.training = mode
