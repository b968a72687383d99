"""The arithmetic of the paper by a second route: peft, transformers' own heads, closed forms."""

import numpy as np
import peft
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare
from torch import nn
from torch.nn.functional import kl_div, log_softmax, softmax
from transformers import AutoConfig, AutoModelForSequenceClassification

from methods import resolve
from methods.adamix import symmetric_kl
from methods.layers.mixture import Mixture, Router
from tests.tiny import EXTRA, SIZES, ToyRun, backbone, batch, prepared

# what peft reads of transformers is on its way out there
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

OUR_HEAD = {
    "bert": {"classifier": "out"},
    "roberta": {"classifier.dense": "dense", "classifier.out_proj": "out"},
    "deberta-v2": {"pooler.dense": "dense", "classifier": "out"},
}


def theirs(family: str, model):
    """transformers' classification model with our backbone's weights and our head's."""
    settings = AutoConfig.for_model(family, num_labels=2, **{**SIZES, **EXTRA.get(family, {})})
    net = AutoModelForSequenceClassification.from_config(settings)
    net.base_model.load_state_dict(model.net.state_dict())
    for name, mine in OUR_HEAD[family].items():
        net.get_submodule(name).load_state_dict(getattr(model.head, mine).state_dict())
    return net.eval()


def inputs(rows) -> dict[str, torch.Tensor]:
    return {"input_ids": rows.ids, "attention_mask": rows.mask}


@pytest.mark.parametrize("family", OUR_HEAD)
def test_head_equals_the_classification_head_of_transformers(family):
    model = backbone(family).eval()
    with torch.no_grad():
        expected = theirs(family, model)(**inputs(batch())).logits
        torch.testing.assert_close(model(batch()), expected, rtol=0, atol=1e-6)


def test_mean_head_reads_the_mean_of_the_text_without_padding():
    model, rows = backbone(pool="mean").eval(), batch()
    with torch.no_grad():
        hidden = model.net(**inputs(rows)).last_hidden_state
        means = [h[m.bool()].mean(0) for h, m in zip(hidden, rows.mask, strict=True)]
        torch.testing.assert_close(model(rows), model.head.out(torch.stack(means)))


def test_lora_equals_peft_forward_and_gradients():
    model = backbone()
    net = theirs("bert", model)
    prepared(resolve("lora[rank=3,alpha=12]", ""), model)
    asked = peft.LoraConfig(
        r=3, lora_alpha=12, target_modules=["query", "value"], task_type="SEQ_CLS"
    )
    wrapped = peft.get_peft_model(net, asked).eval()
    pairs = _lora_pairs(model, wrapped)
    with torch.no_grad():
        for mine, other in pairs:
            other.copy_(nn.init.normal_(mine, std=0.3))
    _agree(model, wrapped, pairs)
    folded = model.eval()(batch()).detach()
    resolve("lora[rank=3,alpha=12]", "").finalize(model)
    merged = wrapped.merge_and_unload()(**inputs(batch())).logits
    torch.testing.assert_close(model(batch()), folded, rtol=0, atol=1e-5)
    torch.testing.assert_close(model(batch()), merged, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mlp", ["none", "24"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_prefix_equals_peft_forward_and_gradients(family, mlp):
    model = backbone(family)
    net = theirs(family, model)
    prepared(resolve(f"prefix[length=5,mlp={mlp}]", ""), model)
    hidden = {} if mlp == "none" else {"prefix_projection": True, "encoder_hidden_size": 24}
    asked = peft.PrefixTuningConfig(num_virtual_tokens=5, task_type="SEQ_CLS", **hidden)
    wrapped = peft.get_peft_model(net, asked).eval()
    encoder = wrapped.prompt_encoder["default"]
    pairs = list(zip(model.prefix.parameters(), encoder.parameters(), strict=True))
    with torch.no_grad():
        for mine, other in pairs:
            other.copy_(nn.init.normal_(mine, std=0.3))
    rows = batch()
    positions = torch.arange(rows.ids.shape[1]).expand_as(rows.ids)
    if family == "roberta":
        positions = rows.mask.cumsum(1) * rows.mask + net.config.pad_token_id
    # peft counts the prefix as positions unless told where the text stands
    base = wrapped.base_model
    base.base_model.embeddings.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "position_ids": positions}),
        with_kwargs=True,
    )
    _agree(model, wrapped, pairs)


def _lora_pairs(model, wrapped):
    pairs = []
    for mine, layer in zip(model.layers, wrapped.base_model.model.bert.encoder.layer, strict=True):
        for name in ("query", "value"):
            ours = getattr(mine.attention.self, name)
            other = getattr(layer.attention.self, name)
            pairs.append((ours.down.weight, other.lora_A["default"].weight))
            pairs.append((ours.up.weight, other.lora_B["default"].weight))
    return pairs


def _agree(model, wrapped, pairs):
    rows = batch()
    mine = model.eval()(rows)
    other = wrapped(**inputs(rows)).logits
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    nn.functional.cross_entropy(mine, rows.labels).backward()
    nn.functional.cross_entropy(other, rows.labels).backward()
    for ours, their in pairs:
        assert ours.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, their.grad, rtol=0, atol=1e-5)


def mixture(experts: int = 4, routing: str = "batch", seed: int = 0) -> Mixture:
    torch.manual_seed(seed)
    router = Router(torch.Generator().manual_seed(seed))
    made = Mixture(nn.Linear(3, 2), experts, router, routing)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def test_merged_mixture_is_the_mean_of_weights_and_of_outputs():
    mixed, x = mixture(), torch.randn(5, 3)
    merged = mixed.merged()
    torch.testing.assert_close(merged.weight, sum(e.weight for e in mixed.experts) / 4)
    torch.testing.assert_close(merged.bias, sum(e.bias for e in mixed.experts) / 4)
    torch.testing.assert_close(merged(x), torch.stack([e(x) for e in mixed.experts]).mean(0))
    assert torch.equal(mixed.eval()(x), merged(x))


def test_mixture_in_evaluation_follows_its_experts_and_keeps_nothing():
    mixed, x = mixture().eval(), torch.randn(5, 3)
    before = mixed(x)
    with torch.no_grad():
        mixed.experts[2].weight += 1.0
    assert not torch.allclose(mixed(x), before)


def test_mixture_by_sentence_sends_each_row_through_the_expert_drawn_for_it():
    mixed, x = mixture(routing="sentence"), torch.randn(6, 7, 3)
    drawn = Router(torch.Generator().manual_seed(0)).draw(4, 6)
    expected = torch.stack([mixed.experts[i](row) for i, row in zip(drawn, x, strict=True)])
    torch.testing.assert_close(mixed(x), expected)


@pytest.mark.parametrize("routing", ["batch", "sentence"])
def test_expert_that_was_not_drawn_gets_no_gradient(routing):
    mixed = mixture(experts=8, routing=routing)
    mixed(torch.randn(3, 3)).sum().backward()
    drawn = Router(torch.Generator().manual_seed(0)).draw(8, 1 if routing == "batch" else 3)
    has = {i for i, expert in enumerate(mixed.experts) if expert.weight.grad is not None}
    assert has == set(drawn.tolist())


def _routes(draws: int) -> np.ndarray:
    """The experts that the two maps of one adapter took, one row a forward pass."""
    model = backbone()
    prepared(resolve("adamix[inner=adapter[width=4],share=none]", ""), model)
    taken: list[int] = []
    mixtures = [m for m in model.layers[0].modules() if isinstance(m, Mixture)]
    for mixed in mixtures:
        for index, expert in enumerate(mixed.experts):
            expert.register_forward_hook(lambda *_, index=index: taken.append(index))
    model.train()
    with torch.no_grad():
        for _ in range(draws):
            model(batch(rows=1, tokens=2))
    return np.array(taken).reshape(draws, 2)


def test_routing_is_uniform_and_down_and_up_are_independent():
    routes = _routes(2000)
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (routes[:, 0], routes[:, 1]), 1)
    assert chisquare(table.sum(1)).pvalue > 0.01
    assert chisquare(table.sum(0)).pvalue > 0.01
    assert chi2_contingency(table).pvalue > 0.01
    successive = np.zeros((4, 4), dtype=int)
    np.add.at(successive, (routes[:-1, 0], routes[1:, 0]), 1)
    assert chi2_contingency(successive).pvalue > 0.01


def _kl(a: torch.Tensor, b: torch.Tensor, *, detach: bool) -> torch.Tensor:
    p, q = softmax(a, -1), softmax(b, -1)
    stop = torch.Tensor.detach if detach else lambda x: x
    one = kl_div(log_softmax(a, -1), stop(q), reduction="batchmean")
    two = kl_div(log_softmax(b, -1), stop(p), reduction="batchmean")
    return 0.5 * (one + two)


def test_consistency_has_the_value_of_the_symmetric_kl_and_the_gradient_of_the_detached_one():
    a, b = torch.randn(2, 5, 3, dtype=torch.float32).unbind(0)
    a.requires_grad_()
    b.requires_grad_()
    gradients = {}
    for name, value in {
        "ours": symmetric_kl(a, b),
        "detached": _kl(a, b, detach=True),
        "plain": _kl(a, b, detach=False),
    }.items():
        torch.testing.assert_close(value, _kl(a, b, detach=False))
        gradients[name] = torch.autograd.grad(value, (a, b))
    for mine, detached, plain in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(mine, detached)
        assert not torch.allclose(mine, plain, atol=1e-3)
    by_hand = (softmax(a, -1) - softmax(b, -1)) / 2 / len(a)
    torch.testing.assert_close(gradients["ours"][0], by_hand)


@pytest.mark.parametrize("inner", ["adapter", "lora"])
@pytest.mark.parametrize("share", ["up", "down"])
def test_one_expert_without_consistency_trains_bit_for_bit_like_the_inner_method(inner, share):
    def weights(text: str) -> list[torch.Tensor]:
        run = ToyRun(epochs=2, decay=0.1)
        chosen, model = resolve(text, ""), backbone()
        prepared(chosen, model, run)
        chosen.fit(model, run)
        chosen.finalize(model)
        return [p.detach() for p in model.parameters()] + [torch.tensor(run.losses)]

    plain, mixed = (
        weights(inner),
        weights(f"adamix[inner={inner},experts=1,consistency=0,share={share}]"),
    )
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))


def test_consistency_takes_a_second_pass_for_classes_and_none_for_regression():
    def passes(outputs: int) -> int:
        model = backbone(outputs=outputs).train()
        chosen = resolve("adamix", "")
        prepared(chosen, model)
        rows, seen = batch(outputs=outputs), [0]
        model.layers[-1].register_forward_hook(lambda _, read, __: seen.append(len(read[0])))
        chosen.loss(model, rows)
        return sum(seen) // len(rows.ids)

    assert (passes(2), passes(1)) == (2, 1)


def test_loss_is_the_first_pass_cross_entropy_plus_the_weighted_consistency():
    model, rows = backbone(), batch()
    chosen = resolve("adamix[consistency=3]", "")
    prepared(chosen, model)
    logits: list[torch.Tensor] = []
    model.register_forward_hook(lambda _, __, out: logits.extend(out.chunk(2)))
    value = chosen.loss(model.train(), rows)
    first, second = logits
    assert not torch.equal(first, second)
    expected = nn.functional.cross_entropy(first, rows.labels) + 3 * symmetric_kl(first, second)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("idle", ["still", "moving"])
def test_idle_experts_stand_still_or_go_on_as_asked(idle):
    torch.manual_seed(0)
    expert = nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.AdamW([expert], lr=0.1, weight_decay=0.1)
    expert.sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=idle == "still")
    before = expert.detach().clone()
    optimizer.step()
    assert torch.equal(expert, before) == (idle == "still")


@pytest.mark.parametrize("idle", ["still", "moving"])
def test_idle_option_reaches_the_optimizer(idle):
    def experts(idle: str) -> torch.Tensor:
        run = ToyRun(epochs=1, decay=0.1)
        chosen, model = resolve(f"adamix[experts=8,idle={idle}]", ""), backbone()
        trained = prepared(chosen, model, run)
        chosen.fit(model, run)
        return torch.cat([p.detach().flatten() for p in trained])

    assert torch.equal(experts(idle), experts(idle))
    assert not torch.equal(experts("still"), experts("moving"))


def test_experts_start_independent_or_as_copies_as_asked():
    def first_two(text: str) -> tuple[torch.Tensor, torch.Tensor]:
        model = backbone()
        prepared(resolve(text, ""), model)
        mixed = next(m for m in model.modules() if isinstance(m, Mixture))
        return mixed.experts[0].weight, mixed.experts[1].weight

    assert not torch.equal(*first_two("adamix"))
    assert torch.equal(*first_two("adamix-lora"))
    a, b = first_two("adamix[inner=adapter[width=400]]")
    for weight in (a, b):
        assert weight.std().item() == pytest.approx(0.02, abs=1e-3)
