"""What docs/peft.md says of each tuner is what comes of trying it."""

import json
import sys
from pathlib import Path

import pytest
import torch

from bench import capabilities, cli
from methods import peft_options
from methods.peft import Peft

PAGE = (Path(__file__).parents[1] / "docs" / "peft.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if line.startswith("| `")]


def test_page_names_every_tuner_once_and_the_release_it_was_tried_with():
    named = [line.split("`")[1].partition("[")[0] for line in LINES]
    assert named == peft_options.names()
    assert f"with peft {peft_options.installed()}:" in PAGE


def test_page_says_what_comes_of_trying_again():
    made = capabilities.page(capabilities.rows(["beft", "ia3"]))
    for line in made.splitlines():
        if line.startswith("| `"):
            assert line in LINES
    assert made.count("| `") == 2 and "but on t5" in made


def test_page_tells_the_reasons_of_those_that_do_not_run():
    made = capabilities.page(capabilities.rows(["adalora", "xlora"]))
    reasons = [line.partition(". ")[2] for line in made.splitlines() if line[:1].isdigit()]
    told = [line.partition(". ")[2] for line in PAGE.splitlines() if line[:1].isdigit()]
    assert len(reasons) == 2 and set(reasons) <= set(told)


@pytest.mark.slow
def test_page_is_what_is_generated():
    assert capabilities.page(capabilities.rows()) == PAGE


def test_listing_tries_and_tells(monkeypatch, capsys):
    monkeypatch.setattr(peft_options, "names", lambda: ["prompt_tuning", "cpt"])
    monkeypatch.setattr(sys, "argv", ["bench", "list", "peft", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    first, second = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert first["bert"] == 20 * 256 and "serves encoders" in first["t5"]
    assert (first["identical"], first["merges"]) == ("no", "no")
    assert first["about"].startswith("runs on bert, roberta, deberta-v2; not gpt2: a prompt")
    assert second["about"].startswith("runs on none: peft's 'cpt' is not served")


COUNTS = "counts (16384, 16384) without weights, (14336, 14336) with them"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("still", "1 of 8 tensors do not move"),
        ("merging", "merging changes what the model puts out"),
        pytest.param("count", COUNTS, marks=pytest.mark.slow),
    ],
)
def test_trying_sees_a_tuner_that_breaks_the_contract(broken, told, monkeypatch):
    prepare, finalize = Peft.prepare, Peft.finalize

    def broken_prepare(self, model, run):
        added = prepare(self, model, run)
        if broken == "still":
            added[0].register_hook(torch.zeros_like)
            monkeypatch.setattr(capabilities.torch.optim, "AdamW", torch.optim.SGD)
        small = broken == "count" and not added[0].is_meta
        return added[1:] if small else added

    def broken_finalize(self, model):
        kept = finalize(self, model)
        if broken == "merging":
            model.layers[0].attention.self.query.weight.data += 0.1
        return kept

    monkeypatch.setattr(Peft, "prepare", broken_prepare)
    monkeypatch.setattr(Peft, "finalize", broken_finalize)
    assert capabilities.rows(["lora"])[0]["bert"] == told
