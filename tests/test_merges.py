"""Merges: what they make of runs, what they choose by, and what they leave alone."""

import copy
from dataclasses import replace

import pytest
import torch

from bench.contract.toys import ToyParent
from methods import resolve
from methods.base import Need, Unsuited, spread
from methods.merge import State, folded, joined
from methods.paint import best_of_both
from methods.sweep import grid, highest, swept
from methods.taskvector import largest_that_keeps
from tasks.base import Given
from tests import tiny

HEADS = (Given(2, space="a"), Given(3, space="b"))
DESCRIBED = (Given(2, ("no", "yes")), Given(2, ("bad", "good")))
FULL, LORA = "full", "lora[rank=2]"


class Chosen:
    """A run on a composite task whose scores on selection rows are given by a function."""

    seed, primary, parts, selects = 0, "mean", ("a", "b"), True

    def __init__(self, runs=(), score=lambda model: {"mean": 0.0, "a": 0.0, "b": 0.0}):
        self.given, self.score, self.seen = list(runs), score, []

    def runs(self):
        return self.given

    def generator(self, purpose):
        return torch.Generator().manual_seed(0)

    def evaluate(self, model, split):
        self.seen.append(split)
        return self.score(model)

    def batches(self, split, size):
        assert split == "selection"
        return tiny.Toy(32).in_order(size)


def ran(method: str, model, part: int, seed: int, heads=HEADS) -> ToyParent:
    """A run of the method on one part, with weights that are far from where they began."""
    alone = copy.deepcopy(model)
    if not heads[part].described:
        alone.head = copy.deepcopy(alone.head.of[alone.head.which[part]])
    chosen = resolve(method, "")
    trained = chosen.prepare(alone, Chosen())
    alone.requires_grad_(False)
    for p in [*trained, *alone.head.parameters()]:
        p.requires_grad_(True)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in alone.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn(p.shape, generator=source))
    tensors = {n: p.detach() for n, p in alone.named_parameters() if p.requires_grad}
    run = ToyParent(tensors, Need(method), tiny.Toy(24, seed=seed))
    run.part = part
    return run


def ready(text: str, heads=HEADS, of: str = FULL, runs=(0, 1), **more):
    """The method, its model as it is before `fit`, and a run with its parents."""
    model = tiny.backbone()
    model.rehead(heads)
    model.head.draw(1)
    parents = [ran(of, model, part, seed=10 + i, heads=heads) for i, part in enumerate(runs)]
    method, run = resolve(text, "bert"), Chosen(parents, **more)
    method.prepare(model, run)
    return method, model, run


def named(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def body(run):
    return {n: t for n, t in run.tensors.items() if not n.startswith("head.")}


@pytest.mark.parametrize("space", ["delta", "factor"])
def test_average_of_full_runs_is_their_mean_in_either_space(space):
    method, model, run = ready(f"average[space={space}]")
    method.fit(model, run)
    own = named(model)
    for name, tensor in body(run.given[0]).items():
        torch.testing.assert_close(own[name], (tensor + body(run.given[1])[name]) / 2)
    assert model.facts["merge"] == {"space": space, "parents": [FULL, FULL]}
    assert not run.seen


def test_each_part_keeps_the_head_of_its_run():
    method, model, run = ready("average")
    method.fit(model, run)
    for part in (0, 1):
        head = model.head.of[part].out.weight
        assert torch.equal(head, run.given[part].tensors["head.out.weight"])


def test_a_head_for_both_is_merged_like_the_rest():
    shared = (Given(2, space="a"), Given(2, space="a"))
    method, model, run = ready("average", heads=shared)
    method.fit(model, run)
    mean = sum(r.tensors["head.out.weight"] for r in run.given) / 2
    torch.testing.assert_close(model.head.of[0].out.weight.detach(), mean)


def test_lora_in_delta_space_is_the_mean_of_what_it_folds_to():
    method, model, run = ready(f"average[of={LORA}]", of=LORA)
    base = tiny.backbone()
    base.rehead(HEADS)
    dense = []
    for one in run.given:
        tensors = {n: t for n, t in one.tensors.items() if not n.startswith("head.")}
        dense.append(named(folded(base, resolve(LORA, ""), Chosen(), tensors)))
    method.fit(model, run)
    own = named(model)
    for name in (n for n in own if n.startswith("net.")):
        torch.testing.assert_close(own[name], (dense[0][name] + dense[1][name]) / 2)


def test_the_mean_of_products_is_not_the_product_of_means():
    """Delta and factor space differ for LoRA: mean(B) mean(A) is not mean(BA)."""
    outputs = []
    for space in ("delta", "factor"):
        method, model, run = ready(f"average[of={LORA},space={space}]", of=LORA)
        method.fit(model, run)
        method.finalize(model)
        with torch.no_grad():
            outputs.append(model.eval()(tiny.batch(6)))
    assert not torch.allclose(*outputs, atol=1e-3)


def test_what_leaves_modules_in_the_model_has_no_delta_space():
    with pytest.raises(Unsuited, match="space=factor"):
        ready("average[of=adapter]", of="adapter")
    method, model, run = ready("average[of=adapter,space=factor]", of="adapter")
    method.fit(model, run)
    name = next(n for n in run.given[0].tensors if "head" not in n)
    mean = sum(r.tensors[name] for r in run.given) / 2
    torch.testing.assert_close(named(model)[name], mean)


@pytest.mark.parametrize("text", ["average", "regmean", "fisher", "taskvector", "soup"])
def test_runs_of_another_base_are_refused_by_name(text):
    method, model, run = ready(text)
    run.given[1].base = "f" * 64
    with pytest.raises(ValueError, match=r"from one base, .* got full from ffffffffffff"):
        method.fit(model, run)


def test_of_one_run_every_merge_makes_that_run():
    for text in ("average", "regmean", "fisher", "taskvector[scale=1]"):
        method, model, run = ready(text, heads=HEADS, runs=(0,))
        method.fit(model, run)
        own = named(model)
        for name, tensor in body(run.given[0]).items():
            torch.testing.assert_close(own[name], tensor, rtol=1e-6, atol=1e-7)


def test_statistics_are_taken_of_each_run_on_its_own_rows_and_kept_under_its_own_names():
    method, model, run = ready("regmean", heads=(Given(2, space="a"), Given(2, space="a")))
    kept = []
    for one in run.given:
        one.statistic = lambda name, make, one=one: kept.append((name, make())) or kept[-1][1]
    method.fit(model, run)
    assert [name for name, _ in kept] == ["gram-delta-256"] * 2
    for _, tensors in kept:
        assert "head.out.weight" in tensors and not any("head.of" in n for n in tensors)
    first, second = (tensors["net.encoder.layer.0.output.dense.weight"] for _, tensors in kept)
    assert not torch.allclose(first, second)


def test_regmean_differs_from_the_mean_and_imitates_its_runs_better():
    def distance(model, run):
        """Mean squared distance of a layer's outputs from those of the runs on their own rows."""
        name, total = "net.encoder.layer.1.output.dense", 0.0
        for one in run.given:
            alone = copy.deepcopy(model)
            with torch.no_grad():
                for key, tensor in body(one).items():
                    alone.get_parameter(key).copy_(tensor)
            kept = []
            hook = alone.get_submodule(name).register_forward_pre_hook(
                lambda _, x, kept=kept: kept.append(x[0])
            )
            with torch.no_grad():
                for batch in one.batches(24):
                    alone.eval().features(batch)
                    x = kept.pop()[batch.mask.bool()]
                    far = (
                        x @ (model.get_parameter(f"{name}.weight") - body(one)[f"{name}.weight"]).T
                    )
                    total += float(far.square().sum())
            hook.remove()
        return total

    far = {}
    for text in ("average", "regmean[alpha=1]"):
        method, model, run = ready(text)
        method.fit(model, run)
        far[text] = distance(model, run)
    assert far["regmean[alpha=1]"] < 0.9 * far["average"]


def test_regmean_chooses_alpha_on_selection_rows_alone():
    count = iter([0.1, 0.7, 0.3])
    score = lambda model: {"mean": next(count), "a": 0.0, "b": 0.0}  # noqa: E731
    method, model, run = ready("regmean[alpha=1+0.5+0]", score=score)
    method.fit(model, run)
    assert run.seen == ["selection"] * 3
    sweep = model.facts["sweep"]
    assert sweep["values"] == [1.0, 0.5, 0.0] and sweep["chosen"] == 0.5
    assert sweep["selection"]["mean"] == [0.1, 0.7, 0.3]
    _, again, _ = ready("regmean[alpha=0.5]")
    fixed, _, run = ready("regmean[alpha=0.5]")
    fixed.fit(again, run)
    assert all(
        torch.equal(a, b) for a, b in zip(named(model).values(), named(again).values(), strict=True)
    )


def test_fisher_weighs_by_the_fishers_it_is_given():
    method, model, run = ready("fisher[normalise=false]")
    for weight, one in zip((1.0, 3.0), run.given, strict=True):
        one.statistic = lambda name, make, w=weight, one=one: {
            n: torch.full(t.shape, w, dtype=torch.float64) for n, t in one.tensors.items()
        }
    method.fit(model, run)
    name = "net.encoder.layer.0.output.dense.weight"
    a, b = (one.tensors[name] for one in run.given)
    torch.testing.assert_close(named(model)[name], (a + 3 * b) / 4)


def test_task_vectors_at_one_over_n_are_the_mean():
    method, model, run = ready("taskvector[scale=0.5]")
    method.fit(model, run)
    for name, tensor in body(run.given[0]).items():
        mean = (tensor + body(run.given[1])[name]) / 2
        torch.testing.assert_close(named(model)[name], mean, rtol=1e-5, atol=1e-6)


def test_sparse_vectors_are_those_that_ties_and_dare_make():
    from methods.merging.algebra import delta
    from methods.merging.ties import dropped, ties

    for sparse in ("ties", "dare"):
        text = f"taskvector[scale=0.7,sparse={sparse},density=0.5]"
        method, model, run = ready(text)
        base = named(model)
        vectors = [delta(body(one), {n: base[n] for n in body(one)}) for one in run.given]
        source = run.generator("dare")
        made = [ties(vectors, density=0.5)]
        if sparse == "dare":
            made = [dropped(vector, 0.5, source) for vector in vectors]
        method.fit(model, run)
        for name in vectors[0]:
            expected = base[name] + 0.7 * sum(one[name] for one in made)
            torch.testing.assert_close(named(model)[name], expected.float(), rtol=1e-5, atol=1e-6)


def test_negation_takes_away_what_the_first_run_learnt():
    text = "taskvector[by=negation,scale=0.5]"
    method, model, run = ready(text, heads=DESCRIBED, runs=(0,))
    base = named(model)
    method.fit(model, run)
    name = "net.encoder.layer.0.output.dense.weight"
    expected = base[name] - 0.5 * (run.given[0].tensors[name] - base[name])
    torch.testing.assert_close(named(model)[name], expected)
    assert spread(method.needs(), 3) == [Need("full", part=0)]


def test_analogy_adds_what_b_has_over_a():
    text = "taskvector[by=analogy,scale=1]"
    four = (*DESCRIBED, *DESCRIBED)
    method, model, run = ready(text, heads=four, runs=(0, 1, 2))
    base = named(model)
    method.fit(model, run)
    name = "net.encoder.layer.0.output.dense.weight"
    a, b, c = (one.tensors[name] for one in run.given)
    torch.testing.assert_close(named(model)[name], c + b - a, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(named(model)[name], base[name])


def test_unlearning_needs_heads_that_are_given():
    for text in ("taskvector[by=negation]", "paint", "untuned"):
        with pytest.raises(Unsuited, match="heads that are given"):
            ready(text, runs=(0,))


def test_the_largest_scale_that_keeps_the_controls_is_taken():
    every = [{"a": 0.9, "b": x} for x in (0.80, 0.79, 0.75, 0.77, 0.60)]
    assert largest_that_keeps(["b"], 0.95)(every) == 3  # 0.76 is 95 % of 0.80
    assert largest_that_keeps(["b"], 1.0)(every) == 0


def test_the_best_mean_of_both_is_taken_and_of_equals_the_nearest_to_the_pretrained():
    every = [
        {"new": 0.4, "x": 0.8, "y": 0.6},
        {"new": 0.8, "x": 0.8, "y": 0.6},
        {"new": 0.9, "x": 0.7, "y": 0.5},
        {"new": 0.9, "x": 0.6, "y": 0.5},
    ]
    assert best_of_both(["new"], ["x", "y"])(every) == 1  # 0.8 + 0.7 and 0.9 + 0.6: equals
    assert best_of_both(["new"], [])(every) == 2


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_ends_of_a_patch_are_both_models_bit_for_bit(alpha):
    method, model, run = ready(f"paint[alpha={alpha}]", heads=DESCRIBED, runs=(0,))
    base = named(model)
    method.fit(model, run)
    end = run.given[0].tensors if alpha else base
    assert all(torch.equal(named(model)[name], end[name]) for name in run.given[0].tensors)


def test_patches_in_parallel_choose_their_alphas_in_turn():
    scores = {0: iter([0.2, 0.9, 0.1]), 1: iter([0.3, 0.4, 0.8])}
    calls = []

    def score(model):
        calls.append(1)
        value = next(scores[(len(calls) - 1) // 3])
        return {"mean": value, "a": value, "b": value, "c": value}

    heads = (*DESCRIBED, Given(2, ("up", "down")))
    text = "paint[patches=2,by=parallel,step=0.5]"
    method, model, run = ready(text, heads=heads, score=score)
    run.parts = ("a", "b", "c")
    base = named(model)
    method.fit(model, run)
    assert model.facts["alphas"] == [0.5, 1.0]
    name = "net.encoder.layer.0.output.dense.weight"
    a, b = (one.tensors[name] - base[name] for one in run.given)
    torch.testing.assert_close(named(model)[name], base[name] + 0.5 * a + b, rtol=1e-5, atol=1e-6)


def test_grid_has_no_rounding_in_it_and_ends_at_its_end():
    assert grid(1.0, 0.05)[:4] == [0.0, 0.05, 0.1, 0.15] and grid(2.0, 0.1)[-1] == 2.0
    assert len(grid(1.0, 0.05)) == 21


def test_sweep_keeps_every_score_and_takes_undefined_ones_for_the_worst():
    model, run = tiny.backbone(), Chosen()
    found = iter([{"mean": None}, {"mean": 0.4}, {"mean": 0.4}])
    run.score = lambda model: next(found)
    at = swept(model, run, "x", [1, 2, 3], lambda value: {}, highest("mean"), "highest")
    assert at == 2 and model.facts["sweep"]["selection"] == {"mean": [None, 0.4, 0.4]}


def test_joined_merges_what_several_bring_and_leaves_the_rest():
    states = [
        State(None, {"x": torch.zeros(1), "only": torch.ones(1)}, "head."),
        State(None, {"x": torch.ones(1)}, "head."),
    ]
    found = joined(
        states, lambda some, names: {n: torch.full((1,), len(some) * 1.0) for n in names}
    )
    assert found["only"] == 1 and found["x"] == 2


def test_single_runs_answer_each_for_its_part_and_ensembles_together():
    shared = (Given(2, space="a"), Given(2, space="a"))
    outputs = {}
    for text in ("single", "ensemble"):
        method, model, run = ready(text, heads=shared)
        method.fit(model, run)
        batch = tiny.batch(5)
        with torch.no_grad():
            outputs[text] = [model.eval()(replace(batch, part=part)) for part in (0, 1)]
    alone = outputs["single"]
    assert not torch.allclose(*alone)
    torch.testing.assert_close(outputs["ensemble"][0], (alone[0] + alone[1]) / 2)
    assert torch.equal(*outputs["ensemble"])


def test_outputs_of_different_spaces_have_no_mean():
    with pytest.raises(Unsuited, match="one head for all"):
        ready("ensemble")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regmean[alpha=1.5]", "alpha from 0 to 1"),
        ("regmean[alpha=none]", "alpha from 0 to 1"),
        ("regmean[rows=0]", "rows of at least 1"),
        ("fisher[draws=-1]", "draws -1"),
        ("taskvector[step=0]", "0 < step <= most"),
        ("taskvector[density=0]", "density above 0"),
        ("taskvector[by=adding]", "'addition', 'negation' or 'analogy'"),
        ("paint[alpha=2]", "alpha from 0 to 1"),
        ("paint[patches=3,by=sequential]", "1 or 2 patches"),
        ("average[of=soup]", "a method that trains, got of=soup"),
        ("average[space=beta]", "'delta' or 'factor'"),
        ("ensemble[count=0]", "count of at least 1"),
    ],
)
def test_wrong_option_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        resolve(text, "minilm")


def test_needs_on_a_plain_task_are_runs_on_it():
    assert spread((Need("full", part="each"),), 0) == [Need("full")]
    assert spread((Need("full", part=(0, 1)),), 3) == [Need("full", part=(0, 1))]
    with pytest.raises(ValueError, match="at least 4 parts, got 3"):
        spread((Need("full", part=3),), 3)
