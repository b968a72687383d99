from dataclasses import replace

import pytest

from bench import spec
from bench.desk import Plan
from bench.plan import jobs, plan
from bench.recipe import recipe
from bench.record import Record
from bench.reporting import of_plan, of_store, text
from bench.store import Store
from bench.suite import Profile, Rule, Suite, request
from bench.weights import known
from tasks import task
from tasks.sources import Source

SAMPLE, NOWHERE = Source("sample"), Store("nowhere")
COST = {"train_seconds": 2.0, "eval_seconds": 0.5}


def asked(profile=None, **given):
    chosen = {"models": ["minilm"], "seeds": [0], **(profile or {})}
    suite = Suite(
        name="small",
        title="A small suite",
        methods=["head", "lora"],
        tasks=["rte"],
        profiles={"quick": Profile(**chosen)},
    )
    return request(suite, **given)


def cells(source=SAMPLE, profile=None, **given):
    return [job.cell for job in jobs(asked(profile, **given), source, NOWHERE)]


def cell(**given):
    (only,) = cells(**{"methods": ["lora"], **given})
    return only


def put(store, asked_for, status="ok", seconds=True):
    record = Record(
        asked_for,
        status,
        reason="" if status == "ok" else "for a reason",
        primary="accuracy",
        metrics={"accuracy": 0.5} if status == "ok" else {},
        cost=COST if seconds and status == "ok" else {},
    )
    with store.writing(asked_for) as folder:
        (folder / "record.json").write_text(record.to_json())


def refused(**given):
    with pytest.raises(ValueError) as error:
        cells(**given)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_plan_goes_by_model_then_task_then_seed_then_method():
    found = cells(
        models=["roberta-large", "minilm"], tasks=["rte", "cola"], seeds=[1, 0], methods=["lora"]
    )
    assert [(c.model, c.task[:3], c.seed) for c in found] == [
        (model, name, seed)
        for model in ("roberta-large", "minilm")
        for name in ("rte", "col")
        for seed in (1, 0)
    ]
    assert [c.label for c in cells(methods=["lora", "head", "full"])] == ["lora", "head", "full"]


def test_plan_spells_out_method_task_and_recipe():
    planned = cell(sets={"rows": "5", "lr": "1e-3"})
    assert planned.method == "lora[alpha=16.0,dropout=0.0,rank=8,targets=q+v]"
    assert planned.task == "rte[dev_rows=none,rows=5]"
    assert recipe(planned.recipe).lr == 1e-3
    assert (planned.seed, planned.data, planned.label) == (0, task["rte"]().stamp(SAMPLE), "lora")


def test_plan_has_each_cell_once_under_the_label_typed_first():
    found = cells(methods=["lora", "lora[rank=8]", "lora"], tasks=["rte", "rte"], seeds=[0, 0])
    assert [c.label for c in found] == ["lora"]


def test_cells_of_a_seed_do_not_depend_on_the_others():
    rows = {"methods": ["lora", "lora[rank=4]", "soup[of=lora,count=3]"], "tasks": ["rte", "cola"]}
    profile = {"rules": [Rule(method="soup", task="cola"), Rule(task="cola", recipe={"lr": 1})]}
    together = cells(profile=profile, seeds=[2, 1], **rows)
    alone = [cells(profile=profile, seeds=[seed], **rows) for seed in (2, 1)]
    expected = {(c.key, c.seed, c.label) for some in alone for c in some}
    assert {(c.key, c.seed, c.label) for c in together} == expected
    assert len(together) == len(expected) == 2 * 2 * (2 + 2 + 1)


def test_equal_numbers_of_different_types_are_each_checked():
    assert recipe(cell(sets={"order": "1"}).recipe).order == 1
    for value in (1.5, "1.5"):
        with pytest.raises(ValueError, match="recipe 'adamw', order"):
            cell(profile={"recipe": {"order": value}})
    assert cell(profile={"recipe": {"clip": 1}}) == cell(profile={"recipe": {"clip": 1.0}})


def test_set_reaches_the_recipe_or_the_task():
    sets = {"epochs": "7", "select": "best", "dropout": "none", "rows": "64", "dev_rows": "none"}
    planned = cell(profile={"recipe": {"dropout": 0.0}}, sets=sets)
    used = recipe(planned.recipe)
    assert (used.epochs, used.select, used.dropout) == (7, "best", None)
    assert planned.task == "rte[dev_rows=none,rows=64]"


def test_set_overrides_rules_and_what_was_typed_with_the_task():
    rule = Rule(recipe={"lr": 1.0}, options={"rows": 9, "dev_rows": 9})
    planned = cell(profile={"rules": [rule]}, tasks=["rte[rows=7]"], sets={"lr": "2"})
    assert (recipe(planned.recipe).lr, planned.task) == (2, "rte[dev_rows=9,rows=7]")
    planned = cell(profile={"rules": [rule]}, tasks=["rte[rows=7]"], sets={"rows": "5"})
    assert planned.task == "rte[dev_rows=9,rows=5]"


def test_rule_about_a_method_or_task_holds_with_options():
    rules = [Rule(method="lora", recipe={"lr": 1.0}), Rule(task="rte", options={"rows": 9})]
    planned = cell(profile={"rules": rules}, methods=["lora[rank=4]"], tasks=["rte[dev_rows=5]"])
    assert (recipe(planned.recipe).lr, planned.task) == (1, "rte[dev_rows=5,rows=9]")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sets": {"rws": "5"}}, "no setting named 'rws'; did you mean 'rows'?"),
        ({"sets": {"epoch": "5"}}, "no setting named 'epoch'; did you mean 'epochs'?"),
        ({"sets": {"rows": "x"}}, "task 'rte', rows: expected a valid integer, got 'x'"),
        ({"sets": {"lr": "fast"}}, "recipe 'adamw', lr: expected a valid number, got 'fast'"),
        ({"methods": ["lorra"]}, "no method named 'lorra'; did you mean 'lora'?"),
        ({"tasks": ["mnly"]}, "no task named 'mnly'; did you mean 'mnli'?"),
        ({"tasks": ["rte[row=5]"]}, "no option of task 'rte' named 'row'; did you mean 'rows'?"),
        ({"models": ["minilmm"]}, "no model named 'minilmm'; did you mean 'minilm'?"),
        (
            {"profile": {"recipe": {"lrr": 1}}},
            "no option of recipe 'adamw' named 'lrr'; did you mean 'lr'?",
        ),
        (
            {"profile": {"options": {"row": 1}}},
            "no option of task 'rte' named 'row'; did you mean 'rows'?",
        ),
    ],
)
def test_wrong_request_is_told_with_the_nearest_choice(given, told):
    assert refused(**given) == told


def test_key_depends_on_options_and_not_on_labels():
    assert cell(methods=["lora[rank=8]"]).key == cell().key
    assert cell(methods=["lora[ rank = 8 , alpha=16]"]).key == cell().key
    assert cell(sets={"epochs": "20"}).key == cell().key
    assert cell(tasks=["rte[rows=5]"]).key == cell(sets={"rows": "5"}).key
    others = [cell(methods=["lora[rank=4]"]), cell(sets={"rows": "5"}), cell(sets={"lr": "1"})]
    others += [cell(seeds=[1]), cell(tasks=["cola"]), cell(models=["roberta-large"]), cell()]
    assert len({other.key for other in others}) == 7


def test_key_changes_with_the_rows_in_the_files(tmp_path):
    def key():
        return cell(source=Source("files", tmp_path)).key

    keys = [cell().key, cell(source=Source("hub")).key, key()]
    (tmp_path / "glue" / "RTE").mkdir(parents=True)
    for told in ("one", "another"):
        (tmp_path / "glue" / "RTE" / "train.tsv").write_text(told)
        keys.append(key())
    (tmp_path / "glue" / "unrelated").write_text("")
    assert len(set(keys)) == 5
    assert key() == keys[-1]


def test_version_is_that_of_the_method_and_of_the_task(monkeypatch):
    before = cell()
    monkeypatch.setattr(task["rte"], "version", 7)
    assert (before.version, cell().version) == ("1.1", "1.7")
    assert before.key != cell().key


@pytest.mark.parametrize(
    ("status", "todo"), [("ok", False), ("skipped", False), ("failed", True), (None, True)]
)
def test_todo_is_what_has_no_record_or_failed(tmp_path, status, todo):
    asked_for = jobs(asked(methods=["lora"]), SAMPLE, NOWHERE)
    if status:
        put(Store(tmp_path), asked_for[0].cell, status)
    (planned,) = plan(asked_for, Store(tmp_path))
    assert planned.todo is todo
    assert (planned.done and planned.done.status) == status


def test_planned_seconds_are_those_of_a_like_cell(tmp_path):
    put(Store(tmp_path), cell(seeds=[0]))
    put(Store(tmp_path), cell(seeds=[1], methods=["head"]), "failed")
    found = plan(jobs(asked(seeds=[2]), SAMPLE, NOWHERE), Store(tmp_path))
    assert [(p.job.cell.label, p.done, p.seconds) for p in found] == [
        ("head", None, None),
        ("lora", None, 2.5),
    ]


def test_record_without_times_plans_too(tmp_path):
    put(Store(tmp_path), cell(), seconds=False)
    (planned,) = plan(jobs(asked(methods=["lora"]), SAMPLE, NOWHERE), Store(tmp_path))
    assert (planned.todo, planned.seconds) == (False, None)


@pytest.mark.parametrize(
    ("source", "sets", "passes"),
    [
        ("hub", {"epochs": "3"}, 3 * 2490),
        ("hub", {"epochs": "3", "rows": "100"}, 300),
        ("hub", {"epochs": "3", "rows": "9999"}, 3 * 2490),
        ("hub", {"epochs": "0.25", "rows": "10"}, 3),
        ("hub", {"epochs": "3", "rows": "10", "times": "2"}, 60),
        ("hub", {"steps": "7", "batch": "4", "rows": "10"}, 28),
        ("hub", {"steps": "7", "batch": "4", "times": "2"}, 56),
        ("sample", {"epochs": "3", "rows": "100"}, 300),
        ("sample", {"epochs": "3"}, None),
        ("sample", {"steps": "7", "batch": "4"}, 28),
    ],
)
def test_row_passes_are_rows_times_epochs_or_batch_times_steps(tmp_path, source, sets, passes):
    asked_for = jobs(asked(methods=["lora"], sets=sets), Source(source), NOWHERE)
    found = plan(asked_for, Store(tmp_path))
    assert [planned.row_passes for planned in found] == [passes]


def test_desk_counts_what_is_done(tmp_path):
    store = Store(tmp_path)
    put(store, cell())
    put(store, cell(methods=["head"]), "failed")
    desk = Plan(asked(methods=["lora", "head", "full"]), SAMPLE, store)
    assert desk.opening(force=False).startswith("small: 3 cells, 1 done; data: a GENERATED")
    assert desk.opening(force=True).startswith("small: 3 cells, 0 done; ")
    assert (
        Plan(asked(methods=["lora"]), SAMPLE, store).opening(force=False)[:14] == "small: 1 cell,"
    )
    assert [(row["status"], row["reason"]) for row in desk.rows()] == [
        ("ok", ""),
        ("failed", "for a reason"),
        ("todo", ""),
    ]


def test_desk_reports_records_under_the_labels_typed_now(tmp_path):
    store = Store(tmp_path)
    put(store, replace(cell(), label="as it was typed then"))
    table = text(
        of_plan(Plan(asked(methods=["lora[rank=8]", "lora", "full"]), SAMPLE, store)), "csv"
    )
    assert [line.split(",")[0] for line in table.splitlines()] == ["method", "lora[rank=8]"]


def test_desk_reports_a_row_for_each_method_that_is_planned(tmp_path):
    put(Store(tmp_path), cell())
    asking = asked(methods=["lora[rank=8]", "lora", "full"])
    table = text(of_plan(Plan(asking, SAMPLE, Store(tmp_path))), "md")
    _, _, *rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    assert [row.strip() for row in rows] == ["lora[rank=8]", "full"]


def test_desk_without_records_says_so(tmp_path):
    store = Store(tmp_path / "none")
    with pytest.raises(ValueError, match=r"^no records of suite 'small' as asked in /.*/none$"):
        text(of_plan(Plan(asked(), SAMPLE, store)), "md")
    with pytest.raises(ValueError, match=r"^no records in /.*/none$"):
        text(of_store(store), "md")


def test_everything_shows_records_of_methods_that_are_not_known(tmp_path):
    put(Store(tmp_path), replace(cell(), method="gone[x=1]", label="gone"))
    put(Store(tmp_path), cell())
    table = text(of_store(Store(tmp_path)), "csv")
    assert [line.split(",")[0] for line in table.splitlines()] == ["method", "gone", "lora"]


def test_everything_shows_records_of_tasks_that_are_not_known(tmp_path):
    put(Store(tmp_path), replace(cell(), task="rtee[rows=5]"))
    assert "| rtee Acc |" in text(of_store(Store(tmp_path)), "md")


def test_every_cell_can_be_typed_back_in():
    for planned in cells(methods=["lora[rank=4]", "adamix-lora"], sets={"rows": "5"}):
        again = cell(methods=[planned.method], tasks=[planned.task])
        assert (again.method, again.task) == (planned.method, planned.task)
        assert spec.text(recipe(planned.recipe)) == planned.recipe


def made(store=NOWHERE, source=SAMPLE, profile=None, **given):
    asking = asked(profile, **{"models": ["gpt2-mini"], "methods": ["lora"], **given})
    return jobs(asking, source, store)


def without(parent):
    return spec.build(task, parent.cell.task).without


def test_model_without_files_is_made_once_for_each_task_whatever_the_method_and_seed():
    found = made(tasks=["e2e", "webnlg"], methods=["head", "lora"], seeds=[0, 1])
    parents, children = [found[0], found[5]], [*found[1:5], *found[6:]]
    assert [job.weights.fresh for job in found] == [job in parents for job in found]
    assert [without(parent) for parent in parents] == [("e2e",), ("webnlg",)]
    assert [job.cell.parents for job in children] == [
        (parent.cell.key,) for parent in parents for _ in range(4)
    ]
    assert {(p.cell.method, p.cell.seed, p.cell.parents) for p in parents} == {("full", 0, ())}


def test_model_for_classification_is_made_once_from_the_whole_corpus():
    parent, *children = made(tasks=["rte", "cola"])
    assert without(parent) is None
    assert [job.cell.parents for job in children] == [(parent.cell.key,)] * 2


def test_child_takes_the_model_from_the_folder_of_its_parent(tmp_path):
    parent, child = made(Store(tmp_path / "store"))
    place = tmp_path / "store" / parent.cell.key / "model"
    assert (child.weights.location, child.weights.name) == (str(place), "gpt2-mini")
    assert not child.weights.fresh and child.weights.known == parent.weights.known


def test_unfinished_state_of_a_cell_is_beside_it_in_the_store(tmp_path):
    parent, child = made(Store(tmp_path))
    assert parent.part == tmp_path / f".part-{parent.cell.key}"
    assert child.part == tmp_path / f".part-{child.cell.key}"


def test_model_with_files_has_no_parent():
    assert [job.cell.parents for job in made(models=["minilm"])] == [()]


def test_profile_and_set_say_how_a_model_is_made():
    profile = {"recipe": {"lr": 9.0}, "options": {"rows": 7}}
    profile["pretrain"] = {"recipe": {"steps": 5, "lr": 0.5}, "options": {"rows": 99}}
    parent, child = made(profile=profile, sets={"pretrain.lr": "0.25", "batch": "3"})
    used = recipe(parent.cell.recipe)
    assert (used.lr, used.steps, used.batch) == (0.25, 5, 32)
    assert spec.build(task, parent.cell.task).rows == 99
    assert (recipe(child.cell.recipe).lr, recipe(child.cell.recipe).batch) == (9.0, 3)
    assert child.cell.task == "rte[dev_rows=none,rows=7]"


def test_tasks_that_the_corpus_lacks_already_stay_out():
    profile = {"pretrain": {"options": {"without": "dart"}}}
    parent, _ = made(profile=profile, tasks=["e2e"])
    assert without(parent) == ("dart", "e2e")


def test_setting_about_making_a_model_needs_one_that_is_made():
    with pytest.raises(ValueError, match=r"no setting named 'pretrain.lr'"):
        made(models=["minilm"], sets={"pretrain.lr": "1"})
    with pytest.raises(ValueError, match=r"'pretrain.stps'; did you mean 'pretrain.steps'"):
        made(sets={"pretrain.stps": "1"})


def test_child_is_another_cell_where_its_model_is_made_otherwise(monkeypatch):
    _, before = made()
    _, other = made(sets={"pretrain.lr": "0.25"})
    monkeypatch.setitem(known(), "gpt2-mini", {**known()["gpt2-mini"], "n_layer": 2})
    _, small = made()
    assert len({before.cell.key, other.cell.key, small.cell.key}) == 3


def test_options_that_a_rule_gives_a_method_give_way_to_what_is_typed():
    rule = Rule(method="lora", task="rte", method_options={"dropout": 0.1, "rank": 2})
    asking = {"profile": {"rules": [rule]}, "tasks": ["rte", "cola"]}
    found = cells(methods=["lora[rank=4]"], **asking)
    assert [(c.method, c.label) for c in found] == [
        ("lora[alpha=16.0,dropout=0.1,rank=4,targets=q+v]", "lora[rank=4]"),
        ("lora[alpha=16.0,dropout=0.0,rank=4,targets=q+v]", "lora[rank=4]"),
    ]
    inner = Rule(method_options={"inner": "lora[rank=2]"})
    assert (
        "inner=lora[alpha=16.0,dropout=0.0,rank=2"
        in cell(methods=["adamix-lora"], profile={"rules": [inner]}).method
    )


def desk(store, **given):
    return Plan(asked(**{"models": ["gpt2-mini"], "methods": ["lora"], **given}), SAMPLE, store)


def test_parent_is_planned_and_no_row_of_the_table(tmp_path):
    store = Store(tmp_path)
    parent, child = (job.cell for job in made(store))
    put(store, parent)
    put(store, child)
    asking = desk(store)
    assert [row["cell"].split()[1] for row in asking.rows()] == ["corpus", "rte"]
    assert [record.cell for record in asking.records()] == [child]
    for table in (text(of_plan(asking), "csv"), text(of_store(store), "csv")):
        assert "pretraining" not in table and "corpus" not in table and "lora" in table


def test_parent_alone_is_no_table(tmp_path):
    put(Store(tmp_path), made(Store(tmp_path))[0].cell)
    with pytest.raises(ValueError, match=r"^no records in /"):
        text(of_store(Store(tmp_path)), "md")


@pytest.mark.parametrize(
    ("parent", "child", "todo", "forced"),
    [
        (None, None, "pc", "pc"),
        ("ok", None, "c", "c"),
        ("ok", "ok", "", "c"),
        ("ok", "failed", "c", "c"),
        ("failed", "failed", "pc", "pc"),
        ("skipped", "failed", "c", "c"),
        (None, "ok", "", "pc"),
    ],
)
def test_parent_is_to_do_where_a_child_is_and_it_has_no_result(
    tmp_path, parent, child, todo, forced
):
    store = Store(tmp_path)
    planned = [job.cell for job in made(store)]
    for status, one in zip((parent, child), planned, strict=True):
        if status:
            put(store, one, status)
    names = dict(zip(planned, "pc", strict=True))
    asking = desk(store)
    assert "".join(names[job.cell] for job in asking.todo(force=False)) == todo
    assert "".join(names[job.cell] for job in asking.todo(force=True)) == forced
    assert asking.opening(force=False).startswith(f"small: 2 cells, {2 - len(todo)} done; ")
