import pytest
import torch

from bench.device import autocast, compiled, name, precision
from tests.tiny import backbone, batch

CPU = torch.device("cpu")


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_precision_is_as_asked_on_a_cpu(asked):
    assert precision(asked, CPU) == asked


@pytest.mark.parametrize(("unit", "found"), [("avx512_bf16", "bf16"), ("avx2", "fp32")])
def test_automatic_precision_follows_what_the_cpu_has(monkeypatch, unit, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {unit: True})
    assert precision("auto", CPU) == found


@pytest.mark.parametrize(("kind", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_maps_compute_in_the_precision_of_the_context(kind, dtype):
    with autocast(CPU, kind):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_device_has_a_name():
    assert name(CPU)


@pytest.mark.gpu
def test_gpu_has_a_name_and_a_precision():
    device = torch.device("cuda")
    assert name(device) == torch.cuda.get_device_name(0)
    assert precision("auto", device) in ("fp32", "bf16")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_compiled_layers_give_what_they_gave():
    model, rows = backbone().eval(), batch()
    with torch.no_grad():
        expected = model(rows)
        with compiled(model.layers):
            assert all(layer._compiled_call_impl for layer in model.layers)
            torch.testing.assert_close(model(rows), expected, rtol=1e-4, atol=1e-5)
    assert not any(layer._compiled_call_impl for layer in model.layers)
