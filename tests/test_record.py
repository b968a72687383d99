import dataclasses
import hashlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.record import SCHEMA, Cell, Record

CELL = Cell(
    method="lora[rank=8]",
    task="rte[rows=none]",
    model="minilm",
    recipe="adamw[lr=0.0004]",
    seed=3,
    data="sample@1",
    label="lora",
)
OTHERS = {
    "method": "lora[rank=4]",
    "task": "rte[rows=5]",
    "model": "roberta-large",
    "recipe": "adamw[lr=0.0005]",
    "seed": 4,
    "data": "hub",
    "parents": ("0123456789ab",),
    "version": "2.1",
}

texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
cells = st.builds(
    Cell,
    **dict.fromkeys(("method", "task", "model", "recipe", "data", "version", "label"), texts),
    seed=st.integers(),
    parents=st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=2).map(tuple),
)
facts = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | numbers | texts)
records = st.builds(
    Record,
    cell=cells,
    status=st.sampled_from(["ok", "skipped", "failed"]),
    reason=texts,
    primary=texts,
    metrics=st.dictionaries(texts, numbers | st.none()),
    cost=facts,
    where=facts,
)


def test_key_is_a_hash_of_what_was_asked():
    text = (
        '{"data": "sample@1", "method": "lora[rank=8]", "model": "minilm", "parents": [], '
        '"recipe": "adamw[lr=0.0004]", "seed": 3, "task": "rte[rows=none]", "version": "1.1"}'
    )
    assert CELL.key == hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", OTHERS)
def test_key_changes_with_what_was_asked(name):
    other = dataclasses.replace(CELL, **{name: OTHERS[name]})
    assert other.key != CELL.key
    assert other != CELL


def test_key_depends_on_every_field_but_the_label():
    assert {field.name for field in dataclasses.fields(Cell)} == {*OTHERS, "label"}


@pytest.mark.parametrize("label", ["", "lora[rank=8]"])
def test_label_changes_neither_key_nor_equality(label):
    other = dataclasses.replace(CELL, label=label)
    assert (other.key, other) == (CELL.key, CELL)


@settings(deadline=None)
@given(records)
def test_record_reads_back_as_it_was_written(record):
    again = Record.from_json(record.to_json())
    assert again == record
    assert again.cell.label == record.cell.label
    assert again.cell.key == record.cell.key


def test_record_keeps_every_digit_of_a_number():
    record = Record(CELL, "ok", metrics={"accuracy": 2 / 3})
    assert '"accuracy": 0.6666666666666666' in record.to_json()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["metrics", "cost", "where"])
def test_record_refuses_what_is_no_number(place, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Record(CELL, "ok", **{place: {"x": [value]}}).to_json()


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None])
def test_record_of_another_schema_is_refused(schema):
    text = json.dumps(json.loads(Record(CELL, "ok").to_json()) | {"schema": schema})
    with pytest.raises(ValueError, match=f"^expected a record of schema 1, got {schema!r}$"):
        Record.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        (Record(CELL, "ok").to_json()[:-9], "line"),
        ("[]", "expected a record of schema 1, got None"),
        ('"text"', "expected a record of schema 1, got None"),
        ('{"schema": 1, "status": "ok"}', "expected a key 'cell', got none"),
        ('{"schema": 1, "cell": {}}', "expected a key 'parents', got none"),
        ('{"schema": 1, "cell": {"parents": []}}', "missing .* required"),
        ('{"schema": 1, "cell": 3}', "int"),
        (Record(CELL, "ok").to_json().replace("reason", "excuse"), "unexpected .* 'excuse'"),
    ],
)
def test_damaged_record_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        Record.from_json(text)
    assert "\n" not in str(error.value)
