"""Sentences with hidden tokens."""

import numpy as np
import pytest

from bench.hidden import RATE, Hidden
from bench.text import tokenizer
from bench.weights import find
from tasks.base import Row

SENTENCES = ["a very good film it is", "bad", "no , it was not that good", ""]


@pytest.fixture(scope="module")
def tokens():
    return tokenizer(find("minilm"))


@pytest.fixture(scope="module")
def data(tokens):
    return Hidden([Row((text,), "") for text in SENTENCES], tokens, 32)


def test_four_tokens_in_ten_are_hidden_and_told(tokens, data):
    plain = tokens(SENTENCES)["input_ids"]
    for ids, shown, at, told in zip(plain, data.ids, data.at, data.told, strict=True):
        inner = len(ids) - 2
        assert len(at) == (max(1, round(RATE * inner)) if inner else 0)
        assert told == [ids[i] for i in at]
        assert all(0 < i <= inner for i in at)
        back = [told[at.index(i)] if i in at else token for i, token in enumerate(shown)]
        assert back == ids
        assert [i for i, token in enumerate(shown) if token == tokens.mask_token_id] == at


def test_the_same_tokens_are_hidden_each_time(tokens, data):
    again = Hidden([Row((text,), "") for text in SENTENCES], tokens, 32)
    assert again.ids == data.ids


def test_targets_are_where_the_mask_is(tokens, data):
    batch = data.batch(np.array([1, 2, 0]))
    assert set(batch.ids.flatten()[batch.targets].tolist()) == {tokens.mask_token_id}
    assert batch.labels.tolist() == data.told[1] + data.told[2] + data.told[0]
    assert batch.shape == (3, len(data.ids[2]), 0, len(batch.labels))
