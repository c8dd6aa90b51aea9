"""Initial weights against their stated distributions, level by level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from folklore import levels
from folklore.core import (
    initializers,
)
from folklore.core.networks import Layout, initial
from folklore.core.randomness import generator
from plain_nets import CLASSES, CPU, INPUTS, close, named


def uniform(bound: float) -> stats.rv_continuous:
    return stats.uniform(-bound, 2 * bound)


# what the papers state, by fan-in n and fan-out m
STATED: dict[str, Callable[[int, int], stats.rv_continuous]] = {
    "normal_001": lambda n, m: stats.norm(0, 0.01),
    "uniform_fanin": lambda n, m: uniform(n**-0.5),
    "uniform_005": lambda n, m: uniform(0.05),
    "uniform_sqrt3": lambda n, m: uniform((3 / n) ** 0.5),
    "glorot_uniform": lambda n, m: uniform((6 / (n + m)) ** 0.5),
    "glorot_normal": lambda n, m: stats.norm(0, (2 / (n + m)) ** 0.5),
    "he_uniform": lambda n, m: uniform((6 / n) ** 0.5),
    "he_normal": lambda n, m: stats.norm(0, (2 / n) ** 0.5),
}
FANS = [(300, 200), (150, 400)]


@pytest.mark.parametrize("fans", FANS)
@pytest.mark.parametrize("level", [name for name in levels.names("init") if name in STATED])
def test_initial_weights_follow_the_stated_distribution(level: str, fans: tuple[int, int]) -> None:
    """60,000 weights: variance within five standard errors (3 % for a normal one), bounds, and Kolmogorov-Smirnov."""
    stated = STATED[level](*fans)
    weights = getattr(initializers, level)(generator(7, "init/0"), *fans).ravel()
    kurtosis = stated.stats("k")
    error = np.sqrt((kurtosis + 2) / weights.size)
    assert abs(weights.var() / stated.var() - 1) < 5 * error
    assert np.isclose(weights.mean(), 0, atol=5 * stated.std() / weights.size**0.5)
    low, high = stated.support()
    assert low <= weights.min()
    assert weights.max() <= high
    assert stats.kstest(weights, stated.cdf).pvalue > 1e-3


@pytest.mark.parametrize("level", levels.names("init"))
def test_every_initialiser_keeps_the_contract(level: str) -> None:
    """Shape, finite numbers, and the same numbers for the same seed."""
    draw = getattr(initializers, level)
    for fans in ((5, 3), (3, 5), (1, 1)):
        weights = draw(generator(1, "w"), *fans)
        assert weights.shape == fans
        assert np.isfinite(weights).all()
        assert np.array_equal(weights, draw(generator(1, "w"), *fans))


def test_deterministic_initialisers() -> None:
    assert (initializers.constant(generator(1, "w"), 4, 3) == 0.01).all()
    assert not initializers.zero(generator(1, "w"), 4, 3).any()


@pytest.mark.parametrize("fans", [(30, 20), (20, 30), (25, 25)])
def test_orthogonal_weights_are_orthonormal(fans: tuple[int, int]) -> None:
    w = initializers.orthogonal(generator(3, "w"), *fans)
    gram = w.T @ w if fans[0] >= fans[1] else w @ w.T
    close(gram, np.eye(min(fans)), 1e-12)


def test_orthogonal_weights_are_uniform_over_the_orthogonal_group() -> None:
    """An entry of a uniform 4 x 4 matrix has square ~ Beta(1/2, 3/2) and either sign alike; determinants are +1 and -1 alike."""
    drawn = np.stack([initializers.orthogonal(generator(seed, "w"), 4, 4) for seed in range(1000)])
    assert stats.kstest(drawn[:, 0, 0] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-3
    assert stats.kstest(drawn[:, 2, 2] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-3
    for positive in (drawn[:, 0, 0] > 0, np.linalg.det(drawn) > 0):
        assert stats.binomtest(int(positive.sum()), 1000).pvalue > 1e-3


def test_initialisers_of_one_shape_share_their_noise() -> None:
    """Arms that differ in the initialiser are paired: the same draws on another scale."""
    he, glorot = (
        getattr(initializers, name)(generator(5, "w"), 40, 100) for name in ("he_normal", "glorot_normal")
    )
    close(he / glorot, np.full((40, 100), np.sqrt((2 / 40) / (2 / 140))), 1e-12)


@pytest.mark.parametrize("norm", [named("norm", level) for level in levels.names("norm")])
def test_initial_parameters_of_a_stack(norm: str) -> None:
    """Zero biases and shifts, unit gains, runs told apart by seed and by initialiser only."""
    layout = Layout(INPUTS, CLASSES, 2, 16, "relu", norm)
    p = initial(layout, ["he_normal", "he_normal", "glorot_uniform"], [1, 2, 1], CPU)
    alone = initial(layout, ["glorot_uniform"], [1], CPU)
    assert [tuple(w.shape) for w in p.weights] == [(3, 12, 16), (3, 16, 16), (3, 16, 4)]
    assert not any(t.any() for t in (*p.biases, *p.shifts))
    assert all((t == 1).all() for t in p.gains)
    assert not torch.equal(p.weights[0][0], p.weights[0][1])
    assert all(torch.equal(w[2], v[0]) for w, v in zip(p.weights, alone.weights, strict=True))


@pytest.mark.parametrize("init", levels.names("init"))
def test_the_layout_of_initial_weights_hangs_on_their_shape_only(init: str) -> None:
    """Whatever layout a level returns: kernels want rows without gaps, and a stack may mix levels."""
    layout = Layout(INPUTS, CLASSES, 2, 16, "relu", "none")
    strides = [
        (INPUTS * 16, 16, 1),
        (16 * 16, 16, 1),
        (16 * CLASSES, CLASSES, 1),
    ]
    for runs in ([init], [init, "he_normal"], ["he_normal", init]):
        weights = initial(layout, runs, range(len(runs)), CPU).weights
        assert [weight.stride() for weight in weights] == strides


def test_pieces_of_maxout_are_drawn_apart_with_the_fans_of_one_unit() -> None:
    weights = initial(Layout(200, CLASSES, 1, 300, "maxout", "none"), ["glorot_uniform"], [1], CPU).weights
    assert weights[0].shape == (1, 200, 600)
    first, second = weights[0][0].split(300, dim=1)
    assert not torch.equal(first, second)
    for piece in (first, second):
        assert stats.kstest(piece.numpy().ravel(), uniform((6 / 500) ** 0.5).cdf).pvalue > 1e-3
