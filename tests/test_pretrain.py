import json
import os
from dataclasses import asdict
from hashlib import sha256

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench import spec
from bench.desk import Plan
from bench.pretrain import Asked, below, hand_over
from bench.recipe import recipe
from bench.reproduce import again
from bench.store import Store
from bench.suite import load, request
from bench.weights import find, known
from tasks import task
from tasks.sources import Source

SAMPLE, NOWHERE = Source("sample"), Store("nowhere")
SMALL = {"vocab_size": 400, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
QUICK = {"steps": "2", "batch": "4", "length": "32", "precision": "fp32"}
SETS = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]


SUITE = ["--suite", "nlg", "--data", "sample", "--tasks", "e2e", "--methods", "lora"]
SUITE += [*SETS, *(w for pair in SETS[1::2] for w in ("--set", f"pretrain.{pair}"))]
SUITE += ["--set", "pretrain.dev_rows=5", "--set", "new_tokens=4", "--set", "test_rows=2"]


@pytest.fixture
def no_java(monkeypatch):
    """METEOR starts a machine of its own, which takes seconds."""
    monkeypatch.setenv("PATH", "")


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """One core as far as the code can see, so that cells run on one thread."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture
def small(monkeypatch):
    """A model that is made in a second."""
    monkeypatch.setitem(known(), "gpt2-mini", {**known()["gpt2-mini"], **SMALL})


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "books"
    (folder / "more").mkdir(parents=True)
    paths = [folder / "one.txt", folder / "more" / "two.txt"]
    for number, path in enumerate(paths):
        lines = [f"sentence {i} of book {number} ." for i in range(30)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return paths


def asked(source=SAMPLE, files=(), seed=0, model="gpt2-mini", **sets) -> Asked:
    return Asked(model, sets, seed, source, files)


def refused(wrong, *arguments) -> str:
    with pytest.raises(ValueError) as error:
        wrong(*arguments)
    return str(error.value)


def test_files_are_named_below_the_folder_that_has_them_all(texts):
    assert below(texts) == (
        Source("files", texts[0].parent),
        ("one.txt", "more/two.txt"),
    )
    assert below(texts[1:]) == (Source("files", texts[1].parent), ("two.txt",))


def test_what_is_no_text_file_is_refused(tmp_path):
    assert refused(below, [tmp_path]) == f"expected text files, got {str(tmp_path)!r}"
    assert "expected text files, got " in refused(below, [tmp_path / "none.txt"])


@pytest.mark.parametrize("name", ["a,b.txt", "a+b.txt", "a[1].txt", "a=b.txt", " a.txt"])
def test_file_name_that_no_option_can_hold_is_refused(tmp_path, name):
    (tmp_path / name).write_text("a")
    expected = f"expected file names without []+,= in them, got {name!r}"
    assert refused(below, [tmp_path / name]) == expected


def test_cell_of_text_files_names_them_and_depends_on_what_they_hold(texts):
    def cell():
        return asked(*below(texts), dev_rows="5").job(NOWHERE).cell

    before = cell()
    assert spec.build(task, before.task).files == ("one.txt", "more/two.txt")
    assert spec.build(task, before.task).dev_rows == 5
    assert cell() == before
    texts[1].write_text("another text\nand one more", encoding="utf-8")
    assert cell().key != before.key


def test_cell_without_files_is_of_the_tasks_rows():
    job = asked(without="e2e", lr="0.5", seed=3).job(Store("place"))
    assert spec.build(task, job.cell.task).without == ("e2e",)
    assert (recipe(job.cell.recipe).lr, job.cell.seed, job.cell.method) == (0.5, 3, "full")
    assert job.weights.fresh and job.part == Store("place").part(job.cell)


def test_cell_of_the_corpus_is_the_parent_that_a_suite_plans(tmp_path):
    store = Store(tmp_path)
    planned = Plan(request(load("nlg"), tasks=["e2e"]), SAMPLE, store).cells[0].job
    made = load("nlg").profiles["quick"].pretrain
    sets = {k: str(v) for k, v in {**made.recipe, **made.options, "without": "e2e"}.items()}
    assert asked(**sets).job(store).cell.key == planned.cell.key


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "gpt2-mni"}, "no model that is made here named 'gpt2-mni'; did you mean"),
        ({"model": "minilm"}, "no model that is made here named 'minilm'; "),
        ({"stps": "3"}, "no setting named 'stps'; did you mean 'steps'?"),
        ({"files": ("a.txt",), "without": "e2e"}, "no setting named 'without'; "),
        ({"steps": "x"}, "recipe 'adamw', steps: expected a valid integer, got 'x'"),
        ({"rows": "0"}, "task 'corpus', options: expected rows to be at least 1, got 0"),
    ],
)
def test_wrong_wish_is_told_with_the_nearest_choice(given, told):
    assert refused(asked(**given).job, NOWHERE).startswith(told)


def test_model_is_copied_whole_and_only_once(tiny_folder, tmp_path):
    to = tmp_path / "own" / "model"
    hand_over(tiny_folder, to)
    assert find(str(to)).name.split("@")[1] == find(str(tiny_folder)).name.split("@")[1]
    (to / "mine.txt.bak").write_text("kept")
    hand_over(tiny_folder, to)
    assert (to / "mine.txt.bak").is_file()
    assert [path.name for path in to.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["file", "folder", "other"])
def test_model_replaces_nothing_that_stands_there(tiny_folder, tmp_path, kind):
    to = tmp_path / "place"
    if kind == "file":
        to.write_text("mine")
    else:
        to.mkdir()
        (to / ("config.json" if kind == "other" else "notes")).write_text("{}")
    with pytest.raises(FileExistsError, match="expected a new folder for the model, got '/"):
        hand_over(tiny_folder, to)
    assert to.is_file() or len(list(to.iterdir())) == 1


def test_model_made_from_text_files_is_one_that_transformers_loads(bench, small, texts):
    words = ["pretrain", *map(str, texts), *SETS, "--to", "own"]
    code, out, err = bench(*words)
    assert code == 0, err
    assert out.splitlines()[0] == "model: own"
    assert out.splitlines()[1].startswith("held out: ")
    assert out.splitlines()[2].endswith("--models own")
    tokens = AutoTokenizer.from_pretrained("own")
    net = AutoModelForCausalLM.from_pretrained("own")
    assert net.config.n_embd == 16 and len(tokens) <= net.config.vocab_size == 400
    assert net(**tokens("sentence 1", return_tensors="pt")).logits.isfinite().all()
    code, again, err = bench(*words)
    assert (code, again) == (0, out)
    assert "made before, nothing to do: results/" in err
    assert [path.name[:1] for path in Store("results").root.iterdir()] != ["."]


def test_model_that_cannot_be_made_says_why_and_exits_with_1(bench, small, texts):
    code, out, _ = bench("pretrain", str(texts[0]), *SETS, "--set", "lr=1e30", "--set", "steps=9")
    assert (code, out.split(":")[0]) == (1, "failed")


def test_suite_makes_its_model_and_then_runs_on_it(bench, small, no_java):
    code, out, err = bench("run", *SUITE, "--jobs", "1")
    assert code == 0, err
    assert "lora" in out and "pretraining" not in out
    store = Store("results")
    child = next(record for record in store.records() if record.cell.parents)
    made = (store.root / child.cell.parents[0] / "model" / "model.safetensors").read_bytes()
    assert child.where["weights_sha256"] == sha256(made).hexdigest()
    assert bench("run", *SUITE, "--jobs", "1")[2].startswith("nlg: 2 cells, 2 done; ")


@pytest.mark.slow
def test_model_and_what_was_run_on_it_are_the_same_again(bench, small, no_java):
    bench("run", *SUITE, "--jobs", "1")
    store = Store("results")
    cells = [record.cell for record in store.records()]
    assert len(cells) == 2
    assert [again(store.folder(cell), SAMPLE) for cell in cells] == [[], []]


@pytest.mark.slow
def test_workers_make_the_model_that_one_process_makes(bench, no_java):
    tasks = [*SUITE[:4], "--tasks", "e2e,webnlg", *SUITE[6:]]
    assert bench("run", *tasks, "--jobs", "2", "--store", "pooled")[0] == 0
    assert bench("run", *tasks, "--jobs", "1", "--store", "alone")[0] == 0
    pooled, alone = Store("pooled"), Store("alone")
    assert [(r.cell, r.metrics) for r in pooled.records()] == [
        (r.cell, r.metrics) for r in alone.records()
    ]
    assert len(list(pooled.records())) == 4


def test_suite_whose_model_cannot_be_made_names_the_parent_and_exits_with_1(bench, small):
    words = [*SUITE, "--set", "pretrain.lr=1e30", "--set", "pretrain.steps=9"]
    code, out, err = bench("run", *words, "--jobs", "1")
    assert code == 1
    assert "[1/2] pretraining for e2e on corpus, seed 0: failed: loss is" in err
    assert "[2/2] lora on e2e, seed 0: failed: parent " in err
    assert "failed [1]" in out and "1. failed: parent " in out
    _, plan, _ = bench("plan", *words, "--json")
    assert [row["status"] for row in json.loads(plan)] == ["failed", "failed"]


def test_record_without_its_parent_beside_it_is_not_run_again(tmp_path):
    store = Store(tmp_path / "results")
    asking = request(load("nlg"), tasks=["e2e"], methods=["lora"])
    child = Plan(asking, SAMPLE, store).cells[1].job.cell
    folder = tmp_path / "alone" / child.key
    folder.mkdir(parents=True)
    record = {"cell": asdict(child), "status": "ok", "schema": 1, "where": {"threads": 1}}
    (folder / "record.json").write_text(json.dumps(record))
    told = refused(again, folder, SAMPLE)
    assert told.startswith("expected the model 'gpt2-mini' in the folder of its own run, got no ")
