"""A finished cell in its folder: its record, its model, the runs it was built on."""

from pathlib import Path

from bench import spec
from bench.made import MODEL, placed
from bench.record import LARGEST, NAME, WEIGHTS, Cell, Record
from bench.weights import Weights, find
from methods import resolve
from methods.base import spread
from tasks import task as tasks


def finished(path: Path) -> tuple[Path, Record]:
    """Folder and record of a run with a result; `path`: its record.json, or its folder.

    Raises ValueError where there is none or it cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    try:
        with (folder / "record.json").open(encoding="utf-8") as file:
            record = Record.from_json(file.read(LARGEST + 1))
    except ValueError as error:
        raise ValueError(f"{folder / 'record.json'} is not a record: {error}") from error
    except FileNotFoundError as error:
        expected = "expected a record.json or its folder"
        raise ValueError(f"{expected}, got {str(folder)!r}") from error
    if record.status != "ok":
        raise ValueError(f"expected a run with a result, got one that {record.status}")
    return folder, record


def built_on(cell: Cell, store: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """The folder of the run that made the model, if one did, and those of the runs needed.

    Raises ValueError for a needed run that has no weights.
    """
    for key in (key for key in cell.parents if not NAME.fullmatch(key)):
        raise ValueError(f"expected a key of a run that this one builds on, got {key[:60]!r}")
    folders = [store / key for key in cell.parents]
    task = spec.build(tasks, cell.task)
    needs = len(spread(resolve(cell.method, cell.model).needs(), len(task.parts)))
    makers, needed = folders[: len(folders) - needs], folders[len(folders) - needs :]
    for folder in (folder for folder in needed if not (folder / WEIGHTS).is_file()):
        raise ValueError(f"expected the run {folder.name} beside the record, which builds on it")
    return (makers[0] if makers else None), tuple(needed)


def model_of(cell: Cell, maker: Path | None, model: str = "") -> Weights:
    """The cell's model, which the run in the folder `maker` made where there is one.

    `model`: the directory of a model that the record knows by its name and digest only. Raises
    ValueError where the model is not the one at hand.
    """
    if "@" in cell.model and not model:
        raise ValueError(f"expected the directory of the model {cell.model!r}, got none")
    weights = find(model or cell.model)
    if weights.name != cell.model:
        raise ValueError(f"expected the model {cell.model!r}, got {weights.name!r}")
    if maker is None:
        return weights
    if not (maker / MODEL).is_dir():
        expected = f"expected the model {weights.name!r} in the folder of its own run"
        raise ValueError(f"{expected}, got no {maker.name}/{MODEL} beside the record")
    return placed(maker, weights)
