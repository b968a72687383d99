from pathlib import Path

import pytest
import torch

from bench.energy import Energy

CPU = torch.device("cpu")
MOST = 1_000_000_000  # microjoules


@pytest.fixture
def powercap(tmp_path) -> Path:
    zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)
    zone(tmp_path, "intel-rapl:1", "package-1", 900_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 1)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)
    return tmp_path


def zone(powercap: Path, folder: str, name: str, counted: int) -> None:
    (powercap / folder).mkdir()
    (powercap / folder / "name").write_text(f"{name}\n")
    (powercap / folder / "max_energy_range_uj").write_text(f"{MOST}\n")
    use(powercap, folder, counted)


def use(powercap: Path, folder: str, counted: int) -> None:
    (powercap / folder / "energy_uj").write_text(f"{counted}\n")


def test_energy_is_what_all_packages_used_since_the_start(powercap):
    energy = Energy(CPU, powercap)
    use(powercap, "intel-rapl:0", 8_500_000)
    use(powercap, "intel-rapl:1", 901_000_000)
    use(powercap, "intel-rapl:0:0", 7_000_000)
    use(powercap, "intel-rapl:2", 7_000_000)
    use(powercap, "intel-rapl-mmio:0", 7_000_000)
    assert (energy.kind, energy.joules()) == ("measured", pytest.approx(3.5 + 1.0))
    assert energy.source == "RAPL: 2 CPU package(s), all that ran on them"


def test_counter_may_start_again_between_two_looks(powercap):
    energy = Energy(CPU, powercap)
    for counted in (500_000_000, 100_000_000, 700_000_000, 50_000_000):
        use(powercap, "intel-rapl:0", counted)
        energy.look()
    assert energy.joules() == pytest.approx(495 + 600 + 600 + 350)


@pytest.fixture
def no_model(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_nothing_is_measured_where_there_is_no_counter(tmp_path, no_model):
    energy = Energy(CPU, tmp_path / "nowhere")
    energy.look()
    assert (energy.kind, energy.joules()) == ("unavailable", None)
    assert energy.source == "not measured: no counter can be read"


@pytest.mark.parametrize("name", ["energy_uj", "max_energy_range_uj"])
def test_nothing_is_measured_where_a_counter_cannot_be_read(powercap, name, no_model):
    (powercap / "intel-rapl:1" / name).unlink()
    (powercap / "intel-rapl:1" / name).mkdir()  # as unreadable to root as to anybody
    assert Energy(CPU, powercap).joules() is None


@pytest.mark.gpu
def test_gpu_uses_energy():
    pytest.importorskip("pynvml")
    energy = Energy(torch.device("cuda"))
    block = torch.rand(8192, 8192, device="cuda")
    for _ in range(200):
        block = block @ block / 4096
    torch.cuda.synchronize()
    assert energy.joules() > 0 and energy.source.startswith("NVML")


def test_energy_is_modelled_where_no_counter_can_be_read(tmp_path):
    pytest.importorskip("codecarbon")
    energy = Energy(CPU, tmp_path)
    assert (energy.kind, energy.source.split()[0]) == ("modelled", "codecarbon")
    torch.ones(500, 500) @ torch.ones(500, 500)
    used = energy.joules()
    assert used is not None and 0 < used < 1000
    assert energy.close() is None  # it has ended
    again = Energy(CPU, tmp_path)
    again.close()
    assert Energy(CPU, tmp_path).joules() is not None
