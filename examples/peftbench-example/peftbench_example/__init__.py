"""A method, a task and a suite for peftbench."""

from pathlib import Path

SUITE = Path(__file__).with_name("example.toml")
