"""Initial weights, one function a level: (rng, fan_in, fan_out) -> (fan_in, fan_out).

Every random level draws one array from the generator that it is given, so that arms with the same seed share their noise.
Biases start at zero. Adding a level is adding a public function here.
"""

from __future__ import annotations

import numpy as np


def constant(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """All weights .01: hidden units can never become different (zero-init-symmetry)."""
    return np.full((fan_in, fan_out), 0.01)


def zero(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """All weights 0."""
    return np.zeros((fan_in, fan_out))


def normal_001(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """N(0, .01^2), the "small random numbers" of the lectures."""
    return 0.01 * rng.standard_normal((fan_in, fan_out))


def uniform_fanin(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """U(+-1/sqrt n): variance 1/(3n) (Glorot & Bengio 2010, eq. 1)."""
    return _uniform(rng, fan_in, fan_out, 1 / np.sqrt(fan_in))


def uniform_005(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """U(+-.05), the "uniform" of early Keras."""
    return _uniform(rng, fan_in, fan_out, 0.05)


def uniform_sqrt3(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """U(+-sqrt 3/sqrt n): variance 1/n (LeCun et al. 1998)."""
    return _uniform(rng, fan_in, fan_out, np.sqrt(3 / fan_in))


def glorot_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """U(+-sqrt(6/(n_in + n_out))) (Glorot & Bengio 2010, eq. 16)."""
    return _uniform(rng, fan_in, fan_out, np.sqrt(6 / (fan_in + fan_out)))


def glorot_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """N(0, 2/(n_in + n_out))."""
    return np.sqrt(2 / (fan_in + fan_out)) * rng.standard_normal((fan_in, fan_out))


def he_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """U(+-sqrt(6/n_in)) (He et al. 2015, eq. 10 as a uniform)."""
    return _uniform(rng, fan_in, fan_out, np.sqrt(6 / fan_in))


def he_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """N(0, 2/n_in) (He et al. 2015, eq. 10)."""
    return np.sqrt(2 / fan_in) * rng.standard_normal((fan_in, fan_out))


def orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """Orthonormal rows or columns, whichever are fewer (Saxe et al. 2014)."""
    tall = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # without the signs the factor would not be uniform (Mezzadri 2007)
    return q if fan_in >= fan_out else q.T


def identity(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """The identity for square matrices, N(0, .001^2) for others, for recurrent ReLU nets (Le, Jaitly & Hinton 2015)."""
    if fan_in == fan_out:
        return np.eye(fan_in)
    return 0.001 * rng.standard_normal((fan_in, fan_out))


def _uniform(rng: np.random.Generator, fan_in: int, fan_out: int, bound: float) -> np.ndarray:
    return bound * (2 * rng.random((fan_in, fan_out)) - 1)
