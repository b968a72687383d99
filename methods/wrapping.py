"""Methods that name another one in their option `of`."""

from __future__ import annotations

from methods import resolve
from methods.base import Method


class OfMethod(Method):
    """Is about the method `of`."""

    of: str

    @property
    def inner(self) -> Method:
        """The method that it names."""
        return resolve(self.of, "")

    @property
    def counts_on(self) -> str:  # type: ignore[override]
        """As the inner method does."""
        return getattr(self.inner, "wrapped", self.inner).counts_on


class Wrapping(OfMethod):
    """Does with a model what the inner method does, but for what it says itself."""

    def loss(self, model, batch):
        return self.inner.loss(model, batch)

    def fit(self, model, run):
        self.inner.fit(model, run)

    def finalize(self, model):
        return self.inner.finalize(model)

    def measure(self, model, run):
        return self.inner.measure(model, run)
