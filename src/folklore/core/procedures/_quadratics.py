"""Small quadratic problems for optimizers, f(x) = |W x - y|^2 / (2 DIM), all entries of W, y and of the start x drawn from N(0, 1).

Andrychowicz et al. 2016 take such problems of ten variables. The smallest value is 0; the curvatures W^T W / DIM lie between 0 and about 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from folklore.core.randomness import generator

if TYPE_CHECKING:
    from folklore.core.training import Stack

DIM, PROBLEMS = 10, 64
_ROWS = 256  # of validation data for the scores of a net that nobody trains
_FEWEST, _MOST = -1.0, 30.0


@dataclass(frozen=True)
class Problems:
    """w (P, DIM, DIM), y and start (P, DIM)."""

    w: np.ndarray
    y: np.ndarray
    start: np.ndarray

    def value_and_slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f (..., P) and its gradient (..., P, DIM) at x (..., P, DIM)."""
        residual = (self.w @ x[..., None])[..., 0] - self.y
        slope = (self.w.transpose(0, 2, 1) @ residual[..., None])[..., 0] / DIM
        return np.square(residual).sum(axis=-1) / (2 * DIM), slope


def drawn(rng: np.random.Generator, problems: int) -> Problems:
    shapes = ((problems, DIM, DIM), (problems, DIM), (problems, DIM))
    return Problems(*(rng.standard_normal(shape) for shape in shapes))


def of_run(seed: int) -> Problems:
    """The problems that a run is measured on, the same ones for all optimizers."""
    return drawn(generator(seed, "quadratics"), PROBLEMS)


def decades(values: np.ndarray) -> float:
    """By how many powers of ten f falls, mean over problems, of its values (updates + 1, P); -1 where it is no number in the end."""
    with np.errstate(all="ignore"):
        fallen = -np.log10(np.maximum(values[-1] / values[0], 10.0**-_MOST))
    return float(np.clip(np.nan_to_num(fallen, nan=_FEWEST), _FEWEST, _MOST).mean())


def book(stack: Stack, values: list[np.ndarray]) -> None:
    """Write what happened, (updates + 1, P) values for each run, as the stack's losses and its measure `decades`."""
    with np.errstate(all="ignore"):
        stack.losses[:] = np.stack([found[:-1].mean(axis=1) for found in values], axis=1)
    stack.done = stack.one.updates
    stack.checks += [stack.score("val", _ROWS)[0]] * len(stack.marks)
    stack.measures["decades"] = np.array([decades(found) for found in values])
    stack.tick(1.0)
