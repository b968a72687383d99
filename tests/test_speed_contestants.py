import importlib.util
import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from bench.predict import predict
from bench.speed import trainers
from bench.speed.asked import Asked
from bench.speed.comparison import compared
from bench.speed.decoding import Writing
from bench.speed.evaluation import Evaluation
from bench.speed.ground import Ground, part
from bench.speed.opponent import Classifier, Reading, inputs, opponent
from bench.speed.timing import settled
from bench.speed.training import ABOUT, OURS, Training
from tasks.base import Decoding
from tasks.sources import Source
from tests import tiny

SAMPLE = Source("sample")


@pytest.fixture(scope="module", autouse=True)
def no_garbage():
    with settled():
        yield


@pytest.fixture
def ground(tiny_folder, tmp_path):
    def made(task="rte", method="lora", **sets):
        asked = Asked(
            SAMPLE,
            model=str(tiny_folder),
            task=task,
            method=method,
            rows=sets.pop("rows", 24),
            dev_rows=20,
            batch=sets.pop("batch", 8),
            epochs=sets.pop("epochs", 1),
            repeats=sets.pop("repeats", 2),
            sets={"precision": "fp32", "length": "32", **sets},
        )
        return Ground(asked, tmp_path)

    return made


def trained(ground, name, order=0):
    """What each parameter is after training, by the shape and order that all contestants share."""
    training = Training(ground)
    taken = training.train(name, ground.train, order)
    model = training.models[name]
    return taken, [p.detach() for p in model.parameters() if p.requires_grad]


def factors(model):
    """Down, up and head, in the order of the layers."""
    named = [(n, p.detach()) for n, p in model.named_parameters() if p.requires_grad]
    sides = ("down", "lora_A"), ("up", "lora_B"), ("head",)
    return [p for side in sides for n, p in named if any(word in n for word in side)]


def same(ours, theirs, **tolerance):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_classifier_computes_what_transformers_own_model_does(family):
    ours = tiny.backbone(family, outputs=3)
    settings = AutoConfig.for_model(family, **{**tiny.SIZES, **tiny.EXTRA.get(family, {})})
    settings.num_labels = 3
    theirs = AutoModelForSequenceClassification.from_config(settings).eval()
    getattr(theirs, family).load_state_dict(ours.net.state_dict())
    with torch.no_grad():
        if family == "bert":
            theirs.classifier.load_state_dict(ours.head.out.state_dict())
        else:
            theirs.classifier.dense.load_state_dict(ours.head.dense.state_dict())
            theirs.classifier.out_proj.load_state_dict(ours.head.out.state_dict())
        batch = tiny.batch(outputs=3)
        told = inputs(batch) | {"labels": batch.labels}
        found, expected = Classifier(ours.net, ours.head, 3).eval()(**told), theirs(**told)
    torch.testing.assert_close(found["logits"], expected.logits)
    torch.testing.assert_close(found["loss"], expected.loss)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_opponents_start_from_our_weights(ground, kernel):
    here = ground()
    theirs, batch = opponent(here, kernel).eval(), here.train.batch(np.arange(8))
    with torch.no_grad():
        expected = here.start.eval()(batch)
        torch.testing.assert_close(theirs(**inputs(batch))["logits"], expected)
    same(factors(here.start), factors(theirs), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("task", "method"),
    [("rte", "lora"), ("stsb", "lora[rank=2,alpha=4,targets=k]"), ("rte", "full")],
)
def test_all_contestants_do_the_same_training(ground, method, task):
    how = {"lr": "0.01", "decay": "0.1", "clip": "0.5", "dropout": "0"}
    here = ground(task, method, rows=12, batch=12, epochs=3, **how)
    ends = {name: trained(here, name) for name in ABOUT}
    assert {steps for (_, steps), _ in ends.values()} == {3}
    model = here.start
    before = [p.detach() for p in model.parameters() if p.requires_grad]
    sums = {name: sorted(float(p.double().norm()) for p in end) for name, (_, end) in ends.items()}
    moved = sorted(float(p.double().norm()) for p in before)
    assert not np.allclose(sums[OURS], moved, rtol=1e-4)
    for name in ABOUT:
        np.testing.assert_allclose(sums[name], sums[OURS], rtol=2e-4, atol=2e-6)


def test_bare_loop_sees_our_batches_and_ends_with_our_weights(ground):
    here = ground(rows=40, epochs=2, dropout="0.2", lr="0.01")
    training = Training(here)
    for order in (0, 3):
        steps = {training.train(name, here.train, order)[1] for name in ("bare", OURS)}
        assert steps == {10}
        same(factors(training.models[OURS]), factors(training.models["bare"]))


def test_orders_shuffle_anew_from_the_same_first_weights(ground):
    here = ground(lr="0.01")
    first, again = (factors(here.begun("lora", order)[1]) for order in (0, 1))
    same(first, again, rtol=0, atol=0)
    ends = [trained(here, OURS, order)[1] for order in (0, 0, 1)]
    same(ends[0], ends[1], rtol=0, atol=0)
    assert any(not torch.equal(a, b) for a, b in zip(ends[0], ends[2], strict=True))


def test_trainer_of_the_script_pads_every_row_and_the_best_none(ground):
    here = ground(length="128")
    lengths = {}
    for name, make in (("padded", trainers.padded), ("best", trainers.best)):
        trainer = make(here, here.train, opponent(here, "eager"), 0)
        lengths[name] = [len(row["input_ids"]) for row in trainer.train_dataset]
        wide = {batch["input_ids"].shape[1] for batch in trainer.get_train_dataloader()}
        assert wide == {128} if name == "padded" else max(wide) < 128
    assert set(lengths["padded"]) == {128}
    assert lengths["best"] == here.train.lengths.tolist()
    how = trainer.args
    assert how.train_sampling_strategy == "group_by_length"
    assert (how.optim, how.dataloader_num_workers) == ("adamw_torch_fused", 0)
    assert not how.logging_nan_inf_filter


def test_trainer_at_its_best_groups_rows_of_like_length(ground):
    here, made = ground(rows=64, length="128"), {}
    for strategy in ("random", "group_by_length"):
        more = {"train_sampling_strategy": strategy} if strategy == "random" else {}
        trainer = trainers.best(here, here.train, opponent(here, "eager"), 0, **more)
        masks = [batch["attention_mask"] for batch in trainer.get_train_dataloader()]
        made[strategy] = sum(m.numel() for m in masks) - sum(int(m.sum()) for m in masks)
    assert made["group_by_length"] < 0.7 * made["random"]


def test_each_contestant_computes_in_the_precision_it_says(ground, monkeypatch):
    here, seen = ground(precision="bf16"), {}
    training = Training(here)

    def noting(module, args, out):
        seen.setdefault(current, set()).add(out.dtype)

    def hooked(*args):
        model = opponent(*args)
        base = model.get_base_model()
        base.net.get_submodule("encoder.layer.0.output.dense").register_forward_hook(noting)
        return model

    monkeypatch.setattr("bench.speed.training.opponent", hooked)
    for current in ("best", "padded", "bare", "best", "padded"):
        training.train(current, here.train, 0)
    assert seen["padded"] == {torch.float32}
    assert seen["best"] == seen["bare"] == {torch.bfloat16}
    told = {name: training.precision(name) for name in ABOUT}
    assert told == {"padded": "fp32", "best": "bf16", "bare": "bf16", OURS: "bf16"}


def test_clock_counts_the_steps_and_not_the_start(ground, monkeypatch):
    clock, times = trainers.Clock(torch.device("cpu")), [5.0]
    monkeypatch.setattr("bench.speed.timing.time.perf_counter", lambda: times[-1])
    state = SimpleNamespace(global_step=0, max_steps=2)
    clock.on_train_begin(None, state, None)
    for now in (7.0, 12.0):
        times.append(now)
        state.global_step += 1
        clock.on_step_end(None, state, None)
    assert (clock.span.seconds, clock.steps) == (7.0, 2)


def test_training_rows_have_a_score_and_the_same_steps_for_all(ground):
    here = ground()
    training = Training(here)
    rows = {row["name"]: row for row in training.rows()}
    assert list(rows) == list(ABOUT)
    assert {row["steps"] for row in rows.values()} == {3}
    for name, row in rows.items():
        assert len(row["rounds"]) == 2 and min(row["rounds"]) > 0
        assert 0 <= row["score_low"] <= row["score"] <= row["score_high"] <= 1
        quotients = [a / b for a, b in zip(row["rounds"], rows[OURS]["rounds"], strict=True)]
        assert row["ratio"] == pytest.approx(np.median(quotients))
        assert row["peak_memory_bytes"] >= 0 and row["memory_source"]
        last = here.score(training.answers(name))
        assert last in (row["score_low"], row["score_high"])
    assert rows["padded"]["goal"] == "at least 4" and rows[OURS]["goal"] is None


def test_score_is_the_share_of_right_answers(ground):
    here = ground()
    assert here.score([float(label) for label in here.dev.labels]) == 1
    assert here.score([1.0 - label for label in here.dev.labels]) == 0


def test_evaluation_answers_every_row_in_its_order(ground):
    here, close = ground("stsb", lr="0.02"), partial(np.testing.assert_allclose, rtol=1e-4)
    training = Training(here)
    for name in ("padded", "best", OURS):
        training.train(name, here.train, 0)
    evaluation = Evaluation(training)
    evaluation.order = np.random.default_rng(0).permutation(len(here.dev))
    expected = {name: training.answers(name) for name in ("padded", "best", OURS)}
    assert len(set(expected["best"])) > 10
    close(evaluation._padded(0)[1], expected["padded"])
    for kernel in ("eager", "sdpa"):
        evaluation.way = (kernel, "none")
        best = evaluation._best(evaluation.way)
        assert not any("lora" in name for name, _ in best.named_parameters())
        close(evaluation._sorted(best, 0)[1], expected["best"])
    close(evaluation._ours(0)[1], expected[OURS])
    rows = evaluation.rows()
    assert [row["name"] for row in rows] == ["predict", "predict-best", OURS]
    assert rows[0]["score"] == pytest.approx(here.score(expected["padded"]))


def test_memory_is_read_on_the_longest_rows(ground):
    here = ground(rows=40, length="128")
    lengths = np.sort(here.train.lengths)[::-1]
    assert lengths[0] > lengths[-1]
    assert here.longest.lengths.tolist() == lengths[:16].tolist()
    some = part(here.train, np.array([3, 1]))
    assert some.ids == [here.train.ids[3], here.train.ids[1]]
    assert some.labels == [here.train.labels[3], here.train.labels[1]]


def test_mixture_pays_in_training_and_serves_as_one(tiny_folder):
    asked = Asked(
        SAMPLE,
        model=str(tiny_folder),
        task="rte",
        rows=16,
        dev_rows=8,
        batch=8,
        repeats=1,
        threads=1,
        only=("adamix",),
    )
    rows, about = compared(asked)
    assert [row["name"] for row in rows] == ["adapter", "adamix-adapter"] * 2
    one, mixed, served, merged = rows
    assert one["ratio"] == served["ratio"] == 1
    assert mixed["flops_ratio"] > 1.5 and merged["flops_ratio"] == 1
    assert mixed["ratio"] == mixed["rounds"][0] / one["rounds"][0]
    assert merged["ratio"] == merged["rounds"][0] / served["rounds"][0]
    assert mixed["goal"] == "at most 1.85" and merged["goal"] == "at most 1.02"
    assert about["versions"]["peft"] and about["threads"] == 1 and about["train_rows"] == 16


def test_what_is_no_mixture_is_refused_and_leaves_the_threads_alone(tiny_folder):
    how = {"mixture": "lora", "threads": 2, "only": ("adamix",)}
    asked = Asked(SAMPLE, model=str(tiny_folder), task="rte", **how)
    with pytest.raises(ValueError, match="expected a mixture such as adamix-adapter, got 'lora'"):
        compared(asked)
    assert torch.get_num_threads() == 1


def test_generate_and_ours_write_the_same_texts(tmp_path):
    asked = Asked(SAMPLE, prompts=3, new_tokens=6)
    writing, how = Writing(asked, tmp_path), Decoding(beams=4, no_repeat=0, new_tokens=6)
    ours = writing.ours(how)
    assert writing.drawn and len(ours) == 3 and all(ours)
    assert len(set(ours)) > 1
    for kernel, size in (("eager", 1), ("sdpa", 3), ("eager", 3)):
        assert writing.generated(how, kernel, size) == ours


def test_opponents_of_another_form_are_refused(ground):
    with pytest.raises(ValueError, match=r"lora, full, bitfit, head or top; got 'adapter'"):
        opponent(ground(method="adapter"), "eager")


def test_command_prints_rows_with_circumstances(bench, tiny_folder):
    words = ["speed", "--model", str(tiny_folder), "--task", "rte", "--data", "sample"]
    numbers = ["--rows", "16", "--dev-rows", "8", "--batch", "8", "--epochs", "2"]
    more = ["--repeats", "1", "--threads", "1", "--only", "training", "--set", "lr=0.01", "--json"]
    code, out, err = bench(*words, *numbers, *more)
    rows = json.loads(out)
    assert code == 0 and [row["name"] for row in rows] == list(ABOUT), err
    for row in rows:
        assert row["steps"] == 4 and row["threads"] == 1 and row["device"]
        assert row["versions"]["transformers"] and "seconds_low" in row and "score" in row
        assert row["asked"]["batch"] == 8 and "lr=0.01" in row["recipe"]
    assert torch.get_num_threads() == 1


def test_command_without_peft_says_what_to_install(bench, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "peft" else find(n))
    code, out, err = bench("speed", "--data", "sample")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "bench: the opponents need peft and accelerate: pip install 'peftbench[speed]'; "
        "missing: peft"
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "sst"], "did you mean 'sst2'"),
        (["--task", "e2e"], "expected a task of classification"),
        (["--model", "gpt2-mini"], "expected an encoder, got model 'gpt2-mini'"),
        (["--rows", "0"], "expected rows of at least 1, got 0"),
        (["--method", "lore"], "did you mean 'lora'"),
        (["--only", "speed"], "no group of rows named 'speed'"),
        (["--writer", "minilm"], "writes no text"),
    ],
)
def test_wrong_request_is_one_line(bench, words, said):
    code, out, err = bench("speed", "--data", "sample", *words)
    assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_reading_answers_as_the_model_does(ground):
    here = ground()
    model = opponent(here, "eager").eval()
    batch = here.dev.batch(np.arange(len(here.dev)))
    with torch.no_grad():
        expected = model(**inputs(batch))["logits"].argmax(-1).tolist()
    assert predict(Reading(model, False), here.dev, here.device, "fp32") == expected
