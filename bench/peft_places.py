"""Where the layers of a method stand in the model that peft loads."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bench.backbone import Backbone
from bench.unfuse import Fused


class Place(NamedTuple):
    """A layer of a method; one map of several where transformers fuses them."""

    place: str  # "q", "down", ...
    layer: Any
    first: int  # of its outputs among those of the map that transformers has
    total: int  # outputs of that map


def places(model: Backbone, targets: Sequence[str], start: str) -> dict[str, list[Place]]:
    """The method's layers by the path of the map that transformers has there.

    `start`: what stands before paths in the model that peft loads.
    """
    paths = {id(module): name for name, module in model.net.named_modules()}
    found: dict[str, list[Place]] = {}
    for site in model.sites(targets):
        layer: Any = site.module
        path, outputs = paths[id(layer)], int(layer.base.out_features)
        first, total = 0, outputs
        if isinstance(site.parent, Fused):
            path = path.rpartition(".")[0]
            order = [name for name, _ in site.parent.named_children()]
            first, total = order.index(site.attribute) * outputs, len(order) * outputs
        found.setdefault(f"{start}{path}", []).append(Place(site.place, layer, first, total))
    return found


def within(model: Backbone, start: str) -> set[str]:
    """Paths of the modules in the model that peft loads; also of what methods put in them."""
    heads = {"classifier", "classifier.dense", "classifier.out_proj", "score", "pooler.dense"}
    return heads | {f"{start}{name}" for name, _ in model.net.named_modules()}


def suffixes(paths: Iterable[str], known: set[str]) -> list[str]:
    """The shortest ends of the paths that are the end of no other known path, each once.

    peft takes an end as a whole name: "query" is the end of "layer.0.query".
    """
    wanted = set(paths)
    return sorted({_suffix(path, wanted, known) for path in wanted})


def _suffix(path: str, wanted: set[str], known: set[str]) -> str:
    parts = path.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if {name for name in known if name == end or name.endswith(f".{end}")} <= wanted:
            return end
    return path
