"""Networks drawn anew, brought into one order and merged; the barrier between them."""

import copy
import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from bench.cellrun import CellRun
from bench.cost import account, size
from bench.features import Featured
from bench.plan import jobs
from bench.restore import restored
from bench.run import attempt
from bench.store import Store
from bench.suite import Profile, Suite, request
from bench.text import First
from bench.weights import find
from methods import resolve
from methods.base import Need, Unsuited
from methods.layers.stream import stream
from methods.merging.barrier import aligned, between, height, mean, shares
from methods.merging.permute import permuted
from methods.merging.symmetries import chain, encoder, head
from tasks.sources import Source
from tests.tiny import Toy, ToyRun, backbone, batch, prepared, writer

SMALL = "mlp[layers=2,width=8]"


def ready(text: str, family: str = "bert", run: ToyRun | None = None):
    method, model = resolve(text, family), backbone(family)
    prepared(method, model, run)
    return method, model


def trained(model) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def output(model, rows=None) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(rows or batch(8))


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def fitted(text: str, runs, family: str = "bert"):
    """The method's model after fit on those runs, and its run."""
    run = ToyRun()
    method, model = ready(text, family, run)
    run.parents = lambda: [dict(tensors) for tensors in runs]
    method.fit(model, run)
    return method, model, run


def drawn_anew(model, spaces, seed: int = 1) -> dict[str, torch.Tensor]:
    own = trained(model)
    return permuted(own, spaces, spaces.random(own, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("losses", "expected"),
    [([0, 1, 0], 1), ([1, 1, 3], 0), ([2, 2, 1], 0.5), ([3, 0, 1], 0), ([0, 0, 4, 3, 4], 2)],
)
def test_height_is_over_the_line_between_the_ends(losses, expected):
    assert height(losses) == pytest.approx(expected)


def test_ends_of_the_line_are_the_networks_bit_for_bit():
    a, b = ({"w": torch.randn(50, 3) * 10**k} for k in (-3, 2))
    assert equal(between(a, b, 0.0), a) and equal(between(a, b, 1.0), b)
    torch.testing.assert_close(between(a, b, 0.25)["w"], 0.75 * a["w"] + 0.25 * b["w"])
    assert shares()[0] == 0 and shares()[12] == 0.5 and shares()[-1] == 1 and len(shares()) == 25


def test_of_two_networks_the_first_stays_as_it_is():
    _, model = ready(SMALL)
    maps = ["around.module.maps.0", "around.module.maps.1"]
    a, b = trained(model), drawn_anew(model, head(model, maps))
    found = aligned([a, b], head(model, maps), torch.Generator())
    assert equal(found.runs[0], a) and equal(found.runs[1], a) and not found.identity


def test_many_networks_come_into_one_order():
    torch.manual_seed(0)
    spaces = chain(["0", "1", "2"])
    sizes = [(9, 5), (7, 9), (2, 7)]
    own = {f"{i}.weight": torch.randn(size) for i, size in enumerate(sizes)}
    own |= {f"{i}.bias": torch.randn(size[0]) for i, size in enumerate(sizes)}
    seeds = [torch.Generator().manual_seed(seed) for seed in range(5)]
    runs = [permuted(own, spaces, spaces.random(own, seed)) for seed in seeds]
    found = aligned(runs, spaces, torch.Generator().manual_seed(0))
    assert not equal(runs[0], runs[1]) and not found.identity and found.rounds > 1
    assert all(equal(run, found.runs[0]) for run in found.runs)
    same = aligned([own] * 3, spaces, torch.Generator().manual_seed(0))
    assert same.identity and same.rounds == 1 and equal(same.runs[2], own)


def test_mean_is_in_float64():
    tensors = [{"w": torch.full((2,), value)} for value in (1e8, 1.0, -1e8)]
    torch.testing.assert_close(mean(tensors)["w"], torch.full((2,), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("rebasin", ["mlp", "mlp[draw=1]"]),
        ("rebasin[of=mlp[width=8,draw=2],count=3]", ["mlp[width=8,draw=2]", 3, 4]),
        ("rebasin[of=scratch[layers=1]]", ["scratch[layers=1]", "scratch[layers=1,draw=1]"]),
    ],
)
def test_networks_that_are_drawn_differ_in_their_draw_alone(text, needs):
    expected = [need if isinstance(need, str) else f"mlp[width=8,draw={need}]" for need in needs]
    assert resolve(text, "bert").needs() == tuple(map(Need, expected))


def test_networks_of_one_base_differ_in_their_order():
    expected = tuple(Need("full", {"order": order}) for order in range(3))
    assert resolve("rebasin[of=full,count=3]", "bert").needs() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rebasin[of=lora]", r"trains whole networks \(full, mlp, scratch\), got of=lora"),
        ("rebasin[of=soup]", "got of=soup"),
        ("rebasin[of=rebasin]", "got of=rebasin"),
        ("rebasin[inner=fisher]", "no merge of weights alone named 'fisher'; valid: soup"),
        ("rebasin[inner=soop]", "did you mean 'soup'"),
        ("rebasin[count=1]", "expected count of at least 2, got 1"),
        ("rebasin[rows=0]", "expected rows of at least 1 or none, got 0"),
        ("mlp[layers=0]", "expected layers of at least 1, got 0"),
        ("mlp[width=0]", "expected width of at least 1, got 0"),
        ("mlp[draw=-1]", "expected draw of at least 0, got -1"),
        ("scratch[layers=0]", "expected layers of at least 1, got 0"),
        ("scratch[draw=-1]", "expected draw of at least 0, got -1"),
    ],
)
def test_wrong_option_is_named_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as found:
        resolve(text, "minilm")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "model", "message"),
    [
        ("rebasin[of=full]", lambda: backbone("deberta-v2"), "of bert and roberta; .* deberta-v2"),
        ("rebasin[of=full]", lambda: writer("gpt2"), "of bert and roberta; .* is a gpt2"),
        ("rebasin[of=mlp]", lambda: writer("gpt2"), "mlp stands before a head for classes"),
        ("scratch", lambda: writer("t5"), "scratch serves encoders; 'tiny-t5' writes text"),
        ("scratch[layers=3]", backbone, "scratch draws 3 layers; 'tiny-bert' has 2"),
    ],
)
def test_model_that_is_not_served_is_told_in_one_line(text, model, message):
    with pytest.raises(Unsuited, match=message):
        prepared(resolve(text, ""), model())


def test_streams_of_draws_are_independent_and_follow_the_seed_alone():
    def first(seed: int, draw: int) -> int:
        torch.manual_seed(seed)
        return int(torch.randint(2**48, (), generator=stream(draw)))

    found = [first(seed, draw) for seed in range(3) for draw in range(4)]
    assert len({*found}) == 12
    assert found == [first(seed, draw) for seed in range(3) for draw in range(4)]


@pytest.mark.parametrize("method", ["mlp", "scratch"])
@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_draws_have_no_tensor_in_common_and_orders_have_them_all(method, family):
    runs = [
        trained(ready(text, family, run)[1])
        for text, run in [
            (method, ToyRun()),
            (f"{method}[draw=1]", ToyRun()),
            (method, ToyRun(1)),
            (method, ToyRun(order=1)),
        ]
    ]
    matrices = [name for name, tensor in runs[0].items() if tensor.dim() > 1]
    for other in runs[1:3]:
        assert all((runs[0][name] != other[name]).float().mean() > 0.9 for name in matrices)
    assert equal(runs[0], runs[3])


def test_mlp_has_as_many_parameters_as_worked_out_by_hand():
    method, model = ready("mlp[layers=3,width=8]")
    hidden = 16 * 8 + 8 + 2 * (8 * 8 + 8)
    assert size(model.task_parameters()) == size(method.finalize(model)) == hidden
    assert size(model.head.parameters()) == 8 * 2 + 2
    _, model = ready("mlp[layers=1,width=8]", "roberta")
    assert size(model.head.parameters()) == 8 * 16 + 16 + 16 * 2 + 2


def test_mlp_is_relus_between_what_the_head_reads_and_the_head():
    _, model = ready(SMALL)
    x = model.eval().features(batch(8))
    for map in model.around.module.maps:
        assert float(map.weight.detach().std()) == pytest.approx(
            (2 / map.in_features) ** 0.5, rel=0.3
        )
        assert not map.bias.any()
        x = functional.relu(x @ map.weight.T + map.bias)
    by_hand = (x @ model.head.out.weight.T + model.head.out.bias).detach()
    torch.testing.assert_close(output(model), by_hand)
    again = copy.deepcopy(model)
    with torch.no_grad():
        again.around.module.maps[0].weight.zero_()
    assert not torch.equal(output(model), output(again))


def test_mlp_reads_features_that_are_there():
    _, model = ready(SMALL)
    rows = replace(batch(8), features=model.eval().features(batch(8)))
    expected = output(model)
    model.net.register_forward_pre_hook(lambda *_: pytest.fail("the layers have run"))
    torch.testing.assert_close(output(model, rows), expected)


def test_model_with_a_perceptron_goes_with_its_last_name():
    _, model = ready(SMALL)
    output(model)
    alive = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert alive() is None
    finally:
        gc.enable()


def test_step_on_features_costs_what_the_perceptron_and_the_head_do():
    weights = replace(find("minilm"), location="")
    counted = account(resolve("mlp[layers=2,width=8]", ""), weights, 2)
    forward = 2 * (384 * 8 + 8 * 8 + 8 * 2)
    assert counted.upon.forward.of(1, 10) == forward
    assert counted.serve.of(1, 10) == counted.features.of(1, 10) + forward


def test_scratch_keeps_the_first_layers_and_no_pretrained_weight():
    plain = backbone()
    _, model = ready("scratch[layers=1]")
    assert len(model.layers) == 1 == model.settings.num_hidden_layers
    before = dict(plain.net.named_parameters())
    for name, parameter in model.net.named_parameters():
        if parameter.dim() > 1:
            assert (parameter != before[name]).float().mean() > 0.9
            assert float(parameter.detach().std()) == pytest.approx(
                0.02, rel=0.2
            )  # initializer_range
    one, two = (ready(f"scratch[draw={draw}]")[1].facts["weights_sha256"] for draw in (0, 1))
    assert one != two and len(one) == 64 and one == ready("scratch")[1].facts["weights_sha256"]


def test_scratch_draws_no_random_number_of_others():
    torch.manual_seed(7)
    prepared(resolve("scratch", ""), backbone())
    found = torch.rand(1)
    prepared(resolve("scratch[layers=1]", ""), backbone())
    assert torch.equal(found, torch.rand(1))


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_what_is_left_of_an_encoder_that_was_cut_is_counted(layers):
    whole, cut = backbone(), backbone()
    cut.cut(layers)
    layer = size(whole.layers[0].parameters())
    assert size(whole.parameters()) - size(cut.parameters()) == (2 - layers) * layer
    assert [site.layer for site in cut.sites(["q"])] == [*range(layers)]
    assert output(cut).isfinite().all()
    if layers == 2:
        assert torch.equal(output(cut), output(whole))


def test_scratch_counts_its_own_layers():
    weights = find("minilm")
    one, two = (account(resolve(f"scratch[layers={n}]", ""), weights, 2) for n in (1, 2))
    layer = 4 * (384 * 384 + 384) + 2 * 384 * 1536 + 1536 + 384 + 4 * 384
    assert two.trained_params - one.trained_params == layer
    token = 2 * (4 * 384 * 384 + 2 * 384 * 1536)
    assert two.serve.of(1, 1) - one.serve.of(1, 1) == token + 2 * 2 * 384


@pytest.mark.parametrize(("of", "family"), [(SMALL, "roberta"), ("scratch", "bert")])
def test_copy_in_another_order_is_merged_into_the_network_itself(of, family):
    _, model = ready(of, family)
    maps = ["around.module.maps.0", "around.module.maps.1"]
    spaces = head(model, maps) if of == SMALL else encoder(model)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.normal_(std=0.5)
    a, b = trained(model), drawn_anew(model, spaces)
    method, merged, run = fitted(f"rebasin[of={of},rows=40]", [a, b], family)
    torch.testing.assert_close(output(merged), output(model), rtol=1e-5, atol=1e-5)
    before = trained(merged)
    metrics = method.measure(merged, run)
    assert equal(trained(merged), before) and 0 <= metrics["accuracy"] <= 1
    barrier = merged.facts["barrier"]
    assert max(barrier["naive"]["train"]) - min(barrier["naive"]["train"]) > 0.1
    for split in ("train", "test"):
        assert max(barrier["aligned"][split]) - min(barrier["aligned"][split]) < 1e-5
        assert barrier["naive"][split][0] == barrier["aligned"][split][0]
        assert barrier["naive"][split][-1] == pytest.approx(barrier["aligned"][split][-1])
    assert not barrier["identity"] and barrier["rounds"] >= 1


def test_barrier_is_of_the_losses_on_the_line_between_the_runs():
    _, model = ready(SMALL)
    spaces = head(model, ["around.module.maps.0", "around.module.maps.1"])
    a = trained(model)
    b = {name: tensor + 0.5 * torch.randn_like(tensor) for name, tensor in a.items()}
    b = permuted(b, spaces, spaces.random(b, torch.Generator().manual_seed(1)))
    method, merged, run = fitted(f"rebasin[of={SMALL},rows=20]", [a, b])
    method.measure(merged, run)
    barrier = merged.facts["barrier"]
    assert [*barrier] == ["points", "naive", "aligned", "height", "identity", "rounds"]
    rows = next(First(run.data, 20).in_order(64))
    losses = []
    for share in barrier["points"]:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in a:
                    parameter.copy_((1 - share) * a[name] + share * b[name])
        losses.append(float(functional.cross_entropy(output(model, rows), rows.labels)))
    assert barrier["naive"]["train"] == pytest.approx(losses, rel=1e-4)
    ends = [[line["train"][i] for i in (0, -1)] for line in (barrier["naive"], barrier["aligned"])]
    assert (
        not barrier["identity"]
        and ends[1] == pytest.approx(ends[0], rel=1e-4)
        and losses[0] != losses[-1]
    )
    straight = [(1 - t) * losses[0] + t * losses[-1] for t in shares()]
    rise = max(loss - line for loss, line in zip(losses, straight, strict=True))
    assert barrier["height"]["naive"]["test"] == pytest.approx(rise, abs=1e-5)


def test_siblings_are_told_to_be_in_one_order_already():
    model = backbone("roberta")
    prepared(resolve("full", ""), model)
    a = trained(model)
    torch.manual_seed(0)
    b = {name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in a.items()}
    method, merged, run = fitted("rebasin[of=full,rows=40]", [a, b], "roberta")
    method.measure(merged, run)
    barrier = merged.facts["barrier"]
    assert barrier["identity"] and barrier["naive"] == barrier["aligned"]
    assert equal(trained(merged), {name: (a[name] + b[name]) / 2 for name in a})


def test_prediction_of_a_number_has_no_barrier():
    run, method = ToyRun(regression=True), resolve(f"rebasin[of={SMALL}]", "")
    model = backbone(outputs=1)
    prepared(method, model, run)
    run.parents = lambda: [trained(model)] * 2
    run.evaluate = lambda model, split: {"pearson": 0.5}
    method.fit(model, run)
    assert method.measure(model, run) == {"pearson": 0.5} and "barrier" not in model.facts


def test_first_rows_of_a_split_are_its_first():
    data = Toy(9)
    first = First(data, 4)
    found = [i for rows in first.in_order(3) for i in rows.rows.tolist()]
    assert len(first) == 4 and sorted(found) == [0, 1, 2, 3] and first.labels == data.labels[:4]
    assert len(First(data, 99)) == 9


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    """A whole plan of networks and merges on generated rows: records by label, store, jobs."""
    of = {"mlp": "mlp[layers=1,width=8]", "scratch": "scratch[layers=1]"}
    merges = [f"rebasin[of={text}]" for text in of.values()]
    profile = Profile(
        models=[str(tiny_folder)],
        seeds=[0],
        recipe={"lr": 1e-2, "batch": 8, "epochs": 2, "length": 32, "precision": "fp32"},
    )
    suite = Suite(
        name="own",
        title="",
        methods=[*of.values(), *merges],
        tasks=["rte[rows=24,dev_rows=12]"],
        profiles={"quick": profile},
    )
    store = Store(tmp_path_factory.mktemp("store"))
    planned = {job.cell.label: job for job in jobs(request(suite), Source("sample"), store)}
    for job in planned.values():
        with store.writing(job.cell) as folder:
            attempt(job, folder)
    return planned, store


def test_merge_builds_on_two_draws_one_of_which_is_the_row_itself(finished):
    planned, store = finished
    assert len(planned) == 6
    for name, option in (("mlp", "layers=1,width=8"), ("scratch", "layers=1")):
        merge = planned[f"rebasin[of={name}[{option}]]"].cell
        first, second = (store.get(planned[label].cell) for label in planned if label[0] == name[0])
        assert merge.parents == (first.cell.key, second.cell.key)
        assert first.cell.recipe == second.cell.recipe == merge.recipe
        assert resolve(second.cell.method, "") == replace(resolve(first.cell.method, ""), draw=1)


def test_record_of_a_merge_has_the_barrier_and_what_its_runs_cost(finished):
    planned, store = finished
    for label in (label for label in planned if label.startswith("rebasin")):
        record = store.get(planned[label].cell)
        assert record.status == "ok", record.reason
        barrier = record.where["barrier"]
        for line in (barrier["naive"], barrier["aligned"]):
            assert {split: len(losses) for split, losses in line.items()} == {
                "train": 25,
                "test": 25,
            }
        for split in ("train", "test"):
            found = barrier["height"]["aligned"][split]
            assert found == pytest.approx(height(barrier["aligned"][split]))
        assert record.cost["train_flops"] == 0 < record.cost["needed_train_flops"]


@pytest.mark.parametrize("of", ["mlp", "scratch"])
def test_barrier_is_of_the_rows_of_the_cell(finished, of):
    planned, store = finished
    first, merge = (
        next(job for label, job in planned.items() if label.startswith(word))
        for word in (of, f"rebasin[of={of}")
    )
    _, model = restored(first, store.folder(first.cell))
    run = CellRun(first, store.folder(first.cell), lambda **_: None)
    naive = store.get(merge.cell).where["barrier"]["naive"]
    (test,) = run.data.test
    for split, name in (("train", "train"), ("test", test)):
        rows = next(run.splits[name].in_order(99))
        by_hand = float(functional.cross_entropy(output(model, rows), rows.labels))
        assert naive[split][0] == pytest.approx(by_hand, rel=1e-4)
        assert run.mean_loss(model, split) == pytest.approx(by_hand, rel=1e-4)
    rows = next(First(run.splits["selection"], 2).in_order(99))
    by_hand = float(functional.cross_entropy(output(model, rows), rows.labels))
    assert run.mean_loss(model, "selection", 2) == pytest.approx(by_hand, rel=1e-4)
    kept = [isinstance(data, Featured) for data in run.looked_at.values()]
    assert kept == [of == "mlp"] * 3


def test_record_of_a_network_from_scratch_names_its_own_weights(finished):
    planned, store = finished
    records = [store.get(job.cell) for label, job in planned.items() if label.startswith("scratch")]
    digests = {record.where["weights_sha256"] for record in records}
    heads = {record.where["head_init"] for record in records}
    assert len(digests) == len(heads) == 2
