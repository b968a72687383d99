import gc

import pytest

from bench.loading import load, resting


@pytest.fixture(autouse=True)
def working():
    assert gc.isenabled()
    yield
    gc.enable()


def test_collector_rests_inside_the_block_and_works_after_it():
    with resting():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_works_after_an_error():
    with pytest.raises(KeyError), resting():
        raise KeyError
    assert gc.isenabled()


def test_collector_that_somebody_turned_off_stays_off():
    gc.disable()
    with resting():
        pass
    assert not gc.isenabled()


def test_what_loading_makes_is_left_out_of_collections_and_nothing_later_is():
    load()
    frozen = gc.get_freeze_count()
    assert frozen > 10_000
    later = [[] for _ in range(10)]
    load()
    assert gc.get_freeze_count() == frozen and len(later) == 10
    assert gc.isenabled()
