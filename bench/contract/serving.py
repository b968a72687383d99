"""The contract of a method after training: finalizing, saving, padding, the whole record."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bench.contract.case import Case
from bench.contract.item import Aside, Broken, Contract
from bench.contract.tiny import save
from bench.cost import free, size
from bench.plan import jobs
from bench.reproduce import again
from bench.run import attempt
from bench.spec import text
from bench.store import Store
from bench.suite import Profile, Suite, request
from tasks.sources import Source

serving = Contract()
RTOL, ATOL = 1e-4, 1e-5
SAMPLE, TASK = Source("sample"), "rte[rows=24,dev_rows=12]"
GIVEN = "zero-sst2[rows=24,dev_rows=12]"  # its head is given, not trained
RECIPE: dict[str, Any] = {"lr": 1e-2, "batch": 8, "epochs": 1, "length": 48, "precision": "fp32"}


@serving.item("finalize-keeps-outputs", "fits", "eval-repeats")
def _keeps(case: Case) -> str:
    found = case.served
    far = float((found.after - found.before).abs().max())
    if not torch.allclose(found.after, found.before, RTOL, ATOL):
        raise Broken(f"expected the output kept by finalize, got one that is {far:.2g} away")
    return f"outputs in eval mode are at most {far:.2g} away"


@serving.item("served-is-counted", "counts", "finalize-keeps-outputs")
def _served(case: Case) -> str:
    found, built = case.served, case.build()
    plain = size(built.parameters()) - size(built.head.parameters())
    if len({id(p) for p in found.kept}) < len(found.kept):
        raise Broken("expected every served parameter once, got one again")
    if found.left - plain > size(found.kept):
        raise Broken(
            f"expected at most {size(found.kept):,} parameters more than the plain model, "
            f"as finalize says are served, got {found.left - plain:,}"
        )
    return f"{size(found.kept):,} served; the model is {found.left - plain:,} larger than the plain"


@serving.item("restores", "fits", "eval-repeats", "trains-only-returned")
def _restores(case: Case) -> str:
    old = case.trained.model
    trained = {n: p.detach().contiguous() for n, p in old.named_parameters() if p.requires_grad}
    with tempfile.TemporaryDirectory() as folder:
        save_file(trained, Path(folder, "weights.safetensors"))
        saved = load_file(Path(folder, "weights.safetensors"))
    model = case.build()
    torch.manual_seed(1)  # as in another process: what is not saved is not drawn again
    free(model, case.method.prepare(model, case.subject.run()))
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if {n: p.shape for n, p in own.items()} != {n: t.shape for n, t in saved.items()}:
        raise Broken("expected a new model to take the saved tensors, got other names or shapes")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])
    if not torch.equal(case.output(model), case.output(old)):
        raise Broken(
            "expected what was saved to give the output again, got another: "
            "something that is not saved was drawn at random"
        )
    return f"{len(saved)} saved tensors give the same output in a new model"


@serving.item("padding", "fits", "eval-repeats")
def _padding(case: Case) -> str:
    model, rows = case.trained.model, case.subject.rows(8, same=False)
    together = case.output(model, rows.batch(np.arange(8)))
    alone = torch.cat([case.output(model, rows.batch(np.array([i]))) for i in range(8)])
    far = float((together - alone).abs().max())
    if not torch.allclose(together, alone, RTOL, ATOL):
        raise Broken(f"expected padding to change no output, got one that is {far:.2g} away")
    return f"rows padded in a batch and rows alone are at most {far:.2g} apart"


@serving.item("same-record", "flops", "same-seed", "eval-repeats", "finalize-keeps-outputs")
def _record(case: Case) -> str:
    if case.subject.tiny and case.subject.family != "bert":
        raise Aside("whole cells are run on tiny-bert, which has a tokenizer")
    if not case.subject.outputs:
        raise Aside("whole cells are run on models that classify")
    with tempfile.TemporaryDirectory() as folder:
        model = case.subject.weights.location or str(save(Path(folder, "model")))
        store = Store(Path(folder, "store"))
        profile = Profile(models=[model], seeds=[0], recipe=RECIPE)
        suite = Suite(
            name="check",
            title="",
            methods=[text(case.method)],
            tasks=[GIVEN if case.heads else TASK],
            profiles={"quick": profile},
        )
        cells = jobs(request(suite), SAMPLE, store)
        for job in cells:
            with store.writing(job.cell) as place:
                record = attempt(job, place)
            if record.status != "ok":
                raise Broken(f"expected a cell that ends well, got {record.reason}")
        differ = again(store.folder(cells[-1].cell), SAMPLE, model)
    if differ:
        raise Broken(f"expected the same record of the same cell, got: {differ[0]}")
    return f"{len(cells)} cell{'s' * (len(cells) > 1)} run; the last one again: no bit differs"
