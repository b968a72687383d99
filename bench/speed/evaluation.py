"""Evaluation: `Trainer.predict` as it stands, at its best, and ours."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer

from bench.predict import ROWS, predict
from bench.speed import trainers
from bench.speed.ground import part
from bench.speed.opponent import Classifier
from bench.speed.rows import beside, row, spread
from bench.speed.timing import in_turn, timed
from bench.speed.training import FEW, KERNELS, OURS, Training, fastest
from bench.text import Encoded

ABOUT = {
    "predict": f"Trainer.predict, padded, fp32, batches of {trainers.SCRIPT_EVAL_BATCH}",
    "predict-best": f"Trainer.predict at its best: sorted, merged, batches of {ROWS}",
    OURS: f"ours: merged, batches of {ROWS}",
}
FORMS: dict[str, dict[str, bool]] = {  # how Trainer evaluates in bfloat16
    "autocast": {"bf16": True},
    "whole": {"bf16": False, "bf16_full_eval": True},
}


Answered = tuple[float, list[float]]  # seconds, and an answer a row


class Evaluation:
    """Three ways to get the labels of the rows for scoring, of models that were just trained.

    By default Trainer evaluates the model as it trained, in batches of 8 rows padded to
    `max_seq_length` (run_glue.py). At its best the adapter is merged, the rows are sorted by length
    beforehand and padded by batch, and kernel and form of bfloat16 are the fastest of four.
    """

    def __init__(self, training: Training):
        self.training, self.ground = training, training.ground
        self.order = np.argsort(-self.ground.dev.lengths, kind="stable")
        method = self.ground.method
        self.served = copy.deepcopy(training.models[OURS])
        method.finalize(self.served)  # type: ignore[arg-type]
        self.way: tuple[str, str] = ("eager", "none")

    def rows(self) -> list[dict[str, Any]]:
        """A flat row a way; the scores are of the last round of training."""
        forms = FORMS if self.ground.precision == "bf16" else ("none",)
        self.way = fastest(self._tried, list(product(KERNELS, forms)))
        work: dict[str, Callable[[int], Answered]] = {
            "predict": self._padded,
            "predict-best": partial(self._sorted, self._best(self.way)),
            OURS: self._ours,
        }
        for one in work.values():
            one(0)
        found = in_turn(work, self.ground.asked.repeats)
        seconds = {name: [taken for taken, _ in runs] for name, runs in found.items()}
        return [
            row(
                "evaluation",
                name,
                ABOUT[name],
                seconds[name],
                beside(seconds[name], seconds[OURS]),
                spread("score", [self.ground.score(answers) for _, answers in runs])
                | self._computed(name),
            )
            for name, runs in found.items()
        ]

    def _computed(self, name: str) -> dict[str, str]:
        """In which precision, and by which kernel."""
        precision, own = self.ground.precision, self.ground.start.settings._attn_implementation
        return {
            "predict": {"precision": "fp32", "attention": "sdpa"},
            "predict-best": {
                "precision": f"{precision} ({self.way[1]})",
                "attention": self.way[0],
            },
            OURS: {"precision": precision, "attention": str(own)},
        }[name]

    def _padded(self, number: int) -> Answered:
        trainer = trainers.padded(
            self.ground, self.ground.dev, self.training.models["padded"], number
        )
        return self._asked(trainer)

    def _sorted(self, model: nn.Module, number: int) -> Answered:
        rows = part(self.ground.dev, self.order)
        seconds, answers = self._asked(self._trainer(model, rows))
        back = np.empty(len(answers))
        back[self.order] = answers
        return seconds, back.tolist()

    def _ours(self, number: int) -> Answered:
        ground, model = self.ground, self.served
        with timed(ground.device) as span:
            found = predict(model, ground.dev, ground.device, ground.precision)  # type: ignore[arg-type]
        return span.seconds, found

    def _asked(self, trainer: Trainer) -> Answered:
        """Seconds and answers, in the order of the trainer's rows."""
        with timed(self.ground.device) as span:
            logits = trainer.predict(trainer.train_dataset).predictions  # type: ignore[arg-type]
        assert isinstance(logits, np.ndarray)
        regression = self.ground.task.outputs == 1
        answers = logits.squeeze(-1) if regression else logits.argmax(-1)
        return span.seconds, answers.tolist()

    def _tried(self, way: tuple[str, str]) -> float:
        self.way = way
        rows = part(self.ground.dev, self.order[:: max(1, len(self.order) // (FEW * ROWS))])
        return self._asked(self._trainer(self._best(way), rows))[0]

    def _best(self, way: tuple[str, str]) -> nn.Module:
        """The model that Trainer trained at its best, merged."""
        model: Any = copy.deepcopy(self.training.models["best"])
        if hasattr(model, "merge_and_unload"):
            model = model.merge_and_unload()
        assert isinstance(model, Classifier)
        if self.ground.start.family.interface:
            model.net.set_attn_implementation(way[0])  # type: ignore[operator]
        if way[1] == "whole":
            model = model.to(torch.bfloat16)
        return model

    def _trainer(self, model: nn.Module, rows: Encoded) -> Trainer:
        options: dict[str, Any] = {
            "train_sampling_strategy": "random",
            **FORMS.get(self.way[1], {}),
        }
        return trainers.best(
            self.ground, rows, model, 0, per_device_eval_batch_size=ROWS, **options
        )
