import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.commands.options import Kind
from bench.record import Record
from bench.store import Store
from methods import alias, method
from tasks import task
from tests.records import cell, lost, scored

PLAN = ("plan", "--suite", "glue", "--data", "sample")
SMALL = ("--suite", "glue", "--data", "sample", "--tasks", "sst2", "--jobs", "1")
SMALL += ("--set", "rows=12", "--set", "dev_rows=6", "--set", "epochs=1", "--set", "length=16")
TIMES = {"trained_params": 1, "served_params": 0, "head_params": 2}
SEEN = "import sys, bench.cli\ntry: bench.cli.main()\nfinally: print(*sys.modules, file=sys.stderr)"


@pytest.fixture
def threads():
    yield
    torch.set_num_threads(1)


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def put(store: Path, *records: Record) -> None:
    for record in records:
        with Store(store).writing(record.cell) as folder:
            (folder / "record.json").write_text(record.to_json())


def flat(text: str) -> list[dict]:
    rows = json.loads(text)
    assert isinstance(rows, list) and rows
    assert all(isinstance(row, dict) for row in rows)
    assert not any(isinstance(value, list | dict) for row in rows for value in row.values())
    return rows


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*PLAN, "--methods", "lorra"], "no method named 'lorra'; did you mean 'lora'?"),
        ([*PLAN, "--methods", "lora[rnk=8]"], "no option of method 'lora' named 'rnk'; did you"),
        ([*PLAN, "--methods", "lora[rank=x]"], "method 'lora', rank: expected a valid integer"),
        ([*PLAN, "--methods", "lora[rank=8"], "brackets do not match in 'lora[rank=8'"),
        ([*PLAN, "--methods", ","], "expected words separated by commas, got ','"),
        ([*PLAN, "--tasks", "sst"], "no task named 'sst'; did you mean 'sst2'?"),
        ([*PLAN, "--tasks", "sst2[rows=0]"], "task 'sst2', options: expected rows to be at least"),
        ([*PLAN, "--models", "minilmm"], "no model named 'minilmm'; did you mean 'minilm'?"),
        ([*PLAN, "--models", "./none"], "expected a model name, a hub id or a directory, got './"),
        ([*PLAN, "--profile", "papr"], "no profile named 'papr'; did you mean 'paper'?"),
        ([*PLAN, "--seeds", "0,x"], "expected seeds such as 0,1,2, got 'x'"),
        ([*PLAN, "--seeds", "-1"], "expected seeds such as 0,1,2, got '-1'"),
        ([*PLAN, "--seeds", "1.5"], "expected seeds such as 0,1,2, got '1.5'"),
        ([*PLAN, "--seeds", "²"], "expected seeds such as 0,1,2, got '²'"),
        ([*PLAN, "--seeds", ","], "expected words separated by commas, got ','"),
        ([*PLAN, "--set", "rws=5"], "no setting named 'rws'; did you mean 'rows'?"),
        ([*PLAN, "--set", "rows"], "expected --set key=value, got 'rows'"),
        ([*PLAN, "--set", "=5"], "expected --set key=value, got '=5'"),
        ([*PLAN, "--set", "rows="], "expected --set key=value, got 'rows='"),
        ([*PLAN, "--set", "select=bset"], "recipe 'adamw', select: expected 'last', 'best' or"),
        ([*PLAN, "--set", "lr=nan"], "recipe 'adamw', lr: expected a finite number, got nan"),
        ([*PLAN, "--store", "file"], "expected a directory for the store, got the file 'file'"),
        ([*PLAN, "--store", "file/x", "--nope"], "No such option: --nope"),
        ([*PLAN, "more"], "Got unexpected extra argument"),
        (["plan"], "Missing option '--suite'"),
        (["plan", "--suite", "glu"], "no suite named 'glu'; did you mean 'glue'?"),
        (["plan", "--suite", "no.toml"], "no suite file 'no.toml'; valid names: ablation-budget"),
        (["plan", "--suite", "bad.toml"], "no task named 'ret'; did you mean 'rte'?"),
        (["plan", "--suite", "broken.toml"], "suite broken.toml: "),
        (["plan", "--suite", "glue", "--data", "smaple"], "data: expected auto, hub, sample or an"),
        (["run", *SMALL, "--jobs", "0"], "Invalid value for '--jobs'"),
        (["run", *SMALL, "--jobs", "two"], "Invalid value for '--jobs'"),
        (["run", *SMALL, "--executor", "slurm"], "Invalid value for '--executor'"),
        (["run", *SMALL, "--methods", "lorra"], "no method named 'lorra'; did you mean 'lora'?"),
        (["run", *SMALL, "--store", "file"], "expected a directory for the store, got the file"),
        (["report", "--format", "htm"], "no format named 'htm'; did you mean 'html'?"),
        (["report", "--format", "mdd"], "no format named 'mdd'; did you mean 'md'?"),
        (["report", "--store", "none"], "no records in none"),
        (["report", "--tasks", "rte"], "expected --suite beside --tasks, which narrows one"),
        (["report", *PLAN[1:], "--store", "none"], "no records of suite 'glue' as asked in none"),
        (["list", "metods"], "Invalid value for 'kind'"),
        (["list"], "Missing argument 'kind'"),
        (["lst"], "No such command 'lst'"),
        (["params"], "Missing option '--model'"),
        (["params", "--model", "minilmm"], "no model named 'minilmm'; did you mean 'minilm'?"),
        (["params", "--model", "minilm", "--outputs", "-1"], "Invalid value for '--outputs'"),
        (["reproduce", "none"], "expected a record.json or its folder, got"),
    ],
)
def test_wrong_request_is_refused_in_one_line(bench, tmp_path, words, told):
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.toml").write_text("name =")
    suite = 'name = "bad"\ntitle = "B"\ntasks = ["ret"]\nmethods = ["lora"]\n'
    profile = '[profiles.quick]\nmodels = ["minilm"]\nseeds = [0]\n'
    (tmp_path / "bad.toml").write_text(suite + profile)
    code, out, err = bench(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {told}")
    assert err.count("\n") == 1 and err.endswith("\n")


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--suite", "glu"],
        [*PLAN, "--methods", "lora[rank=8"],
        [*PLAN, "--nope"],
        ["list", "metods"],
    ],
)
def test_wrong_request_is_refused_alike_as_a_process(tmp_path, words):
    done = process(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("bench: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list", "methods"],
        ["list", "tasks"],
        ["list", "models"],
        ["list", "suites"],
        ["list", "metrics"],
        list(PLAN),
        ["report", "--store", "records"],
    ],
)
def test_question_is_answered_at_once_and_without_torch(tmp_path, words):
    put(tmp_path / "records", scored(cell(), 0.5))
    began = _children()
    command = [sys.executable, "-c", SEEN, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    seconds = _children() - began
    assert (done.returncode, done.stdout == "") == (0, False)
    assert "bench.cli" in done.stderr.split()
    assert not {"torch", "transformers", "datasets", "pandas"} & {*done.stderr.split()}
    assert seconds < 2  # of the processor; measured: 0.2 to 0.5


def _children() -> float:
    """Processor seconds of the processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_no_words_at_all_give_the_help(bench):
    assert bench() == bench("--help")
    code, out, err = bench()
    assert (code, err) == (0, "")
    for command in ("run", "plan", "report", "list", "params", "reproduce"):
        assert re.search(rf"^  {command} +\S", out, re.MULTILINE)


LISTED = [kind for kind in Kind if kind != "peft"]  # that is for tests/test_peft_capabilities.py


@pytest.mark.parametrize("kind", LISTED)
def test_list_names_everything_in_both_forms(bench, kind):
    code, out, err = bench("list", kind, "--json")
    assert (code, err) == (0, "")
    rows = flat(out)
    assert all(row["name"] and row["about"] for row in rows)
    code, out, err = bench("list", kind)
    assert (code, err) == (0, "")
    assert [row["name"] for row in rows if row["name"] not in out.split()] == []


def test_list_of_methods_and_tasks_is_that_of_the_registries(bench):
    def names(kind):
        return sorted(row["name"] for row in flat(bench("list", kind, "--json")[1]))

    assert names("methods") == sorted([*method.names(), *alias.names()])
    assert names("tasks") == task.names()
    assert "glue" in names("suites")


def test_listed_options_can_be_typed(bench):
    rows = {row["name"]: row for row in flat(bench("list", "methods", "--json")[1])}
    assert rows["lora"]["options"] == "rank=8, alpha=16.0, dropout=0.0, targets=q+v"
    options = rows["adamix"]["options"].replace(" ", "")
    code, out, _ = bench(*PLAN, "--tasks", "rte", "--methods", f"adamix,adamix[{options}]")
    assert (code, len(out.splitlines())) == (0, 2)


def test_plan_prints_a_line_a_cell_and_a_sum(bench):
    code, out, err = bench(*PLAN, "--methods", "lora[rank=4],head", "--tasks", "sst2[rows=5],rte")
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert [line.split()[1:5] for line in lines] == [
        ["todo", name, on, "minilm"] for on in ("sst2", "rte") for name in ("lora[rank=4]", "head")
    ]
    assert last == "glue: 4 cells, 0 done; data: a GENERATED SAMPLE, not the published rows"


def test_plan_of_unknown_cost_says_so(bench):
    code, out, _ = bench(*PLAN, "--methods", "head", "--tasks", "rte", "--set", "rows=none")
    assert code == 0
    assert out.splitlines()[0].endswith("  cost unknown")


def test_plan_is_an_array_of_flat_objects(bench):
    rows = flat(bench(*PLAN, "--tasks", "rte", "--seeds", "0,1", "--json")[1])
    assert len(rows) == 2 * 8
    assert {row["status"] for row in rows} == {"todo"}
    assert [row["seed"] for row in rows] == [0] * 8 + [1] * 8
    assert {"key", "method", "task", "model", "recipe", "data", "row_passes"} <= rows[0].keys()


def test_plan_writes_nothing(bench, tmp_path):
    assert bench(*PLAN)[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_params_counts_from_the_configuration_alone(bench):
    words = ("params", "--model", "bert-base-uncased", "--methods", "head,lora[targets=q+zz]")
    code, out, err = bench(*words, "--json")
    assert (code, err) == (0, "")
    head, unsuited, *printed = flat(out)
    assert (head["trained_params"], head["head_params"], head["reason"]) == (0, 2 * 768 + 2, "")
    assert "zz" in unsuited["reason"] and "trained_params" not in unsuited
    by_name = {(row["printed_as"], row["paper"]): row for row in printed}
    lora = by_name["LoRA", "Wang et al. 2022"]
    assert (lora["printed_millions"], lora["served_params"], lora["agrees"]) == (
        "0.3",
        294_912,
        True,
    )
    assert by_name["Fine-tuning", "Mao et al. 2021"]["served_params"] == 109_482_240
    text = bench(*words)[1]
    assert "has no place 'zz'" in text
    assert "    0.3      294,912  lora: LoRA (Wang et al. 2022)" in text
    assert "    1.1               no such method here: UNIPELT (AP)" in text


def test_params_of_a_model_that_no_paper_has_are_its_own_alone(bench):
    out = bench("params", "--model", "minilm", "--methods", "head")[1]
    assert "22,565,376 parameters" in out and "papers" not in out


def test_report_prints_each_form_of_what_is_in_the_store(bench):
    put(Path("results"), scored(cell(), 0.875, TIMES), lost(cell(seed=1), "went wrong"))
    code, out, err = bench("report")
    assert (code, err) == (0, "")
    assert "| lora" in out and "87.5" in out and "went wrong" in out
    assert r"\begin{tabular}" in bench("report", "--format", "tex")[1]
    assert bench("report", "--format", "csv")[1].startswith("method,model,task,seed,")
    assert bench("report", "--format", "")[1] == out


def test_report_writes_files_where_it_is_told(bench, tmp_path):
    put(Path("results"), scored(cell(), 0.875, TIMES))
    code, out, err = bench("report", "--format", "md,csv", "--to", "new/folder")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["wrote new/folder/report.md", "wrote new/folder/report.csv"]
    assert "87.5" in (tmp_path / "new" / "folder" / "report.md").read_text(encoding="utf-8")


def test_report_writes_the_page_the_plots_and_what_others_read(bench, tmp_path):
    for label in ("lora", "adapter"):
        runs = (scored(cell(label, seed=seed), 0.8 + seed / 100, TIMES) for seed in range(3))
        put(Path("results"), *runs)
    code, out, err = bench("report", "--format", "html,svg,peft,hub", "--to", "new")
    assert (code, err) == (0, "")
    told = [line.removeprefix("wrote ") for line in out.splitlines()]
    there = {str(p.relative_to(tmp_path)) for p in (tmp_path / "new").rglob("*") if p.is_file()}
    assert set(told) == there and len(told) == len(there)
    page = Path("new/report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and cell(seed=2).key in page
    assert len([name for name in told if name.endswith(".svg")]) >= 1
    assert len([name for name in told if name.startswith("new/peft/")]) == 6
    assert "new/hub/lora-minilm/.eval_results/sst2.yaml" in told


def test_page_of_a_suite_tells_how_to_run_its_rows_again(bench, tiny_folder):
    words = (*SMALL, "--models", str(tiny_folder), "--methods", "head")
    assert bench("run", *words)[0] == 0
    asked = [word for word in words if word not in ("--jobs", "1")]
    assert bench("report", *asked, "--format", "html", "--to", "new")[0] == 0
    page = Path("new/glue.html").read_text(encoding="utf-8")
    assert "python -m bench run --suite glue --profile quick" in page
    assert "--models DIR" in page and str(tiny_folder.parent) not in page
    assert "--set rows=12 --set dev_rows=6" in page and "--data sample" in page
    assert '"negative"' in page


def test_report_says_where_there_is_nothing_to_draw(bench):
    put(Path("results"), lost(cell(), "went wrong"))
    code, out, err = bench("report", "--format", "png", "--to", "new")
    assert (code, out, err) == (0, "no png: there is nothing to draw\n", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "peft"], "expected --to beside --format peft, which is files; got none"),
        (["--format", "md,png"], "expected --to beside --format png, which is files; got none"),
        (
            ["--format", "pdf", "--to", "x", "--published"],
            "expected --format md, tex, csv, html for --published, got pdf",
        ),
        (
            ["--format", "svg", "--to", "x", "--compare", "lora"],
            "expected --format md, tex, csv, html for --compare, got svg",
        ),
        (["--compare", "lora", "--published"], "expected --compare or --published, got both"),
        (["--table", "e2e", "--suite", "nlg"], "expected --table or --suite, got both"),
        (["--table", "e2f"], "no table named 'e2f'; did you mean 'e2e'?"),
    ],
)
def test_report_that_is_not_to_be_had_is_one_line(bench, words, told):
    put(Path("results"), scored(cell(), 0.875, TIMES))
    assert bench("report", *words) == (2, "", f"bench: {told}\n")
    assert not Path("x").exists()


def test_report_sets_our_numbers_beside_those_of_papers(bench):
    put(Path("results"), scored(cell(), 0.875, TIMES))
    code, out, err = bench("report", "--published")
    assert (code, err) == (0, "")
    assert "No published number stands beside minilm on sst2" in out
    assert bench("report", "--published", "--format", "html", "--to", "new")[0] == 0
    table = Path("new/report-published.html").read_text(encoding="utf-8")
    assert table.startswith("<section>") and "No published number stands beside minilm" in table
    assert bench("report", "--format", "html")[1].count("<table>") == 1


def test_table_of_the_paper_in_the_quick_profile_says_that_it_reproduces_nothing(
    bench, tiny_folder
):
    words = ("run", *SMALL, "--models", str(tiny_folder), "--methods", "head")
    assert bench(*words)[0] == 0
    code, out, err = bench("report", "--table", "glue-bert-base", "--data", "sample")
    assert (code, out) == (2, "")
    assert err == "bench: no records of suite 'glue-bert-base' as asked in results\n"


def test_results_of_peft_come_in_and_go_out(bench, tmp_path):
    put(Path("results"), scored(cell(), 0.875, TIMES))
    assert bench("report", "--format", "peft", "--to", "out")[0] == 0
    code, out, err = bench("import", "out/peft", "--store", "other")
    assert (code, err) == (0, "") and out.count("\n") == 1
    assert bench("report", "--store", "other")[1] == bench("report")[1]
    Path("broken.json").write_text("{")
    code, out, err = bench("import", "broken.json", "--store", "other")
    assert (code, out, err.count("\n")) == (2, "", 1) and "broken.json" in err


def test_adapter_of_a_finished_run_is_written(bench, tiny_folder):
    words = ("run", *SMALL, "--models", str(tiny_folder), "--methods", "lora[rank=2],head")
    assert bench(*words)[0] == 0
    found = {json.loads(p.read_text())["cell"]["label"]: p for p in Path().glob("results/*/*.json")}
    model = ("--model", str(tiny_folder))
    code, out, err = bench("export", str(found["lora[rank=2]"]), "--to", "adapter", *model)
    assert (code, err) == (0, "") and "PeftModel.from_pretrained" in out
    assert {path.name for path in Path("adapter").iterdir()} >= {"adapter_config.json"}
    code, out, err = bench("export", str(found["head"]), "--to", "no", *model)
    assert (code, out, err.count("\n")) == (2, "", 1) and "lora" in err


@pytest.mark.parametrize(
    ("to", "told"), [("file", "[Errno 17] File exists"), ("file/x", "[Errno 20] Not a directory")]
)
def test_report_that_cannot_be_written_is_one_line(bench, tmp_path, to, told):
    put(Path("results"), scored(cell(), 0.875, TIMES))
    (tmp_path / "file").write_text("")
    assert bench("report", "--to", to) == (2, "", f"bench: {told}: '{to}'\n")


def test_report_on_a_damaged_record_names_the_file(bench):
    put(Path("results"), scored(cell(), 0.875, TIMES))
    path = Path("results", cell().key, "record.json")
    path.write_text("[]")
    code, out, err = bench("report")
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {path} is not a record: expected a record of schema 1, got")
    assert err.count("\n") == 1


def test_run_leaves_records_prints_the_table_and_runs_nothing_twice(bench, tiny_folder, threads):
    words = ("run", *SMALL, "--models", str(tiny_folder), "--methods", "head,lora[rank=2]")
    code, out, err = bench(*words)
    assert code == 0
    opening, first, second = err.splitlines()
    assert opening == "glue: 2 cells, 0 done; data: a GENERATED SAMPLE, not the published rows"
    number = r"[0-9.]+"
    ended = rf"sst2, seed 0: accuracy {number} in {number} s"
    assert re.fullmatch(rf"\[1/2\] head on {ended}; about {number} s left", first)
    assert re.fullmatch(rf"\[2/2\] lora\[rank=2\] on {ended}", second)
    assert re.search(r"^\| lora\[rank=2\] ", out, re.MULTILINE)
    assert bench(*words) == (0, out, opening.replace("0 done", "2 done") + "\n")
    assert len(list(Path("results").iterdir())) == 2


def test_run_with_a_cell_that_is_not_ok_prints_the_table_and_exits_with_1(
    bench, tiny_folder, threads
):
    words = ("run", *SMALL, "--models", str(tiny_folder), "--methods", "head,lora[targets=zz]")
    code, out, err = bench(*words)
    assert code == 1
    assert "lora[targets=zz] on sst2, seed 0: skipped: " in err
    assert "has no place 'zz'" in out
    code, again, err = bench(*words)
    assert (code, again, len(err.splitlines())) == (1, out, 1)


def test_reproduce_needs_the_directory_of_a_model_of_no_known_name(bench, tiny_folder, threads):
    model = ("--model", str(tiny_folder))
    assert bench("run", *SMALL, "--models", model[1], "--methods", "head")[0] == 0
    (folder,) = Path("results").iterdir()
    words = ("reproduce", str(folder), "--data", "sample")
    code, out, err = bench(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "expected the directory of the model 'tiny@" in err
    identical = "identical: metrics, predictions and weights\n"
    assert bench(*words, *model) == (0, identical, "")


def test_run_again_by_force_runs_what_is_done(bench, tiny_folder, threads):
    words = ("run", *SMALL, "--models", str(tiny_folder), "--methods", "head")
    assert bench(*words)[0] == 0
    (path,) = Path("results").glob("*/record.json")
    before = path.stat().st_mtime_ns
    code, _, err = bench(*words, "--force")
    assert (code, len(err.splitlines())) == (0, 2)
    assert path.stat().st_mtime_ns > before


def test_interrupt_is_one_line_and_code_130(tmp_path):
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        waiting = subprocess.Popen(
            [sys.executable, "-c", begin + "from bench.cli import main; main()", *PLAN[:3]],
            env=os.environ
            | {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "no_proxy": "*", "BENCH_DATA": ""}
            | dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), ""),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(20)
        connection, _ = silent.accept()
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=20)
        connection.close()
    assert (waiting.returncode, out) == (130, "")
    assert err == "bench: stopped; the same command goes on from here\n"


def test_reader_that_leaves_early_gets_no_traceback(tmp_path):
    command = [sys.executable, "-m", "bench", *PLAN, "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as writer:
        writer.stdout.close()
        assert writer.stderr.read() == ""
    assert writer.returncode == 1
