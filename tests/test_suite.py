import pytest
from pydantic import ValidationError

from bench import suite as suites
from bench.plan import jobs, outline
from bench.recipe import recipe
from bench.store import Store
from bench.suite import Profile, Rule, Suite, load, request
from tasks.sources import Source

NOWHERE = Store("nowhere")
SHIPPED = [(name, profile) for name in suites.names() for profile in load(name).profiles]
SMALL = """
name = "small"
title = "A small suite"
tasks = ["rte"]
methods = ["head", "lora"]

[profiles.quick]
models = ["minilm"]
seeds = [0]
recipe = { lr = 1e-3 }
"""
# Learning rate, epochs and batch of AdaMix's released checkpoints, typed by hand from the names of
# their directories (shared/paper/adamix.md, section 3.1).
BERT = {
    "mnli": (4e-4, 40, 64),
    "qnli": (4e-4, 20, 64),
    "sst2": (4e-4, 40, 64),
    "qqp": (5e-4, 60, 64),
    "mrpc": (4e-4, 100, 16),
    "cola": (5e-4, 100, 16),
    "rte": (5e-4, 80, 32),
    "stsb": (5e-4, 80, 32),
}
ROBERTA = {
    "mnli": (3e-4, 20, 64),
    "qnli": (3e-4, 20, 64),
    "sst2": (3e-4, 20, 64),
    "qqp": (3e-4, 80, 64),  # the rate is one of 3e-4, 5e-4 and 6e-4; the name does not say
    "mrpc": (3e-4, 60, 64),
    "cola": (3e-4, 80, 64),
    "rte": (5e-4, 60, 64),
    "stsb": (3e-4, 80, 64),
}
PAPER = {"bert-base-uncased": BERT, "google-bert/bert-base-uncased": BERT}
PAPER |= {"roberta-large": ROBERTA, "FacebookAI/roberta-large": ROBERTA}


@pytest.fixture
def write(tmp_path):
    def add(text):
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "own.toml")

    return add


def asked(*rules, **profile):
    chosen = Profile(models=["minilm"], seeds=[0], rules=list(rules), **profile)
    suite = Suite(name="s", title="S", methods=["lora"], tasks=["rte"], profiles={"quick": chosen})
    return request(suite)


def refused(text):
    with pytest.raises(ValueError) as error:
        load(text)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_later_rules_override_earlier_ones_and_the_profile():
    rules = (
        Rule(recipe={"lr": 2, "batch": 2}, options={"rows": 2}),
        Rule(method="lora", recipe={"lr": 3}),
        Rule(method="full", recipe={"lr": 4}),
    )
    asking = asked(*rules, recipe={"lr": 1, "epochs": 1}, options={"rows": 1, "dev_rows": 1})
    assert asking.settings("lora", "rte", "minilm") == (
        {"lr": 3, "batch": 2, "epochs": 1},
        {"rows": 2, "dev_rows": 1},
        {},
    )


def test_rules_leave_the_profile_as_it_was():
    asking = asked(Rule(recipe={"lr": 2}), recipe={"lr": 1})
    asking.settings("lora", "rte", "minilm")
    assert asking.profile.recipe == {"lr": 1}


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, True),
        ({"method": "adamix-lora"}, True),
        ({"method": "adamix*"}, True),
        ({"method": "*lora"}, True),
        ({"method": "lora"}, False),
        ({"method": "adamix-lora[experts=2]"}, True),
        ({"method": "adamix-lora[experts=3]"}, False),
        ({"task": "mnli"}, True),
        ({"task": "MNLI"}, False),
        ({"task": "mnli[rows=9]"}, False),
        ({"model": "*bert-base*"}, True),
        ({"model": "bert-base-uncased"}, False),
        ({"method": "adamix*", "task": "mnli", "model": "google-bert/*"}, True),
        ({"method": "adamix*", "task": "rte", "model": "google-bert/*"}, False),
    ],
)
def test_rule_is_about_names_patterns_and_their_options(rule, matches):
    typed = ("adamix-lora[experts=2]", "mnli[rows=5]", "google-bert/bert-base-uncased")
    assert Rule(**rule).matches(*typed) is matches


def test_request_takes_what_is_given_and_else_what_the_suite_says(write):
    suite = load(write(SMALL))
    given = request(suite, methods=["full"], tasks=["cola"], models=["m"], seeds=[3, 4])
    assert (given.methods, given.tasks, given.models, given.seeds) == (
        ["full"],
        ["cola"],
        ["m"],
        [3, 4],
    )
    left = request(suite)
    assert (left.methods, left.tasks, left.models, left.seeds, left.sets) == (
        ["head", "lora"],
        ["rte"],
        ["minilm"],
        [0],
        {},
    )


def test_unknown_profile_names_the_nearest(write):
    with pytest.raises(ValueError, match=r"^no profile named 'qick'; did you mean 'quick'\?$"):
        request(load(write(SMALL)), "qick")


def test_profile_that_a_suite_lacks_is_refused(write):
    with pytest.raises(ValueError, match=r"^no profile named 'paper'; valid: quick$"):
        request(load(write(SMALL)), "paper")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "suite own.toml, name: field required"),
        ("name = ", "suite own.toml: Invalid value (at end of document)"),
        (
            f"{SMALL}seeds = [1]\n",
            "suite own.toml: Cannot overwrite a value (at line 11, column 12)",
        ),
        (
            f"colour = 1\n{SMALL}",
            "suite own.toml, colour: no key named 'colour'; "
            "valid: baseline, methods, name, profiles, tables, tasks, title, variants",
        ),
        (
            f"{SMALL}sed = 1",
            "suite own.toml, profiles.quick.sed: no key named 'sed'; did you mean 'seeds'?",
        ),
        (
            f"{SMALL}pretrain = {{ recpe = {{ lr = 1 }} }}",
            "suite own.toml, profiles.quick.pretrain.recpe: no key named 'recpe'; "
            "did you mean 'recipe'?",
        ),
        (
            f"{SMALL}rules = [{{ recpe = {{ lr = 1 }} }}]",
            "suite own.toml, profiles.quick.rules.0.recpe: no key named 'recpe'; "
            "did you mean 'recipe'?",
        ),
        (
            SMALL.replace("profiles.quick", "profiles.tiny"),
            "suite own.toml, profiles.tiny.[key]: input should be 'quick' or 'paper'",
        ),
        (
            SMALL.replace("[0]", "[-1]"),
            "suite own.toml, profiles.quick.seeds.0: input should be greater than or equal to 0",
        ),
        (
            SMALL.replace('["rte"]', '"rte"'),
            "suite own.toml, tasks: input should be a valid list",
        ),
    ],
)
def test_wrong_suite_file_is_named_with_what_is_wrong(write, text, told):
    assert refused(write(text)) == told


def test_suite_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "own.toml").write_bytes(b"name = '\xff'")
    assert refused(str(tmp_path / "own.toml")).startswith("suite own.toml: 'utf-8' codec")


LIKE = """
name = "own"
title = "Own"
methods = ["lora"]
tasks = ["rte"]
[profiles.paper]
like = "glue"
models = ["roberta-large"]
recipe = { lr = 1.0 }
rules = [{ method = "lora", recipe = { epochs = 7 } }]
"""


def test_profile_like_another_goes_on_top_of_it(write):
    own, base = load(write(LIKE)).profiles["paper"], load("glue").profiles["paper"]
    assert own.rules[:-1] == base.rules and own.rules[-1].method == "lora"
    assert own.recipe == {**base.recipe, "lr": 1.0} and own.recipe["select"] == "best"
    assert (own.models, own.seeds) == (["roberta-large"], base.seeds)
    settings = request(load(write(LIKE)), "paper").settings("lora", "rte", "roberta-large")
    assert settings.recipe == {"select": "best", "lr": 5e-4, "batch": 64, "epochs": 7}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LIKE.replace('"glue"', '"glu"'), "no suite named 'glu'; did you mean 'glue'?"),
        (SMALL.replace('models = ["minilm"]', ""), "profiles.quick: expected models, got none"),
    ],
)
def test_profile_like_nothing_is_refused(write, text, told):
    assert told in refused(write(text))


def test_suite_like_itself_is_refused(write):
    path = write(LIKE)
    write(LIKE.replace("glue", path))
    assert refused(path).endswith(f"is like itself: {path} <- {path}")


def test_suite_like_one_without_the_profile_is_refused(write, tmp_path):
    base = tmp_path / "base.toml"
    base.write_text(SMALL, encoding="utf-8")
    told = refused(write(LIKE.replace("glue", str(base))))
    assert told.startswith("no profile of suite") and "'paper'; valid: quick" in told


def test_missing_suite_file_comes_with_the_names_there_are(tmp_path):
    assert refused("no/such.toml").startswith("no suite file 'no/such.toml'; valid names: ")
    (tmp_path / "folder.toml").mkdir()
    assert refused(str(tmp_path / "folder.toml")).startswith("no suite file '/")


@pytest.mark.parametrize("name", ["glu", "GLUE", "glue.tml"])
def test_unknown_suite_names_the_nearest(name):
    assert refused(name) == f"no suite named {name!r}; did you mean 'glue'?"


def test_suite_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        load("glue").name = "other"


@pytest.mark.parametrize("name", suites.names())
def test_shipped_suite_is_called_as_its_file(name):
    assert load(name).name == name


@pytest.mark.parametrize("model", ["minilm", "bert-base-uncased", "roberta-large"])
@pytest.mark.parametrize(("name", "profile"), SHIPPED)
def test_shipped_suite_plans_without_error(name, profile, model):
    asking = request(load(name), profile, models=[model])
    planned = outline(asking, Source("sample"), NOWHERE)
    rows = [job for job in planned.jobs if job.role == "row"]
    asked_for = len(asking.methods) * len(asking.tasks) * len(asking.seeds)
    if model in asking.profile.models:  # of others a suite may have no rule that tells rows apart
        assert len(rows) + len(planned.waiting) == asked_for
    assert {job.cell.model for job in planned.jobs} == {model}


@pytest.mark.parametrize("task", BERT)
@pytest.mark.parametrize("model", PAPER)
def test_paper_profile_trains_as_the_released_checkpoints(model, task):
    asking = request(load("glue"), "paper", models=[model], tasks=[task, f"{task}[dev_rows=9]"])
    for job in jobs(asking, Source("sample"), NOWHERE):
        used = recipe(job.cell.recipe)
        if job.cell.label == "full":
            assert (used.lr, used.epochs, used.batch) == (2e-5, 10, 32)
        else:
            assert (used.lr, used.epochs, used.batch) == PAPER[model][task]
        assert (used.warmup, used.decay, used.length, used.clip) == (0.06, 0.1, 128, 1.0)
        assert (used.beta1, used.beta2, used.eps) == (0.9, 0.999, 1e-8)


def test_paper_profile_is_of_the_model_and_the_seeds_that_the_tables_have():
    asking = request(load("glue"), "paper")
    assert set(asking.tasks) == set(BERT)
    assert asking.models == ["bert-base-uncased"]
    assert len(asking.seeds) == 5


def test_profile_may_have_tasks_of_its_own(write):
    suite = load(write(f'{SMALL}tasks = ["cola"]'))
    assert request(suite).tasks == ["cola"]
    assert request(suite, tasks=["mrpc"]).tasks == ["mrpc"]


@pytest.mark.parametrize(
    ("task", "epochs", "warmup", "decay", "dropout", "smoothing"),
    [
        ("e2e", 20, 2000, 0.01, 0.1, 0.1),
        ("webnlg", 25, 2500, 0.01, 0.1, 0.1),
        ("dart", 20, 2000, 0.0, 0.0, 0.0),
    ],
)
def test_paper_profile_trains_data_to_text_as_the_release(
    task, epochs, warmup, decay, dropout, smoothing
):
    asking = request(load("nlg"), "paper", tasks=[task])
    planned = {job.cell.label: job.cell for job in jobs(asking, Source("sample"), NOWHERE)}
    for label, cell in planned.items():
        used = recipe(cell.recipe)
        mixed = label.startswith("adamix")
        assert (used.epochs, used.warmup_steps) == ((epochs, warmup) if mixed else (5, 500))
        assert used.lr == (5e-5 if label == "full" else 2e-4)
        assert (used.decay, used.smoothing, used.decay_all) == (decay, smoothing, True)
        assert (used.batch, used.length, used.eps, used.clip) == (8, 512, 1e-6, None)
        assert (used.beta1, used.beta2, used.dropout, used.select) == (0.9, 0.999, 0.0, "last")
    lora = f"lora[alpha=32.0,dropout={dropout},rank=4,targets=q+v]"
    assert planned["lora"].method == lora
    assert f"inner={lora}" in planned["adamix-lora"].method
    assert "experts=8" in planned["adamix-lora"].method


def test_paper_profile_of_data_to_text_is_of_the_model_that_the_tables_have():
    asking = request(load("nlg"), "paper")
    assert asking.tasks == ["e2e", "webnlg", "dart"]
    assert (asking.models, len(asking.seeds)) == (["gpt2-medium"], 3)


def test_quick_profile_of_data_to_text_asks_for_dart_only_when_told():
    assert request(load("nlg")).tasks == ["e2e", "webnlg"]
    asking = request(load("nlg"), tasks=["dart"])
    parent, *_ = jobs(asking, Source("sample"), NOWHERE)
    assert (parent.cell.model, parent.cell.task[:6]) == ("gpt2-mini", "corpus")
