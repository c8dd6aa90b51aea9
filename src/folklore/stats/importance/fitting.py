"""The fitted surface: which terms the cells can estimate, and least squares weighted for errors that graph cells share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import statsmodels.api as sm

from folklore.stats.design import Factors, encode, max_vif, rank, term_columns, terms
from folklore.stats.importance.cells import Grid
from folklore.stats.importance.results import Model, Term

MIN_RESIDUAL_DF = 10
RATIOS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Blocks:
    """Graph cells and their errors: variance 1 for each cell, `ratio` more shared by its graph cell.

    Multiplying by the inverse root of that covariance ("whitening") takes part of the graph cell's mean away.
    """

    cells: list[np.ndarray]
    ratio: float

    def whiten(self, values: np.ndarray) -> np.ndarray:
        """Inverse root of the covariance times values (n, ...)."""
        return self._scale_means(values, lambda k: 1 / math.sqrt(1 + k * self.ratio))

    def colour(self, values: np.ndarray) -> np.ndarray:
        """Root of the covariance times values (n, ...): undoes `whiten`."""
        return self._scale_means(values, lambda k: math.sqrt(1 + k * self.ratio))

    def _scale_means(self, values: np.ndarray, scale: Callable[[int], float]) -> np.ndarray:
        out = values.astype(float)
        for block in self.cells if self.ratio else []:
            out[block] += (scale(len(block)) - 1) * out[block].mean(axis=0)
        return out

    def log_det(self) -> float:
        return sum(math.log1p(len(block) * self.ratio) for block in self.cells)


@dataclass(frozen=True)
class Fit:
    """Generalised least squares on cell means, and what the bootstrap needs of it. w: whitened."""

    factors: dict[str, list[Any]]
    slices: dict[Term, slice]  # columns of every fitted term
    blocks: Blocks
    x_np: np.ndarray
    xw_np: np.ndarray
    pinv_pn: np.ndarray  # of xw
    coef_p: np.ndarray
    adjust: list[np.ndarray]  # (I - H)^(-1/2) of every graph cell
    adjusted_n: np.ndarray  # blown-up whitened residuals
    model: Model


def fit(grid: Grid) -> Fit | Model:
    """The largest estimable model; a Model that says why when not even the main effects are."""
    codes = encode(grid.table.to_dict("records"), grid.factors) if grid.factors else {}
    chosen, reason = choose_terms(codes, grid.factors, len(grid.table))
    if np.ptp(grid.y_n) == 0:
        chosen, reason = [], "all cells have the same accuracy"
    cells = [np.flatnonzero(grid.graph_n == g) for g in range(int(grid.graph_n.max()) + 1)]
    size = {"cells": len(grid.table), "graph_cells": len(cells), "replicates": grid.y_nS.shape[1]}
    if not chosen:
        return Model(estimable=False, complete=False, reason=reason, **size)
    x, slices = _design(codes, grid.factors, chosen)
    blocks = graph_variance(x, grid.y_n, cells)
    xw = blocks.whiten(x)
    ols = sm.OLS(blocks.whiten(grid.y_n), xw).fit(method="qr")
    pinv = ols.normalized_cov_params @ xw.T
    adjust = [_inverse_root(np.eye(len(b)) - xw[b] @ pinv[:, b]) for b in cells]
    left_out = tuple(" x ".join(t) for t in terms(grid.factors) if t not in chosen)
    model = Model(
        estimable=True, complete=not left_out, reason=reason, parameters=x.shape[1], rank=int(ols.model.rank),
        residual_df=int(ols.df_resid), max_vif=max_vif(x), r_squared=_r_squared(grid.y_n, x @ ols.params),
        graph_df=graph_df(x, cells), graph_variance=blocks.ratio, left_out=left_out, **size,
    )  # fmt: skip
    adjusted = blown_up(ols.resid[:, None], cells, adjust)[:, 0]
    return Fit(grid.factors, slices, blocks, x, xw, pinv, ols.params, adjust, adjusted, model)


def graph_df(x_np: np.ndarray, cells: Sequence[np.ndarray]) -> int:
    """Graph cells beyond the parameters that differ only between them: how well their common errors are known."""
    within = np.zeros(x_np.shape[1], dtype=bool)
    for block in cells:
        within |= np.ptp(x_np[block], axis=0) > 0
    return len(cells) - int((~within).sum())


def graph_variance(x_np: np.ndarray, y_n: np.ndarray, cells: Sequence[np.ndarray]) -> Blocks:
    """Blocks with the most likely ratio (REML on a grid); 0 where no graph cell has two cells."""
    if max(map(len, cells)) == 1:
        return Blocks(list(cells), 0.0)
    joint = np.column_stack([x_np, y_n])
    gram, sums_Gp = joint.T @ joint, np.array([joint[block].sum(axis=0) for block in cells])
    options = [Blocks(list(cells), ratio) for ratio in RATIOS]
    return max(options, key=lambda blocks: _reml(blocks, gram, sums_Gp, len(y_n)))


def _reml(blocks: Blocks, gram: np.ndarray, sums_Gp: np.ndarray, n: int) -> float:
    """Restricted log likelihood, from products of (x, y): whitening takes a multiple of the blocks' sums away."""
    sizes = np.array([len(block) for block in blocks.cells])
    taken = (sums_Gp.T * (blocks.ratio / (1 + sizes * blocks.ratio))) @ sums_Gp
    floor = np.diag([*np.zeros(len(gram) - 1), 1e-10 * gram[-1, -1]])  # a perfect fit leaves nothing
    diagonal = np.log(np.diag(np.linalg.cholesky(gram - taken + floor)))
    p = len(gram) - 1
    return -float((n - p) * diagonal[p] + blocks.log_det() / 2 + diagonal[:p].sum())


def _r_squared(y_n: np.ndarray, fitted_n: np.ndarray) -> float:
    total = ((y_n - y_n.mean()) ** 2).sum()
    return float(1 - ((y_n - fitted_n) ** 2).sum() / total) if total > 0 else math.nan


def choose_terms(codes: Mapping[str, np.ndarray], factors: Factors, n: int) -> tuple[list[Term], str]:
    """Terms that n cells estimate with residual degrees of freedom to spare, and why others are left out.

    All two-way interactions or, failing that, main effects and then interactions from the smallest up.
    """
    if not factors:
        return [], "no factor has two levels"
    every, main = terms(factors), terms(factors, pairs=False)
    if _estimable(codes, factors, every, n):
        return every, ""
    wanted = _n_parameters(factors, main)
    if not _estimable(codes, factors, main, n):
        return (
            [],
            f"{n} cells do not estimate the main effects ({wanted} parameters, {MIN_RESIDUAL_DF} to spare)",
        )
    chosen = list(main)
    for term in sorted(every[len(main) :], key=lambda t: _n_parameters(factors, [t])):
        if _estimable(codes, factors, [*chosen, term], n):
            chosen.append(term)
    return (
        chosen,
        f"{n} cells do not estimate all two-way interactions ({_n_parameters(factors, every)} parameters)",
    )


def _n_parameters(factors: Factors, chosen: Sequence[Term]) -> int:
    return 1 + sum(math.prod(len(factors[f]) - 1 for f in term) for term in chosen)


def _estimable(codes: Mapping[str, np.ndarray], factors: Factors, chosen: Sequence[Term], n: int) -> bool:
    p = _n_parameters(factors, chosen)
    return n >= p + MIN_RESIDUAL_DF and rank(_design(codes, factors, chosen)[0]) == p


def _design(
    codes: Mapping[str, np.ndarray], factors: Factors, chosen: Sequence[Term]
) -> tuple[np.ndarray, dict[Term, slice]]:
    columns, slices, at = [], {}, 1
    for term in chosen:
        columns.append(term_columns(codes, factors, term))
        slices[term] = slice(at, at + columns[-1].shape[1])
        at = slices[term].stop
    return np.hstack([np.ones((len(columns[0]), 1)), *columns]), slices


def _inverse_root(symmetric: np.ndarray) -> np.ndarray:
    """Inverse square root; directions in which the residual is always 0 stay 0."""
    values, vectors = np.linalg.eigh(symmetric)
    scale = np.where(values > 1e-6, 1 / np.sqrt(np.maximum(values, 1e-6)), 0.0)
    return (vectors * scale) @ vectors.T


def blown_up(
    residual_nB: np.ndarray, blocks: Sequence[np.ndarray], adjust: Sequence[np.ndarray]
) -> np.ndarray:
    out = np.empty_like(residual_nB)
    for block, a in zip(blocks, adjust, strict=True):
        out[block] = a @ residual_nB[block]
    return out


def type2(fitted: Fit, y_n: np.ndarray) -> dict[Term, float]:
    """Type II sums of squares of the cell means: each term after all others that do not contain it."""
    gram, xy = fitted.x_np.T @ fitted.x_np, fitted.x_np.T @ y_n
    result = {}
    for term, columns in fitted.slices.items():
        others = [s for t, s in fitted.slices.items() if t != term and not set(term) < set(t)]
        result[term] = _partial(gram, xy, np.r_[0, *others], np.r_[columns])
    return result


def _partial(gram: np.ndarray, xy: np.ndarray, others: np.ndarray, own: np.ndarray) -> float:
    """Sum of squares of the columns `own` after `others`, from X'X and X'y."""
    slope = np.linalg.solve(gram[np.ix_(others, others)], gram[np.ix_(others, own)])
    left = xy[own] - slope.T @ xy[others]
    return float(left @ np.linalg.solve(gram[np.ix_(own, own)] - gram[np.ix_(own, others)] @ slope, left))
