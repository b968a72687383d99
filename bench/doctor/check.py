"""One check before a run, and what a run wants."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench.suite import Request

State = Literal["ok", "warning", "problem"]


class Check(NamedTuple):
    """What was looked at, how it stands, and what is to be done about it."""

    name: str
    state: State  # a problem stops a run, a warning changes what comes of it
    told: str
    todo: str = ""


def warning(name: str, told: str, todo: str) -> Check:
    """What a run can do without."""
    return Check(name, "warning", told, todo)


def problem(name: str, told: str, todo: str) -> Check:
    """What a run stops at."""
    return Check(name, "problem", told, todo)


@dataclass(frozen=True)
class Wanted:
    """What a suite asks for; without one anything may be asked for."""

    request: Request | None = None

    @property
    def tasks(self) -> list[str]:
        """Tasks as they are typed; those that publish rows of their own, without a suite."""
        from tasks import task

        if self.request:
            return [*self.request.tasks]
        made = ("language", "masked")  # of the rows of the others
        return [name for name in task.names() if task[name].formulation not in made]

    @property
    def models(self) -> list[str]:
        """Models as they are typed; without a suite those that need no hub."""
        from bench.weights import known

        if self.request:
            return [*self.request.models]
        return [name for name, entry in known().items() if "package" in entry or "made" in entry]

    @property
    def optuna(self) -> bool:
        """Whether settings are searched for by optuna."""
        tune = self.request.profile.tune if self.request else None
        return tune is not None and tune.search == "tpe"

    def state(self, needed: bool) -> State:
        """How grave it is that something lacks: a problem where the suite needs it."""
        return "problem" if self.request and needed else "warning"
