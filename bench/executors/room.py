"""What this machine has room for: cores, memory, and how many cells side by side."""

import os
from pathlib import Path

from bench.loading import resting

BYTES_A_CELL = 4 * 2**30  # a base-size model in full fine-tuning fits


def processes(jobs: int) -> int:
    """How many cells run side by side: one on a GPU, else one a core while memory lasts."""
    with resting():
        import torch

    if torch.cuda.is_available():
        return 1
    return max(1, min(jobs, cores(), available() // BYTES_A_CELL))


def share(workers: int) -> int:
    """Threads of a process that is one of so many: an even share of the cores."""
    return max(1, cores() // workers)


def limit_threads(threads: int) -> None:
    """So many for torch, and none besides for the tokenizer."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with resting():
        import torch

    torch.set_num_threads(threads)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available() -> int:
    """Bytes of memory that can be had, what only caches files included."""
    meminfo = Path("/proc/meminfo")
    for line in meminfo.read_text().splitlines() if meminfo.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
