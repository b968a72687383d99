"""A generated sample of each GLUE task, of Subj and MPQA, for machines without the data.

It is none of them.

A row is a form with its blanks filled. `{place}` is the same word in both texts of a row,
`{PLACE}` is another place than that one. First texts draw from the words before the bar,
changed words from all: so about half of the changed words occur nowhere else, which a small
model can learn word by word, while the other half takes a comparison of the two texts. Some
forms are given away by a single word ("nobody"), some by the order of words.
"""

import random
from collections.abc import Mapping
from itertools import combinations

from tasks.base import Row
from tasks.vocabulary import OFFICE_WORDS, VERBS, WORDS

VERSION = 1  # raised whenever a row changes
TRAIN, DEV = 2000, 400  # rows
TESTED = ("subj", "mpqa")  # whose reported split is called "test"

Forms = dict[int, list[tuple[str, ...]]]  # by label: the texts of a row, with blanks
Blanks = dict[str, str | list[str]]  # a verb is the list of its forms


def generate(task: str) -> dict[str, list[Row]]:
    """The rows of `task` by split, labels in turn; no first text occurs in two splits."""
    draw = random.Random(f"{task}@{VERSION}")
    rows = _rows(draw, FORMS[task], WORDS, TRAIN + DEV)
    if task == "stsb":
        rows = [Row(row.text, float(row.label)) for row in rows]
    if task != "mnli":
        return {"train": rows[:TRAIN], "test" if task in TESTED else "dev": rows[TRAIN:]}
    mismatched = _rows(draw, FORMS[task], WORDS | OFFICE_WORDS, DEV)
    return {"train": rows[:TRAIN], "matched": rows[TRAIN:], "mismatched": mismatched}


def _rows(draw: random.Random, forms: Forms, words: Mapping[str, str], count: int) -> list[Row]:
    rows: dict[str, Row] = {}  # by first text
    named = str(forms).lower()
    # Only the blanks of these forms: words of another task change nothing here.
    listed = {blank: _list(text) for blank, text in words.items() if f"{{{blank}}}" in named}
    while len(rows) < count:
        label = len(rows) % len(forms)
        blanks = _fill(draw, listed)
        text = tuple(_sentence(form, blanks) for form in draw.choice(forms[label]))
        rows.setdefault(text[0], Row(text, label))
    return list(rows.values())


def _list(text: str) -> tuple[list[str], list[str]]:
    """The words before the bar, and all of them."""
    usual, _, rare = text.partition(" | ")
    words = usual.split(", ")
    return words, words + (rare.split(", ") if rare else [])


def _fill(draw: random.Random, words: Mapping[str, tuple[list[str], list[str]]]) -> Blanks:
    """A word for every blank, and another one for its capitals."""
    blanks: Blanks = {"verb": draw.choice(VERBS).split()}
    for blank, (usual, every) in words.items():
        word = other = draw.choice(usual)
        while other == word:
            other = draw.choice(every)
        blanks[blank], blanks[blank.upper()] = word, other
    return blanks


def _sentence(form: str, blanks: Blanks) -> str:
    text = form.format(**blanks)
    return text[0].upper() + text[1:]


def _single(*forms: tuple[str, ...]) -> Forms:
    """Forms of one text, by label."""
    return {label: [(form,) for form in texts] for label, texts in enumerate(forms)}


def _pair(first: str, *seconds: tuple[str, ...]) -> Forms:
    """Forms of two texts with the same first one, by label."""
    forms: Forms = {}
    for label, texts in enumerate(seconds):
        forms[label] = [(first, second) for second in texts]
    return forms


def _graded(first: str, second: str, blanks: tuple[str, ...]) -> Forms:
    """Forms whose label is the number of `blanks` that stay the same in the second text."""
    forms: Forms = {}
    for kept in range(len(blanks) + 1):
        for same in combinations(blanks, kept):
            names = {blank: blank if blank in same else blank.upper() for blank in blanks}
            text = second.format(**{blank: f"{{{name}}}" for blank, name in names.items()})
            forms.setdefault(kept, []).append((first, text))
    return forms


def _asked(answers: Mapping[str, str], opened: str, vague: tuple[str, ...]) -> Forms:
    """Forms of a question with its answer; with the answer to another one, or none."""
    right: list[tuple[str, ...]] = [(q, opened.format(answer)) for q, answer in answers.items()]
    wrong = [(q, text) for q, _ in right for other, text in right if other != q]
    return {0: right, 1: [*wrong, *((q, text) for q in answers for text in vague)]}


FORMS: dict[str, Forms] = {
    "cola": _single(
        (
            "The {age} {who} {verb[3]} the {thing} {time}.",
            "The {who} has {verb[3]} the {thing} {place}.",
            "The {age} {who} has {verb[0]} the {thing} {place}.",
            "The {who} {age} {verb[1]} the {thing} {time}.",
            "The {age} {who} {verb[1]} {thing} the {place}.",
        ),
        (
            "The {age} {who} {verb[1]} the {thing} {time}.",
            "The {who} has {verb[2]} the {thing} {place}.",
            "The {age} {who} has {verb[2]} the {thing} {place}.",
            "Did the {who} {verb[0]} the {thing} {time}?",
            "The {age} {who} {verb[1]} the {thing} {place}.",
        ),
    ),
    "sst2": _single(
        (
            "A {bad} and {BAD} {film}.",
            "The {film} is {bad}, and the cast is {BAD}.",
            "After a {good} start the {film} is only {bad}.",
            "The {film} is never {good} or {GOOD}.",
        ),
        (
            "A {good} and {GOOD} {film}.",
            "The {film} is {good}, and the cast is {GOOD}.",
            "After a {bad} start the {film} is truly {good}.",
            "The {film} is never {bad} or {BAD}.",
        ),
    ),
    "mrpc": _pair(
        "{company} bought {target} for {price} million dollars on {day}.",
        (
            "{company} dropped its offer of {price} million dollars for {target} on {day}.",
            "{company} denied on {day} that it would pay {price} million dollars for {target}.",
            "On {day}, {TARGET} was sold to {company} for {price} million dollars.",
            "{COMPANY} paid {price} million dollars for {target} on {day}.",
        ),
        (
            "On {day}, {target} was sold to {company} for {price} million dollars.",
            "{company} paid {price} million dollars for {target} on {day}.",
        ),
    ),
    "stsb": _graded(
        "{time} a {age} {who} was {doing} {place}.",
        "A {age} {who} was {doing} {place} {time}.",
        ("age", "who", "doing", "place", "time"),
    ),
    "qqp": _pair(
        "How can a {age} {who} {goal} {limit}?",
        (
            "Why would a {age} {who} never {goal} {limit}?",
            "What does it cost a {age} {who} to {goal} {limit}?",
            "What is the best way for a {age} {who} to {GOAL} {limit}?",
            "How is it possible for a {age} {who} to {GOAL} {limit}?",
        ),
        (
            "What is the best way for a {age} {who} to {goal} {limit}?",
            "How is it possible for a {age} {who} to {goal} {limit}?",
        ),
    ),
    "mnli": _pair(
        "A {age} {who} is {doing} {place}.",
        ("Someone is {doing}.", "There is a person {place}.", "The {who} is busy {place}."),
        ("The {who} is {doing} for a relative.", "The {who} hopes to earn some money."),
        ("Nobody is {doing}.", "The {who} is fast asleep.", "The {who} is busy {PLACE}."),
    ),
    "qnli": _asked(
        {
            "Where did {name} {family} open the {shop}?": "in {city}",
            "In which year did {name} {family} open the {shop}?": "in {year}",
            "Who helped {name} {family} to open the {shop}?": "with the help of {partner}",
            "How many workers did the {shop} of {name} {family} have?": "with {number} workers",
        },
        "{{name}} {{family}} opened the {{shop}} {}.",
        (
            "Few people in the street had expected the {shop}.",
            "The {shop} was closed long ago, like many others.",
            "Nobody was surprised when {name} {family} left.",
        ),
    ),
    "rte": _pair(
        "{company}, which makes {goods}, bought {target} for {price} million dollars in {year}.",
        (
            "{target} was sold in {year}.",
            "{company} is a maker of {goods}.",
            "{company} paid {price} million dollars for {target}.",
        ),
        (
            "The workers of {target} went on strike in {year}.",
            "{company} closed a factory that made {goods}.",
            "{target} was sold in {YEAR}.",
            "{company} is a maker of {GOODS}.",
            "{target} paid {price} million dollars for {company}.",
        ),
    ),
    "subj": _single(
        (
            "A {good} and {GOOD} {film} for a rainy day.",
            "The {film} is {bad}, and its jokes are {BAD}.",
            "It starts as a {good} {film} and ends as a {bad} one.",
            "What a {bad} {film}, and how {BAD} the cast is.",
        ),
        (
            "A {age} {who} finds a {thing} {place} {time}.",
            "{name} {family} opens a {shop} in {city}.",
            "The {who} must hide a {thing} from {name} {family}.",
            "{time} a {age} {who} is {doing} {place}.",
        ),
    ),
    "mpqa": _single(
        (
            "{blame} the offer of {company} for {target} on {day}",
            "was {blame} and {BLAME} by {company} in {year}",
            "never {praise} by {company} or {COMPANY}",
        ),
        (
            "{praise} the offer of {company} for {target} on {day}",
            "was {praise} and {PRAISE} by {company} in {year}",
            "never {blame} by {company} or {COMPANY}",
        ),
    ),
}
