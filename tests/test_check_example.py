"""The example package, installed as anyone would, through the command line to the table."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.packages import BUILT, EXAMPLE, bench, install
from tests.tiny import backbone, batch

COMMANDS = """
bench list methods
bench check ssf --models tiny-bert --task tickets --suite {suite} --json
bench run --suite {suite} --models {model} --methods head,ssf --set rows=16 --set epochs=1 --jobs 1
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns(*BUILT))
    install(folder / "source", folder / "installed")
    return folder / "installed"


@pytest.fixture
def ssf(monkeypatch):
    """Its module, read in this process without staying in the registry."""
    from methods import method

    monkeypatch.syspath_prepend(EXAMPLE)
    method.names()
    from peftbench_example.ssf import SSF

    yield SSF
    method._entries.pop("ssf", None)
    for name in ("peftbench_example.ssf", "peftbench_example.layers", "peftbench_example"):
        __import__("sys").modules.pop(name, None)


def test_installed_package_is_listed_checked_run_and_tabled(installed, tiny_folder, tmp_path):
    suite = installed / "peftbench_example" / "example.toml"
    lines = COMMANDS.format(suite=suite, model=tiny_folder).strip().splitlines()
    done = bench(lines, tmp_path, installed)
    assert done.returncode == 0, done.stderr + done.stdout
    listed, _, rest = done.stdout.partition("\n[\n")
    assert "ssf             Scales and shifts what every operation" in listed
    found, end = json.JSONDecoder().raw_decode("[\n" + rest)
    assert {row["outcome"] for row in found} == {"ok"}
    assert {row["of"] for row in found} == {"ssf", "tickets", str(suite)}
    table = ("[\n" + rest)[end:]
    assert "### Tickets, tiny@" in table and "| Tickets Acc |" in table
    assert re.search(r"\| ssf +\| +576 / 576 \|", table)
    records = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/record.json")]
    assert {record["cell"]["method"].partition("[")[0] for record in records} == {"head", "ssf"}
    for record in records:
        assert (record["status"], record["primary"]) == ("ok", "accuracy")
        assert record["cell"]["data"].startswith("files@")
        assert record["where"]["data"]["used"] == {"train": 16, "selection": 4, "dev": 16}


def test_ssf_scales_and_shifts_every_operation_of_a_layer(ssf):
    model = backbone()
    torch.manual_seed(0)
    trained = ssf().prepare(model, None)
    assert sum(p.numel() for p in trained) == 2 * 2 * (16 * 5 + 32 + 2 * 16)
    layer = model.layers[1].output
    x = torch.randn(3, 5, 32)
    dense = layer.dense
    torch.testing.assert_close(dense(x), dense.base(x) * dense.scale + dense.shift)
    assert 0.9 < dense.scale.mean().item() < 1.1 and dense.scale.std() > 0.005
    assert isinstance(layer.LayerNorm.base, nn.LayerNorm)


def test_ssf_folds_by_equation_five(ssf):
    model = backbone().eval()
    chosen = ssf(targets=("q", "ffn_norm"))
    for parameter in chosen.prepare(model, None):
        nn.init.normal_(parameter)
    with torch.no_grad():
        before, q = model(batch()), model.layers[0].attention.self.query
        weight = q.scale.diag() @ q.base.weight
        bias = q.scale * q.base.bias + q.shift
        chosen.finalize(model)
        torch.testing.assert_close(model(batch()), before, rtol=1e-4, atol=1e-5)
    q = model.layers[0].attention.self.query
    torch.testing.assert_close((q.weight, q.bias), (weight, bias))
    assert type(q) is nn.Linear and type(model.layers[0].output.LayerNorm) is nn.LayerNorm


@pytest.mark.parametrize(
    ("options", "told"),
    [({"targets": ("q", "q")}, "distinct targets"), ({"init": -1.0}, "init of at least 0")],
)
def test_ssf_refuses_options_that_make_no_sense(ssf, options, told):
    with pytest.raises(ValueError, match=told):
        ssf(**options)


@pytest.mark.slow
def test_ssf_keeps_the_contract_on_every_family(installed, tmp_path):
    done = bench(["bench check ssf"], tmp_path, installed)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("  ok      moves-all") == 5
