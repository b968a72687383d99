"""Parameters in papers, counted again; `python -m tests.test_counts` writes docs/counts.md."""

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from bench.backbone import Backbone
from bench.cost import Planless, account, free, size
from bench.weights import find
from methods import resolve
from reports.published import MODELS, Count, counts

PAGE = Path(__file__).parents[1] / "docs" / "counts.md"
BERT, BASE, LARGE, GPT2 = "bert-base-uncased", "roberta-base", "roberta-large", "gpt2-medium"
NONE = "no such method here"
FOUR, EIGHT = "adamix[inner=adapter[width={}],share=none]", "adamix[inner={},experts=8,share=none]"


class Counted(NamedTuple):
    trained: int
    served: int
    head: int


class Shape(NamedTuple):
    """What the closed forms need of a model."""

    layers: int
    d: int
    words: int
    positions: int
    types: int
    pooler: bool


SHAPES = {
    BERT: Shape(12, 768, 30522, 512, 2, True),
    BASE: Shape(12, 768, 50265, 514, 1, False),
    LARGE: Shape(24, 1024, 50265, 514, 1, False),
}


def bottleneck(d: int, width: int) -> int:
    return 2 * d * width + width + d


def encoder(model: str) -> int:
    layers, d, words, positions, types, pooler = SHAPES[model]
    layer = 4 * (d * d + d) + 2 * 4 * d * d + 4 * d + d + 2 * 2 * d
    return (words + positions + types + 2) * d + layers * layer + pooler * (d * d + d)


def biases(model: str) -> int:
    layers, d, *_, pooler = SHAPES[model]
    return layers * (4 * d + 4 * d + d + 2 * d) + d + pooler * d


def decoder() -> int:
    return (50257 + 1024) * 1024 + 24 * (12 * 1024**2 + 13 * 1024) + 2 * 1024


CLOSED = {  # (trained, served) by hand; AdaMix trains one shared up map and M down maps
    (BERT, "full"): (encoder(BERT),) * 2,
    (BERT, "adapter[width=48]"): (12 * bottleneck(768, 48),) * 2,
    (BERT, "bitfit"): (biases(BERT),) * 2,
    (BERT, "prefix"): (10 * 768 + 768 * 512 + 512 + 513 * 24 * 768, 10 * 24 * 768),
    (BERT, "lora"): (12 * 2 * 2 * 768 * 8,) * 2,
    (BERT, "adamix-adapter"): (
        12 * (4 * (768 * 48 + 48) + 48 * 768 + 768),
        12 * bottleneck(768, 48),
    ),
    (BASE, "full"): (encoder(BASE),) * 2,
    (BASE, "bitfit"): (biases(BASE),) * 2,
    (BASE, "lora[alpha=8]"): (12 * 2 * 2 * 768 * 8,) * 2,
    (LARGE, "full"): (encoder(LARGE),) * 2,
    (LARGE, "adapter[width=64,position=pfeiffer]"): (24 * bottleneck(1024, 64),) * 2,
    (LARGE, "adapter[width=16,position=pfeiffer]"): (24 * bottleneck(1024, 16),) * 2,
    (LARGE, "adapter[width=64,position=houlsby]"): (48 * bottleneck(1024, 64),) * 2,
    (LARGE, "adapter[width=8,position=houlsby]"): (48 * bottleneck(1024, 8),) * 2,
    (LARGE, "lora"): (24 * 2 * 2 * 1024 * 8,) * 2,
    (LARGE, "adamix-adapter"): (
        24 * (4 * (1024 * 16 + 16) + 16 * 1024 + 1024),
        24 * bottleneck(1024, 16),
    ),
    (GPT2, "full"): (decoder(),) * 2,
    (GPT2, "adapter[width=6,position=lin]"): (24 * (bottleneck(1024, 6) + 2 * 1024),) * 2,
    (GPT2, "adapter[width=224,position=lin]"): (24 * (bottleneck(1024, 224) + 2 * 1024),) * 2,
    (GPT2, "adapter[width=112,position=houlsby]"): (48 * bottleneck(1024, 112),) * 2,
    (GPT2, "top[layers=2]"): (2 * (12 * 1024**2 + 13 * 1024),) * 2,
    (GPT2, "prefix"): (10 * 1024 + 1024 * 512 + 512 + 513 * 48 * 1024, 10 * 48 * 1024),
    (GPT2, "lora[rank=4,alpha=32]"): (24 * 2 * 2 * 1024 * 4,) * 2,
    (GPT2, "lora[rank=4,alpha=32,dropout=0.1]"): (24 * 2 * 2 * 1024 * 4,) * 2,
    (GPT2, "adamix-adapter"): (
        24 * (8 * (1024 * 8 + 8) + 8 * 1024 + 1024),
        24 * bottleneck(1024, 8),
    ),
    (GPT2, "adamix-lora"): (24 * 2 * 9 * 1024 * 4, 24 * 2 * 2 * 1024 * 4),
    (GPT2, "adamix-lora[inner=lora[rank=4,alpha=32,dropout=0.1]]"): (
        24 * 2 * 9 * 1024 * 4,
        24 * 2 * 2 * 1024 * 4,
    ),
}
MIXED = {  # section 2.3 of the notes on AdaMix: merged, up shared, nothing shared
    (BERT, "adamix-adapter"): (FOUR.format(48), 894_528, 2_223_360, 3_578_112),
    (LARGE, "adamix-adapter"): (FOUR.format(16), 811_392, 1_992_192, 3_245_568),
    (GPT2, "adamix-adapter"): (EIGHT.format("adapter[width=8]"), 417_984, 1_795_584, 3_343_872),
    (GPT2, "adamix-lora"): (EIGHT.format("lora[rank=4,alpha=32]"), 393_216, 1_769_472, 3_145_728),
}
HEADS = {BERT: 768 * 3 + 3, BASE: 768**2 + 768 + 768 * 3 + 3, LARGE: 1024**2 + 1024 + 1024 * 3 + 3}


@cache
def recounted(model: str, text: str) -> Counted:
    """As bench.cost.account counts, but for FLOPs, which take seconds; with a head of 3 classes."""
    chosen, built = resolve(text, model), Backbone.empty(find(model), 0 if model == GPT2 else 3)
    with torch.device("meta"):
        trained = chosen.prepare(built, Planless())
        free(built, trained)
        head = size(built.head.parameters())
        return Counted(size(trained), size(chosen.finalize(built)), head)


def page() -> str:
    """docs/counts.md: every published count beside ours, and what AdaMix trains."""
    return "\n".join([*OPENING, *(line for model in MODELS for line in _printed(model)), *_mixed()])


OPENING = (
    "# Parameters, printed and counted",
    "",
    "Counted on the models' configurations, with neither weights nor rounding. Papers count what a "
    "task keeps at inference, the head left out; so do the columns here, but for those that say "
    "otherwise. `python -m tests.test_counts` writes this page, and a test compares it.",
    "",
)


def _printed(model: str) -> list[str]:
    def same(count: Count) -> tuple[str, str, str]:
        return (count.ours, count.printed, count.note)

    lines = [
        f"## {counts(model)[0].model}",
        "",
        "| Printed as | Millions | Ours | Counted | Difference | Where |",
        "| :--- | ---: | :--- | ---: | :--- | :--- |",
    ]
    order = [*dict.fromkeys(map(same, counts(model)))]
    for key, group in groupby(sorted(counts(model), key=lambda c: order.index(same(c))), same):
        found = list(group)
        names = "; ".join(dict.fromkeys(count.method for count in found))
        where = "; ".join(dict.fromkeys(f"{c.authors}, {c.table}" for c in found))
        ours, printed, _ = key
        told = f"`{ours}` | {recounted(model, ours).served:,}" if ours else "| "
        lines.append(f"| {names} | {printed} | {told} | {_difference(model, found[0])} | {where} |")
    return [*lines, ""]


def _difference(model: str, count: Count) -> str:
    if not count.ours:
        return "; ".join(filter(None, (NONE, count.note)))
    agrees = count.agrees(recounted(model, count.ours).served)
    return "; ".join(filter(None, ("rounds to it" if agrees else "", count.note)))


def _mixed() -> list[str]:
    lines = [
        "## What AdaMix trains",
        "",
        "Printed are the merged modules. Training has M of the maps that are mixed; the head, "
        "which no table counts, trains too: for three classes, and none where text is written.",
        "",
        "| Model | Method | Merged | Trained, up shared | Trained, nothing shared | Head |",
        "| :--- | :--- | ---: | ---: | ---: | ---: |",
    ]
    for (model, text), (apart, *_) in MIXED.items():
        shared, nothing = recounted(model, text), recounted(model, apart)
        numbers = (shared.served, shared.trained, nothing.trained, shared.head)
        lines.append(f"| {model} | `{text}` | {' | '.join(f'{n:,}' for n in numbers)} |")
    return [*lines, ""]


every_count = pytest.mark.parametrize(
    ("model", "count"),
    [
        pytest.param(model, count, id=f"{count.authors}-{count.table[:8]}-{count.method}")
        for model in MODELS
        for count in counts(model)
        if count.ours
    ],
)


@pytest.mark.parametrize(("model", "text"), CLOSED)
def test_count_is_the_closed_form(model, text):
    found = recounted(model, text)
    assert (found.trained, found.served) == CLOSED[model, text]


def test_every_text_that_counts_has_a_closed_form():
    used = {(model, count.ours) for model in MODELS for count in counts(model) if count.ours}
    assert used == CLOSED.keys()


@every_count
def test_count_rounds_to_what_is_printed_or_a_note_says_why_not(model, count):
    assert count.agrees(recounted(model, count.ours).served) or count.note


@pytest.mark.parametrize(("model", "text"), MIXED)
def test_adamix_trains_as_many_parameters_as_worked_out(model, text):
    apart, merged, shared, nothing = MIXED[model, text]
    found = recounted(model, text)
    assert (found.served, found.trained) == (merged, shared)
    assert recounted(model, apart)[:2] == (nothing, merged)


@pytest.mark.parametrize("model", HEADS)
def test_head_for_three_classes_is_the_closed_form(model):
    assert recounted(model, "lora" if model != BASE else "bitfit").head == HEADS[model]


def test_head_of_roberta_large_is_larger_than_what_adamix_serves():
    assert recounted(LARGE, "adamix-adapter").head > recounted(LARGE, "adamix-adapter").served


def test_account_counts_the_same():
    counted = account(resolve("prefix", BERT), find(BERT), 3)
    named = (counted.trained_params, counted.served_params, counted.head_params)
    assert named == recounted(BERT, "prefix")


def test_every_text_of_a_row_serves_the_same_number():
    for (model, text), other in {(BERT, "prefix"): "prefix[mlp=none]"}.items():
        assert recounted(model, text).served == recounted(model, other).served


def test_page_has_exactly_what_is_counted():
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
