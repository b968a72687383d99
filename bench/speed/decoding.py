"""Decoding: `generate` one by one, in batches at its best, and ours."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bench import spec
from bench.backbone import Backbone
from bench.device import device
from bench.making import drawn, vocabulary
from bench.pairs import Pairs
from bench.predict import PROMPTS, end_tokens, write
from bench.reader import Reader
from bench.recipe import AdamW
from bench.speed.asked import Asked
from bench.speed.rows import beside, row
from bench.speed.timing import in_turn, timed
from bench.speed.training import KERNELS, OURS, fastest
from bench.text import tokenizer
from bench.unfuse import fuse
from bench.weights import config, find
from tasks import task as tasks
from tasks.base import Decoding

TASK = "e2e"
LEARNED = 4000  # rows that a tokenizer made here is learned from
WIDE = 0.1  # standard deviation of what is drawn at random
BEAMS = (4, 10)  # the quick profile's, and that of microsoft/LoRA and microsoft/AdaMix
ABOUT = {
    "generate": "generate, a text at a time",
    "generate-best": f"generate at its best: batches of {PROMPTS}",
    OURS: f"ours: batches of {PROMPTS}",
}


class Writing:
    """The model that writes, as we hold it and as transformers does, and its prompts.

    A model without files is drawn at random and its tokenizer learned from the rows: it writes
    nonsense of full length, for which no time is won by texts that end. Texts may repeat n-grams:
    `generate` counts those of the prompt in, ours as microsoft/LoRA does not, and the same texts
    are to be written. All in float32, where both are exact.
    """

    def __init__(self, asked: Asked, folder: Path):
        self.asked, self.device = asked, device()
        weights, caps = find(asked.writer), {"rows": LEARNED, "test_rows": asked.prompts}
        task = spec.construct(tasks[TASK], caps)
        data = task.load(asked.source, 0)
        kernel = "sdpa" if self.device.type == "cuda" else "eager"
        if weights.fresh:
            self.tokens = vocabulary(weights, data.train, folder)
            self.model = drawn(weights, 0, kernel)
            _talks(self.model.net, self.tokens)
        else:
            self.tokens = tokenizer(weights)
            self.model = Backbone.load(weights, 0, kernel)
        self.drawn = weights.fresh
        self.model.to(self.device).eval()
        reader = Reader(self.tokens, AdamW().length, config(weights), weights.name)
        self.data: Pairs = reader.splits(task, data)["test"]  # type: ignore[assignment]
        self.theirs: Any = copy.deepcopy(self.model.net)
        fuse(self.theirs)
        self.theirs.eval()

    def ours(self, how: Decoding) -> list[str]:
        """The texts as a cell writes them."""
        return write(self.model, self.data, self.tokens, how, self.device, "fp32")

    def generated(self, how: Decoding, kernel: str, size: int) -> list[str]:
        """The texts of `generate`, `size` prompts of like length at a time."""
        self.theirs.set_attn_implementation(kernel)
        found = [""] * len(self.data)
        ends = end_tokens(self.tokens, how)
        for ids, mask, rows in self.data.prompts(size):
            with torch.inference_mode():
                out = self.theirs.generate(
                    input_ids=ids.to(self.device),
                    attention_mask=mask.to(self.device),
                    num_beams=how.beams,
                    length_penalty=how.length_penalty,
                    max_new_tokens=how.new_tokens,
                    eos_token_id=ends,
                    pad_token_id=self.data.padding,
                    do_sample=False,
                    early_stopping=False,
                )
            new = out[:, ids.shape[1] :] if self.model.family.writes == "causal" else out[:, 1:]
            for row_, text in zip(rows, new.tolist(), strict=True):
                found[row_] = self._text(text, ends)
        return found

    def _text(self, new: list[int], ends: list[int]) -> str:
        stops = [at for at, token in enumerate(new) if token in ends]
        kept = new[: stops[0]] if stops else new
        return " ".join(str(self.tokens.decode(kept, skip_special_tokens=True)).split())


@torch.no_grad()
def _talks(net: PreTrainedModel, tokens: PreTrainedTokenizerBase) -> None:
    """Draws maps so wide that texts depend on their prompts, and none of them ends.

    A model as its family draws it says its last token again, which is the end of the prompt. Nor
    does it say what the tokenizer has no word for.
    """
    source = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=WIDE, generator=source)
    words: Any = net.get_input_embeddings().weight  # its output map too: zeros are unlikely
    words[tokens.eos_token_id] = 0.0
    words[len(tokens) :] = 0.0


def rows(writing: Writing) -> list[dict[str, Any]]:
    """Three flat rows for each number of beams; `same_texts`: how many are ours, word for word."""
    new = writing.asked.new_tokens
    ways = [Decoding(beams=beams, no_repeat=0, new_tokens=new) for beams in BEAMS]
    return [found for how in ways for found in _rows(writing, how)]


def _rows(writing: Writing, how: Decoding) -> list[dict[str, Any]]:
    def tried(kernel: str) -> float:
        with timed(writing.device) as span:
            writing.generated(how, kernel, PROMPTS)
        return span.seconds

    kernel = fastest(tried, KERNELS)
    writing.ours(how)

    def one(name: str, number: int) -> tuple[float, list[str]]:
        with timed(writing.device) as span:
            if name == OURS:
                texts = writing.ours(how)
            else:
                texts = writing.generated(how, kernel, 1 if name == "generate" else PROMPTS)
        return span.seconds, texts

    found = in_turn({name: partial(one, name) for name in ABOUT}, writing.asked.repeats)
    seconds = {name: [taken for taken, _ in runs] for name, runs in found.items()}
    own = writing.model.settings._attn_implementation
    texts = {name: runs[0][1] for name, runs in found.items()}
    return [
        row(
            f"decoding, {how.beams} beams",
            name,
            ABOUT[name],
            seconds[name],
            beside(seconds[name], seconds[OURS]),
            {
                "texts": len(texts[name]),
                "same_texts": sum(a == b for a, b in zip(texts[name], texts[OURS], strict=True)),
                "precision": "fp32",
                "attention": str(own if name == OURS else kernel),
            },
        )
        for name in ABOUT
    ]
