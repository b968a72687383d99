"""Energy that a cell takes: read from the machine's own counters, or modelled by codecarbon."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import torch

POWERCAP = Path("/sys/class/powercap")  # Linux RAPL; readable by root only since 2020


@dataclass
class Counter:
    """A meter that only goes up, and starts at zero again past `most`."""

    read: Callable[[], float]  # in joules
    most: float

    def __post_init__(self) -> None:
        self.last, self.used = self.read(), 0.0

    def look(self) -> None:
        """Adds what was used since the last look, if less than `most` was."""
        now = self.read()
        self.used += now - self.last if now >= self.last else now - self.last + self.most
        self.last = now


class Energy:
    """Energy used from construction on, by everything that ran on the device meanwhile.

    `kind` and `source` say how it was got. Where no counter can be read and the package codecarbon
    is installed, it is that package's model of CPU load and memory. A CPU's counters start again
    after some minutes, so that `look` has to be called now and then.
    """

    kind: Literal["measured", "modelled", "unavailable"] = "measured"

    def __init__(self, device: torch.device, powercap: Path = POWERCAP):
        self.counters = _gpu(device) if device.type == "cuda" else _packages(powercap)
        self.task = ""
        if self.counters and device.type == "cuda":
            self.source = "NVML: the GPU, all that ran on it"
        elif self.counters:
            self.source = f"RAPL: {len(self.counters)} CPU package(s), all that ran on them"
        elif device.type == "cpu" and importlib.util.find_spec("codecarbon"):
            self.task = uuid4().hex
            _tracker().start_task(self.task)
            self.kind = "modelled"
            self.source = f"codecarbon {version('codecarbon')}: load of this process, and memory"
        else:
            self.kind, self.source = "unavailable", "not measured: no counter can be read"

    def look(self) -> None:
        """Reads the counters."""
        for counter in self.counters:
            counter.look()

    def joules(self) -> float | None:
        """Joules so far, or None where nothing is known; of a model once, at the end."""
        if self.task:
            return self.close()
        self.look()
        return sum(counter.used for counter in self.counters) if self.counters else None

    def close(self) -> float | None:
        """Ends what the model follows, if it still does; the joules it came to."""
        task, self.task = self.task, ""
        return 3.6e6 * _tracker().stop_task(task).energy_consumed if task else None  # of kWh


@cache
def _tracker() -> Any:
    """One model a process; it asks no network."""
    from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(
        country_iso_code="USA",  # of emissions, which are not asked for
        output_methods=[],
        log_level="critical",
        tracking_mode="process",
        allow_multiple_runs=True,
    )


def _packages(powercap: Path) -> list[Counter]:
    """The counters of whole CPU packages (cores and memory are parts of them)."""
    counters = []
    try:
        for zone in sorted(powercap.glob("intel-rapl:*")):  # AMD's are under this name too
            if (zone / "name").read_text().startswith("package"):
                most = _joules(zone / "max_energy_range_uj")
                counters.append(Counter(partial(_joules, zone / "energy_uj"), most))
    except (OSError, ValueError):
        return []
    return counters


def _joules(path: Path) -> float:
    return int(path.read_text()) / 1e6


def _gpu(device: torch.device) -> list[Counter]:
    """The counter of that GPU, where the package nvidia-ml-py is installed."""
    if importlib.util.find_spec("pynvml") is None:
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        return [Counter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3, 0.0)]
    except pynvml.NVMLError:
        return []
