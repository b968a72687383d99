"""The model as users of transformers and peft train it, from the same first weights as ours."""

import copy
import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

from bench.backbone import Backbone
from bench.families import family
from bench.heads import Head
from bench.pretrained import auto, pretrained
from bench.run import drop
from bench.speed.ground import Ground
from bench.text import Batch
from bench.weights import config, pooling
from methods.lora import LoRA


class Classifier(nn.Module):
    """A transformers encoder and a head, called and answering as `...ForSequenceClassification`.

    The head is the one that our cell trains, for one function is to be compared: of BERT and
    RoBERTa it is transformers' own, of an encoder that embeds by a mean over tokens there is none
    in transformers.
    """

    def __init__(self, net: nn.Module, head: Head, outputs: int):
        super().__init__()
        self.net, self.head, self.outputs = net, head, outputs

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits (batch, outputs) in float32, and the loss where there are labels."""
        kinds = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        out = self.net(input_ids=input_ids, attention_mask=attention_mask, **kinds)
        pooled = self.head.pooled(out.last_hidden_state, out.get("pooler_output"), attention_mask)
        logits = self.head(pooled).float()
        if labels is None:
            return {"logits": logits}
        if self.outputs == 1:
            return {"loss": nn.functional.mse_loss(logits.squeeze(-1), labels), "logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Reading(nn.Module):
    """Lets `bench.predict.predict` read such a model as it reads ours."""

    def __init__(self, model: nn.Module, regression: bool):
        super().__init__()
        self.model, self.regression = model, regression

    def forward(self, batch: Batch) -> Tensor:
        """A Batch -> logits (batch, outputs)."""
        return self.model(**inputs(batch))["logits"]


def inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch under the names that transformers has for its tensors, without the labels."""
    kinds = {} if batch.kinds is None else {"token_type_ids": batch.kinds}
    return {"input_ids": batch.ids, "attention_mask": batch.mask, **kinds}


def installed() -> None:
    """Raises ValueError where what the opponents are made of is missing."""
    missing = [name for name in ("peft", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        needs = "the opponents need peft and accelerate: pip install 'peftbench[speed]'"
        raise ValueError(f"{needs}; missing: {', '.join(missing)}")


def opponent(ground: Ground, attention: str) -> nn.Module:
    """The model of transformers, with peft's LoRA in it, or with what trains set free.

    `attention`: transformers' name of the kernel. Raises ValueError for a method that peft has not
    in the same form.
    """
    weights, start = ground.weights, ground.start
    kind, pool = family(weights.name, config(weights)), pooling(weights)
    how = auto(weights.name, kind, start.outputs, pool, False)
    net = pretrained(weights, *how, attention if kind.interface else "eager")
    head = copy.deepcopy(start.head).cpu()
    assert isinstance(head, Head)
    model = Classifier(net, head, start.outputs)
    if ground.recipe.dropout is not None:
        drop(model, ground.recipe.dropout)
    chosen = ground.method
    if isinstance(chosen, LoRA):
        return _lora(model, chosen, start).to(ground.device)
    return _freed(model, start, chosen.name).to(ground.device)


def _lora(model: Classifier, method: LoRA, start: Backbone) -> nn.Module:
    """peft's LoRA, its factors those of ours."""
    from peft import LoraConfig, get_peft_model

    paths = {id(module): name for name, module in start.net.named_modules()}
    layers: dict[str, Any] = {
        paths[id(site.module)]: site.module for site in start.sites(method.targets)
    }
    settings = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type]  # any number does
        lora_dropout=method.dropout,
        target_modules=[f"net.{path}" for path in layers],
        modules_to_save=["head"],
    )
    wrapped = get_peft_model(model, settings)
    with torch.no_grad():
        for path, layer in layers.items():
            theirs: Any = model.net.get_submodule(path)
            theirs.lora_A["default"].weight.copy_(layer.down.weight)
            theirs.lora_B["default"].weight.copy_(layer.up.weight)
    return wrapped


def _freed(model: Classifier, start: Backbone, method: str) -> nn.Module:
    """The plain model; what trains is what trains in ours."""
    ours, theirs = dict(start.net.named_parameters()), dict(model.net.named_parameters())
    if ours.keys() != theirs.keys():
        raise ValueError(
            "expected a method that opponents have in the same form: "
            f"lora, full, bitfit, head or top; got {method!r}"
        )
    for name, parameter in theirs.items():
        parameter.requires_grad_(ours[name].requires_grad)
    return model
