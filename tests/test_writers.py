"""Models that write text: GPT-2 and T5 as backbones, and every method on them."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from bench.backbone import Backbone
from bench.cost import account, size
from bench.families import FAMILIES, Unserved
from bench.flops import solved
from bench.pairs import Pairs
from bench.predict import mean_loss, write
from bench.unfuse import fuse, unfuse
from bench.weights import Weights, find
from methods import alias, method, resolve
from methods.adamix import symmetric_kl
from methods.base import Unsuited
from tasks.base import Decoding, Row
from tests.tiny import SMALL, WRITERS, EchoRun, Letters, language_model, prepared, writer

CPU = torch.device("cpu")
VARIANTS = [
    "adapter[position=houlsby]",
    "adapter[position=lin,width=4]",
    "lora[targets=q+k+v+o+up+down]",
    "prefix[mlp=none]",
    "adamix[inner=lora,routing=sentence,share=down]",
    "adamix[inner=adapter[position=houlsby],experts=2]",
]
NAMES = [*method.names(), *alias.names(), *VARIANTS]
FEW = ["full", "adapter", "lora", "prefix", "adamix-lora"]
families = pytest.mark.parametrize("family", WRITERS)
every_method = pytest.mark.parametrize(
    ("text", "family"),
    [
        pytest.param(
            text, family, marks=() if family == "gpt2" or text in FEW else pytest.mark.slow
        )
        for text in NAMES
        for family in WRITERS
    ],
)
ROWS = [Row(("ab cd",), "xy"), Row(("efghijk",), "z"), Row(("b",), "uvwxyz")]


def pairs(family: str, rows=ROWS, length: int = 30, whole: bool = False) -> Pairs:
    return Pairs(rows, Letters(), length, FAMILIES[family].writes, whole)


CUT = "layers are cut off encoders"
NOT_SERVED = {  # what is said of it
    "bitfit on t5": "has none",
    "prompt": "a prompt serves encoders",
    "cut": CUT,
    "logme": CUT,
    "btuning": CUT,
    "mlp": "a head for classes",
    "rebasin": "a head for classes",  # as its default runs
    "scratch": "scratch serves encoders",
    "fisher": "a Fisher is of models that classify",
}


def ready(text: str, family: str, run=None):
    """The method, a model it is prepared on, and what trains; skips what does not serve it."""
    model = writer(family)
    chosen = resolve(text, f"tiny-{family}")
    try:
        return chosen, model, prepared(chosen, model, run or EchoRun(family))
    except (Unsuited, Unserved) as error:
        told = NOT_SERVED.get(text) or (NOT_SERVED["bitfit on t5"] if family == "t5" else None)
        assert told and told in str(error)
        pytest.skip(told)


def output(model, family: str) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(pairs(family).batch(np.arange(3)))


def texts(model, family: str, **options) -> list[str]:
    decoding = Decoding(beams=3, new_tokens=6, ends=(), **options)
    return write(model, pairs(family), Letters(), decoding, CPU, "fp32")


def test_splitting_gpt2_leaves_its_logits():
    net, ids = language_model("gpt2"), torch.randint(2, 40, (3, 9))
    before = net(ids).logits
    unfuse(net)
    attention = net.transformer.h[0].attn.c_attn
    assert attention.q.weight.shape == attention.v.weight.shape == (16, 16)
    torch.testing.assert_close(net(ids).logits, before, rtol=1e-5, atol=1e-5)


def test_split_model_is_saved_in_the_layout_that_transformers_reads(tmp_path):
    net, ids = language_model("gpt2"), torch.randint(2, 40, (3, 9))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    unfuse(net)
    fuse(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    torch.testing.assert_close(again(ids).logits, net(ids).logits)


@families
def test_loaded_model_gives_the_logits_of_transformers(family, tmp_path):
    language_model(family).save_pretrained(tmp_path)
    model = Backbone.load(find(str(tmp_path)), 0).eval()
    data = pairs(family)
    batch = data.batch(np.arange(3))
    net = language_model(family)
    if family == "gpt2":
        logits = net(batch.ids, attention_mask=batch.mask).logits
    else:
        logits = net(batch.ids, attention_mask=batch.mask, decoder_input_ids=batch.written).logits
    expected = logits.flatten(0, 1)[batch.targets]
    torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)


@families
def test_loss_is_that_of_transformers_on_the_target_tokens_alone(family):
    net, data = language_model(family), pairs(family)
    model = Backbone("tiny", net, 0).eval()
    batch = data.batch(np.arange(3))
    losses = []
    for source, target in zip(data.sources, data.targets, strict=True):
        if family == "gpt2":
            ids = torch.tensor([source + target])
            labels = torch.tensor([[-100] * len(source) + target])
            loss = net(ids, labels=labels).loss
        else:
            loss = net(torch.tensor([source]), labels=torch.tensor([target])).loss
        losses += [loss.item()] * len(target)
    expected = sum(losses) / len(losses)
    assert math.isclose(model.loss(batch).item(), expected, rel_tol=1e-5)
    assert math.isclose(mean_loss(model, data, CPU, "fp32"), expected, rel_tol=1e-5)


def test_one_stack_reads_source_end_blank_target_end():
    letters = Letters()
    [row] = [Row(("ab",), "x")]
    data = Pairs([row], letters, 30, "causal")
    a, b, blank, x = letters("ab x")["input_ids"]
    batch = data.batch(np.array([0]))
    assert batch.ids.tolist() == [[a, b, 1, blank, x, 1]]
    assert batch.labels.tolist() == [blank, x, 1]
    assert batch.targets.tolist() == [2, 3, 4]
    assert Pairs([row], letters, 30, "causal", True).batch(np.array([0])).labels.tolist() == [
        *(b, 1, blank, x, 1)
    ]


def test_two_stacks_write_the_target_from_the_padding_token_on():
    letters = Letters()
    data = Pairs([Row(("ab",), "xy"), Row(("a",), "z")], letters, 30, "seq2seq")
    a, b, x, y, z = letters("abxyz")["input_ids"]
    batch = data.batch(np.array([0, 1]))
    assert batch.ids.tolist() == [[a, b, 1], [a, 1, 0]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.written.tolist() == [[0, x, y], [0, z, 0]]
    assert batch.labels.tolist() == [x, y, 1, z, 1]
    assert batch.targets.tolist() == [0, 1, 2, 3, 4]


def test_text_without_a_source_is_continued_from_its_middle_by_a_decoder():
    letters = Letters()
    data = Pairs([Row(("",), "abcde")], letters, 30, "seq2seq", whole=True)
    ids = letters("abcde")["input_ids"]
    assert data.sources == [[*ids[:3], 1]] and data.targets == [[*ids[3:], 1]]


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_no_row_is_longer_than_asked_and_the_source_is_cut_first(kind):
    rows = [Row(("a" * n,), "b" * m) for n in (1, 10, 50) for m in (1, 10, 50)]
    data = Pairs(rows, Letters(), 24, kind)
    assert max(data.lengths) <= 24
    assert all(source[-1] == 1 for source in data.sources)
    lead = kind == "causal"  # the blank
    assert [len(t) for t in data.targets[:3]] == [2 + lead, 11 + lead, 12]


def test_prompts_are_padded_on_the_left_for_one_stack_and_on_the_right_for_two():
    for kind, side in (("causal", 0), ("seq2seq", -1)):
        [(ids, mask, rows)] = Pairs(ROWS, Letters(), 30, kind).prompts(8)
        assert rows == [1, 0, 2]
        assert mask[-1, side] == 0 and ids[-1, side] == 0 and mask.sum() == 8 + 6 + 2


@families
def test_padding_and_neighbours_change_no_target(family):
    model = writer(family).eval()
    data = pairs(family)
    together = model(data.batch(np.arange(3)))
    alone = torch.cat([model(data.batch(np.array([i]))) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_labels_are_smoothed_in_training_only_and_never_in_the_consistency():
    model, batch = writer(), pairs("gpt2").batch(np.arange(3))
    model.smoothing = 0.1
    logits = model.train()(batch)
    log = logits.log_softmax(-1)
    picked = log.gather(1, batch.labels[:, None]).squeeze(1)
    by_hand = -(0.9 * picked + 0.1 * log.mean(-1)).mean()
    torch.testing.assert_close(model.objective(logits, batch), by_hand)
    plain = functional.cross_entropy(logits, batch.labels)
    torch.testing.assert_close(model.eval().objective(logits, batch), plain)
    chosen, model, _ = ready("adamix[inner=adapter]", "gpt2")
    passes, forward = [], type(model).forward
    model.register_forward_hook(lambda m, args, out: passes.extend(out.chunk(2)))
    loss = chosen.loss(model.train(), batch)
    assert forward is type(model).forward and len(passes) == 2
    kl = symmetric_kl(*passes)
    torch.testing.assert_close(loss, model.objective(passes[0], batch) + 100 * kl)


def test_consistency_is_the_mean_over_target_tokens():
    a, b = torch.randn(7, 5), torch.randn(7, 5)
    p, q = a.softmax(-1), b.softmax(-1)
    each = 0.5 * ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1))
    torch.testing.assert_close(symmetric_kl(a, b), each.mean())


@every_method
def test_method_starts_identical_or_says_it_does_not(text, family):
    before = output(writer(family), family)
    chosen, model, _ = ready(text, family)
    assert torch.equal(output(model, family), before) == chosen.starts_identical


@every_method
def test_fit_moves_all_that_prepare_returned_and_nothing_else(text, family):
    run = EchoRun(family)
    chosen, model, trained = ready(text, family, run)
    mine = {id(p) for p in trained}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    chosen.fit(model, run)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != (id(parameter) in mine), name


@every_method
def test_finished_model_writes_what_it_wrote_before(text, family):
    run = EchoRun(family, epochs=1)
    chosen, model, _ = ready(text, family, run)
    chosen.fit(model, run)
    before, written = output(model, family), texts(model, family)
    chosen.finalize(model)
    torch.testing.assert_close(output(model, family), before, rtol=1e-4, atol=1e-5)
    assert texts(model, family) == written


RARER = [pytest.param(t, marks=pytest.mark.slow) for t in ("full", "adapter", "lora", "prefix")]


@pytest.mark.parametrize("text", ["adamix-adapter", *RARER])
@pytest.mark.parametrize(
    ("family", "bar"), [("gpt2", 0.8), pytest.param("t5", 0.95, marks=pytest.mark.slow)]
)
def test_method_learns_to_write(text, family, bar):
    run = EchoRun(family, epochs=12, lr=2e-2 if text != "full" else 5e-3)
    chosen, model, _ = ready(text, family, run)
    before = mean_loss(model, run.data, CPU, "fp32")
    chosen.fit(model, run)
    assert mean_loss(model, run.data, CPU, "fp32") < bar * before


def test_head_of_a_writer_leaves_what_it_reads():
    _, model, [weight] = ready("head", "gpt2")
    assert weight is model.net.lm_head.weight
    assert weight is not model.net.transformer.wte.weight
    assert torch.equal(weight, model.net.transformer.wte.weight)


def test_top_trains_the_last_layers_of_the_decoder():
    _, model, trained = ready("top[layers=1]", "t5")
    assert {id(p) for p in trained} == {id(p) for p in model.net.decoder.block[-1].parameters()}
    with pytest.raises(Unsuited, match="trains 9 layers; 'tiny-gpt2' has 2"):
        prepared(resolve("top[layers=9]", ""), writer(), EchoRun("gpt2"))


def test_lora_on_t5_stands_at_every_query_and_value():
    _, _, trained = ready("lora[rank=3]", "t5")
    assert size(trained) == (2 + 2 * 2) * 2 * 2 * 16 * 3  # attentions x (q, v) x two factors


@pytest.mark.parametrize(
    ("text", "trained", "served"),
    [  # d = 1024, 24 layers: the closed forms of Hu et al. 2021, section 5.1, and AdaMix's
        ("full", 354_823_168, 354_823_168),  # printed as 354.92 M
        ("adapter[width=6,position=lin]", *[24 * (2 * 1024 * 6 + 6 + 1024 + 2 * 1024)] * 2),
        ("adapter[width=224,position=lin]", 11_089_152, 11_089_152),  # printed as 11.09 M
        ("top[layers=2]", *[2 * (12 * 1024**2 + 13 * 1024)] * 2),  # 25,192,448: 25.19 M
        ("adapter[width=8]", 417_984, 417_984),
        ("lora[rank=4,alpha=32]", 393_216, 393_216),  # printed as 0.35 M
        ("adamix-adapter", 1_795_584, 417_984),
        ("adamix-lora", 1_769_472, 393_216),
        ("adamix[inner=adapter[width=8],experts=8,share=none]", 3_343_872, 417_984),
        ("prefix[mlp=none]", *[10 * 24 * 2 * 1024] * 2),  # 0.49 M; 0.35 M are 7 tokens
    ],
)
def test_gpt2_medium_has_as_many_parameters_as_published(text, trained, served):
    model = _medium()
    chosen = resolve(text, "gpt2-medium")
    with torch.device("meta"):
        parameters = prepared(chosen, model, EchoRun("gpt2"))
        assert size(parameters) == trained
        assert size(chosen.finalize(model)) == served


def _medium() -> Backbone:
    return Backbone.empty(find("gpt2-medium"), 0)


@pytest.mark.parametrize(
    ("text", "family"),
    [(text, "gpt2") for text in ("full", "prefix", "adamix-adapter")]
    + [pytest.param("prefix", "t5", marks=pytest.mark.slow)],
)
def test_flops_equal_a_direct_count_at_shapes_that_were_not_probed(family, text):
    from torch.utils.flop_counter import FlopCounterMode

    known = {"model_type": family, "vocab_size": 40, **SMALL[family]}
    counted = account(resolve(text, family), Weights(f"{family}-{text}", "", known), 0)
    chosen, model, _ = ready(text, family)
    batch = pairs(family).batch(np.arange(3))
    with FlopCounterMode(display=False) as counter:
        chosen.loss(model.train(), batch).backward()
    assert counted.step.of(*batch.shape) == counter.get_total_flops()
    chosen.finalize(model)
    model.eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(batch)
    assert counted.serve.of(*batch.shape) == counter.get_total_flops()


def test_flops_of_gpt2_equal_the_closed_form():
    known = {"model_type": "gpt2", "vocab_size": 40, **SMALL["gpt2"]}
    serve = account(resolve("full", ""), Weights("closed", "", known), 0).serve
    d, f, layers, b, s, targets = 16, 64, 2, 3, 11, 20
    closed = 2 * b * s * layers * (4 * d * d + 2 * d * f) + 4 * b * s * s * d * layers
    assert serve.of(b, s, 0, targets) == closed + 2 * targets * d * 40


def test_elimination_finds_whole_numbers_and_refuses_others():
    assert solved([[1, 2], [1, 3], [2, 5]], [8, 11, 19]) == [2, 3]
    with pytest.raises(ValueError, match="whole"):
        solved([[2]], [3])
    with pytest.raises(ValueError, match="follow the polynomial"):
        solved([[1], [2]], [1, 3])


def test_encoder_writes_no_text_and_t5_has_no_classes():
    with pytest.raises(Unserved, match="writes no text"):
        Backbone.empty(find("bert-base-uncased"), 0)
    with pytest.raises(Unserved, match="no head for classes"):
        Backbone.empty(find("t5-base"), 2)


def test_gpt2_classifies_by_its_last_token():
    model = Backbone.empty(Weights("c", "", {"model_type": "gpt2", **SMALL["gpt2"]}), 2, "cpu")
    model.eval()
    from tests.tiny import batch

    rows = batch()
    alone = [model(type(rows)(*_row(rows, i))) for i in range(len(rows.ids))]
    torch.testing.assert_close(model(rows), torch.cat(alone), rtol=1e-5, atol=1e-5)


def _row(rows, i):
    n = int(rows.mask[i].sum())
    one = slice(i, i + 1)
    return rows.ids[one, :n], rows.mask[one, :n], None, rows.labels[one], rows.rows[one]
