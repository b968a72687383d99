"""The heavy half of the program, read into a process once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module


@contextmanager
def resting() -> Iterator[None]:
    """The garbage collector rests while the block runs."""
    working = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if working:
            gc.enable()


@cache
def load() -> None:
    """Imports what runs a cell, torch and transformers with it.

    All that they make while they are read stays until the process ends. A collector that walks it
    time and again finds nothing in it, so it rests meanwhile and leaves it out ever after.
    """
    with resting():
        import_module("bench.run")
    gc.freeze()
