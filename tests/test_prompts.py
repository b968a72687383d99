"""Templates, gaps and the words that fill them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.families import Unserved
from bench.prompts import Prompted, pieces, word_ids
from bench.text import tokenizer
from bench.weights import find
from tasks.base import Row

NLI = "{0} ? {mask} , {1}"
WORDS = st.lists(st.sampled_from(["good", "bad", "film", "it"]), max_size=40).map(" ".join)


@pytest.fixture(scope="module")
def tokens():
    return tokenizer(find("minilm"))


def test_a_space_belongs_to_what_follows_it():
    assert pieces(NLI) == [("", 0), (" ", "?"), (" ", None), (" ", ","), (" ", 1)]
    assert pieces("{0} It was {mask} .") == [("", 0), (" ", "It was"), (" ", None), (" ", ".")]
    assert pieces("{0}{mask}!") == [("", 0), ("", None), ("", "!")]


def test_a_row_stands_in_its_template(tokens):
    data = Prompted([Row(("a film", "it is good"), 1)], NLI, tokens, 32)
    assert tokens.decode(data.ids[0]) == "[CLS] a film? [MASK], it is good [SEP]"
    batch = data.batch(np.array([0]))
    assert batch.ids.flatten()[batch.targets].tolist() == [tokens.mask_token_id]
    assert batch.labels.tolist() == [1] and batch.kinds is None


def test_a_mask_in_the_text_is_not_the_gap(tokens):
    data = Prompted([Row(("[MASK] film",), 0)], "{0} It was {mask} .", tokens, 32)
    assert data.at[0] == 5  # [CLS] [MASK] film it was [MASK]


def test_targets_are_right_in_a_padded_batch(tokens):
    rows = [Row(("bad",), 0), Row(("a very good film it is",), 1), Row(("",), 0)]
    batch = Prompted(rows, "{0} It was {mask} .", tokens, 32).batch(np.array([2, 1, 0]))
    assert batch.ids.flatten()[batch.targets].tolist() == [tokens.mask_token_id] * 3
    assert batch.labels.tolist() == [0, 1, 0]
    assert batch.shape == (3, 12, 0, 3)


@given(first=WORDS, second=WORDS, length=st.integers(7, 40))
@settings(max_examples=50, deadline=None)
def test_only_the_texts_are_cut_and_the_longest_first(tokens, first, second, length):
    a, b = len(first.split()), len(second.split())
    ids = Prompted([Row((first, second), 0)], NLI, tokens, length).ids[0]
    assert len(ids) == min(length, a + b + 5)  # [CLS] ? [MASK] , [SEP]
    gap = ids.index(tokens.mask_token_id)
    kept, other = gap - 2, len(ids) - gap - 3
    assert ids[gap - 1] == tokens.convert_tokens_to_ids("?")
    assert ids[gap + 1] == tokens.convert_tokens_to_ids(",")
    if kept < a and other < b:  # both were cut, so they are as long as one another
        assert abs(kept - other) <= 1
    elif kept < a:
        assert kept >= b - 1
    elif other < b:
        assert other >= a - 1


def test_a_template_that_does_not_fit_is_refused(tokens):
    with pytest.raises(ValueError, match="template fits in, got 4"):
        Prompted([Row(("good", "bad"), 0)], NLI, tokens, 4)


def test_label_words_are_the_tokens_behind_a_space(tokens):
    ids = word_ids(("great", "terrible"), tokens, "minilm")
    assert tokens.convert_ids_to_tokens(ids) == ["great", "terrible"]


class ByteLevel:
    """A tokenizer that tells a word behind a space from one that is not."""

    unk_token_id = 0

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": {" yes": [7], "yes": [8]}[text]}


def test_label_words_of_a_byte_level_vocabulary_carry_their_space():
    assert word_ids(("yes",), ByteLevel(), "x") == (7,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("great", "unputdownable"), r"one token of 'minilm', got 'unputdownable': un ##put"),
        (("good", "Good"), "distinct tokens of 'minilm', got good, Good"),
        (("good", "\u4e02"), "one token of 'minilm'"),
    ],
)
def test_other_label_words_are_refused(tokens, words, said):
    with pytest.raises(Unserved, match=said):
        word_ids(words, tokens, "minilm")


def test_a_tokenizer_without_a_gap_is_refused():
    with pytest.raises(Unserved, match="no token for a gap"):
        Prompted([], NLI, SimpleNamespace(mask_token_id=None), 32)


def test_no_rows_make_no_batches(tokens):
    data = Prompted([], NLI, tokens, 32)
    assert len(data) == 0 and list(data.in_order(4)) == []
    assert torch.equal(torch.from_numpy(data.lengths), torch.zeros(0, dtype=torch.long))
