"""One cell over two processes, on the CPU."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench import train as training
from bench.executors.group import Alone, Ranks
from bench.run import drop
from bench.store import Store
from bench.train import Diverged, Loop, train
from methods import resolve
from tests.tiny import EchoRun, Toy, ToyRun, backbone, prepared, writer

ROOT = Path(training.__file__).parents[1]
METHODS = ["full", "lora", "adamix-lora", "adamix-adapter", "adamix[inner=bitfit]"]
TEXTS = ["gpt2", "t5"]
ROWS = 35  # in batches of 16, the last one has 3; of 17, 1


class Shared:
    """A run whose batches a group shares; notes the loss of every step."""

    group: Alone = Alone()

    def train(self, model, loss, *, idle="still"):
        self.losses, device = [], torch.device("cpu")
        tell = lambda **event: self.losses.append(event["loss"])  # noqa: E731
        loop = Loop(self.recipe, device, "fp32", self.seed, idle, tell, group=self.group)
        self.trace = train(model, loss, self.data, loop)


class SharedToy(Shared, ToyRun):
    """Rows with a label."""


class SharedEcho(Shared, EchoRun):
    """Texts, of one letter or of two with their end."""


def trained(run, model, text, group):
    """Losses, what trained, and the accounts of a training run without dropout."""
    run.group, method = group, resolve(text, "")
    drop(model, 0.0)
    prepared(method, model, run)
    method.fit(model, run)
    found = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    return run.losses, found, (run.trace.rows, run.trace.tokens, dict(run.trace.shapes))


def curves(group):
    """What is trained in each way, by its name."""
    training.GLANCE = -1.0  # looks at every step
    found = {}
    for text in METHODS:
        run = SharedToy(batch=16, epochs=2)
        run.data = Toy(rows=ROWS)
        found[text] = trained(run, backbone(), text, group)
    run = SharedToy(batch=17, epochs=2, regression=True)
    run.data = Toy(rows=ROWS, regression=True)
    found["regression"] = trained(run, backbone(outputs=1), "adamix-lora", group)
    for family in TEXTS:
        run = SharedEcho(family, batch=17, steps=4, clip=0.1)
        found[family] = trained(run, writer(family), "adamix-lora", group)
    return found


def gradients(group):
    """The gradients of five rows and of one, and the loss, in each way."""
    found = {}
    for name, model, data in [
        ("labels", backbone(), Toy(rows=5)),
        ("texts", writer("gpt2"), EchoRun("gpt2").data),
    ]:
        run, method = ToyRun(), resolve("adamix-lora", "")
        drop(model, 0.0)
        parameters = [*prepared(method, model, run), *model.head.parameters()]
        for rows in (5, 1):
            model.zero_grad()
            batch = data.batch(group.share(np.arange(rows)))
            loss = method.loss(model.train(), batch)
            loss.backward()
            whole, _ = group.reduce(loss, batch, parameters)
            moved = [None if p.grad is None else p.grad.clone() for p in parameters]
            found[name, rows] = whole.detach(), moved
    return found


def process(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    group = Ranks()
    found = {"gradients": gradients(group), "curves": curves(group), "facts": group.facts}
    run, model = SharedToy(lr=1e30, steps=3), backbone()
    try:
        trained(run, model, "full", group)
    except Diverged as error:
        found["diverged"] = str(error)
    with group.training():
        found["scored"] = group.scored(lambda: ["of rank", rank])
        try:
            group.scored(lambda: [][rank])
        except IndexError as error:
            found["wrong"] = str(error)
    found["kept"], found["seed"] = streams(group), group.seed(5)
    torch.save(found, folder / f"{rank}.pt")
    group.lead(None)
    os._exit(0)


class Kept:
    """A checkpoint that is always due."""

    def __init__(self):
        self.saved = []

    def due(self):
        return True

    def save(self, state):
        self.saved.append(state)

    def load(self):
        return {"streams": {"torch": torch.Generator().manual_seed(9).get_state(), "cuda": []}}


def streams(group):
    torch.manual_seed(group.seed(5))
    kept = group.kept(Kept())
    state = kept.load()["streams"]["torch"]
    return (
        kept.due(),
        torch.equal(state, torch.get_rng_state()),
        torch.equal(state, torch.Generator().manual_seed(9).get_state()),
    )


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes found, in their order."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=process, args=(rank, port, folder)) for rank in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        for one in both:
            one.start()
    for one in both:
        one.join(120)
        assert one.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone():
    before = training.GLANCE
    yield curves(Alone())
    training.GLANCE = before


@pytest.mark.parametrize("name", [*METHODS, "regression", *TEXTS])
def test_two_processes_go_down_the_curve_of_one(name, ranks, alone):
    losses, weights, (rows, tokens, _) = alone[name]
    assert len(losses) >= 4 and len({*losses}) > 1
    for rank in ranks:
        found, same, account = rank["curves"][name]
        np.testing.assert_allclose(found, losses, rtol=0, atol=1e-4)
        for key, tensor in weights.items():
            assert (same[key] - tensor).abs().mean() < 1e-3  # Adam takes a whole step by a zero
        assert account[:2] == (rows, tokens)
    first, second = (rank["curves"][name] for rank in ranks)
    assert first[0] == second[0]
    assert all(torch.equal(tensor, second[1][key]) for key, tensor in first[1].items())


@pytest.mark.parametrize("rows", [5, 1])
@pytest.mark.parametrize("name", ["labels", "texts"])
def test_gradient_is_that_of_the_whole_batch(name, rows, ranks):
    loss, expected = gradients(Alone())[name, rows]
    assert None in expected and any(g is not None and g.abs().max() > 0 for g in expected)
    for rank in ranks:
        whole, found = rank["gradients"][name, rows]
        torch.testing.assert_close(whole, loss.detach(), rtol=1e-5, atol=1e-6)
        for mine, theirs in zip(found, expected, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_shapes_of_all_ranks_are_counted_and_no_row_twice(ranks, alone):
    for name in (*METHODS, "regression"):
        one, many = ({**found[name][2][2]} for found in (alone, ranks[0]["curves"]))
        assert sum(shape.rows * n for shape, n in many.items()) == sum(
            shape.rows * n for shape, n in one.items()
        )
        assert sum(many.values()) > sum(one.values())
        assert many == ranks[1]["curves"][name][2][2]


def test_loss_that_is_no_number_ends_the_run_on_every_rank(ranks):
    assert ranks[0]["diverged"] == ranks[1]["diverged"]
    assert ranks[0]["diverged"].startswith("loss is ")


def test_scores_and_errors_of_the_first_process_are_those_of_all(ranks):
    assert [rank["scored"] for rank in ranks] == [["of rank", 0]] * 2
    assert ranks[0]["wrong"] == ranks[1]["wrong"] == "list index out of range"


def test_first_process_keeps_the_state_and_each_draws_dropout_on_its_own(ranks):
    assert Alone().seed(5) == ranks[0]["seed"] == 5 != ranks[1]["seed"]
    assert [rank["kept"] for rank in ranks] == [(True, False, True), (False, True, False)]


def test_record_says_how_many_processes_and_what_they_split(ranks):
    assert {rank["facts"]["processes"] for rank in ranks} == {2}
    assert "dropout drawn by each" in ranks[0]["facts"]["split"]


WORDS = "run --suite glue --data sample --tasks sst2 --methods lora,adamix-lora"
SETS = "rows=64 dev_rows=40 epochs=2 precision=fp32 dropout=0.0 select=best"


def command(folder, store, *words, processes=2):
    asked = [*WORDS.split(), "--models", str(folder), "--store", str(store)]
    asked += [w for s in SETS.split() for w in ("--set", s)]
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, *(many if processes > 1 else []), "-m", "bench", *asked, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def losses(store):
    return {
        path.parent.name: [json.loads(line)["loss"] for line in path.read_text().splitlines()]
        for path in Path(store).glob("*/log.txt")
    }


@pytest.mark.slow
def test_torchrun_makes_the_records_of_one_process(tiny_folder, tmp_path):
    both = command(tiny_folder, tmp_path / "two")
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("adamix-lora") == 1
    one = command(tiny_folder, tmp_path / "one", processes=1)
    assert one.returncode == 0
    theirs = {record.cell.key: record for record in Store(tmp_path / "one").records()}
    for record in Store(tmp_path / "two").records():
        other, key = theirs.pop(record.cell.key), record.cell.key
        assert record.where["processes"] == 2 and "processes" not in other.where
        assert record.where["train_loss"] == pytest.approx(other.where["train_loss"], abs=1e-4)
        assert record.metrics == pytest.approx(other.metrics, abs=0.051)
        a, b = (load_file(tmp_path / s / key / "weights.safetensors") for s in ("one", "two"))
        assert all(torch.allclose(a[name], b[name], atol=1e-3) for name in a)
    assert theirs == {} and losses(tmp_path / "two").keys() == losses(tmp_path / "one").keys()
    assert not list((tmp_path / "two").glob(".*"))


@pytest.mark.slow
def test_cell_that_diverges_on_two_processes_is_failed_and_the_next_one_runs(tiny_folder, tmp_path):
    words = ("--methods", "lora,head", "--set", "lr=1e30", "--set", "epochs=4")
    done = command(tiny_folder, tmp_path, *words)
    assert done.returncode == 1
    found = {record.cell.label: record for record in Store(tmp_path).records()}
    assert found["lora"].status == "failed" and found["lora"].reason.startswith("loss is ")
    assert len(found) == 2


@pytest.mark.slow
def test_wrong_request_on_two_processes_is_told_once(tiny_folder, tmp_path):
    done = command(tiny_folder, tmp_path, "--jobs", "2")
    said = "bench: expected one cell at a time under torchrun, got --jobs 2"
    assert done.returncode != 0 and done.stderr.count(said) == 1
