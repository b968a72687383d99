"""What runs on a CUDA device: every method trains there, and gives there what it gives on a CPU."""

import pytest
import torch

from bench.run import attempt, drop
from bench.train import Loop, train
from methods import method, resolve
from tests.jobs import job
from tests.tiny import Toy, ToyRun, backbone, batch, prepared

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
PLAIN = [
    n for n in method.names() if n not in ("infer", "soup", "rebasin", "peft")
]  # those that need no runs
METHODS = [*PLAIN, "adamix-adapter", "adamix-lora", "adamix[inner=bitfit]", "peft[type=dora]"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("text", METHODS)
def test_every_method_trains(text, precision):
    chosen, model, run = resolve(text, ""), backbone(), ToyRun(epochs=1)
    prepared(chosen, model, run)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    loop = Loop(run.recipe, CUDA, precision, seed=0, idle=getattr(chosen, "idle", "still"))
    trace = train(model.to(CUDA), chosen.loss, run.data, loop)
    assert trace.steps and torch.isfinite(torch.tensor(trace.loss))
    moved = [n for n, p in model.named_parameters() if n in before and p.is_cuda]
    assert moved == list(before)
    after = dict(model.named_parameters())
    assert any(not torch.equal(after[n].cpu(), before[n]) for n in before)


@pytest.mark.parametrize("text", METHODS)
def test_every_method_puts_out_what_it_does_on_a_cpu(text):
    chosen, model = resolve(text, ""), backbone()
    prepared(chosen, model, ToyRun())
    with torch.no_grad():
        here = model.eval()(batch())
        there = model.to(CUDA)(batch().to(CUDA)).cpu()
        chosen.finalize(model)
        merged = model(batch().to(CUDA)).cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(merged, here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("inner", ["adapter", "lora"])
def test_two_passes_in_one_batch(inner):
    model = backbone().to(CUDA)
    prepared(resolve(f"adamix[inner={inner},experts=1]", ""), model, ToyRun())
    drop(model, 0.0)
    first, second = model.train().to(CUDA)(batch().to(CUDA), 2).chunk(2)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_batches_cross_while_the_device_computes():
    rows = Toy(8).batch(torch.arange(8).numpy())
    assert torch.equal(rows.to(CUDA).ids.cpu(), rows.ids)


@pytest.mark.parametrize("text", ["head", "lora", "adamix-adapter"])
def test_a_cell_has_a_record_with_its_memory(text, tiny_folder, tmp_path):
    record = attempt(job(tiny_folder, text), tmp_path)
    assert record.status == "ok", record.reason
    assert record.cost["memory_source"] == "CUDA allocator"
    assert record.cost["peak_memory_bytes"] > 0
    assert record.where["device"] == torch.cuda.get_device_name(0)
