"""Which cell may start, of plans of any shape and of ten thousand cells."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.executors.agenda import Agenda
from tests.jobs import job
from tests.test_execute import heir


@pytest.fixture(scope="module")
def many(tiny_folder):
    """A job for each number."""
    first = job(tiny_folder, "head")
    return lambda n: [replace(first, cell=replace(first.cell, seed=i)) for i in range(n)]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_every_cell_starts_once_after_its_parents_whatever_ends_first(many, data):
    jobs = many(data.draw(st.integers(1, 12)))
    for i in range(1, len(jobs)):
        above = data.draw(st.sets(st.sampled_from(jobs[:i]), max_size=3)) if i else set()
        jobs[i] = heir(jobs[i], *above)
    agenda, running, ended = Agenda(data.draw(st.permutations(jobs))), [], []
    while agenda.waiting or running:
        free = agenda.next()
        if free and (not running or data.draw(st.booleans())):
            assert {*free.cell.parents} <= {*ended}
            agenda.take(free)
            running.append(free)
        else:
            over = running.pop(data.draw(st.integers(0, len(running) - 1)))
            agenda.end(over)
            ended.append(over.cell.key)
    assert sorted(ended) == sorted(one.cell.key for one in jobs)


def test_head_of_the_longest_chain_starts_first_and_equals_by_the_plan(many):
    jobs = many(6)
    jobs[3] = heir(jobs[3], jobs[2])
    jobs[4] = heir(jobs[4], jobs[3])
    jobs[5] = heir(jobs[5], jobs[1])
    agenda, order = Agenda(jobs), []
    while job := agenda.next():
        agenda.take(job)
        agenda.end(job)
        order.append(job.cell.seed)
    assert order == [2, 1, 3, 0, 4, 5]


def test_agenda_of_ten_thousand_cells_takes_no_time(many):
    jobs = many(10_000)
    for i in range(5_000, 10_000):
        jobs[i] = heir(jobs[i], jobs[i - 5_000])
    assert len({one.cell.key for one in jobs}) == 10_000
    began = time.process_time()
    agenda = Agenda(jobs)
    while job := agenda.next():
        agenda.take(job)
        agenda.end(job)
    assert not agenda.waiting
    assert time.process_time() - began < 1
