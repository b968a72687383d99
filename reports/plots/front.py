"""Which points no other one beats at both score and cost."""

from collections.abc import Sequence


def front(costs: Sequence[float], scores: Sequence[float], *, falls: bool = False) -> list[int]:
    """The numbers of the points on the Pareto front, by ascending cost; equal points all are on it.

    A point is on it unless another costs no more and scores no worse, and is better in one of the
    two. `falls`: lower scores are better.
    """
    gains = [-score if falls else score for score in scores]
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i], i))
    found: list[int] = []
    for i in order:
        point = (costs[i], gains[i])
        if (
            not found
            or gains[i] > gains[found[-1]]
            or point == (costs[found[-1]], gains[found[-1]])
        ):
            found.append(i)
    return found
