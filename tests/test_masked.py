"""Models that fill gaps: their head, taken apart from transformers' and put together again."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from bench.backbone import Backbone
from bench.cost import account, size
from bench.families import Unserved, family
from bench.heads import Gap
from bench.masked import apart, fresh, together
from bench.weights import Weights, fills_gaps, find
from methods import resolve
from tests.tiny import EXTRA, SIZES, batch

SERVED = ["bert", "roberta"]


def masked_model(kind: str):
    torch.manual_seed(0)
    settings = AutoConfig.for_model(kind, **{**SIZES, **EXTRA.get(kind, {})})
    net = AutoModelForMaskedLM.from_config(settings, attn_implementation="eager")
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


def gapped(kind: str, words=()):
    """A backbone of that model whose outputs are `words`, and the model itself."""
    whole = masked_model(kind)
    plain = masked_model(kind)
    net, head = apart("tiny", family("tiny", whole.config), whole)
    head.choose(words)
    return Backbone("tiny", net, len(words), None, head).eval(), plain


def asked(rows: int = 3):
    """A batch with a gap at token 2 of each row."""
    plain = batch(rows, 6)
    targets = torch.arange(rows) * 6 + 2
    return type(plain)(plain.ids, plain.mask, None, plain.labels, plain.rows, targets=targets)


@pytest.mark.parametrize("kind", SERVED)
def test_logits_are_those_of_transformers(kind):
    model, plain = gapped(kind)
    question = asked()
    with torch.no_grad():
        theirs = plain(input_ids=question.ids, attention_mask=question.mask).logits
        ours = model(question)
    torch.testing.assert_close(ours, theirs.flatten(0, 1)[question.targets])


@pytest.mark.parametrize("kind", SERVED)
def test_chosen_words_are_columns_of_all_logits(kind):
    words = (7, 30, 11)
    model, _ = gapped(kind, words)
    every, _ = gapped(kind)
    with torch.no_grad():
        torch.testing.assert_close(model(asked()), every(asked())[:, list(words)])
    assert model.head.bias.shape == (3,)


@pytest.mark.parametrize("kind", SERVED)
def test_a_model_put_together_loads_as_transformers_saved_it(kind, tmp_path):
    model, _ = gapped(kind)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
        expected = model(asked())
    whole = together("tiny", model.family, model.net, model.head)
    whole.save_pretrained(tmp_path)
    assert fills_gaps(Weights("tiny", str(tmp_path)))
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    question = asked()
    with torch.no_grad():
        found = loaded(input_ids=question.ids, attention_mask=question.mask).logits
    torch.testing.assert_close(found.flatten(0, 1)[question.targets], expected)
    again = Backbone.load(Weights("tiny", str(tmp_path)), 2, words=(7, 30)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(asked()), expected[:, [7, 30]])
    assert again.head.pretrained


def test_an_encoder_without_the_head_gets_one_that_is_drawn(tiny_folder):
    weights = find(str(tiny_folder))
    assert not fills_gaps(weights)
    model = Backbone.load(weights, 0, words=())
    assert isinstance(model.head, Gap) and not model.head.pretrained
    before = model.head.digest()
    model.head.draw(1)
    assert model.head.digest() != before
    assert not model.writes


def test_a_pretrained_head_is_not_drawn():
    model, _ = gapped("bert", (1, 2))
    before = model.head.digest()
    model.head.draw(1)
    assert model.head.digest() == before


def test_the_packaged_encoder_has_no_such_head_and_the_published_ones_have():
    assert not fills_gaps(find("minilm"))
    assert fills_gaps(find("roberta-large"))


def test_a_family_without_one_is_refused():
    settings = AutoConfig.for_model("deberta-v2", **{**SIZES, **EXTRA["deberta-v2"]})
    with pytest.raises(Unserved, match="no masked language model that is served"):
        fresh("tiny", family("tiny", settings), settings)


def test_the_head_counts_its_own_map_norm_and_the_bias_of_its_words():
    counted = account(resolve("adapter", "minilm"), find("minilm"), 3, True)
    assert counted.head_params == 384 * 384 + 384 + 2 * 384 + 3
    d, tokens = 384, 20
    layer = 4 * 2 * d * d + 2 * 2 * d * 4 * d + 2 * 2 * d * 48 + 2 * 2 * d * tokens
    gap = 2 * d * d + 2 * d * 3
    assert counted.serve.of(1, tokens, 0, 1) == 6 * layer * tokens + gap


def test_the_whole_vocabulary_is_tied_to_the_embeddings():
    model, _ = gapped("bert")
    own = {id(p) for p in model.head.parameters()}
    assert id(model.word_embeddings.weight) not in own
    assert size(model.head.parameters()) == 16 * 16 + 16 + 2 * 16 + 40


class Twice(torch.nn.Module):
    def forward(self, plain, batch):
        return 2 * plain(batch)


def test_what_is_put_around_a_forward_pass_gets_it():
    model, _ = gapped("bert", (1, 2))
    with torch.no_grad():
        once = model(asked())
        model.around = Twice()
        torch.testing.assert_close(model(asked()), 2 * once)
