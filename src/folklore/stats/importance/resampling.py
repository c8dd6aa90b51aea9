"""The bootstrap: wild over graph cells, crossed with the replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from folklore.stats.importance.cells import Grid
from folklore.stats.importance.components import Components, components, seed_variance, squares
from folklore.stats.importance.fitting import Fit, blown_up

LEVEL = 0.95
CHUNK = 250


def mammen(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mammen's two-point multipliers: mean 0, variance 1, third moment 1."""
    root = math.sqrt(5)
    return np.where(rng.random(shape) < (root + 1) / (2 * root), (1 - root) / 2, (1 + root) / 2)


def graph_weights(grid: Grid, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each cell is in a resample of whole graph cells, (n, B), as floats: integers multiply slowly."""
    n_graph = int(grid.graph_n.max()) + 1
    draws = rng.multinomial(n_graph, np.full(n_graph, 1 / n_graph), size=resamples)
    return draws.T[grid.graph_n].astype(float)


def chunk_sizes(resamples: int) -> list[int]:
    """Resamples in pieces, so that the complete crossing needs no gigabytes."""
    return [min(CHUNK, resamples - at) for at in range(0, resamples, CHUNK)]


def seed_weights(rng: np.random.Generator, n_seeds: int, resamples: int) -> np.ndarray:
    """Weights of the replicates less 1/S, (B, S); scaled so that their variance is right at small S."""
    if n_seeds < 2:
        return np.zeros((resamples, n_seeds))
    draws = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=resamples)
    return (draws - 1) / n_seeds * math.sqrt(n_seeds / (n_seeds - 1))


def bootstrap_errors(
    fitted: Fit, deviation_nS: np.ndarray, *, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Whitened errors of the cell means, (n, B): residuals times a number a graph cell, plus seeds."""
    multipliers = mammen(rng, (len(fitted.blocks.cells), resamples))
    errors = np.empty((len(fitted.adjusted_n), resamples))
    for block, v_B in zip(fitted.blocks.cells, multipliers, strict=True):
        errors[block] = fitted.adjusted_n[block, None] * v_B
    deviation = fitted.blocks.whiten(deviation_nS)
    return errors + deviation @ seed_weights(rng, deviation_nS.shape[1], resamples).T


def interval(draws: np.ndarray, axis: int = 0) -> np.ndarray:
    """Percentile interval, (2, ...)."""
    return np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=axis)


@dataclass(frozen=True)
class Draws:
    """Bootstrap of one fit: errors of the coefficients (B, p), components as estimated and as redrawn."""

    error_Bp: np.ndarray
    estimate: Components
    redrawn: Components


def bootstrap(fitted: Fit, grid: Grid, *, resamples: int, rng: np.random.Generator) -> Draws:
    """Redraw errors around the fitted surface, shrunk to the variance that its terms have without noise.

    Without the shrinkage noise would count twice: once in the surface, once in the redrawn errors.
    """
    seeds_n, n_seeds = seed_variance(grid.seed_deviation_nS), grid.y_nS.shape[1]
    coef, residual, seeds = fitted.coef_p[None], fitted.adjusted_n[:, None], seeds_n.mean(keepdims=True)
    estimate = components(fitted, coef, residual, seeds, n_seeds)
    centre = _shrunk(fitted, estimate)
    parts = [_redraw(fitted, grid, centre, seeds_n, size, rng) for size in chunk_sizes(resamples)]
    errors, redrawn = zip(*parts, strict=True)
    return Draws(np.vstack(errors), estimate, _joined(redrawn))


def _redraw(
    fitted: Fit,
    grid: Grid,
    centre_p: np.ndarray,
    seeds_n: np.ndarray,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Components]:
    """Errors of the coefficients (B, p), and the components estimated from what was redrawn."""
    errors_nB = bootstrap_errors(fitted, grid.seed_deviation_nS, resamples=resamples, rng=rng)
    error_Bp = (fitted.pinv_pn @ errors_nB).T
    left_nB = blown_up(errors_nB - fitted.xw_np @ error_Bp.T, fitted.blocks.cells, fitted.adjust)
    weight_nB = graph_weights(grid, resamples, rng)
    seeds_B = seeds_n @ weight_nB / weight_nB.sum(axis=0)
    return error_Bp, components(fitted, centre_p + error_Bp, left_nB, seeds_B, grid.y_nS.shape[1])


def _joined(parts: Sequence[Components]) -> Components:
    term = {t: np.concatenate([part.term[t] for part in parts]) for t in parts[0].term}
    rest, seeds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rest", "seeds"))
    return Components(term, rest, seeds)


def _shrunk(fitted: Fit, estimate: Components) -> np.ndarray:
    coef, raw = fitted.coef_p.copy(), squares(fitted, fitted.coef_p[None])
    for term, columns in fitted.slices.items():
        left = max(estimate.term[term][0], 0.0)
        coef[columns] *= math.sqrt(left / raw[term][0]) if raw[term][0] > 0 else 0.0
    return coef
