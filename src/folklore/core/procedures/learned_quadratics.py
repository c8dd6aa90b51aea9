"""The problems of `_quadratics`, minimised by a learned optimizer: a net of UNITS hidden units that sees one variable at a time.

In: the gradient of the variable and three moving averages of it, in units of its root mean square. Out: the step, in the same unit times the run's
rate. A net of its own is trained for each seed, by evolution strategies with antithetic pairs (Salimans et al. 2017) and Adam,
from small random weights, on fresh problems and over HORIZON steps: no derivative of the optimizer is needed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from folklore.core.procedures._quadratics import Problems, book, drawn, of_run
from folklore.core.randomness import generator

if TYPE_CHECKING:
    from folklore.core.training import Stack

UNITS, HORIZON, RATE = 6, 64, 0.25
ITERATIONS, PAIRS, TRAINING_PROBLEMS, SPREAD, STEP = 400, 8, 4, 0.1, 0.1
_DECAYS = np.array([0.5, 0.9, 0.97]).reshape(3, 1, 1, 1)
_SQUARES, _EPS = 0.9, 1e-12
_INPUTS = len(_DECAYS) + 1
_CUTS = np.cumsum([_INPUTS * UNITS, UNITS, UNITS])
WEIGHTS = int(_CUTS[-1]) + _INPUTS


def train(stack: Stack) -> None:
    """Measure: decades, by how many powers of ten the problems' values fall."""
    found = []
    for run, rate in zip(stack.runs, stack.hyper["lr"].view(-1).double().cpu().tolist(), strict=True):
        values = descend(learned(run.seed)[None], of_run(run.seed), stack.one.updates, rate)
        found.append(values[:, 0])
    book(stack, found)


def descend(nets: np.ndarray, problems: Problems, updates: int, rate: float) -> np.ndarray:
    """f (updates + 1, N, P) of nets (N, WEIGHTS)."""
    n, shape = len(nets), (len(nets), *problems.start.shape)
    into, bias, out, direct = _layers(nets)
    x, averages, squares = np.tile(problems.start, (n, 1, 1)), np.zeros((3, *shape)), np.zeros(shape)
    values = []
    with np.errstate(all="ignore"):
        for t in range(1, updates + 1):
            value, g = problems.value_and_slope(x)
            values.append(value)
            averages = _DECAYS * averages + (1 - _DECAYS) * g
            squares = _SQUARES * squares + (1 - _SQUARES) * g * g
            unit = np.sqrt(squares / (1 - _SQUARES**t)) + _EPS
            seen = (np.concatenate([g[None], averages]) / unit).reshape(_INPUTS, n, -1).transpose(1, 2, 0)
            step = np.tanh(seen @ into + bias) @ out + seen @ direct
            x = x - rate * unit * step.reshape(shape)
        return np.stack([*values, problems.value_and_slope(x)[0]])


@lru_cache(maxsize=256)
def learned(seed: int) -> np.ndarray:
    """Weights (WEIGHTS,) of the optimizer that this seed trains."""
    rng = generator(seed, "learned optimizer")
    net, mean, square = 0.1 * rng.standard_normal(WEIGHTS), np.zeros(WEIGHTS), np.zeros(WEIGHTS)
    for i in range(1, ITERATIONS + 1):
        noise, problems = rng.standard_normal((PAIRS, WEIGHTS)), drawn(rng, TRAINING_PROBLEMS)
        above, below = np.split(
            _scores(np.concatenate([net + SPREAD * noise, net - SPREAD * noise]), problems), 2
        )
        slope = ((above - below)[:, None] * noise).mean(axis=0) / (2 * SPREAD)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        towards = mean / (1 - 0.9**i) / (np.sqrt(square / (1 - 0.99**i)) + 1e-8)
        net = net + STEP * (1 - (i - 1) / ITERATIONS) * towards
    return net


def _scores(nets: np.ndarray, problems: Problems) -> np.ndarray:
    """Decades (N,) that each net gains over the horizon, mean over problems, -2 at worst."""
    values = descend(nets, problems, HORIZON, RATE)
    with np.errstate(all="ignore"):
        fallen = -np.log10(values[-1] / values[0] + 1e-30)
    return np.maximum(np.nan_to_num(fallen, nan=-2.0, neginf=-2.0), -2.0).mean(axis=-1)


def _layers(nets: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights into the hidden units (N, inputs, UNITS), their biases, weights out of them, and past them."""
    into, bias, out, direct = np.split(nets, _CUTS, axis=1)
    n = len(nets)
    return into.reshape(n, _INPUTS, UNITS), bias[:, None, :], out[:, :, None], direct[:, :, None]
