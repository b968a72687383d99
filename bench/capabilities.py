"""Which tuner of the library peft runs on which family, found by trying each on a small model."""

import json
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig

from bench.backbone import Backbone
from bench.cost import Planless, free, size
from bench.families import FAMILIES
from bench.flops import ONE, count
from bench.text import Batch
from bench.weights import Weights, find
from methods import peft_options, resolve
from methods.base import Method

WIDTH, STEPS = 256, 3  # wide enough for every default of peft
ENCODER = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 1,
}
SMALL: dict[str, dict[str, Any]] = {
    "bert": ENCODER,
    "roberta": ENCODER,
    "deberta-v2": {
        **ENCODER,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "pooler_hidden_size": WIDTH,
    },
    "gpt2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 1},
    "t5": {"d_model": WIDTH, "d_kv": 64, "d_ff": 2 * WIDTH, "num_layers": 2, "num_heads": 4},
}
ASKED = {"trainable_tokens": "trainable_tokens[token_indices=5+6+7]"}  # has no default

OPENING = """# Tuners of the library peft

`peft[type=vera]` is a method like any other: `pip install -e ".[peft]"`. The tuner's options are
peft's own, by name and default, and what `adamix` takes too:

```sh
bench run --suite glue --methods 'lora,peft[type=dora[r=4,lora_alpha=8]],peft[type=ln_tuning]'
bench params --model minilm --methods 'peft[type=vera,targets=q+v+up+down]'
```

`targets` are places, `q+v` where nothing is said (`k+v+down` for (IA)^3). A record spells every
option out, for defaults change, and `release` names the peft it was run with; no other is taken in
its stead. Options that hold a model's own names or a configuration of their own have no text form.

The table says what each tuner does on each family with peft {release}: tried, not claimed.
`python -m bench.capabilities > docs/peft.md` makes it, `bench list peft` prints it; both try anew.
Each tuner was put, with peft's defaults, in models of two layers of width 256 with random weights;
its parameters and every matrix product of a step were counted without weights, it trained for a few
steps, all that it trains moved, and it was merged.

A number is what trains there, the head apart; [n] a reason why it does not run. *Starts
identical*: the model puts out the same with it as without, to the last bit; "no" is often no more
than rounding. *Merges*: nothing of it is left in the model that serves, which puts out the same.
*In AdaMix*: `adamix[inner=peft[type=<tuner>]]` does all that too, on BERT.

A product of sparse matrices is counted as if it were dense, a Fourier transform not at all. What
looks into tensors (BOFT, VB-LoRA, ...) is counted on the CPU, on a model with random weights, which
takes that model's memory.
"""


def rows(names: list[str] | None = None) -> list[dict[str, Any]]:
    """A flat row a tuner: on each family what it trains there, or why it does not run.

    The columns of a family hold the number of parameters that train, or a reason; `identical`,
    `merges` and `adamix` yes, no, or on which families not.
    """
    peft_options.installed()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = {family: _weights(Path(folder) / family, family) for family in SMALL}
        return [_row(name, models) for name in names or peft_options.names()]


def page(rows: list[dict[str, Any]]) -> str:
    """docs/peft.md: the rows as a table in Markdown, with a numbered reason where there is one."""
    reasons: dict[str, int] = {}

    def cell(value: Any) -> str:
        if isinstance(value, int):
            return f"{value:,}"
        if not value or value.partition(",")[0] in ("yes", "no"):
            return value
        return f"[{reasons.setdefault(value, len(reasons) + 1)}]"

    titles = ["Tuner", *SMALL, "Starts identical", "Merges", "In AdaMix", "Source"]
    names = ("name", *SMALL, "identical", "merges", "adamix")
    lines = [titles, [":--", *["--:"] * len(SMALL), *[":--"] * 4]]
    for row in rows:
        first, *rest = (row[name] for name in names)
        lines.append([f"`{first}`", *map(cell, rest), row["source"]])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"{number}. {reason}" for reason, number in reasons.items())
    return f"{OPENING.format(release=peft_options.installed())}\n{table}\n\n{notes}\n"


def _row(name: str, models: dict[str, Weights]) -> dict[str, Any]:
    text = ASKED.get(name, name)
    found = {family: _tried(f"peft[type={text}]", weights) for family, weights in models.items()}
    runs = {family: one for family, one in found.items() if "reason" not in one}
    mixed = _tried(f"adamix[experts=2,inner=peft[type={text}]]", models["bert"])
    if mixed.get("identical") != found["bert"].get("identical"):
        mixed.setdefault("reason", "experts that are drawn anew start elsewhere: init=copies")
    return {
        "name": text,
        "about": _told(runs, found),
        **{family: one.get("reason", one.get("trained")) for family, one in found.items()},
        "identical": _all({family: one["identical"] for family, one in runs.items()}),
        "merges": _all({family: one["merges"] for family, one in runs.items()}),
        "adamix": mixed.get("reason", "yes"),
        "source": peft_options.paper(text),
    }


def _told(runs: dict[str, Any], found: dict[str, Any]) -> str:
    if not runs:
        return f"runs on none: {next(iter(found.values()))['reason']}"
    lacks = "".join(f"; not {f}: {one['reason']}" for f, one in found.items() if f not in runs)
    return f"runs on {', '.join(runs)}{lacks}"


def _all(answers: dict[str, bool]) -> str:
    """ "yes", "no", the same with the fewer families that differ, or nothing where nothing runs."""
    if not answers:
        return ""
    usual = 2 * sum(answers.values()) >= len(answers)
    others = [family for family, answer in answers.items() if answer != usual]
    most = "yes" if usual else "no"
    return f"{most}, but on {', '.join(others)}" if others else most


def _tried(text: str, weights: Weights) -> dict[str, Any]:
    """What came of it, or the reason why nothing did."""
    try:
        method = resolve(text, weights.name)
        return _trained(method, weights, _counted(method, weights))
    except Exception as error:  # whatever happens is the answer
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        said = " ".join(str(error).split()).rpartition("options: ")[2]
        return {"reason": kind + said.replace(weights.name, weights.name.partition("@")[0])}


def _counted(method: Method, weights: Weights) -> tuple[int, int]:
    """Parameters that train and that serve, with every product of a step counted on the way."""
    where = getattr(method, "wrapped", method).counts_on
    model = Backbone.empty(weights, _outputs(weights), where)
    with torch.device(where):
        added = method.prepare(model, Planless())  # type: ignore[arg-type]
    free(model, added)
    kind = model.family.writes if model.writes else ""
    count(model.train(), partial(method.loss, model), ONE[kind], backward=True)
    with torch.device(where):
        served = method.finalize(model)
    count(model.eval().requires_grad_(False), model, ONE[kind])
    return size(added), size(served)


def _trained(method: Method, weights: Weights, counted: tuple[int, int]) -> dict[str, Any]:
    """The same with numbers: a few steps, then served."""
    model, batch = _drawn(weights), _batch(weights)
    before = _output(model, batch)
    added = method.prepare(model, Planless())  # type: ignore[arg-type]
    free(model, added)
    identical = torch.equal(_output(model, batch), before)
    began = [p.detach().clone() for p in added]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(STEPS if method.name == "peft" else 2 * STEPS):  # of experts not all are drawn
        method.loss(model.train(), batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    still = sum(torch.equal(p, was) for p, was in zip(added, began, strict=True))
    trained = _output(model, batch)
    served = method.finalize(model)
    if (size(added), size(served)) != counted:
        raise ValueError(f"counts {counted} without weights, {size(added), size(served)} with them")
    if still:
        raise ValueError(f"{still} of {len(added)} tensors do not move")
    size_of_logits = max(1.0, float(trained.abs().max()))
    if not torch.allclose(_output(model, batch), trained, rtol=1e-4, atol=1e-5 * size_of_logits):
        raise ValueError("merging changes what the model puts out")
    return {"trained": size(added), "identical": identical, "merges": _merged(model)}


def _merged(model: Backbone) -> bool:
    """Whether nothing of the library is left in the model."""
    ours = [module for module in model.modules() if type(module).__module__.startswith("peft.")]
    return not ours and model.prefix is None and model.prompt is None


def _outputs(weights: Weights) -> int:
    return 0 if FAMILIES[weights.name.partition("@")[0]].writes else 2


def _weights(folder: Path, family: str) -> Weights:
    """A folder with a configuration in it, which is a model of that name to all that reads one."""
    folder.mkdir()
    settings = AutoConfig.for_model(family, vocab_size=64, **SMALL[family])
    (folder / "config.json").write_text(json.dumps(settings.to_dict()), encoding="utf-8")
    return find(str(folder))


@torch.no_grad()
def _drawn(weights: Weights) -> Backbone:
    """The model with random weights, none of them zero: nothing stands still by accident."""
    torch.manual_seed(0)
    model = Backbone.empty(weights, _outputs(weights), device="cpu")
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def _batch(weights: Weights) -> Batch:
    source = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 64, (3, 8), generator=source)
    mask, labels, rows = torch.ones_like(ids), torch.tensor([0, 1, 1]), torch.arange(3)
    if _outputs(weights):
        return Batch(ids, mask, None, labels, rows)
    return Batch(ids, mask, None, ids[:, -1], rows, ids[:, :4], torch.tensor([1, 5, 9]))


@torch.no_grad()
def _output(model: Backbone, batch: Batch) -> Tensor:
    return model.eval()(batch)


if __name__ == "__main__":
    print(page(rows()), end="")
