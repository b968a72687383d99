"""The evidence of outputs given features, against densities and searches of scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from torch import Tensor

from methods.merging.evidence import evidence, one_hot

SIZES = [(200, 10), (60, 40), (40, 120)]  # rows and width
sizes = pytest.mark.parametrize(("rows", "width"), SIZES)


def data(rows: int, width: int, outputs: int = 2, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(rows + width)
    features = torch.randn(rows, width, generator=source, dtype=torch.float64)
    weights = torch.randn(width, outputs, generator=source, dtype=torch.float64) / width**0.5
    noisy = noise * torch.randn(rows, outputs, generator=source, dtype=torch.float64)
    return features, features @ weights + noisy


def log_p(features: Tensor, y: Tensor, alpha: float, beta: float) -> float:
    covariance = np.eye(len(features)) / beta + (features @ features.T).numpy() / alpha
    return float(multivariate_normal(cov=covariance).logpdf(y.numpy())) / len(features)


def searched(features: Tensor, y: Tensor, start: float = 2) -> float:
    """The greatest log density a row near alpha = e^start, over the axes of F F^T."""
    axes, singular, _ = np.linalg.svd(features.numpy())
    values = np.pad(singular**2, (0, len(features) - len(singular)))
    squared = (axes.T @ y.numpy()) ** 2

    def lost(logs):
        alpha, beta = np.exp(logs)
        variances = 1 / beta + values / alpha
        return float(np.mean(np.log(2 * np.pi * variances) + squared / variances)) / 2

    tight = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000}
    first = minimize(lost, (start, 0), method="Nelder-Mead", options=tight).x
    return -float(minimize(lost, first, method="Nelder-Mead", options=tight).fun)


@sizes
def test_evidence_is_the_greatest_density_that_a_search_finds(rows, width):
    features, outputs = data(rows, width)
    found = evidence(features, outputs)
    for y, value in zip(outputs.T, found.each.tolist(), strict=True):
        assert value == pytest.approx(searched(features, y), abs=1e-8)
    assert found.mean == pytest.approx(float(found.each.mean()), abs=1e-12)


@sizes
def test_evidence_is_the_density_at_its_alpha_and_beta(rows, width):
    features, outputs = data(rows, width)
    found = evidence(features, outputs)
    for y, *told in zip(outputs.T, found.each, found.alpha, found.beta, strict=True):
        value, alpha, beta = map(float, told)
        assert value == pytest.approx(log_p(features, y, alpha, beta), abs=1e-10)


@sizes
def test_alpha_and_beta_are_a_fixed_point(rows, width):
    features, outputs = data(rows, width)
    found = evidence(features, outputs)
    gram = features.T @ features
    for y, m, alpha, beta in zip(outputs.T, found.weights, found.alpha, found.beta, strict=True):
        precision = alpha * torch.eye(width, dtype=torch.float64) + beta * gram
        torch.testing.assert_close(m, beta * torch.linalg.solve(precision, features.T @ y))
        gamma = (beta * torch.linalg.solve(precision, gram)).trace()
        residual = (features @ m - y).square().sum()
        assert float((gamma / m.square().sum() / alpha).log()) == pytest.approx(0, abs=1e-9)
        assert float(((rows - gamma) / residual / beta).log()) == pytest.approx(0, abs=1e-9)


@given(st.integers(2, 30), st.integers(1, 30), st.floats(0.01, 100), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_scaled_features_have_the_same_evidence(rows, width, scale, seed):
    torch.manual_seed(seed)
    features, y = torch.randn(rows, width).double(), torch.randn(rows, 2).double()
    one, other = evidence(features, y), evidence(scale * features, y)
    torch.testing.assert_close(other.each, one.each, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(other.alpha.log(), (scale**2 * one.alpha).log(), rtol=0, atol=1e-4)
    torch.testing.assert_close(features @ other.weights.T * scale, features @ one.weights.T)


def test_scaling_by_a_power_of_two_changes_alpha_alone():
    features, outputs = data(60, 40)
    one, other = evidence(features, outputs), evidence(4 * features, outputs)
    torch.testing.assert_close(other.alpha, 16 * one.alpha, rtol=1e-9, atol=0)
    torch.testing.assert_close(other.beta, one.beta, rtol=1e-9, atol=0)
    torch.testing.assert_close(other.each, one.each, rtol=0, atol=1e-12)


def test_turned_features_have_the_same_evidence():
    features, outputs = data(40, 120)
    turn, _ = torch.linalg.qr(torch.randn(120, 120, dtype=torch.float64))
    one, other = evidence(features, outputs), evidence(features @ turn, outputs)
    torch.testing.assert_close(other.each, one.each, rtol=0, atol=1e-9)
    torch.testing.assert_close(other.weights, one.weights @ turn, rtol=0, atol=1e-6)


def test_features_of_zeros_beside_change_nothing():
    features, outputs = data(40, 20)
    more = torch.cat([features, torch.zeros(40, 60, dtype=torch.float64)], dim=1)
    one, other = evidence(features, outputs), evidence(more, outputs)
    torch.testing.assert_close(other.each, one.each, rtol=0, atol=1e-12)


def test_uninformative_features_leave_the_evidence_of_noise_and_a_finite_alpha():
    features = torch.eye(50, dtype=torch.float64)[:, :25]
    y = torch.zeros(50, 1, dtype=torch.float64)
    y[25:] = torch.randn(25, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y[:25] = 1e-3
    found = evidence(features, y)
    noise = -0.5 * math.log(2 * math.pi * math.e * float(y.square().mean()))
    assert found.mean == pytest.approx(noise, abs=1e-8)
    assert 1e6 < float(found.alpha) < 1e12
    assert float(found.weights.abs().max()) < 1e-9


@pytest.mark.parametrize("width", [10, 60])
def test_constant_zero_features_leave_the_evidence_of_noise(width):
    y = torch.linspace(-1, 2, 30)[:, None]
    found = evidence(torch.zeros(30, width), y)
    noise = -0.5 * math.log(2 * math.pi * math.e * float(y.square().mean()))
    assert found.mean == pytest.approx(noise, abs=1e-7)
    assert not found.weights.any()


@pytest.mark.parametrize("weak", [60, 70])
def test_the_higher_of_two_local_maxima_is_found(weak):
    torch.manual_seed(1)
    features = torch.randn(20, 2).double() * torch.tensor([100, 0.01]).double()
    y = features @ torch.tensor([5e-4, weak]).double() + 0.5 * torch.randn(20).double()
    peaks = [searched(features, y, start) for start in (-7, 9)]
    assert abs(peaks[0] - peaks[1]) > 0.01
    assert (peaks[0] > peaks[1]) == (weak == 70)
    assert evidence(features, y[:, None]).mean == pytest.approx(max(peaks), abs=1e-8)


def test_outputs_that_features_give_without_noise_have_finite_numbers():
    features, outputs = data(30, 60, noise=0.0)
    found = evidence(features, outputs)
    assert all(t.isfinite().all() for t in found)
    fits = (features @ found.weights.T - outputs).abs().amax(0)
    assert fits.min() < 1e-6


def test_class_without_a_row_has_no_evidence_and_is_left_out_of_the_mean():
    features, _ = data(40, 10)
    labels = torch.arange(40) % 2
    two, three = (evidence(features, one_hot(labels, classes)) for classes in (2, 3))
    assert three.each.isnan().tolist() == [False, False, True]
    assert three.mean == pytest.approx(two.mean, abs=1e-12)
    assert not three.weights[2].any()


def test_one_hot_has_a_column_a_class():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("features", "outputs", "said"),
    [
        (torch.zeros(3, 2), torch.zeros(4, 1), r"the same rows, got \(3, 2\) and \(4, 1\)"),
        (torch.zeros(0, 2), torch.zeros(0, 1), "got"),
        (torch.zeros(3, 2), torch.zeros(3), r"got \(3, 2\) and \(3,\)"),
        (torch.full((3, 2), math.nan), torch.zeros(3, 1), "expected finite features"),
        (torch.zeros(3, 2), torch.full((3, 1), math.inf), "expected finite outputs"),
    ],
)
def test_what_is_no_data_is_refused(features, outputs, said):
    with pytest.raises(ValueError, match=said):
        evidence(features, outputs)
