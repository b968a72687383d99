"""A cell under way: what the hooks of its method are given."""

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from bench import device as devices
from bench import spec
from bench.backbone import Backbone
from bench.checkpoint import Checkpoint
from bench.cost import STEP_FLOPS, Account, Peak
from bench.energy import Energy
from bench.executors import ranks
from bench.features import Featured, featured
from bench.job import Job
from bench.making import vocabulary
from bench.parents import Parent
from bench.parts import Parts
from bench.predict import features, mean_loss, predict, write
from bench.reader import Reader
from bench.recipe import SELECTION, recipe
from bench.record import WEIGHTS
from bench.text import Batch, First, Rows, Shape, tokenizer
from bench.tokencache import remembered
from bench.train import Loop, Rates, Trace, steps, train
from bench.weights import config
from bench.where import circumstances
from bench.work import Work
from methods import resolve
from methods.base import Part, spread
from tasks import task as tasks

Tell = Callable[..., Any]

KEPT, ANEW = "computed once a row", "computed anew in every step"  # what the head reads
STATE, EVERY = "state.pt", 60.0  # the file of an unfinished run, and seconds between two of it


def derived(seed: int, purpose: str) -> int:
    """A seed for one purpose, so that one use of randomness never shifts another."""
    return int(hashlib.sha256(f"{seed}:{purpose}".encode()).hexdigest()[:12], 16)


class CellRun:
    """A cell under way: what the hooks of its method are given (see methods.base.Run)."""

    def __init__(self, job: Job, folder: Path, tell: Tell):
        self.seed, self.tell = job.cell.seed, tell
        self.recipe, self.group = recipe(job.cell.recipe), ranks.group()
        self.device = devices.device()
        self.precision = devices.precision(self.recipe.precision, self.device)
        self.task = spec.build(tasks, job.cell.task)
        self.data = self.task.load(job.source, self.seed)
        made = job.weights.fresh and vocabulary(job.weights, self.data.train, folder)
        self.tokens = made or tokenizer(job.weights)
        asked = self.recipe.length, config(job.weights), job.weights.name
        reader = Reader(self.tokens, *asked, remembered(self.tokens, os.environ))
        self.words = reader.words(self.task)  # what may fill a gap, see bench.reader
        self.splits, self.writes = reader.splits(self.task, self.data), reader.writes
        self.built_on, self.tuning = job.built_on, job.tuning
        self.method, self.model, self.primary = job.cell.method, job.cell.model, self.task.primary
        self.parts, self.selects = self.task.names, len(self.splits["selection"]) > 0
        self.made_by = [*job.made_by]
        self.checkpoint = Checkpoint(job.part / STATE, EVERY) if job.part else None
        self.generators: dict[str, torch.Generator] = {}
        self.trace = Trace()
        self.predictions: dict[str, list[Any]] = {}
        self.looked_at: dict[tuple[str, int | None], Rows] = {}  # see mean_loss
        self.evaluated = Work()  # since it was last begun anew
        self.fitted = 0.0  # seconds that setting the weights took, by whatever way
        self.peak, self.energy = Peak(self.device), Energy(self.device)

    def parents(self) -> list[dict[str, torch.Tensor]]:
        """What each run that this one builds on has trained, by name."""
        return [load_file(folder / WEIGHTS) for folder in self.built_on]

    def runs(self) -> list[Parent]:
        """Each run that this one builds on, in the order of its needs."""
        needs = spread(resolve(self.method, self.model).needs(), len(self.task.parts))
        return [
            Parent(folder, need.part, self._training_rows(need.part))  # type: ignore[arg-type]
            for folder, need in zip(self.built_on, needs, strict=True)
        ]

    def _training_rows(self, part: Part) -> Rows:
        rows = self.splits["train"]
        if part is None or not isinstance(rows, Parts):
            return rows
        return rows.alone(part) if isinstance(part, int) else rows.only(part)

    def generator(self, purpose: str) -> torch.Generator:
        """A random stream of its own on the CPU."""
        self.generators[purpose] = torch.Generator().manual_seed(self._stream(purpose))
        return self.generators[purpose]

    def train(
        self,
        model: Backbone,
        loss,
        *,
        idle: str = "still",
        parts: Sequence[int] | None = None,
        rates: Rates | None = None,
    ) -> None:
        """Gradient descent by the recipe; keeps the epoch that the recipe selects.

        `parts`: of a composite task, those whose rows are trained on; None for all. `rates`: of
        parameters, in parts of the recipe's; 1 where not told.
        """
        seed = self._stream("train")
        streams = (self.group.kept(self.checkpoint), self.generators, rates or {}, self.group)
        loop = Loop(self.recipe, self.device, self.precision, seed, idle, self._told, *streams)
        split = {"last": None, "best": "selection", "dev": "test"}[self.recipe.select]
        self._check_selection(split)
        score = split and (lambda: self.group.scored(lambda: self._selected(model, split)))
        model.facts["compiled"] = whole = self.recipe.compile and model.parting is None
        quick = devices.compiled(model.layers if whole else ())
        with self._train_rows(model, parts) as rows, quick, self.group.training():
            self.trace = train(model, loss, rows, loop, score or None)
            if isinstance(rows, Featured):
                self.trace.features = rows.shapes
                self.trace.seconds += rows.seconds
        if model.still:
            model.facts["features"] = KEPT if self.trace.features else ANEW

    @contextmanager
    def _train_rows(self, model: Backbone, parts: Sequence[int] | None) -> Iterator[Rows]:
        """The training rows, with what the head reads where that pays and there is room for it."""
        data = self.splits["train"]
        if parts is not None and isinstance(data, Parts):
            data = data.only(parts)
        seen = steps(self.recipe, len(data)) * self.recipe.batch
        if not model.still or seen <= len(data):
            yield data
            return
        part = self.checkpoint.path.parent if self.checkpoint else None
        if part:
            part.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=part
        ) as own:  # for several processes may share the cell
            model.train()
            yield featured(model, data, self.device, self.precision, Path(own)) or data

    def evaluate(self, model: Backbone, split: str) -> dict[str, float | None]:
        """The task's metrics on "selection", or on "test": every reported split.

        A selection slice of texts is not written anew: its metric is the loss. A trial of a search
        sees the selection rows whatever is asked for.
        """
        self.group.alone_from_here()
        if split == "test" and self.recipe.report == "selection":
            split = "selection"
            self._check_selection(split)
        began = time.perf_counter()
        names = list(self.data.test) if split == "test" else [split]
        modelling = self.task.formulation in ("language", "masked")
        lossy = modelling or (model.writes and split != "test")
        answer = self._loss if lossy else self._write if model.writes else self._predict
        found: dict[str, Any] = {name: answer(model, self.splits[name]) for name in names}
        self.evaluated.seconds += time.perf_counter() - began
        for name in names:
            new = self._written(found[name]) if answer == self._write else 0
            self.evaluated.saw(self.splits[name].lengths + new)
        if lossy:
            return {"loss": sum(found.values()) / len(found)}
        expected = {name: self.splits[name].labels for name in names}
        if split == "test":
            self.predictions = found
        else:  # a slice of the training split is scored as the first reported split is
            found, expected = self._as_first(found[split]), self._as_first(expected[split])
        return self.task.score(found, expected)

    def _as_first(self, values: Any) -> dict[str, Any]:
        """One value a selection row, as if they were of the first reported split of each part."""
        rows = self.splits["selection"]
        if not isinstance(rows, Parts):
            return {next(iter(self.data.test)): values}
        names = [
            self.task.split(number, next(iter(part.test)))
            for number, part in enumerate(self.data.parts)
        ]
        return dict(zip(names, rows.split(values), strict=True))

    def batches(self, split: str, size: int) -> Iterator[Batch]:
        """The rows of a split, in batches of like length on the device."""
        return (batch.to(self.device) for batch in self.splits[split].in_order(size))

    def features(
        self, model: Backbone, split: str, most: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head reads of each row in order, and the labels, in eval mode."""
        data = self.splits[split]
        found = features(model.to(self.device), data, self.device, self.precision, most)
        return found, torch.tensor(data.labels[:most])

    def mean_loss(self, model: Backbone, split: str, rows: int | None = None) -> float:
        """Mean cross-entropy in nats over "train", "selection" or "test", in eval mode.

        `rows`: how many of each split, the first ones, at most; none: all. Where the test has
        several splits, the mean of theirs. What the head reads of a row is computed once in a cell
        where nothing below the head trains.
        """
        self.group.alone_from_here()
        names = list(self.data.test) if split == "test" else [split]
        losses = [self._loss(model, self._looked_at(model, name, rows)) for name in names]
        return sum(losses) / len(losses)

    def cost(self, counted: Account) -> dict[str, Any]:
        """What the record says the cell has cost, but for its files."""
        (tokens, shape), trained, evaluated = self._served(), self.trace, self.evaluated
        updated = counted.trained_params + counted.head_params
        parts = [trained.flops(p.of) for p in (counted.upon if trained.features else counted.step)]
        parts[0] += sum(n * counted.features.of(*size) for size, n in trained.features.items())
        return {
            **counted.params,
            **dict(zip(STEP_FLOPS, parts, strict=True)),
            "train_flops": sum(parts),
            "optimizer_flops": trained.steps * self.recipe.operations * updated,
            "inference_flops": counted.serve.of(*shape),
            "inference_tokens": tokens,
            "train_seconds": trained.seconds,
            "eval_seconds": evaluated.seconds,
            **trained.rates("train", sum(parts)),
            **evaluated.rates("eval", evaluated.flops(counted.serve.of)),
            "peak_memory_bytes": self.peak.read(),
            "memory_source": self.peak.source,
            "energy_joules": self.energy.joules(),
            "energy_kind": self.energy.kind,
            "energy_source": self.energy.source,
            **self._spent_before(),
        }

    def where(self) -> dict[str, Any]:
        """The circumstances, and what the training run did in them."""
        return {
            **circumstances(),
            "device": devices.name(self.device),
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "selection": SELECTION[self.recipe.select],
            "selected_epoch": self.trace.epoch,
            "selection_scores": self.trace.scores,
            "steps": self.trace.steps,
            "train_loss": self.trace.loss if math.isfinite(self.trace.loss) else None,
            "data": self.data.facts,
            **({"tuning": self.tuning} if self.tuning else {}),
            "protocol": self.task.protocol,
            "lacks": self.task.lacks(),
            "made_by": self.made_by,
            **self.group.facts,
        }

    def _spent_before(self) -> dict[str, float]:
        """What training the runs that this one builds on has cost, and making one of them."""
        costs = [
            json.loads((folder / "record.json").read_text(encoding="utf-8"))["cost"]
            for folder in self.built_on
        ]
        if not costs:
            return {}
        spent = {
            f"needed_{name}": sum(cost[name] for cost in costs)
            for name in ("train_flops", "train_seconds")
        }
        return {**spent, "merge_seconds": max(0.0, self.fitted - self.trace.seconds)}

    def _predict(self, model: Backbone, rows: Any) -> list[float]:
        return predict(model, rows, self.device, self.precision, self.evaluated.shapes)

    def _write(self, model: Backbone, rows: Any) -> list[str]:
        decoding = self.task.decoding
        return write(model, rows, self.tokens, decoding, self.device, self.precision)

    def _loss(self, model: Backbone, rows: Any) -> Any:
        return mean_loss(model, rows, self.device, self.precision)

    def _looked_at(self, model: Backbone, name: str, rows: int | None) -> Rows:
        """The first rows of a split, with what the head reads of them where that stays the same."""
        if (name, rows) not in self.looked_at:
            data = self.splits[name] if rows is None else First(self.splits[name], rows)
            if model.still:
                model.eval()
                with tempfile.TemporaryDirectory() as own:
                    data = featured(model, data, self.device, self.precision, Path(own)) or data
            self.looked_at[name, rows] = data
        return self.looked_at[name, rows]

    def _selected(self, model: Backbone, split: str) -> float | None:
        return self._score(self.evaluate(model, split))

    def _score(self, metrics: dict[str, float | None]) -> float | None:
        """What the selection maximises."""
        loss = metrics.get("loss")
        return metrics[self.task.primary] if loss is None else -loss

    def _served(self) -> tuple[int, Shape]:
        """Tokens of a row of the mean length, what is written for it included, and its shape."""
        read = round(self._mean([self.splits[name].lengths for name in self.data.test]))
        if self.task.formulation == "classification":
            return read, Shape(1, read)
        if self.words is not None:
            return read, Shape(1, read, 0, 1)
        texts = [text for found in self.predictions.values() for text in found]
        new = round(float(self._written(texts).mean())) if texts else read
        return read + new, Shape.of_row(read, new, self.writes)

    def _written(self, texts: list[str]) -> np.ndarray:
        """Tokens of each text, its end included: (texts,)."""
        coded = self.tokens(texts)["input_ids"] if texts else []
        return np.array([len(ids) + 1 for ids in coded], dtype=np.int64)

    def _stream(self, purpose: str) -> int:
        """The seed of a stream that training draws from: another one for each order."""
        return derived(self.seed, f"{purpose}{self.recipe.order or ''}")

    def _check_selection(self, split: str | None) -> None:
        """Raises ValueError where rows to select on are asked for and there are none."""
        if split == "selection" and not len(self.splits["selection"]):
            raise ValueError(f"expected rows to select on, got none: {self.task.name} keeps none")

    @staticmethod
    def _mean(lengths: list[np.ndarray]) -> float:
        return max(1.0, float(np.concatenate(lengths).mean()))

    def _told(self, **event: Any) -> None:
        self.energy.look()
        self.tell(**event)
