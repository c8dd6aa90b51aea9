"""From coefficients to effects, adjusted means, and variance components without the part of the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from folklore.stats.design import Factors, contrasts, term_columns
from folklore.stats.importance.fitting import Fit
from folklore.stats.importance.results import Term


def effect_map(factors: Factors, term: Term) -> np.ndarray:
    """Coefficients of a term to its effects, (combinations of its levels, degrees of freedom)."""
    result = np.ones((1, 1))
    for name in term:
        result = np.kron(result, contrasts(len(factors[name])))
    return result


def mean_map(fitted: Fit, names: Term) -> np.ndarray:
    """Coefficients to adjusted means over the complete crossing, (combinations of levels, p)."""
    codes = np.indices([len(fitted.factors[f]) for f in names]).reshape(len(names), -1)
    rows = np.zeros((codes.shape[1], fitted.x_np.shape[1]))
    rows[:, 0] = 1
    for term in fitted.slices:
        if set(term) <= set(names):
            at = {f: codes[names.index(f)] for f in term}
            rows[:, fitted.slices[term]] = term_columns(at, fitted.factors, term)
    return rows


def squares(fitted: Fit, coef_Bp: np.ndarray) -> dict[Term, np.ndarray]:
    """Mean square of every term's effects over the complete crossing, term -> (B,)."""
    maps = {t: effect_map(fitted.factors, t) for t in fitted.slices}
    return {t: ((coef_Bp[:, fitted.slices[t]] @ maps[t].T) ** 2).mean(axis=1) for t in fitted.slices}


def _noise_squares(fitted: Fit, adjusted_nB: np.ndarray) -> dict[Term, np.ndarray]:
    """What errors alone add to the mean squares: trace of the effects' sandwich covariance, term -> (B,)."""
    maps = [effect_map(fitted.factors, t) @ fitted.pinv_pn[c] for t, c in fitted.slices.items()]
    total_TB = np.zeros((len(maps), adjusted_nB.shape[1]))
    for block in fitted.blocks.cells:
        gram_Tbb = np.array([m[:, block].T @ m[:, block] / len(m) for m in maps])
        total_TB += ((gram_Tbb @ adjusted_nB[block]) * adjusted_nB[block]).sum(axis=1)
    return dict(zip(fitted.slices, total_TB, strict=True))


@dataclass(frozen=True)
class Components:
    """Variances: every term's (B,), of the rest (B,), of the seeds (B,)."""

    term: dict[Term, np.ndarray]
    rest: np.ndarray
    seeds: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return sum(self.term.values()) + self.rest + self.seeds


def components(
    fitted: Fit, coef_Bp: np.ndarray, adjusted_nB: np.ndarray, seeds_B: np.ndarray, n_seeds: int
) -> Components:
    """Variance components less what noise puts into them: unbiased, so that small ones may be negative."""
    noise = _noise_squares(fitted, adjusted_nB)
    raw = squares(fitted, coef_Bp)
    residual = (fitted.blocks.colour(adjusted_nB) ** 2).mean(axis=0)
    return Components({t: raw[t] - noise[t] for t in raw}, residual - seeds_B / n_seeds, seeds_B)


def seed_variance(deviation_nS: np.ndarray) -> np.ndarray:
    """Variance of one replicate about its cell, (n,); 0 with a single replicate."""
    n_seeds = deviation_nS.shape[1]
    return (deviation_nS**2).sum(axis=1) / max(n_seeds - 1, 1)
