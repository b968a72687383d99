"""Encoders cut to their first layers: as they are tuned, and as LogME scores them."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from bench.contract.toys import Killed
from bench.cost import account, free, size
from bench.families import Unserved
from bench.plan import jobs
from bench.record import WEIGHTS
from bench.run import attempt
from bench.spec import text
from bench.store import Store
from bench.suite import Profile, Suite, load, request
from methods import resolve
from methods.base import Unsuited
from methods.logme import explained
from methods.merging.evidence import evidence, one_hot
from reports.ranks import ranked
from tasks.sources import Source
from tests import tiny


def ready(asked: str, family: str = "bert", run=None, **of):
    method, model = resolve(asked, family), tiny.backbone(family, **of)
    trained = tiny.prepared(method, model, run or tiny.ToyRun())
    return method, model, trained


def states(family: str = "bert") -> list[torch.Tensor]:
    """The hidden states of the whole encoder, layer by layer, as transformers has them."""
    net, batch = tiny.backbone(family).eval().net, tiny.batch()
    with torch.no_grad():
        out = net(batch.ids, attention_mask=batch.mask, output_hidden_states=True)
    return list(out.hidden_states)


@pytest.mark.parametrize("family", tiny.ENCODERS)
@pytest.mark.parametrize("pool", ["mean", "first"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_cut_encoder_reads_that_layer_of_the_whole_one(family, pool, layers):
    if family == "deberta-v2" and not layers:
        return
    _, model, _ = ready(f"cut[layers={layers},pool={pool}]", family)
    batch, state = tiny.batch(), states(family)[layers]
    mask = batch.mask[:, :, None].float()
    expected = (state * mask).sum(1) / mask.sum(1) if pool == "mean" else state[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(model.eval().features(batch), expected)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_counts_follow_what_is_left(layers):
    asked, weights = f"cut[layers={layers},of=full]", tiny_weights()
    _, model, trained = ready(asked)
    counted = account(resolve(asked, ""), weights, 2)
    assert len(model.layers) == model.settings.num_hidden_layers == layers
    # embeddings 40 + 40 + 2 rows and their norm; a layer as worked out in test_every_method
    layer = 4 * (16 * 16 + 16) + 2 * 16 * 32 + 32 + 16 + 4 * 16
    assert counted.trained_params == size(trained) == 82 * 16 + 32 + layers * layer
    linear = layers * 2 * (4 * 16 * 16 + 2 * 16 * 32) * 6
    attention = layers * 2 * 2 * 16 * 6 * 6
    assert counted.serve.of(1, 6) == linear + attention + 2 * 16 * 2


def tiny_weights():
    from bench.contract.tiny import weights

    return weights("bert")


def test_whole_encoder_saved_after_the_cut_is_one_of_fewer_layers(tmp_path):
    _, model, _ = ready("cut[layers=1]")
    model.net.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert len(again.encoder.layer) == 1


@pytest.mark.parametrize("layers", [-1, 3])
def test_backbone_is_not_cut_to_layers_it_does_not_have(layers):
    with pytest.raises(ValueError, match=f"expected layers from 0 to 2, got {layers}"):
        tiny.backbone().cut(layers)


@pytest.mark.parametrize("family", tiny.WRITERS)
def test_layers_are_cut_off_encoders_alone(family):
    with pytest.raises(Unserved, match=f"layers are cut off encoders; 'tiny-{family}' writes"):
        tiny.writer(family).cut(1)


def test_deberta_without_layers_is_not_served():
    with pytest.raises(Unserved, match="has at least one layer"):
        tiny.backbone("deberta-v2").cut(0)


@pytest.mark.parametrize("method", ["cut", "logme", "btuning"])
def test_more_layers_than_there_are_do_not_suit(method):
    with pytest.raises(Unsuited, match="3 layers are to be kept; 'tiny-bert' has 2"):
        ready(f"{method}[layers=3]")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("cut[layers=-1]", "expected layers of at least 0, got -1"),
        ("cut[of=soup]", "expected a method that trains, got of=soup"),
        ("cut[of=hed]", "did you mean"),
        ("cut[pool=max]", "pool: expected 'mean' or 'first'"),
        ("logme[layers=-2]", "expected layers of at least 0, got -2"),
        ("logme[rows=0]", "expected rows of at least 1, got 0"),
        ("btuning[teachers=0]", "expected teachers of at least 1, got 0"),
        ("btuning[rows=0]", "expected rows of at least 1, got 0"),
        ("btuning[temperature=0]", "expected temperature above 0, got 0.0"),
        ("btuning[head_rate=0]", "expected head_rate above 0, got 0.0"),
        ("btuning[weight=-1]", "expected weight of at least 0, got -1.0"),
        ("btuning[candidates=full+soup]", "expected methods that train, got soup"),
        ("btuning[of=adamix-adapter]", "expected a method with the task's loss alone"),
    ],
)
def test_wrong_option_is_named(asked, message):
    with pytest.raises(ValueError, match=message):
        resolve(asked, "minilm")


@pytest.mark.parametrize("of", ["head", "lora[rank=2]", "full"])
def test_cut_trains_what_its_method_trains_of_the_layers_left(of):
    _, model, trained = ready(f"cut[layers=1,of={of}]")
    inner, alone = resolve(of, ""), tiny.backbone(pool="mean", num_hidden_layers=1)
    alone.net.pooler = None
    expected = tiny.prepared(inner, alone)
    assert [p.shape for p in trained] == [p.shape for p in expected]
    assert model.still == (of == "head")


def test_cut_merges_as_its_method_does():
    run = tiny.ToyRun(epochs=1)
    method, model, _ = ready("cut[layers=1,of=lora[rank=2]]", run=run)
    method.fit(model, run)
    with torch.no_grad():
        before = model.eval()(tiny.batch())
        method.finalize(model)
        torch.testing.assert_close(model(tiny.batch()), before, rtol=1e-4, atol=1e-5)
    assert not any("down" in name for name, _ in model.named_parameters())


def test_random_start_is_the_seeds_own_and_as_the_configuration_draws_it():
    drawn = [ready("cut[start=random]", run=tiny.ToyRun(seed))[1] for seed in (0, 0, 1)]
    one, same, other = (model.net.encoder.layer[0].output.dense.weight for model in drawn)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    words = drawn[0].net.embeddings.word_embeddings.weight
    assert float(words.detach()[1:].std()) == pytest.approx(0.02, rel=0.1)
    assert not words[0].any()  # padding
    norm = drawn[0].net.encoder.layer[1].output.LayerNorm
    assert norm.weight.tolist() == [1.0] * 16
    assert norm.bias.tolist() == [0.0] * 16


def test_random_start_leaves_the_head_as_it_was_drawn():
    _, model, _ = ready("cut[start=random]")
    assert torch.equal(model.head.out.weight, tiny.backbone().head.out.weight)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("[layers=1,pool=mean]", "cut[layers=1,pool=mean]"),
        ("", "cut[layers=2,pool=mean]"),
        ("[layers=0,pool=first,start=random]", "cut[layers=0,pool=first,start=random]"),
    ],
)
def test_candidate_has_one_name_tuned_or_scored(asked, named):
    run = tiny.ToyRun()
    tuned, (method, scored, _) = ready(f"cut{asked}")[1], ready(f"logme{asked}", run=run)
    method.fit(scored, run)
    assert tuned.facts["candidate"] == scored.facts["logme"]["candidate"] == named
    assert tuned.facts["tuned"] == "head"
    kept = ready(named.replace("]", ",of=head]"))[1]
    assert kept.facts["candidate"] == named


def test_logme_is_the_mean_evidence_of_the_classes_given_what_the_head_reads():
    run = tiny.ToyRun()
    method, model, _ = ready("logme[layers=1,rows=100]", run=run)
    method.fit(model, run)
    rows = np.arange(100)
    with torch.no_grad():
        features = model.eval().features(run.data.batch(rows))
    labels = torch.tensor(run.data.labels[:100])
    by_hand = evidence(features, torch.stack([labels == 0, labels == 1], dim=1).double())
    told = model.facts["logme"]
    assert told["evidence"] == pytest.approx(by_hand.mean, abs=1e-5)
    assert told["classes"] == pytest.approx(by_hand.each.tolist(), abs=1e-5)
    assert (told["rows"], told["width"]) == (100, 16)
    assert told["seconds"] > 0
    with torch.no_grad():
        logits = model(run.data.batch(rows))
    torch.testing.assert_close(
        logits.double(), features.double() @ by_hand.weights.T, rtol=1e-3, atol=1e-4
    )


def test_logme_takes_no_step_and_has_no_bias():
    run = tiny.ToyRun()
    method, model, trained = ready("logme", "roberta", run=run)
    method.fit(model, run)
    assert trained == []
    assert run.trace is None
    assert [name for name, _ in model.head.named_parameters()] == ["out.weight"]


def test_logme_of_numbers_has_one_output():
    run = tiny.ToyRun(regression=True)
    method, model, _ = ready("logme", run=run, outputs=1)
    method.fit(model, run)
    features, labels = run.features(model, "train")
    by_hand = evidence(features, labels[:, None].double())
    assert model.facts["logme"]["classes"] == pytest.approx(by_hand.each.tolist(), abs=1e-6)


def test_class_without_a_row_is_null_in_the_record():
    run = tiny.ToyRun()
    method, model, _ = ready("logme", run=run, outputs=3)
    method.fit(model, run)
    *both, none = model.facts["logme"]["classes"]
    assert none is None
    assert model.facts["logme"]["evidence"] == pytest.approx(sum(both) / 2)


def test_labels_of_zero_alone_have_no_evidence():
    with pytest.raises(ValueError, match="expected labels to explain, got zeros alone"):
        explained(tiny.backbone(outputs=1), torch.randn(4, 3), torch.zeros(4))


def test_features_are_those_of_each_row_in_order_in_eval_mode():
    model, run = tiny.backbone(pool="mean").train(), tiny.ToyRun()
    state = torch.get_rng_state()
    features, labels = run.features(model, "train", 70)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert (features.shape, features.dtype) == ((70, 16), torch.float32)
    assert labels.tolist() == run.data.labels[:70]
    with torch.no_grad():
        alone = [model.eval().features(run.data.batch(np.array([row]))) for row in range(70)]
    torch.testing.assert_close(features, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert len(run.features(model, "train")[0]) == len(run.data)


def lessons(asked: str, run, family: str = "bert", **of):
    """A student after its lessons were worked out, and before it was trained."""
    method, model, _ = ready(asked, family, run, **of)
    finished = run.runs()
    run.runs, run.train = lambda: finished, lambda *_, **__: None
    method.fit(model, run)
    return method, model.eval()


ALONE = "btuning[layers=2,candidates=none,of=full]"


def test_term_is_zero_where_the_student_is_its_only_teacher():
    run = tiny.ToyRun()
    method, model = lessons(ALONE, run, pool="mean")
    batch = run.data.batch(np.arange(20))
    with torch.no_grad():
        assert float(method.loss(model, batch) - model.loss(batch)) == pytest.approx(0, abs=1e-6)
        model.net.encoder.layer[1].output.dense.weight.mul_(1.5)
        assert float(method.loss(model, batch) - model.loss(batch)) > 1e-3


def test_term_is_the_mean_square_to_the_shares_of_the_teachers_predictions():
    run = tiny.ToyRun(epochs=1)
    asked = "btuning[layers=1,candidates=full+lora[rank=2],of=full,weight=7,temperature=0.3]"
    method, model = lessons(asked, run, pool="mean")
    batch, labels = run.data.batch(np.arange(9, 30)), torch.tensor(run.data.labels)
    teachers = {"pretrained": tiny.backbone(pool="mean")}
    for name, one in zip(("full", "lora[rank=2]"), run.runs(), strict=True):
        teacher = tiny.backbone(pool="mean")
        free(teacher, resolve(name, "").prepare(teacher, tiny.ToyRun()))
        teacher.load_state_dict(one.tensors, strict=False)
        teachers[name] = teacher
    scores, predicted = {}, {}
    for name, teacher in teachers.items():
        features = run.features(teacher, "train")[0].double()
        found = evidence(features, one_hot(labels, 2))
        scores[name], predicted[name] = found.mean, features @ found.weights.T
    told = model.facts["btuning"]
    assert told["candidates"] == pytest.approx(scores, abs=1e-4)
    assert told["teachers"] == sorted(scores, key=lambda name: -scores[name])
    weights = {name: math.exp(score / 0.3) for name, score in scores.items()}
    target = sum(weights[name] * predicted[name] for name in scores) / sum(weights.values())
    own = run.features(model, "train")[0].double()
    said = own @ evidence(own, one_hot(labels, 2)).weights.T
    gap = float((method.loss(model, batch) - model.loss(batch)).detach())
    by_hand = 7 * float((said - target)[9:30].square().mean())
    assert gap == pytest.approx(by_hand, rel=1e-3)
    assert by_hand > 0.01


def test_best_teachers_alone_are_heard():
    run = tiny.ToyRun(epochs=1)
    _, model = lessons("btuning[teachers=1,candidates=full,of=full]", run, pool="mean")
    told = model.facts["btuning"]
    best = max(told["candidates"], key=told["candidates"].get)
    assert (told["teachers"], told["shares"]) == ([best], [1.0])
    assert set(told["candidates"]) == {"full", "pretrained"}
    features, _ = run.features(tiny.backbone(pool="mean"), "train")
    if best == "pretrained":
        heard = evidence(features, one_hot(torch.tensor(run.data.labels), 2))
        predicted = features.double() @ heard.weights.T
        torch.testing.assert_close(model.lessons.targets.double(), predicted, rtol=1e-4, atol=1e-5)


def test_student_learns_from_its_teachers_and_its_bayesian_head_stands_still():
    run = tiny.ToyRun(epochs=4)
    method, model, _ = ready("btuning[layers=1,candidates=full,of=full]", run=run)
    finished, heads, train = run.runs(), [], run.train

    def watched(*args, rates):
        assert rates == dict.fromkeys(model.head.parameters(), 10.0)
        heads.append(model.lessons.head.clone())
        train(*args, rates=rates)

    run.runs, run.train = lambda: finished, watched
    method.fit(model, run)
    assert torch.equal(heads[0], model.lessons.head)
    assert model.lessons.whole == []
    assert run.losses[-1] < run.losses[0]


def test_student_is_half_of_the_layers_unless_told():
    assert len(ready("btuning")[1].layers) == 1
    assert ready("btuning")[1].facts["student"] == "cut[layers=1,pool=mean]"


def test_student_that_trains_a_head_alone_cannot_be_taught():
    with pytest.raises(Unsuited, match="head trains nothing that could be taught"):
        ready("btuning[of=head]")


def test_btuning_needs_a_run_of_each_candidate():
    needs = resolve("btuning[candidates=full+lora]", "").needs()
    assert [(need.method, dict(need.recipe)) for need in needs] == [("full", {}), ("lora", {})]
    assert resolve("btuning[candidates=none]", "").needs() == ()
    chosen = resolve("btuning[candidates=none]", "")
    assert resolve(text(chosen), "") == chosen


def test_suite_scores_every_candidate_that_it_tunes():
    variants = load("select").variants
    tuned = {v.removeprefix("cut") for n, v in variants.items() if n.startswith("probe of ")}
    scored = {v.removeprefix("logme") for n, v in variants.items() if n.startswith("LogME of ")}
    assert tuned == scored
    assert len(tuned) == 11


def test_records_of_tuned_and_scored_cells_rank_the_candidates(tiny_folder, tmp_path):
    asked = [f"{name}[layers={n}]" for name in ("cut", "logme") for n in range(3)]
    recipe = {"batch": 8, "epochs": 1, "length": 32, "lr": 1e-2}
    profile = Profile(models=[str(tiny_folder)], seeds=[0], recipe=recipe)
    tasks = ["rte[rows=24,dev_rows=12]"]
    suite = Suite(name="s", title="", methods=asked, tasks=tasks, profiles={"quick": profile})
    store, records = Store(tmp_path / "store"), []
    for job in jobs(request(suite), Source("sample"), store):
        folder = tmp_path / job.cell.key
        folder.mkdir()
        records.append(attempt(job, folder))
    assert [record.reason for record in records] == [""] * 6
    (found,) = ranked(records)
    assert (found.task, found.tuned) == ("rte", "head")
    told = {r.where["logme"]["candidate"]: r for r in records if "logme" in r.where}
    tuned = {r.where["candidate"]: r for r in records if "logme" not in r.where}
    assert set(told) == set(tuned) == {f"cut[layers={n},pool=mean]" for n in range(3)}
    for pair in found.pairs:
        assert pair.evidence == told[pair.candidate].where["logme"]["evidence"]
        assert pair.score == tuned[pair.candidate].metrics["accuracy"]
    assert {r.cost["train_flops"] for r in told.values()} == {0}
    assert all(r.cost["train_flops"] > 0 for r in tuned.values())
    most, *_, least = (
        tuned[f"cut[layers={n},pool=mean]"].cost["inference_flops"] for n in (2, 1, 0)
    )
    assert most > least > 0


def test_runs_that_a_toy_run_builds_on_ended_before_it_began():
    run = tiny.ToyRun(epochs=1)
    run.dies_at = 1
    method, model, _ = ready("btuning[candidates=full]", run=run)
    (finished,) = run.parents()
    assert "head.out.weight" in finished
    with pytest.raises(Killed):
        method.fit(model, run)


def test_head_of_a_cell_learns_at_its_own_rate(tiny_folder, tmp_path):
    asked = [f"btuning[layers=1,candidates=none,head_rate={rate}]" for rate in (1, 10)]
    recipe = {"batch": 8, "steps": 1, "length": 32, "lr": 1e-3, "decay": 0.0, "warmup": 0.0}
    profile = Profile(models=[str(tiny_folder)], seeds=[0], recipe=recipe)
    tasks = ["rte[rows=24,dev_rows=12]"]
    suite = Suite(name="s", title="", methods=asked, tasks=tasks, profiles={"quick": profile})
    heads, layers = [], []
    for job in jobs(request(suite), Source("sample"), Store(tmp_path / "store")):
        folder = tmp_path / job.cell.key
        folder.mkdir()
        assert attempt(job, folder).reason == ""
        weights = load_file(folder / WEIGHTS)
        heads.append(weights.pop("head.out.bias"))
        layers.append(weights["net.encoder.layer.0.output.dense.weight"])
    torch.testing.assert_close(heads[1], 10 * heads[0], rtol=1e-3, atol=1e-7)  # from zeros
    assert torch.equal(*layers)
