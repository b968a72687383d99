"""Any tuner of the library huggingface/peft."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import spec
from methods import method, peft_options
from methods.base import Method, Unsuited
from methods.peft_trial import tried

if TYPE_CHECKING:
    from torch import nn

    from bench.backbone import Backbone, Site

ADAPTER = "default"  # what peft calls an adapter that has no name
PLACES = {"ia3": ("k", "v", "down")}  # the papers'; of other tuners, those of LoRA
EVERYWHERE = ("ln_tuning", "trainable_tokens")  # not in places: all norms, the embeddings
PROMPTS = ("prompt_tuning", "p_tuning", "multitask_prompt_tuning", "prefix_tuning")
BUDGET = "moves its budget after each step, which the loop does not tell it"
REFUSED = {
    "adalora": BUDGET,
    "adaption_prompt": "edits attention of Llama's kind and of GPT-2's as one fused map",
    "cartridge": "is distilled from a long text that it stands for",
    "cpt": "puts labelled examples of the task in front, and has a loss of its own",
    "shadow": "runs a second model beside this one, and has a loss of its own",
    "xlora": "weighs adapters that were trained before",
    "eva": "starts from activations on the task's rows, which are not passed through first",
    "corda": "starts from activations on the task's rows, which are not passed through first",
    "loftq": "starts from a model that is quantised; here they are whole",
}


@method("peft", source="Mangrulkar et al. 2022, huggingface/peft; papers: docs/peft.md")
@dataclass(frozen=True)
class Peft(Method):
    """One tuner of huggingface/peft, by the library's own code.

    `type`: the tuner with its options, by peft's own names (`vera`, `lora[r=4,lora_alpha=8]`), or a
    variant by the name it is known by (`dora`). `targets`: places, as LoRA has them; none where a
    tuner has no choice of places. `release`: the version of peft, which no other can stand in for.

    Departs from the source: the head trains beside every tuner, and what peft leaves to a callback
    of its user is refused. A prompt stands where `prompt` and `prefix` put theirs: the text keeps
    its positions.
    """

    type: str = "lora"
    targets: tuple[str, ...] | None = None
    release: str = ""

    def __post_init__(self) -> None:
        found = peft_options.installed()
        if self.release not in ("", found):
            raise ValueError(f"expected release={found}, the peft at hand, got {self.release!r}")
        tuner = peft_options.read(self.type)
        for word in (tuner.name, getattr(tuner, "init_lora_weights", "")):
            if word in REFUSED:
                raise ValueError(f"peft's {word!r} is not served: it {REFUSED[word]}")
        if getattr(tuner, "use_asa", False):
            raise ValueError(f"peft's {tuner.name!r} with use_asa is not served: it {BUDGET}")
        peft_options.configuration(tuner, target_modules=["any"])  # peft's own check
        placed = tuner.name not in (*EVERYWHERE, *PROMPTS)
        if self.targets is not None and not placed:
            given = "+".join(self.targets)
            raise ValueError(f"expected no targets, for {tuner.name!r} has none; got {given!r}")
        targets: tuple[str, ...] | None = None
        if placed:
            targets = PLACES.get(tuner.name, ("q", "v"))
        if self.targets is not None:
            if not self.targets or len(set(self.targets)) < len(self.targets):
                given = "+".join(self.targets)
                raise ValueError(f"expected distinct targets such as q+v, got {given!r}")
            targets = self.targets
        for name, value in (("type", spec.text(tuner)), ("targets", targets), ("release", found)):
            object.__setattr__(self, name, value)

    @property
    def starts_identical(self) -> bool:  # type: ignore[override]
        """Found by trying, on a small BERT: it depends on the tuner's options."""
        return tried(self).identical

    @property
    def counts_on(self) -> str:  # type: ignore[override]
        """Found by trying too: some tuners look into tensors, and on the meta device is nothing."""
        return tried(self).counts_on

    def prepare(self, model, run):
        tuner = peft_options.read(self.type)
        with _told(tuner.name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's advice to those who call it themselves
            if tuner.name in PROMPTS:
                site, layer = _virtual(tuner, model)
                site.put(layer)
                return list(layer.parameters())
            _inject(tuner, model, self._places(tuner, model))
        return [p for p in model.net.parameters() if p.requires_grad]

    def finalize(self, model):
        from torch import no_grad

        served = model.task_parameters()
        if peft_options.read(self.type).name in PROMPTS:
            site = _front(model)
            site.put(site.module.flat())
            return list(site.module.parameters())
        with no_grad():
            for site in _layers(model.net):
                with suppress(NotImplementedError, ValueError):  # it stays where peft cannot merge
                    site.module.merge()
                    site.put(site.module.get_base_layer())
        return served

    def _places(self, tuner: Any, model: Backbone) -> dict[str, list[str]]:
        """What peft's configuration says of the maps, by their paths in the model."""
        paths = {id(module): path for path, module in model.net.named_modules()}
        if self.targets is None:
            if getattr(tuner, "token_indices", ()) is None:
                raise Unsuited("peft's 'trainable_tokens' needs token_indices=1+2, got none")
            found = [model.word_embeddings] if tuner.name == "trainable_tokens" else _norms(model)
            return {"target_modules": [paths[id(module)] for module in found]}
        sites = model.sites(self.targets)
        reading = [paths[id(site.module)] for site in sites if site.place == "down"]
        every = [paths[id(site.module)] for site in sites]
        return {"target_modules": every, "feedforward_modules": reading}


def _inject(tuner: Any, model: Backbone, places: dict[str, list[str]]) -> None:
    """Has peft put the tuner's layers in the model.

    Not by `inject_adapter_in_model`, which refuses tuners whose layers share vectors; the layers
    hold what they share.
    """
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.utils import PeftType

    from methods.layers.plain import Plain

    config = peft_options.configuration(tuner, **places, progressbar=False)
    kind = PEFT_TYPE_TO_TUNER_MAPPING[PeftType(tuner.name.upper())]
    kind(model.net, {ADAPTER: config}, ADAPTER)
    for site in model.maps(p for p in model.net.parameters() if p.requires_grad):
        site.put(Plain(site.module))  # type: ignore[arg-type]
    if tuner.name == "poly":
        for site in _layers(model.net):
            site.module.register_forward_pre_hook(_one_task, with_kwargs=True)


def _one_task(_: nn.Module, args: Any, kwargs: Any) -> Any:
    """Every row is of the task 0, told where peft can look into it: it does."""
    import torch

    device = "cpu" if args[0].is_meta else args[0].device
    tasks = torch.zeros(len(args[0]), dtype=torch.long, device=device)
    return args, {**kwargs, "task_ids": tasks}


def _virtual(tuner: Any, model: Backbone) -> tuple[Site, nn.Module]:
    """What makes a prompt or a prefix, and where it goes."""
    import peft
    from peft.tuners import MultitaskPromptEmbedding

    from methods.layers.prefix import Shape
    from methods.layers.virtual import Virtual

    prefix = tuner.name == "prefix_tuning"
    site = model.prefix_site() if prefix else model.prompt_site()
    shape = Shape(len(model.stacks[-1]), model.heads, model.head_width) if prefix else None
    width = model.heads * model.head_width if prefix else model.width
    config = peft_options.configuration(
        tuner,
        token_dim=width,
        num_layers=len(model.stacks[-1]),
        num_attention_heads=model.heads,
        num_transformer_submodules=1,
    )
    if getattr(config, "encoder_hidden_size", 0) is None:
        config.encoder_hidden_size = width  # as peft has it
    makers = {
        "prefix_tuning": lambda: peft.PrefixEncoder(config),
        "p_tuning": lambda: peft.PromptEncoder(config),
        "prompt_tuning": lambda: peft.PromptEmbedding(config, model.word_embeddings),
        "multitask_prompt_tuning": lambda: MultitaskPromptEmbedding(config, model.word_embeddings),
    }
    encoder = makers[tuner.name]()
    tasks = tuner.name.startswith("multitask")
    encoder.to(model.word_embeddings.weight.device)
    return site, Virtual(encoder, tuner.num_virtual_tokens, shape, tasks)


def _front(model: Backbone) -> Any:
    """The site where a prompt or a prefix was put."""
    return model.prompt_site() if model.prefix is None else model.prefix_site()


def _layers(net: nn.Module) -> list[Any]:
    """Sites of the outermost layers of peft in the model."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    from bench.backbone import Site

    return [
        Site("tuner", parent, attribute)
        for parent in net.modules()
        if not isinstance(parent, BaseTunerLayer)
        for attribute, child in parent.named_children()
        if isinstance(child, BaseTunerLayer)
    ]


def _norms(model: Backbone) -> list[nn.Module]:
    """Every norm of the model, T5's included, which has no bias and a class of its own."""
    from torch.nn import LayerNorm

    return [
        module
        for module in model.net.modules()
        if isinstance(module, LayerNorm) or type(module).__name__.endswith("LayerNorm")
    ]


@contextmanager
def _told(name: str) -> Iterator[None]:
    """A refusal of peft as ours, in one line; it has no class of error of its own."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        if type(error).__module__.startswith(("bench", "methods")):
            raise
        raise Unsuited(f"peft's {name!r}: {' '.join(str(error).split())}") from error
