"""The maximum evidence of outputs that are linear in given features.

Outputs y (rows,) of features F (rows, width): y ~ N(F w, I / beta) and w ~ N(0, I / alpha), so
y ~ N(0, I / beta + F F^T / alpha). With the squared singular values s_i of F, the coordinates z_i
of y along its left singular vectors, r what of |y|^2 lies off them, and t = alpha / beta,

    log p(y) = n/2 log(beta / 2 pi) - beta/2 (r + sum_i z_i^2 t / (s_i + t))
               - 1/2 sum_i log(1 + s_i / t)

over the rank of F: the log alpha of directions without features cancels against the prior's.

Source: LogME, You et al. 2021, arXiv:2102.11005, section 4. Departs from the released code
(thuml/LogME): that leaves -(width - rank)/2 log alpha out of the determinant, which is wrong where
there are fewer rows than features; and it stops after 11 rounds of the fixed point, with the
residual of the round before. Here the equation of the fixed point is solved for t to 1e-10 in
log t, by bisection next to the best point of a grid: where features say little it would take
thousands of rounds, and the evidence may have several local maxima.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

GRID = 321  # points of log t, which lie 0.16 apart
LEAST, MOST = 1e-12, 1e10  # t, as a share of the greatest s: alpha diverges beyond, or beta
HALVINGS = 40  # of the distance of two points of the grid: to 1.5e-13


class Evidence(NamedTuple):
    """What `evidence` finds, in float64. An output that is zero in every row has none: NaN."""

    each: Tensor  # (outputs,), in nats per row
    alpha: Tensor  # (outputs,), precision of the weights
    beta: Tensor  # (outputs,), precision of the noise
    weights: Tensor  # (outputs, width), the posterior mean; zeros for an output without evidence

    @property
    def mean(self) -> float:
        """LogME: the mean over the outputs that have an evidence."""
        return float(self.each.nanmean())


def evidence(features: Tensor, outputs: Tensor) -> Evidence:
    """The evidence of each output at the alpha and beta that maximise it.

    `features`: (rows, width); `outputs`: (rows, outputs), a class as a column of zeros and ones.
    Where features say nothing alpha goes to infinity and the evidence converges; alpha stops at
    1e10 times the greatest s. Raises ValueError for numbers that are not finite, no rows, or other
    numbers of rows.
    """
    features, outputs = features.double(), outputs.double()
    _check(features, outputs)
    u, singular, v = torch.linalg.svd(features, full_matrices=False)
    along = u.T @ outputs  # (rank, outputs)
    off = (outputs - u @ along).square().sum(0)  # (outputs,)
    shape = _Shape(singular.square(), along.square(), off, len(features))
    t = shape.best()
    beta = shape.beta(t)
    weights = v.T @ (along * (singular / (shape.s + t[:, None])).T)
    none = outputs.square().sum(0) == 0
    each = (shape.log_p(t) / len(features)).masked_fill(none, math.nan)
    return Evidence(each, t * beta, beta, weights.T)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Classes (rows,) as outputs (rows, classes) of zeros and ones, in float64."""
    return torch.nn.functional.one_hot(labels.long(), classes).double()


class _Shape(NamedTuple):
    """What of the rows the evidence depends on."""

    s: Tensor  # (rank,)
    z: Tensor  # (rank, outputs), squared
    off: Tensor  # (outputs,)
    rows: int

    def best(self) -> Tensor:
        """The t of each output, (outputs,), that has the highest evidence."""
        greatest = self.s.max() if self.s.max() > 0 else torch.ones((), dtype=self.s.dtype)
        ends = math.log(LEAST), math.log(MOST)
        grid = (
            torch.linspace(*ends, GRID, dtype=self.s.dtype, device=self.s.device).exp() * greatest
        )
        heights = torch.stack([self.log_p(t.expand(self.off.shape)) for t in grid])
        place = heights.argmax(0)
        centre = grid[place]
        up = self.slope(centre) > 0  # the maximum lies between this point and the next, or the last
        low = grid[(place - (~up).long()).clamp(min=0)].log()
        high = grid[(place + up.long()).clamp(max=GRID - 1)].log()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            up = self.slope(middle.exp()) > 0
            low, high = torch.where(up, middle, low), torch.where(up, high, middle)
        return ((low + high) / 2).exp()

    def beta(self, t: Tensor) -> Tensor:
        """The best one for each t, (outputs,): rows / (|F m - y|^2 + t m^T m)."""
        return self.rows / self._misfit(t)

    def log_p(self, t: Tensor) -> Tensor:
        """The log evidence in nats at the best beta, (outputs,)."""
        fit = self.rows / 2 * (self.beta(t) / (2 * math.pi * math.e)).log()
        return fit - torch.log1p(self.s[:, None] / t).sum(0) / 2

    def slope(self, t: Tensor) -> Tensor:
        """Twice that of log_p in log t: gamma - alpha m^T m, which a fixed point has at 0."""
        known = (self.s[:, None] / (self.s[:, None] + t)).sum(0)
        squared = (self.z * self.s[:, None] * t / (self.s[:, None] + t) ** 2).sum(0)
        return known - self.rows * squared / self._misfit(t)

    def _misfit(self, t: Tensor) -> Tensor:
        found = self.off + (self.z * t / (self.s[:, None] + t)).sum(0)
        return found.clamp(min=torch.finfo(found.dtype).tiny)


def _check(features: Tensor, outputs: Tensor) -> None:
    if (
        features.dim() != 2
        or outputs.dim() != 2
        or len(features) != len(outputs)
        or not len(outputs)
    ):
        expected = "expected features (rows, width) and outputs (rows, outputs) of the same rows"
        raise ValueError(f"{expected}, got {tuple(features.shape)} and {tuple(outputs.shape)}")
    for name, tensor in (("features", features), ("outputs", outputs)):
        if not tensor.isfinite().all():
            raise ValueError(f"expected finite {name}, got others")
