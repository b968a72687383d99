"""Independent draws within one run."""

import torch
from torch import Generator


def stream(draw: int) -> Generator:
    """The random stream on the CPU of draw number `draw`, from torch's state as it is now.

    The runner seeds that before `prepare`, by the cell's seed alone: what is drawn from the stream
    is the same whatever the recipe's `order` is.
    """
    for _ in range(draw + 1):
        seed = int(torch.randint(2**48, (), device="cpu"))
    return Generator().manual_seed(seed)
