"""What was measured as flat rows, one a contestant."""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import torch

from bench import device as devices
from bench.speed.timing import Spread, ratio
from bench.where import circumstances

LOOKED_AT = ("peft", "accelerate")  # besides what every record names


class Goal(NamedTuple):
    """A bound of a ratio."""

    side: Literal["at least", "at most"]
    bound: float

    def met(self, number: float) -> bool:
        """Whether the number is on the right side of it."""
        return number >= self.bound if self.side == "at least" else number <= self.bound


def row(
    group: str,
    name: str,
    about: str,
    seconds: Sequence[float],
    ratios: Spread,
    facts: Mapping[str, Any],
    goal: Goal | None = None,
) -> dict[str, Any]:
    """A flat row: the median of `seconds` a round, their ends, the ratio and whether it is met."""
    taken = Spread.of(seconds)
    return {
        "group": group,
        "name": name,
        "about": about,
        "seconds": taken.middle,
        "seconds_low": taken.low,
        "seconds_high": taken.high,
        "rounds": list(seconds),
        "ratio": ratios.middle,
        "ratio_low": ratios.low,
        "ratio_high": ratios.high,
        "goal": None if goal is None else f"{goal.side} {goal.bound:g}",
        "met": None if goal is None else goal.met(ratios.middle),
        **facts,
    }


def beside(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as long as ours theirs took, round by round."""
    return ratio(theirs, ours)


def spread(name: str, numbers: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, least and greatest of a number of every round; None where it is undefined in one."""
    known = [number for number in numbers if number is not None]
    whole = len(known) == len(numbers) and bool(known)
    ends = (sum(known) / len(known), min(known), max(known)) if whole else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def conditions(device: torch.device) -> dict[str, Any]:
    """Where it ran: versions, device, threads, and how busy the machine is now."""
    where = circumstances()
    versions = where["versions"] | {package: version(package) for package in LOOKED_AT}
    return {
        "device": devices.name(device),
        "threads": torch.get_num_threads(),
        "platform": where["platform"],
        "cores": where["cores"],
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": where["commit"],
        "dirty": where["dirty"],
        "versions": versions,
    }
