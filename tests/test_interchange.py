"""Records in other projects' formats and back. Foreign results here are made up."""

import json
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import Record
from bench.store import Store
from reports.files import Files
from reports.interchange.foreign import DATA, import_peft, imported
from reports.interchange.hub import Benchmark, export_hub
from reports.interchange.peft import export_peft, exported, rows_seen
from reports.interchange.text import options, slug
from reports.material import Material, laid_out
from tests.records import COST, E2E, MRPC, SST2, WEBNLG, cell, lost, scored, small, text_cell

GLUE = {"sst2": Benchmark("nyu-mll/glue", "sst2"), "mrpc": Benchmark("nyu-mll/glue", "mrpc")}
TEXTS = {"e2e": Benchmark("tuetschek/e2e_nlg", "default"), "webnlg": Benchmark("x/web", "2017")}
HOSTILE = "../a: [b]\n- {c: !!python/object:os.system 1} 'd' \"e\" # ü\x07"
FOUND = {  # what a run tells of itself
    "precision": "bf16",
    "steps": 6,
    "train_loss": 0.25,
    "platform": "Linux x86_64",
    "device": "a processor",
    "versions": {"torch": "2.13.0", "transformers": "5.23.0", "datasets": "5.2.0"},
    "data": {"used": {"train": 32, "selection": 8, "dev": 20}, "caps": {"dev_rows": 20}},
}
SPENT = {**COST, "train_seconds": 12.5, "checkpoint_bytes": 748032, "peak_memory_bytes": 2048}


def material(*records: Record, columns=(SST2, MRPC)) -> Material:
    return Material("made-up", "Made up", laid_out(records, columns, "Made up", []), files=Files())


def run(**fields) -> Record:
    """A finished run of LoRA, one that tells all that runs tell."""
    made = scored(cell(recipe="adamw[batch=16,beta1=0.9,beta2=0.99,clip=none,lr=0.01]"), 0.75)
    return replace(made, cost=SPENT, where={**made.where, **FOUND}, primary="accuracy", **fields)


def foreign(**changes) -> dict:
    """A made-up result in the shape of theirs, its numbers no one's."""
    config = {"model_id": "made/up", "seed": 3, "optimizer_type": "AdamW", "dtype": "bfloat16"}
    made = {
        "run_info": {
            "created_at": "2001-02-03T04:05:06+00:00",
            "total_time": 99.5,
            "experiment_name": "lora/made-up-rank7",
            "peft_branch": "main",
            "train_config": {**config, "batch_size": 4, "optimizer_kwargs": {"lr": 0.1}},
            "peft_config": {"peft_type": "LORA", "r": 7, "target_modules": ["a", "b"]},
            "error_msg": "",
        },
        "train_info": {
            "accelerator_memory_reserved_avg": 10,
            "accelerator_memory_max": 12,
            "accelerator_memory_reserved_99th": 11,
            "train_time": 88.5,
            "file_size": 1234,
            "num_trainable_params": 777,
            "num_total_params": 99999,
            "status": "success",
            "metrics": [
                {"step": 5, "valid accuracy": 0.25, "train loss": 2.5, "train samples": 20},
                {"step": 9, "test accuracy": 0.125, "train loss": 1.5, "train samples": 36}
                | {"train total tokens": 500, "forgetting": 0.0625},
            ],
        },
        "meta_info": {
            "model_info": {"sha": "00", "created_at": None},
            "dataset_info": {"metamath": {"sha": "11"}, "gsm8k": {"sha": "22"}},
            "package_info": {"peft-version": "0.0.1", "peft-commit-hash": None},
            "system_info": {"system": "Linux", "machine": "x86_64", "accelerator": "a GPU"},
            "pytorch_info": "",
        },
    }
    for path, value in changes.items():
        *inside, last = path.split("__")
        part = made
        for name in inside:
            part = part[name]
        part[last] = value
    return made


def columns(row: dict) -> dict:
    """What processing.py of the method comparison takes from a file, as its format says."""
    run, train, meta = row["run_info"], row["train_info"], row["meta_info"]
    last, packages = train["metrics"][-1], meta["package_info"]
    peft = run["peft_config"]["peft_type"] if run["peft_config"] else "full-finetuning"
    names = ("accelerator_memory_reserved_avg", "accelerator_memory_max", "train_time", "file_size")
    return {
        "peft_type": peft,
        "experiment_name": run["experiment_name"],
        "model_id": run["train_config"]["model_id"],
        **{name: train[name] for name in (*names, "accelerator_memory_reserved_99th", "status")},
        **{name: last[name.replace("_", " ")] for name in ("test_accuracy", "train_loss")},
        **{name: last[name.replace("_", " ")] for name in ("train_samples", "train_total_tokens")},
        **{f"{n}_version": packages[f"{n}-version"] for n in ("peft", "transformers", "torch")},
        **{f"{n}_version": packages[f"{n}-version"] for n in ("datasets", "bitsandbytes")},
        **{name: run[name] for name in ("total_time", "peft_branch", "created_at", "train_config")},
        "system_info": meta["system_info"],
    }


def test_their_reader_finds_our_numbers():
    record = run()
    [(name, text)] = export_peft(material(record)).items()
    found = columns(json.loads(text))
    assert name == f"lora--minilm-sst2-seed0-{record.cell.key}.json"
    assert found["experiment_name"] == f"lora/minilm-sst2-seed0-{record.cell.key}"
    assert (found["peft_type"], found["model_id"], found["status"]) == ("LORA", "minilm", "success")
    assert (found["test_accuracy"], found["train_loss"], found["train_samples"]) == (0.75, 0.25, 96)
    assert (found["train_time"], found["file_size"]) == (12.5, 748032)
    assert (found["torch_version"], found["transformers_version"]) == ("2.13.0", "5.23.0")
    asked = found["train_config"]
    assert (asked["batch_size"], asked["optimizer_kwargs"]["lr"], asked["seed"]) == (16, 0.01, 0)
    assert asked["optimizer_kwargs"]["betas"] == [0.9, 0.99] and asked["grad_norm_clip"] is None
    assert asked["use_amp"] is True and asked["dtype"] == "float32" and asked["max_steps"] == 6
    system = found["system_info"]
    assert (system["processor"], system["accelerator"]) == ("a processor", None)
    unknown = ("accelerator_memory_max", "total_time", "peft_version", "created_at", "peft_branch")
    assert not any(found[name] for name in (*unknown, "train_total_tokens"))


def test_head_counts_among_what_trains_and_notes_say_so():
    made = exported(run())
    assert made["train_info"]["num_trainable_params"] == 147_456 + 770
    assert "head included" in made["peftbench"]["notes"][0]


@pytest.mark.parametrize(
    ("source", "field", "note"),
    [
        ("CUDA allocator", 2048, "peft's own is reserved"),
        ("resident set above the start", None, "2048 bytes, resident set above the start"),
        (None, None, "2048 bytes, the whole resident set of the process"),
    ],
)
def test_memory_stands_where_it_is_true(source, field, note):
    cost = {**SPENT, **({"memory_source": source} if source else {})}
    made = exported(replace(run(), cost=cost))
    assert made["train_info"]["accelerator_memory_max"] == field
    assert any(note in one for one in made["peftbench"]["notes"])
    accelerator = made["meta_info"]["system_info"]["accelerator"]
    assert (accelerator is None) == (field is None)


def test_dates_are_those_of_the_caller():
    record = run()
    dated = export_peft(material(record), {record.cell.key: "2001-02-03T04:05:06+00:00"})
    assert "2001-02-03" in json.loads(*dated.values())["run_info"]["created_at"]
    assert json.loads(*export_peft(material(record)).values())["run_info"]["created_at"] is None


@pytest.mark.parametrize(
    ("method", "peft_type", "config"),
    [
        ("lora[alpha=16.0,rank=8]", "LORA", {"r": 8, "lora_alpha": 16.0}),
        ("prefix[length=10,mlp=none]", "PREFIX_TUNING", {"num_virtual_tokens": 10}),
        ("adamix[inner=lora[rank=8]]", "ADAMIX", {}),
        ("full", "full-finetuning", {}),
    ],
)
def test_method_is_told_in_peft_s_words(method, peft_type, config):
    record = run()
    made = exported(replace(record, cell=replace(record.cell, method=method)))
    assert columns(made)["peft_type"] == peft_type
    assert config.items() <= (made["run_info"]["peft_config"] or {}).items()
    noted = any("peft has no method" in note for note in made["peftbench"]["notes"])
    assert noted == (peft_type == "ADAMIX")


@pytest.mark.parametrize(
    ("rows", "steps", "batch", "seen"),
    [
        (32, 4, 16, 64),
        (32, 3, 16, 48),
        (30, 4, 16, 60),
        (30, 3, 16, None),
        (None, 3, 16, None),
        (30, 0, 16, None),
    ],
)
def test_rows_seen_are_counted_where_they_can_be(rows, steps, batch, seen):
    where = {"steps": steps, "data": {"used": {"train": rows}}}
    made = cell(recipe=f"adamw[batch={batch}]")
    assert rows_seen(Record(made, "ok", where=where)) == seen


def test_every_record_comes_back_unchanged():
    records = [
        *small(),
        lost(cell("adapter", "sst2", 2), "does not suit", "skipped"),
        replace(run(), cell=replace(run().cell, label="other", seed=5, parents=("0" * 12,))),
        scored(
            text_cell("lora", "e2e"), {"BLEU": 0.1 + 0.2, "METEOR": None}, lacks={"METEOR": "x"}
        ),
    ]
    made = export_peft(material(*records, columns=(SST2, MRPC, E2E)))
    back = {record.cell.key: record for record in map(import_peft, made.values())}
    assert len(made) == len(records) == len(back)
    for record in records:
        assert back[record.cell.key].to_json() == record.to_json()
        assert back[record.cell.key] == record


def test_lost_runs_say_why():
    made = exported(lost(cell(), "out of memory"))
    assert made["run_info"]["error_msg"] == "out of memory"
    assert (made["train_info"]["status"], made["train_info"]["metrics"]) == ("failed", [])
    skipped = exported(lost(cell(), "unsuited", "skipped"))
    assert skipped["train_info"]["status"] == "canceled"


def test_file_names_stay_in_their_folder():
    record = run()
    record = replace(record, cell=replace(record.cell, label=HOSTILE, model=f"local/{HOSTILE}"))
    [name] = export_peft(material(record))
    assert name == slug(name) and len(name) < 255
    assert slug("...") == slug("") == "unnamed" and slug("../../etc") == "etc"


def test_foreign_result_becomes_a_record():
    record = import_peft(json.dumps(foreign()))
    assert (record.cell.label, record.cell.task, record.cell.model) == (
        "lora/made-up-rank7",
        "metamathqa",
        "made/up",
    )
    assert (record.cell.data, record.cell.seed, record.status) == (DATA, 3, "ok")
    assert record.cell.method.startswith("lora[r=7,settings=")
    assert record.cell.recipe.startswith("adamw[batch_size=4,settings=")
    assert record.primary == "accuracy"
    assert record.metrics == {"accuracy": 0.125, "forgetting": 0.0625}
    assert record.cost == {
        "trained_params": 777,
        "train_seconds": 88.5,
        "checkpoint_bytes": 1234,
        "peak_memory_bytes": 12,
        "memory_source": "CUDA allocator",
    }
    where = record.where
    assert (where["device"], where["steps"], where["train_loss"]) == ("a GPU", 9, 1.5)
    assert (where["versions"], where["train_tokens"]) == ({"peft": "0.0.1"}, 500)
    assert where["selection"].startswith("last") and where["selection_scores"] == [0.25]
    assert (where["total_params"], where["total_seconds"]) == (99999, 99.5)
    assert where["created_at"].startswith("2001") and where["peft_config"]["r"] == 7


def test_seeds_of_one_experiment_differ_in_the_seed_alone():
    one = import_peft(json.dumps(foreign())).cell
    two = import_peft(json.dumps(foreign(run_info__train_config__seed=4))).cell
    other = import_peft(json.dumps(foreign(run_info__peft_config__target_modules=["a"]))).cell
    assert replace(one, seed=4) == two and one.key != two.key
    assert other.method != one.method and replace(other, method=one.method) == one


def test_older_names_of_memory_and_device_are_read():
    made = foreign()
    train, system = made["train_info"], made["meta_info"]["system_info"]
    train["cuda_memory_max"] = train.pop("accelerator_memory_max")
    system["gpu"] = system.pop("accelerator")
    record = import_peft(json.dumps(made))
    assert (record.cost["peak_memory_bytes"], record.where["device"]) == (12, "a GPU")


def test_full_fine_tuning_has_no_peft_configuration():
    record = import_peft(json.dumps(foreign(run_info__peft_config=None)))
    assert record.cell.method.startswith("full-finetuning[")


def test_what_is_not_finite_has_no_value():
    text = json.dumps(foreign()).replace("0.0625", "NaN").replace("0.125", "1e999")
    assert import_peft(text).metrics == {"accuracy": None, "forgetting": None}


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_foreign_failure_is_a_failed_record(status):
    changes = {"train_info__status": status, "run_info__error_msg": "out of\nmemory"}
    record = import_peft(json.dumps(foreign(**changes, train_info__metrics=[])))
    assert (record.status, record.reason, record.metrics) == ("failed", "out of memory", {})
    silent = foreign(train_info__status=status)
    assert import_peft(json.dumps(silent)).reason == f"status {status}"


@pytest.mark.parametrize(
    ("folder", "changes", "task"),
    [
        ("method_comparison/Made-Up/results", {}, "made-up"),
        ("elsewhere/Made-Up/results", {}, "metamathqa"),
        ("", {"run_info__train_config__dataset_id": "owner/Cats"}, "cats"),
        ("", {"meta_info__dataset_info": {}}, DATA),
    ],
)
def test_task_is_that_of_the_suite(tmp_path, folder, changes, task):
    path = tmp_path / folder / "x.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(foreign(**changes)), encoding="utf-8")
    assert import_peft(path).cell.task == task


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a result file in JSON"),
        ("[1]", "expected a result file with run_info, train_info, meta_info, got a list"),
        ("{}", "expected an object 'run_info' in the result file, got none"),
        (foreign(meta_info=3), "'meta_info' in the result file, got a number"),
        (foreign(run_info__experiment_name=None), "a text 'experiment_name' .*, got null"),
        (foreign(run_info__train_config__seed=True), "whole number 'seed' .*, got true"),
        (foreign(run_info__train_config__seed=1.5), "whole number 'seed' .*, got a number"),
        (foreign(run_info__peft_config=[1]), "peft_config in run_info as an object or null"),
        (foreign(run_info__peft_config={"r": 1}), "a text 'peft_type' in the peft_config"),
        (foreign(train_info__metrics=[]), "a list of metrics in train_info"),
        (foreign(train_info__metrics=[{"valid accuracy": 1}]), "with a test score, got none"),
        (foreign(peftbench=3), "expected a record under 'peftbench', got NoneType"),
        (foreign(peftbench={"record": {"cell": {}, "schema": 1}}), "expected a key 'parents'"),
        (foreign(run_info__experiment_name="\ud800"), "half a character"),
        ("[" * 100_000, "nested too deep|in JSON"),
    ],
)
def test_wrong_file_is_told_in_one_line(text, message):
    text = text if isinstance(text, str) else json.dumps(text)
    with pytest.raises(ValueError, match=message) as error:
        import_peft(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"metrics": {"accuracy": "high"}},
        {"metrics": {"accuracy": True}},
        {"metrics": []},
        {"reason": None},
        {"cell": {"seed": "0"}},
        {"cell": {"method": 3}},
        {"cell": {"parents": [3]}},
        {"cell": {"surplus": 3}},
        {"schema": 2},
        {"surplus": 3},
    ],
)
def test_damaged_record_of_ours_is_refused(change):
    made = exported(run())
    record = made["peftbench"]["record"]
    record["cell"] |= change.pop("cell", {})
    record |= change
    with pytest.raises(ValueError, match=r"expected|unexpected"):
        import_peft(json.dumps(made))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
WHOLE = [foreign(), exported(run())]


def paths(made, here=()):
    """Every place in nested objects and lists."""
    pairs = made.items() if isinstance(made, dict) else enumerate(made)
    for name, value in pairs if isinstance(made, dict | list) else ():
        yield (*here, name)
        if isinstance(value, dict | list):
            yield from paths(value, (*here, name))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_file_is_a_record_or_a_value_error(data):
    made = json.loads(json.dumps(data.draw(st.sampled_from(WHOLE))))
    part = made
    *inside, last = data.draw(st.sampled_from(sorted(paths(made), key=str)))
    for name in inside:
        part = part[name]
    if data.draw(st.booleans()):
        part[last] = data.draw(JUNK)
    else:
        del part[last]
    try:
        record = import_peft(json.dumps(made))
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert Record.from_json(record.to_json()) == record


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_text_cut_or_changed_anywhere_is_a_record_or_a_value_error(data):
    text = json.dumps(data.draw(st.sampled_from(WHOLE)))
    at = data.draw(st.integers(0, len(text) - 1))
    for damaged in (text[:at] + data.draw(st.text(max_size=2)) + text[at + 1 :], text[:at]):
        try:
            record = import_peft(damaged)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert Record.from_json(record.to_json()) == record


def test_number_too_large_for_a_float_is_no_score():
    made = foreign(train_info__train_time=10**400)
    made["train_info"]["metrics"][-1]["test accuracy"] = 10**400
    record = import_peft(json.dumps(made))
    assert "train_seconds" not in record.cost and "accuracy" not in record.metrics


def test_results_go_in_a_store_once(tmp_path):
    store, folder = Store(tmp_path / "store"), tmp_path / "theirs"
    folder.mkdir()
    for seed in (3, 4):
        text = json.dumps(foreign(run_info__train_config__seed=seed))
        (folder / f"{seed}.json").write_text(text, encoding="utf-8")
    (folder / "notes.txt").write_text("none of these", encoding="utf-8")
    lines = list(imported([folder], store))
    assert len(lines) == 2 and all(", ok" in line for line in lines)
    assert sorted(r.cell.seed for r in store.records()) == [3, 4]
    assert list(imported([folder / "3.json"], store)) == lines[:1]
    made = foreign(train_info__train_time=1.0)
    (folder / "3.json").write_text(json.dumps(made), encoding="utf-8")
    with pytest.raises(ValueError, match=r"3\.json: expected a store without the cell"):
        list(imported([folder], store))


def test_nothing_is_written_where_one_file_is_wrong(tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(foreign()), encoding="utf-8")
    bad.write_bytes(b"\xff\xfe")
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"bad\.json: expected a result file in UTF-8"):
        list(imported([good, bad], store))
    again = tmp_path / "again.json"
    again.write_text(json.dumps(foreign(train_info__train_time=1.0)), encoding="utf-8")
    with pytest.raises(ValueError, match="are two results of one run"):
        list(imported([good, again], store))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folders without"):
        list(imported([tmp_path / "empty"], store))
    assert not list(store.records())


def test_run_in_the_store_is_not_replaced_by_its_own_export(tmp_path):
    store, record = Store(tmp_path / "store"), run()
    with store.writing(record.cell) as folder:
        (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
        (folder / "weights.safetensors").write_bytes(b"x")
    path = tmp_path / "own.json"
    path.write_text(*export_peft(material(record)).values(), encoding="utf-8")
    assert len(list(imported([path], store))) == 1
    assert (store.folder(record.cell) / "weights.safetensors").exists()


def test_report_shows_foreign_results_apart_from_ours(tmp_path, bench):
    store = Store(tmp_path / "store")
    (tmp_path / "x.json").write_text(json.dumps(foreign()), encoding="utf-8")
    list(imported([tmp_path / "x.json"], store))
    with store.writing(run().cell) as folder:
        (folder / "record.json").write_text(run().to_json(), encoding="utf-8")
    code, out, _ = bench("report", "--store", str(tmp_path / "store"))
    tables = [part for part in out.split("###") if "|" in part]
    assert code == 0 and len(tables) == 2
    [theirs] = [table for table in tables if "lora/made-up-rank7" in table]
    assert "made/up" in theirs and "12.5" in theirs and "sst2" not in theirs.lower()


def test_hub_entry_is_the_mean_over_seeds_with_what_to_know():
    made = export_hub(material(*small()), GLUE)
    assert sorted(made) == [
        f"{method}-minilm/.eval_results/{task}.yaml"
        for method in ("adapter", "lora")
        for task in ("mrpc", "sst2")
    ]
    [entry] = yaml.safe_load(made["lora-minilm/.eval_results/sst2.yaml"])
    assert entry["dataset"] == {"id": "nyu-mll/glue", "task_id": "sst2"}
    assert entry["value"] == pytest.approx(100 * (0.91 + 0.93) / 2, abs=1e-12)
    notes = entry["notes"]
    assert notes.startswith("accuracy, times 100") and "Mean over seeds 0, 1." in notes
    assert 'Selection "last"' in notes and "lora[rank=8]" in notes and "Hugging Face hub" in notes
    [half] = yaml.safe_load(made["adapter-minilm/.eval_results/mrpc.yaml"])
    assert half["value"] == 89 and "One run, seed 0; 1 more without a result" in half["notes"]
    [both] = yaml.safe_load(made["lora-minilm/.eval_results/mrpc.yaml"])
    assert both["value"] == 88 and "Beside it: F1 of the positive class, times 100: 91" in str(both)


def test_hub_s_own_reader_and_writer_agree():
    for text in export_hub(material(run()), GLUE).values():
        read = yaml.safe_load(text)
        [entry] = parse_eval_result_entries(read)
        assert entry == EvalResultEntry("nyu-mll/glue", "sst2", 75.0, notes=read[0]["notes"])
        assert eval_result_entries_to_yaml([entry]) == read


def test_capped_partial_and_peeking_results_say_so_on_the_hub():
    data = {"caps": {"rows": 32, "dev_rows": 20}, "partial": ["dev has 20 rows, official 872"]}
    made = run()
    where = {**made.where, "data": {**FOUND["data"], **data}, "selection": "dev: optimistic"}
    [text] = export_hub(material(replace(made, where=where)), GLUE).values()
    [entry] = yaml.safe_load(text)
    for told in ("trained on at most 32 rows; scored on at most 20", "Partial data: dev has 20"):
        assert told in entry["notes"]
    assert 'Selection "dev"' in entry["notes"] and "on the split dev." in entry["notes"]


def test_texts_have_one_entry_with_their_first_metric():
    one = scored(text_cell(), {"BLEU": 0.5, "NIST": 6.5, "METEOR": None, "ROUGE_L": 1, "CIDEr": 2})
    two = scored(text_cell(task="webnlg"), {**dict.fromkeys(WEBNLG.shown, 0.25), "BLEU": 0.375})
    made = export_hub(material(one, replace(two, primary="BLEU"), columns=(E2E, WEBNLG)), TEXTS)
    assert sorted(made) == [
        "lora-gpt2-mini/.eval_results/e2e.yaml",
        "lora-gpt2-mini/.eval_results/webnlg.yaml",
    ]
    values = [yaml.safe_load(text)[0] for _, text in sorted(made.items())]
    assert [entry["value"] for entry in values] == [50, 0.375]
    assert "NIST" not in values[0]["notes"].partition("Beside it")[0]
    assert "matches of up to 5-grams, rare ones weighing more: 6.5" in values[0]["notes"]
    assert "METEOR" not in values[0]["notes"]
    assert values[1]["dataset"] == {"id": "x/web", "task_id": "2017"}


def test_method_without_a_score_has_no_entry():
    undefined = scored(cell(seed=1), {"accuracy": None})
    assert export_hub(material(lost(cell(), "no")), GLUE) == {}
    assert export_hub(material(scored(cell(), 0.5), undefined), GLUE) == {}


def test_hub_refuses_what_is_no_result_of_a_benchmark():
    made_up = scored(cell(data="sample@1"), 0.9)
    with pytest.raises(
        ValueError, match=r"expected results on published rows, got generated .*sst2"
    ):
        export_hub(material(made_up), GLUE)
    with pytest.raises(ValueError, match="no data set of the hub for the task named 'mrpc'"):
        export_hub(
            material(scored(cell(task="mrpc"), {"accuracy": 1, "f1": 1})), {"sst2": GLUE["sst2"]}
        )
    twice = [replace(run(), cell=replace(run().cell, data=data)) for data in ("files@0", "files@1")]
    parts = [part for record in twice for part in laid_out([record], [SST2], "", [])]
    with pytest.raises(ValueError, match=r"expected one result of 'lora' on 'sst2' .*got two"):
        export_hub(Material("x", "X", tuple(parts)), GLUE)


def test_hostile_texts_stay_data_on_the_hub():
    record = run()
    hostile = replace(record.cell, label=HOSTILE, method=HOSTILE)
    where = {**record.where, "selection": HOSTILE}
    [(name, text)] = export_hub(material(replace(record, cell=hostile, where=where)), GLUE).items()
    [entry] = yaml.safe_load(text)
    assert set(entry) == {"dataset", "value", "notes"} and entry["value"] == 75
    assert HOSTILE in entry["notes"]
    assert name.count("/") == 2 and ".." not in name and name.endswith("/.eval_results/sst2.yaml")


def test_options_are_read_from_a_text():
    text = "adamix[experts=4,init=copies,inner=lora[alpha=16.0,targets=q+v],share=none,x=true]"
    assert options(text) == {
        "experts": 4,
        "init": "copies",
        "inner": "lora",
        "alpha": 16.0,
        "targets": "q+v",
        "share": None,
        "x": True,
    }
