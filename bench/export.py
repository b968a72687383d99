"""The adapter of a finished cell as files that the library peft loads."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import save_file

from bench import spec
from bench.job import Job
from bench.kept import built_on, finished, model_of
from bench.made import MODEL
from bench.peft_adapters import adapter as trained
from bench.peft_adapters import counterpart
from bench.record import WEIGHTS, Cell
from bench.restore import restored
from methods import resolve
from tasks import task as tasks
from tasks.sources import Source

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"  # as peft names them
HEAD = "head.safetensors"  # ours: a trained head that the model that peft loads does not have
LOADS = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "FEATURE_EXTRACTION": "AutoModel",
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
}


def adapter(path: Path, to: Path, model: str = "", base: str = "") -> Iterator[str]:
    """Writes the adapter of a record's cell into the folder `to`; yields what it did, a line each.

    `path`: a record.json in a store, or its folder. `model`: the directory of a model that the
    record knows by its name and digest only. `base`: what the adapter names as its base model; by
    default its hub id, else its name. A model that a cell made stands in a folder of that name in
    `to`: it is nowhere else.
    Raises ValueError where the record cannot be read or has no trained weights, where the model is
    not the one at hand, or for a method that peft does not have.
    """
    folder, record = finished(path)
    cell = record.cell
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"expected {WEIGHTS} beside the record of {cell.key}, got none")
    counterpart(resolve(cell.method, cell.model))
    maker, _ = built_on(cell, folder.parent)
    weights = model_of(cell, maker, model)
    job = Job(cell, Source("sample"), weights)  # no row is read
    made = trained(*restored(job, folder))
    to.mkdir(parents=True, exist_ok=True)
    name = base or weights.known.get("hub") or cell.model.partition("@")[0]
    if maker:
        shutil.copytree(maker / MODEL, to / cell.model, dirs_exist_ok=True)
        yield f"wrote {to / cell.model}, the model that run {maker.name} made"
    files = {TENSORS: made.tensors, HEAD: made.head}
    for file, tensors in files.items():
        if tensors:
            save_file(tensors, to / file, metadata={"format": "pt"})
            yield f"wrote {to / file}"
    text = json.dumps({**made.config, "base_model_name_or_path": name}, indent=2, sort_keys=True)
    (to / CONFIG).write_text(f"{text}\n", encoding="utf-8")
    yield f"wrote {to / CONFIG}"
    yield from made.remarks
    yield f"load it: {_loading(made.config['task_type'], name, cell, to)}"


def _loading(kind: str, name: str, cell: Cell, to: Path) -> str:
    outputs = spec.build(tasks, cell.task).outputs
    told = f", num_labels={outputs}" if kind == "SEQ_CLS" else ""
    return f"PeftModel.from_pretrained({LOADS[kind]}.from_pretrained({name!r}{told}), {str(to)!r})"
