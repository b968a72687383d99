"""Result files of the method comparison of huggingface/peft as records.

Format: method_comparison/MetaMathQA/utils.py (log_results), results/*.json; fields were named
`cuda_memory_...` and `gpu` until the summer of 2025.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.record import Cell, Record
from bench.store import Store
from reports.interchange.own import own_record
from reports.interchange.parts import inside, is_number, loaded, number, part
from reports.interchange.text import slug

DATA = "peft-method-comparison"  # the data source: never in a table with ours
SUITES = {"metamath": "metamathqa"}  # a data set that tells the suite
LAST = "last: the final weights (run.py of the method comparison in huggingface/peft)"
RESERVED = "reserved by torch's allocator, less what was at the start"
SPENT = ("step", "train loss", "train samples", "train total tokens")  # no metrics
SECTIONS = ("run_info", "train_info", "meta_info")


def import_peft(source: str | Path) -> Record:
    """The record that a result file, or its text, describes.

    A file that this project wrote gives the very record that it was made of. Raises ValueError in
    one line for anything else than a result file.
    """
    text, path = (source, None) if isinstance(source, str) else (_read(source), source)
    try:
        made = loaded(text, SECTIONS)
        record = own_record(made) or _foreign(made, path)
        record.to_json()
    except RecursionError:
        raise ValueError("expected a result file, got one nested too deep") from None
    return record


def imported(paths: Iterable[Path], store: Store) -> Iterator[str]:
    """Puts the records of the files in the store, folders standing for their *.json; a line each.

    All files are read before anything is written. Raises ValueError, naming the file, for one that
    is no result, and where a cell has another record already.
    """
    records = {path: _named(path) for path in _files(paths)}
    first: dict[str, Path] = {}
    for path, record in records.items():
        other = first.setdefault(record.cell.key, path)
        if records[other] != record:
            raise ValueError(f"{path} and {other} are two results of one run; import one of them")
        if (store.get(record.cell) or record) != record:
            expected = f"expected a store without the cell {record.cell.key}"
            raise ValueError(f"{path}: {expected}, got one with another record of it")
    for path, record in records.items():
        if store.get(record.cell) is None:
            with store.writing(record.cell) as folder:
                (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
        yield f"{path.name}: {record.cell.key}, {record.status}"


def _foreign(made: Mapping[str, Any], path: Path | None) -> Record:
    run, train, meta = (part(made, name, dict, "result file") for name in SECTIONS)
    return _record(run, train, meta, _suite(path, run, meta))


def _record(
    run: Mapping[str, Any], train: Mapping[str, Any], meta: Mapping[str, Any], suite: str
) -> Record:
    asked = part(run, "train_config", dict, "run_info")
    name = " ".join(part(run, "experiment_name", str, "run_info").split())
    finished = part(train, "status", str, "train_info")
    ok = finished == "success"
    last = _last(train) if ok else {}
    metrics = {
        key.removeprefix("test "): number(value)
        for key, value in last.items()
        if key not in SPENT and (value is None or is_number(value))
    }
    if ok and not any(key.startswith("test ") for key in last):
        raise ValueError("expected a last entry of metrics with a test score, got none")
    reason = str(run.get("error_msg") or f"status {finished}") if not ok else ""
    primary = next((k.removeprefix("test ") for k in last if k.startswith("test ")), "")
    return Record(
        cell=_cell(name, suite, asked, run.get("peft_config")),
        status="ok" if ok else "failed",
        reason=" ".join(reason.split()),
        primary=primary,
        metrics=metrics,
        cost=_cost(train),
        where=_where(run, train, meta, last),
    )


def _cell(name: str, suite: str, asked: Mapping[str, Any], config: Any) -> Cell:
    if config is not None and not isinstance(config, dict):
        raise ValueError(f"expected peft_config in run_info as an object or null, got {config!r}")
    kind = "full-finetuning" if not config else part(config, "peft_type", str, "peft_config")
    unseeded = {key: value for key, value in asked.items() if key != "seed"}
    return Cell(
        method=_plug_in(kind.lower(), config or {}),
        task=suite,
        model=part(asked, "model_id", str, "train_config"),
        recipe=_plug_in(str(asked.get("optimizer_type") or "unknown").lower(), unseeded),
        seed=part(asked, "seed", int, "train_config"),
        data=DATA,
        version=DATA,
        label=name,
    )


def _plug_in(name: str, settings: Mapping[str, Any]) -> str:
    """A text such as `lora[r=32,settings=0f3a...]`: plain settings, and a digest of all of them."""
    plain = {
        key: value
        for key, value in settings.items()
        if value is not None and not isinstance(value, dict | list | str)
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    told = sorted(f"{slug(key)}={str(value).lower()}" for key, value in plain.items())
    return f"{slug(name)}[{','.join([*told, f'settings={digest}'])}]"


def _cost(train: Mapping[str, Any]) -> dict[str, Any]:
    memory = train.get("accelerator_memory_max", train.get("cuda_memory_max"))
    found = {
        "trained_params": train.get("num_trainable_params"),
        "train_seconds": train.get("train_time"),
        "checkpoint_bytes": train.get("file_size"),
        "peak_memory_bytes": memory,
    }
    cost: dict[str, Any] = {
        name: number(value) for name, value in found.items() if is_number(value)
    }
    return cost | ({"memory_source": "CUDA allocator"} if "peak_memory_bytes" in cost else {})


def _where(
    run: Mapping[str, Any],
    train: Mapping[str, Any],
    meta: Mapping[str, Any],
    last: Mapping[str, Any],
) -> dict[str, Any]:
    packages, system = inside(meta, "package_info"), inside(meta, "system_info")
    asked = inside(run, "train_config")
    return {
        "versions": {
            key.removesuffix("-version"): value
            for key, value in packages.items()
            if key.endswith("-version")
        },
        "device": system.get("accelerator", system.get("gpu")),
        "platform": f"{system.get('system')} {system.get('machine')}",
        "precision": asked.get("dtype"),
        "selection": LAST,
        "selection_scores": _validated(train),
        "steps": last.get("step"),
        "train_loss": number(last.get("train loss")),
        "train_rows": last.get("train samples"),
        "train_tokens": last.get("train total tokens"),
        "data": {"source": DATA, "sha": meta.get("dataset_info")},
        "memory": RESERVED,
        "total_params": train.get("num_total_params"),
        "total_seconds": run.get("total_time"),
        "created_at": run.get("created_at"),
        "peft_branch": run.get("peft_branch"),
        "train_config": asked,
        "peft_config": run.get("peft_config"),
    }


def _validated(train: Mapping[str, Any]) -> list[float | None]:
    """Scores on validation rows on the way; nothing was chosen by them."""
    entries = train.get("metrics")
    told = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    found = (v for entry in told for k, v in entry.items() if k.startswith("valid "))
    return [number(value) for value in found]


def _last(train: Mapping[str, Any]) -> dict[str, Any]:
    entries = part(train, "metrics", list, "train_info")
    if not entries or not isinstance(entries[-1], dict):
        raise ValueError("expected a list of metrics in train_info, the last of the test rows")
    return entries[-1]


def _suite(path: Path | None, run: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    """The task: by the folder method_comparison/<suite>/results, else by its data set."""
    folders = [p.name for p in path.absolute().parents][:3] if path else []
    if folders[::2] == ["results", "method_comparison"]:
        return slug(folders[1]).lower()
    asked, sets = inside(run, "train_config"), inside(meta, "dataset_info")
    if isinstance(named := asked.get("dataset_id"), str):
        return slug(named.rpartition("/")[2]).lower()
    return next((suite for name, suite in SUITES.items() if name in sets), DATA)


def _files(paths: Iterable[Path]) -> list[Path]:
    found = [
        p for path in paths for p in (sorted(path.glob("*.json")) if path.is_dir() else [path])
    ]
    if not found:
        raise ValueError("expected result files, got folders without *.json")
    return found


def _named(path: Path) -> Record:
    try:
        return import_peft(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("expected a result file in UTF-8, got other bytes") from None
