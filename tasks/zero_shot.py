"""Tasks whose head is given: the classes are described, and nothing of the head trains.

A text belongs to the class whose description it is most like, by the embeddings of the very model
that reads the rows: the classifier of CLIP (Radford et al. 2021, arXiv:2103.00020, section 3.1.2)
with a sentence encoder in place of both towers. What a run trains is the encoder alone, so that
runs of tasks with other classes can be merged.

The descriptions were chosen among seven to nine sets by the accuracy of the untrained `minilm` on
3000 training rows (at most 128 tokens); the reported rows were not looked at. Whether a sentence is
grammatical (CoLA) it cannot tell that way: five sets were at chance.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from tasks import glue, opinions, task, topic
from tasks.base import Given, Task

CLIP = "given head: Radford et al. 2021, arXiv:2103.00020, section 3.1.2"
SAME = ("labels", "metrics", "primary", "shown", "official")  # as those of the task it is a form of


@dataclass(frozen=True)
class ZeroShot(Task):
    """The rows and scores of another task, for a head that is made of descriptions."""

    rows: int | None = None  # training rows, at most
    dev_rows: int | None = None  # rows of each reported split, at most: the same for all seeds

    of: ClassVar[type[Any]]
    descriptions: ClassVar[tuple[str, ...]]  # a text a class, in index order
    protocol: ClassVar = "20 times the cosine to the embeddings of class descriptions"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.title = f"zero-shot {cls.of.title}"
        for fact in SAME:
            setattr(cls, fact, getattr(cls.of, fact))

    def __post_init__(self):
        self._trained()  # which checks the options

    def _trained(self) -> Task:
        """The task of the same rows whose head trains."""
        return self.of(rows=self.rows, dev_rows=self.dev_rows)

    @property
    def heads(self):
        return (Given(self.outputs, self.descriptions),)

    def stamp(self, source):
        return self._trained().stamp(source)

    def load(self, source, seed):
        data = self._trained().load(source, seed)
        data.facts["descriptions"] = dict(zip(self.labels, self.descriptions, strict=True))
        return data

    def score(self, predictions, references):
        return self._trained().score(predictions, references)


@task("zero-sst2", source=f"{glue.SST2.source}; {CLIP}")
@dataclass(frozen=True)
class ZeroSST2(ZeroShot):
    """Is the phrase from a film review positive? 76.1% of training rows are right untrained."""

    of: ClassVar = glue.SST2
    descriptions: ClassVar = ("a bad movie", "a good movie")


@task("zero-subj", source=f"{opinions.Subj.source}; {CLIP}")
@dataclass(frozen=True)
class ZeroSubj(ZeroShot):
    """Is the sentence from a film review? 77.2% of training rows are right untrained."""

    of: ClassVar = opinions.Subj
    descriptions: ClassVar = (
        "the movie is entertaining, funny, and well directed",
        "he falls in love with a woman and discovers a secret",
    )


@task("zero-mpqa", source=f"{opinions.MPQA.source}; {CLIP}")
@dataclass(frozen=True)
class ZeroMPQA(ZeroShot):
    """Is the phrase from the news positive? 74.7% of training rows are right untrained."""

    of: ClassVar = opinions.MPQA
    descriptions: ClassVar = ("It was terrible.", "It was great.")


@task("zero-topic", source=f"{topic.Topic.source}; {CLIP}")
@dataclass(frozen=True)
class ZeroTopic(ZeroShot):
    """Which of ten topics has the text? 75.7% of training rows are right untrained."""

    of: ClassVar = topic.Topic
    descriptions: ClassVar = (
        "an airport and its runways",
        "an astronaut and a space mission",
        "a building and its architect",
        "a city and its mayor",
        "a comic book character and its creators",
        "a dish and its ingredients",
        "a monument or memorial",
        "a sports club and its league",
        "a university and its students",
        "a book or journal and its author",
    )
