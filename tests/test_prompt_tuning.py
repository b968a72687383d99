"""Prompt tuning against peft on the same weights, and against its own definition."""

import peft
import pytest
import torch
from torch import nn

from bench.families import Unserved
from methods import resolve
from tests.test_cost import params
from tests.tiny import ENCODERS, ToyRun, backbone, batch, prepared, writer

# what peft reads of transformers is on its way out there
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

LENGTH = 5


class Seen(nn.Module):
    """A head that passes on the text's hidden states (batch, tokens, width)."""

    def forward(self, hidden, pooled, mask):
        return hidden


def both(family: str):
    """Our model and peft's around the same net, with the same prompt."""
    model = backbone(family)
    net = backbone(family).net
    prepared(resolve(f"prompt[length={LENGTH}]", ""), model)
    model.head = Seen()
    asked = peft.PromptTuningConfig(num_virtual_tokens=LENGTH, task_type="FEATURE_EXTRACTION")
    other = peft.get_peft_model(net, asked).eval()
    weight = other.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        weight.copy_(nn.init.normal_(model.prompt.rows, std=0.3))
    return model.eval(), other, weight


@pytest.mark.parametrize("family", ENCODERS)
def test_text_behind_the_prompt_equals_that_of_peft_forward_and_gradients(family):
    model, other, weight = both(family)
    rows = batch()
    kept = rows.mask.bool()
    mine = model._hidden(rows)[0][kept]
    found = other(input_ids=rows.ids, attention_mask=rows.mask).last_hidden_state
    assert found.shape[1] == LENGTH + rows.ids.shape[1]
    expected = found[:, LENGTH:][kept]
    torch.testing.assert_close(mine, expected, rtol=0, atol=1e-6)
    target = torch.randn_like(mine)
    (mine * target).sum().backward()
    (expected * target).sum().backward()
    assert model.prompt.rows.grad.abs().max() > 0
    torch.testing.assert_close(model.prompt.rows.grad, weight.grad, rtol=1e-5, atol=1e-5)


def test_prompt_starts_as_words_of_the_vocabulary():
    model = backbone()
    prepared(resolve("prompt[length=30]", ""), model)
    table, rows = model.word_embeddings.weight, model.prompt.rows
    chosen = [int((table == row).all(-1).nonzero()[0, 0]) for row in rows]
    assert len(set(chosen)) > 10 and chosen != sorted(chosen)
    assert not model.word_embeddings.weight.requires_grad


def test_prompt_starts_normal_where_asked():
    model = backbone()
    prepared(resolve("prompt[length=400,init=normal]", ""), model)
    spread = model.settings.initializer_range
    assert model.prompt.rows.std().item() == pytest.approx(spread, rel=0.05)


def test_prompt_is_the_same_for_every_text_and_stays_when_served():
    model, run = backbone(), ToyRun(epochs=1)
    chosen = resolve("prompt", "")
    (rows,) = prepared(chosen, model, run)
    chosen.fit(model, run)
    assert chosen.finalize(model)[0] is rows is model.prompt.rows
    assert torch.equal(model.prompt(3), rows.expand(3, -1, -1))


def test_prompt_has_as_many_parameters_as_its_formula_says():
    assert params("prompt", "bert-base-uncased") == (20 * 768, 20 * 768) == (15_360, 15_360)


def test_length_must_be_positive():
    with pytest.raises(ValueError, match="expected length of at least 1, got 0"):
        resolve("prompt[length=0]", "")


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_prompt_does_not_serve_a_model_that_writes(family):
    with pytest.raises(Unserved, match="writes text"):
        prepared(resolve("prompt", ""), writer(family))
