"""AdaMix: a mixture of adaptation modules around any inner method that trains by gradients."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from bench import spec
from methods import alias, method, resolve
from methods.base import Method, Unsuited

if TYPE_CHECKING:
    from torch import Tensor


@method("adamix", source="Wang et al. 2022, arXiv:2205.12410; microsoft/AdaMix")
@dataclass(frozen=True)
class AdaMix(Method):
    """Every linear map that the inner method adds becomes a mixture of `experts` copies.

    So does every other tensor that it trains: a bias, a scale, a prompt. Training routes at random
    (section 3.2), each map and tensor by draws of its own, so the down and the up map of one module
    are drawn independently. A second pass, routed anew, is tied to the first by `consistency` times
    the symmetric KL of their predictions (section 3.3); both go through the model as one batch, and
    what stands below the first expert is computed once for both. Evaluation uses the mean of the
    copies, and `finalize` puts it in their place (section 3.4). With one expert and consistency 0
    this is the inner method, bit for bit.

    `share` keeps one side of an added bottleneck as it is, and is about linear maps only: of two
    maps in one module the first is down and the second up; others are told apart by their widths.
    `init`: whether the experts of what was added are drawn each on its own. What was pretrained, or
    starts at a constant, starts as copies.

    Departs from the source: `idle` experts stand still by default, as any code on PyTorch 2 has it
    (the release ran on a PyTorch whose zero_grad left zeros, so experts went on by momentum and
    decay after their first step: `idle=moving`); routing draws have a random stream of their own;
    dropout below the first expert is drawn once for both passes (the release runs all of it twice);
    on GPT-2 the query and the value map draw apart (the release's fused map draws once for both).
    """

    version = 2  # both passes in one batch

    inner: str = "adapter"
    experts: int = 4  # number_of_experts in the GLUE scripts
    routing: Literal["batch", "sentence"] = "batch"  # the code; the text speaks of instances
    share: Literal["up", "down", "none"] = "up"  # --sharing_up 1 --sharing_down 0
    consistency: float | None = None  # weight of the KL; none: 1 (NLU code), text 100 (NLG code)
    init: Literal["independent", "copies"] = "independent"  # adapters; LoRA's are copies
    idle: Literal["still", "moving"] = "still"

    def __post_init__(self) -> None:
        if self.experts < 1:
            raise ValueError(f"expected experts of at least 1, got {self.experts}")
        if self.consistency is not None and self.consistency < 0:
            raise ValueError(f"expected consistency of at least 0, got {self.consistency}")
        inner = resolve(self.inner, "")
        if isinstance(inner, AdaMix):
            raise ValueError("expected a plain inner method, got adamix in adamix")
        if type(inner).loss is not Method.loss or type(inner).fit is not Method.fit:
            raise ValueError(f"adamix adds to the plain loss; {inner.name!r} trains in its own way")
        object.__setattr__(self, "inner", spec.text(inner))

    @property
    def wrapped(self) -> Method:
        """The inner method."""
        return resolve(self.inner, "")

    @property
    def starts_identical(self) -> bool:  # type: ignore[override]
        """As the inner method does: the mean of equal or of zero maps is no other map."""
        return self.wrapped.starts_identical

    def prepare(self, model, run):
        from methods.layers.mixture import Mixture, Router
        from methods.layers.tensors import mix

        held_before = list(model.parameters())  # kept alive, so that no id is used again
        before = {id(p) for p in held_before}
        added = self.wrapped.prepare(model, run)
        sites, tensors = self._parts(model, added, before)
        router = Router(run.generator("routing"))
        for site in sites:
            mixture = Mixture(site.module, self.experts, router, self.routing)
            if self.init == "independent":
                mixture.redraw()
            site.put(mixture)
        redrawn = self._redrawn([module for module, _ in tensors], before)
        mixed = mix(model, tensors, self.experts, router, redrawn)
        if not mixed:  # a tensor is the same one for all rows of a pass
            model.part([site.module for site in sites])
        held = {id(p) for p in model.parameters()}
        kept = [p for p in added if id(p) in held]
        return _unique([*kept, *(p for site in sites for p in site.module.parameters()), *mixed])

    def loss(self, model, batch):
        weight = self._consistency(model)
        if not weight or model.regression:  # softmax over one output is constant
            return model.loss(batch)
        if model.parting is None:
            first, second = model(batch), model(batch)
        else:
            first, second = model(batch, 2).chunk(2)
        return model.objective(first, batch) + weight * symmetric_kl(first, second)

    def fit(self, model, run):
        run.train(model, self.loss, idle=self.idle)

    def finalize(self, model):
        from bench.backbone import Site
        from methods.layers.mixture import Mixture
        from methods.layers.tensors import merge

        merge(model)
        model.parting = None
        for parent in list(model.modules()):
            for attribute, child in list(parent.named_children()):
                if isinstance(child, Mixture):
                    Site("map", parent, attribute).put(child.merged())
        return self.wrapped.finalize(model)

    def _consistency(self, model) -> float:
        if self.consistency is None:
            return 100.0 if model.writes else 1.0
        return self.consistency

    def _parts(self, model, added, before):
        """Where mixtures go: the added maps, less those on the shared side, and other tensors."""
        maps = model.maps(p for p in added if id(p) not in before)
        covered = {id(p) for site in maps for p in site.module.parameters()}
        tensors = _holders(model, [p for p in added if id(p) not in covered])
        if self.share != "none":
            sides = _sides(maps)
            maps = [site for site, side in zip(maps, sides, strict=True) if side != self.share]
        if not maps and not tensors:
            why = "shares all that it adds" if covered else "trains nothing"
            raise Unsuited(f"adamix has nothing to mix: {self.wrapped.name!r} {why}")
        if tensors and self.routing == "sentence":
            raise Unsuited(
                f"adamix routes sentences through linear maps only; {self.wrapped.name!r} "
                f"trains {len(tensors)} other tensors"
            )
        return maps, tensors

    def _redrawn(self, modules, before):
        """Those of the modules that were added and know how they were drawn."""
        if self.init != "independent":
            return []
        return [
            module
            for module in dict.fromkeys(modules)
            if hasattr(module, "reset_parameters")
            and not any(id(p) in before for p in module.parameters())
        ]


def symmetric_kl(a: Tensor, b: Tensor) -> Tensor:
    """Half the sum of KL(b || a) and KL(a || b) in nats per row, targets detached.

    `a`, `b`: logits (rows, classes), or (target tokens, vocabulary). Each direction moves only its
    log-softmax side, so the gradient is not that of the plain symmetric KL (microsoft/AdaMix,
    modeling_roberta.py).
    """
    from torch.nn.functional import kl_div, log_softmax

    log_p, log_q = log_softmax(a.float(), -1), log_softmax(b.float(), -1)
    toward_q = kl_div(log_p, log_q.detach(), reduction="batchmean", log_target=True)
    toward_p = kl_div(log_q, log_p.detach(), reduction="batchmean", log_target=True)
    return 0.5 * (toward_q + toward_p)


def _sides(maps):
    """Whether each of the sites of maps is "down" or "up"; those of one module stand together."""
    sides: list[str] = []
    for _, group in groupby(maps, lambda site: id(site.parent)):
        inside = [site.module for site in group]
        sides += ["down", "up"] if len(inside) == 2 else map(_side, inside)
    return sides


def _side(map):
    if map.in_features == map.out_features:
        raise Unsuited("adamix tells up from down by their widths; an added map is square")
    return "up" if map.in_features < map.out_features else "down"


def _holders(model, parameters):
    """The module that holds each of the parameters, and the name it has there."""
    given = {id(p) for p in parameters}
    found = [
        (module, name)
        for module in model.modules()
        for name, p in module.named_parameters(recurse=False, remove_duplicate=False)
        if id(p) in given
    ]
    if len(found) > len(given):
        raise Unsuited("adamix mixes tensors that one module holds; a trained one is held by two")
    return found


def _unique(parameters):
    return list({id(p): p for p in parameters}.values())


@alias("adamix-adapter", source="Wang et al. 2022, section 4.1; scripts of microsoft/AdaMix")
def adamix_adapter(model: str) -> str:
    """Bottleneck 16 on RoBERTa-large; 8 with eight experts on GPT-2; else 48 as on BERT-base.

    The text of section 4.1 swaps 16 and 48; scripts, checkpoint sizes and counts agree on these.
    GPT-2's are literals of NLG/src/model.py.
    """
    if "gpt2" in model:
        return "adamix[inner=adapter[width=8],experts=8]"
    width = 16 if model.endswith("roberta-large") else 48
    return f"adamix[inner=adapter[width={width}],experts=4]"


@alias("adamix-lora", source="Wang et al. 2022, section 4.1; Hu et al. 2021, table 9")
def adamix_lora(model: str) -> str:
    """LoRA's own GLUE settings with four experts that start as copies.

    The release has LoRA only on GPT-2, with rank 4, alpha 32 and eight experts.
    """
    if "gpt2" in model:
        return "adamix[inner=lora[rank=4,alpha=32],experts=8,init=copies]"
    return "adamix[inner=lora[rank=8,alpha=16],experts=4,init=copies]"
