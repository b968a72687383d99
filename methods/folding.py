"""What methods share that put a layer around linear maps and fold it into them for serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.base import Method, Unsuited

if TYPE_CHECKING:
    from torch import nn

    from bench.backbone import Site


class Folding(Method):
    """Puts a layer around each map in the places `targets`; the layer answers `folded()`."""

    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) < len(self.targets):
            usual = "+".join(type(self).targets)
            given = "+".join(self.targets)
            raise ValueError(f"expected distinct targets such as {usual}, got {given!r}")

    def layer(self, site: Site) -> tuple[nn.Module, list[nn.Parameter]]:
        """The layer around the map that stands at `site`, and what of it trains."""
        raise NotImplementedError

    def prepare(self, model, run):
        from torch import nn

        added = []
        for site in model.sites(self.targets):
            if not isinstance(site.module, nn.Linear):
                raise Unsuited(f"{self.name} is for linear maps only; {site.place!r} is none")
            layer, parameters = self.layer(site)
            site.put(layer)
            added += parameters
        return added

    def finalize(self, model):
        served = model.task_parameters()
        for site in model.sites(self.targets):
            site.put(site.module.folded())
        return served
