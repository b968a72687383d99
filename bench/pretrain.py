"""The `pretrain` command: a model made from text files, and the folder a person takes away."""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import spec
from bench.job import Job
from bench.made import CORPUS, pretraining
from bench.recipe import AdamW
from bench.record import Record
from bench.registry import unknown
from bench.store import Store
from bench.weights import find, known
from tasks import task as tasks
from tasks.sources import Source

if TYPE_CHECKING:
    from rich.console import Console

TEXTS = "texts"  # the task whose rows are files
RESERVED = set("[],+=")  # what an option's value cannot hold


@dataclass(frozen=True)
class Asked:
    """What a person wants made, and of what."""

    model: str
    sets: Mapping[str, str]  # options of the recipe or the task
    seed: int
    source: Source
    files: tuple[str, ...] = ()  # names below the source's folder; none: the tasks' rows

    def job(self, store: Store) -> Job:
        """The cell that makes it.

        Raises ValueError for a model that is not made here, or an option that is wrong.
        """
        made = [model for model, entry in known().items() if "made" in entry]
        if self.model not in made:
            raise unknown("model that is made here", self.model, made)
        weights = find(self.model)
        task = spec.construct(self._kind, self._among(self._kind) | self._files)
        recipe = self._among(AdamW)
        cell = pretraining(weights, task, task.stamp(self.source), recipe, self.seed)
        return Job(cell, self.source, weights, store.part(cell))

    @property
    def _kind(self) -> type:
        return tasks[TEXTS if self.files else CORPUS]

    @property
    def _files(self) -> dict[str, Any]:
        return {"files": self.files} if self.files else {}

    def _among(self, kind: type) -> dict[str, Any]:
        """The settings that are about it."""
        every = {field.name for one in (AdamW, self._kind) for field in fields(one)}
        for name in self.sets:
            if name not in every:
                raise unknown("setting", name, every)
        return {
            field.name: self.sets[field.name] for field in fields(kind) if field.name in self.sets
        }


def below(texts: Sequence[Path]) -> tuple[Source, tuple[str, ...]]:
    """The folder that all the files are in, and their names there.

    Raises ValueError for what is no file, and for names that no option can hold.
    """
    for path in texts:
        if not path.is_file():
            raise ValueError(f"expected text files, got {str(path)!r}")
    paths = [path.resolve() for path in texts]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    for name in names:
        if RESERVED & set(name) or name != name.strip():
            raise ValueError(f"expected file names without []+,= in them, got {name!r}")
    return Source("files", folder), names


def hand_over(model: Path, to: Path) -> None:
    """Copies the model's folder to `to`, whole or not at all; nothing where it stands there.

    Raises FileExistsError where something else does.
    """
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        if not _same(model, to):
            raise FileExistsError(f"expected a new folder for the model, got {str(to)!r}")
        return
    draft = to.absolute().with_name(f".{to.absolute().name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(model, draft)
    draft.rename(to)


def _same(model: Path, to: Path) -> bool:
    """Whether the same files make the model in both folders."""
    if not (to / "config.json").is_file():
        return False
    here, there = (find(str(folder)).name.partition("@")[2] for folder in (model, to))
    return here == there


def finished(job: Job, store: Store, console: "Console") -> Record:
    """The record of the cell, which is run if it has no result yet; the console says so."""
    from bench.executors.local import execute
    from bench.progress import show

    record, path = store.get(job.cell), store.folder(job.cell)
    if record and record.status == "ok":
        console.print(f"made before, nothing to do: {path}", markup=False, soft_wrap=True)
        return record
    said = f"{job.weights.name} from {job.cell.task}; data: {job.cell.data}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    with show([job.cell], console) as display:
        (record,) = execute([job], store, 1, display.tell)
        display.end(record)
    return record


def told(record: Record) -> str:
    """How well a finished cell predicts what was held out, in one line."""
    loss = record.metrics[record.primary]
    if loss is None:
        return "held out: nothing"
    return f"held out: {loss:.4f} nats a token, perplexity {math.exp(loss):.1f}"
