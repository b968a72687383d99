import pytest

from bench import papertable, spec
from bench import suite as suites
from bench.desk import Plan
from bench.plan import jobs
from bench.reporting import of_plan
from bench.store import Store
from methods import resolve
from reports.published import published
from tasks.sources import Source
from tests.records import scored

NAMES = {
    "glue-roberta-large": "glue",
    "glue-bert-base": "glue",
    "e2e": "nlg",
    "webnlg": "nlg",
    "dart": "nlg",
    "few-shot": "few-shot",
    "merging": "ablation-merging",
    "consistency": "ablation-consistency",
    "sharing": "ablation-sharing",
    "experts": "ablation-experts",
    "width": "ablation-width",
    "routing": "ablation-routing",
    "budget": "ablation-budget",
    "inner": "ablation-inner",
}
SMALL = """
name = "small"
title = "Small"
tasks = ["rte"]
methods = ["lora"]
[profiles.quick]
models = ["minilm"]
seeds = [0]
[tables.own]
of = "Table 1"
title = "Own"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    return tmp_path


def test_tables_are_those_of_the_paper_each_declared_once():
    assert {name: suite for name, (suite, _) in papertable.tables().items()} == NAMES
    declared = [name for suite in suites.names() for name in suites.load(suite).tables]
    assert len(declared) == len(set(declared)) == len(NAMES)


def test_table_that_two_suites_declare_is_refused(folder):
    (folder / "a.toml").write_text(SMALL)
    (folder / "b.toml").write_text(SMALL)
    with pytest.raises(ValueError, match=r"^table 'own' is declared by suites a and b$"):
        papertable.tables()


def test_unknown_table_names_the_nearest():
    with pytest.raises(ValueError, match=r"^no table named 'mergin'; did you mean 'merging'"):
        papertable.table("mergin")
    with pytest.raises(ValueError, match=r"^no profile named 'qick'; did you mean 'quick'"):
        papertable.request("merging", "qick")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("colour = 1", "tables.own.colour: no key named 'colour'; valid: methods, models, of, "),
        ('tasks = ["cola"]', "tables: no task of the suite named 'cola'; valid: rte"),
        ('methods = ["lra"]', "tables: no method of the suite named 'lra'; did you mean 'lora'"),
    ],
)
def test_wrong_table_is_named_with_what_is_wrong(folder, more, told):
    (folder / "small.toml").write_text(f"{SMALL}{more}\n")
    with pytest.raises(ValueError) as error:
        suites.load("small")
    assert str(error.value).startswith(f"suite small.toml, {told}")


def test_table_narrows_the_suite_and_only_the_paper_profile_has_its_models():
    quick, paper = (papertable.request("glue-roberta-large", p) for p in ("quick", "paper"))
    for asked in (quick, paper):
        assert list(asked.methods) == ["full", "adapter", "lora", "adamix-adapter"]
        assert list(asked.tasks) == suites.load("glue").tasks
        assert asked.suite.name == "glue-roberta-large"
    assert (list(quick.models), list(paper.models)) == (["minilm"], ["roberta-large"])
    assert list(papertable.request("dart").tasks) == ["dart"]
    given = papertable.request("dart", seeds=[7], sets={"rows": "9"})
    assert (list(given.seeds), given.sets) == ([7], {"rows": "9"})


@pytest.mark.parametrize("name", NAMES)
def test_title_says_whose_table_it_is_and_that_quick_runs_reproduce_nothing(name):
    quick, paper = (papertable.request(name, p).suite.title for p in ("quick", "paper"))
    assert paper == f"{quick.removesuffix(' (quick profile, no reproduction)')}"
    assert quick != paper and paper.endswith(" of Wang et al. 2022")
    assert f", after {papertable.table(name)[1].of} of" in paper


@pytest.mark.parametrize("profile", ["quick", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_table_has_cells(name, profile):
    asked = papertable.request(name, profile, seeds=[0])
    planned = [j for j in jobs(asked, Source("sample"), Store("nowhere")) if j.role == "row"]
    assert len(planned) <= len(asked.methods) * len(asked.tasks) * len(asked.models)
    if not asked.profile.tune:
        assert {job.cell.model for job in planned} == set(asked.models)


@pytest.mark.parametrize("name", ["glue-roberta-large", "glue-bert-base", "e2e", "webnlg", "dart"])
def test_table_of_published_numbers_is_called_as_they_are_and_has_rows_of_it(name):
    _, table = papertable.table(name)
    (model,) = table.models
    rows = [row for row in published(model) if row.table == table.of]
    assert rows and rows[0].authors == papertable.PAPER
    asked = papertable.request(name, "paper", seeds=[0])
    cells = [job.cell for job in jobs(asked, Source("sample"), Store("nowhere"))]
    theirs = {spec.text(resolve(text, model)) for row in rows for text in row.known.ours}
    ours = {cell.label for cell in cells if cell.method in theirs}
    assert {"full", "adamix-adapter"} <= ours


def test_report_of_a_table_is_titled_after_it(tmp_path):
    asked, store = papertable.request("consistency", seeds=[0]), Store(tmp_path)
    plan = Plan(asked, Source("sample"), store)
    for job in jobs(asked, Source("sample"), store):
        with store.writing(job.cell) as folder:
            metrics = {"accuracy": 0.5, "f1": 0.5}
            (folder / "record.json").write_text(scored(job.cell, metrics).to_json())
    made = of_plan(plan.again())
    title = "Consistency loss, after Table 8 of Wang et al. 2022 (quick profile, no reproduction)"
    assert (made.name, made.title) == ("consistency", title)
    assert [part.title for part in made.parts] == [title]


@pytest.mark.parametrize("profile", ["quick", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_what_to_type_for_a_table_asks_for_its_cells(name, profile):
    asked, table = papertable.options(name, profile), papertable.request(name, profile)
    words = {key: [word for word in asked[key].split(",") if word] for key in ("tasks", "models")}
    typed = suites.request(
        suites.load(asked["suite"]), asked["profile"], methods=table.methods, **words
    )
    source, store = Source("sample"), Store("nowhere")
    cells = [{job.cell.key for job in jobs(one, source, store)} for one in (typed, table)]
    assert cells[0] == cells[1] and cells[0]
