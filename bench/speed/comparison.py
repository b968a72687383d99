"""A whole comparison: its groups one after another, as flat rows."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from bench import spec
from bench.speed import decoding
from bench.speed.asked import Asked
from bench.speed.decoding import Writing
from bench.speed.evaluation import Evaluation
from bench.speed.ground import Ground
from bench.speed.mixtures import Mixtures
from bench.speed.opponent import installed
from bench.speed.rows import conditions
from bench.speed.timing import settled
from bench.speed.training import Training

Rows = list[dict[str, Any]]


def compared(asked: Asked, tell: Callable[[str], Any] = lambda _: None) -> tuple[Rows, dict]:
    """The rows, and what is true of them all: what was asked, the rows' lengths, where it ran.

    `tell` hears which group comes next. Leaves the number of threads as it was. Raises ValueError
    for what cannot be compared, and RuntimeError where contestants did not do the same work.
    """
    installed()
    before = torch.get_num_threads()
    torch.set_num_threads(asked.threads or before)
    logging.set_verbosity_error()
    try:
        with tempfile.TemporaryDirectory() as folder, settled():
            return _compared(asked, Path(folder), tell)
    finally:
        torch.set_num_threads(before)


def _compared(asked: Asked, folder: Path, tell: Callable[[str], Any]) -> tuple[Rows, dict]:
    ground, rows = Ground(asked, folder), Rows()
    mixtures = Mixtures(ground) if "adamix" in asked.only else None
    writing = Writing(asked, folder) if "decoding" in asked.only else None
    about = {**_about(ground), **conditions(ground.device)}
    if {"training", "evaluation"} & {*asked.only}:
        tell("training")
        training = Training(ground)
        rows += training.rows()
        if "evaluation" in asked.only:
            tell("evaluation")
            rows += Evaluation(training).rows()
    if mixtures:
        tell("adamix")
        rows += mixtures.rows()
    if writing:
        tell("decoding")
        rows += decoding.rows(writing)
        about["drawn"] = writing.drawn
    about["load"] = [about["load"], conditions(ground.device)["load"]]
    return rows, about


def _about(ground: Ground) -> dict[str, Any]:
    asked = {k: v for k, v in asdict(ground.asked).items() if k != "source"}
    return {
        "asked": asked,
        "data": ground.asked.source.describe(),
        "recipe": spec.text(ground.recipe, full=False),
        "train_rows": len(ground.train),
        "train_tokens": float(ground.train.lengths.mean()),
        "dev_rows": len(ground.dev),
    }
