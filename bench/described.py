"""Heads that a task asks for, those among them that are descriptions of classes embedded."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from bench.backbone import Backbone
from bench.heads import Described
from bench.text import Batch
from tasks.base import Task


def headed(model: Backbone, task: Task, tokens: PreTrainedTokenizerBase) -> None:
    """Gives a pretrained model the heads of the task; without effect where it has them."""
    model.rehead(task.heads)
    for head in (module for module in model.head.modules() if isinstance(module, Described)):
        head.classes = embedded(model, head.described, tokens).to(head.classes)


@torch.no_grad()
def embedded(model: Backbone, texts: tuple[str, ...], tokens: PreTrainedTokenizerBase) -> Tensor:
    """Embeddings of length one of the texts, as the model's head would read them: (texts, width).

    In float32, whatever rows are read in, without dropout.
    """
    coded = tokens(list(texts), padding=True, return_tensors="pt")
    none = torch.zeros(len(texts), dtype=torch.long)
    batch = Batch(
        coded["input_ids"], coded["attention_mask"], coded.get("token_type_ids"), none, none
    )
    was_training = model.training
    model.eval()
    found = model.features(batch.to(next(model.net.parameters()).device)).float()
    model.train(was_training)
    return nn.functional.normalize(found, dim=-1)
