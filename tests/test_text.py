import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.text import POOL, Encoded, tokenizer
from bench.weights import find
from tasks.base import Row

sizes = st.lists(st.integers(1, 30), min_size=1, max_size=80)


@pytest.fixture(scope="module")
def tokens(tiny_folder):
    return tokenizer(find(str(tiny_folder)))


def encoded(tokens, lengths, length=128) -> Encoded:
    rows = [Row(("the " * n,), n % 2) for n in lengths]
    return Encoded(rows, tokens, length)


def pair(tokens, first: int, second: int, length: int = 128) -> Encoded:
    return Encoded([Row(("a " * first, "the " * second), 1.5)], tokens, length)


def words(tokens, text: str) -> list[int]:
    return tokens(text, add_special_tokens=False)["input_ids"]


@given(lengths=sizes, size=st.integers(1, 9), seed=st.integers(0, 9))
def test_batches_hold_every_row_once_whatever_the_order(tokens, lengths, size, seed):
    data = encoded(tokens, lengths)
    shuffled = data.shuffled(size, np.random.default_rng(seed))
    in_order = [batch.rows.numpy() for batch in data.in_order(size)]
    for batches in (shuffled, in_order):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert len(batches) == -(-len(lengths) // size)
        assert max(map(len, batches)) <= size


@given(lengths=sizes, size=st.integers(1, 9))
def test_batch_is_as_long_as_its_longest_row_and_masks_the_rest(tokens, lengths, size):
    data = encoded(tokens, lengths)
    for batch in data.in_order(size):
        own = data.lengths[batch.rows.numpy()]
        assert batch.ids.shape == batch.mask.shape == (len(own), own.max())
        assert batch.mask.sum(1).tolist() == own.tolist()
        assert (batch.ids[batch.mask == 0] == data.padding).all()
        for row, ids, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            assert ids[mask.bool()].tolist() == data.ids[row]
        assert batch.labels.tolist() == [data.labels[i] for i in batch.rows]


@given(lengths=sizes, size=st.integers(1, 9))
def test_rows_in_order_come_longest_first(tokens, lengths, size):
    data = encoded(tokens, lengths)
    order = [row for batch in data.in_order(size) for row in batch.rows.tolist()]
    assert sorted(data.lengths, reverse=True) == data.lengths[order].tolist()


def test_shuffling_depends_on_the_generator_alone(tokens):
    data, orders = encoded(tokens, [1, 2, 3] * 3 * POOL), []  # more than are sorted at a time
    for seed, world in ((0, 1), (0, 2), (3, 2)):
        np.random.seed(world)
        torch.manual_seed(world)
        batches = data.shuffled(4, np.random.default_rng(seed))
        orders.append([batch.tolist() for batch in batches])
    assert orders[0] == orders[1] != orders[2]


def test_shuffling_goes_on_from_epoch_to_epoch(tokens):
    data, source = encoded(tokens, range(1, 30)), np.random.default_rng(0)
    first, second = ([b.tolist() for b in data.shuffled(4, source)] for _ in range(2))
    assert first != second


def test_shuffled_batches_hold_rows_of_like_length(tokens):
    lengths = np.random.default_rng(0).integers(1, 60, 4 * POOL)
    data = encoded(tokens, lengths)
    batches = data.shuffled(4, np.random.default_rng(0))
    spans = [np.ptp(data.lengths[batch]) for batch in batches]
    assert np.mean(spans) < np.ptp(data.lengths) / 10


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(3, 4, (3, 4)), (10, 3, (9, 3)), (3, 10, (3, 9)), (10, 10, (6, 6))],
)
def test_the_longer_of_two_texts_is_cut_first(tokens, first, second, kept):
    ids = pair(tokens, first, second, length=15).ids[0]
    a, the = words(tokens, "a")[0], words(tokens, "the")[0]
    assert len(ids) <= 15
    assert (ids.count(a), ids.count(the)) == kept


def test_one_text_is_cut_at_its_end(tokens):
    [ids] = Encoded([Row(("the a " * 9,), 0)], tokens, 7).ids
    assert ids == [tokens.cls_token_id, *words(tokens, "the a the a the"), tokens.sep_token_id]


def test_token_kinds_tell_the_first_text_from_the_second(tokens):
    [batch] = pair(tokens, 2, 3).in_order(1)
    assert batch.kinds.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert not next(encoded(tokens, [2]).in_order(1)).kinds.any()


def test_kinds_are_left_out_where_the_tokenizer_gives_none(tokens):
    data = encoded(tokens, [2, 3])
    data.kinds = None
    assert next(data.in_order(2)).to("cpu").kinds is None


@pytest.mark.parametrize(("label", "dtype"), [(1, torch.int64), (1.5, torch.float32)])
def test_labels_are_class_indices_or_numbers(tokens, label, dtype):
    [batch] = Encoded([Row(("the film",), label)], tokens, 9).in_order(1)
    assert batch.labels.dtype == dtype and batch.labels.tolist() == [label]


def test_split_without_rows_has_no_batches(tokens):
    data = Encoded([], tokens, 9)
    assert len(data) == 0
    assert list(data.in_order(4)) == data.shuffled(4, np.random.default_rng(0)) == []


def test_batch_moves_as_a_whole(tokens):
    [batch] = pair(tokens, 2, 3).in_order(1)
    batch = replace(batch, part=3)
    moved = batch.to("meta")
    assert moved.part == 3
    found, expected = (
        {name: t for name, t in vars(one).items() if isinstance(t, torch.Tensor)}
        for one in (moved, batch)
    )
    assert all(tensor.is_meta for tensor in found.values())
    assert {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in expected.items()}


@pytest.mark.parametrize("gone", [["vocab.txt"], ["vocab.txt", "tokenizer_config.json"]])
def test_model_without_a_vocabulary_is_refused(tiny_folder, tmp_path, gone):
    folder = shutil.copytree(tiny_folder, tmp_path / "mute")
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(ValueError, match="no tokenizer for model 'mute@"):
        tokenizer(find(str(folder)))
