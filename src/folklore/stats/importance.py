"""Which factor of a factorial grid matters, by how much, and how sure.

Response: logit of the test accuracy, averaged over the replicates of a cell. Model: intercept, main effects
and two-way interactions (sum-to-zero coding), and an error that cells of one graph cell share in part; how
large a part, REML says, and the fit is least squares weighted for it (with a share of 0, plain OLS). Why:
the graph cells leave few degrees of freedom; in simulations of the 420 cells whose errors were nearly all
shared, intervals from OLS covered the shares of interactions that are not there as rarely as 19 times of
100, those from the weighted fit more than 95 times, at no loss when nothing is shared.

A share of variance is the functional ANOVA of the fitted surface over the *complete* crossing with equal
weights: the mean square of a term's effects, less the part that noise alone puts there, over the variance of
one run. On a balanced crossing that is the sum of squares (of any type) over its total; on an unbalanced
fraction the types differ from each other and depend on which cells were chosen, the functional ANOVA does
not. A factor's own number is its Shapley share: its main effect and half of each of its interactions, which
is exact for independent factors (Owen 2014, SIAM/ASA J. Uncertain. Quantif. 2, 245). Parts are estimated
without bias and shown as at least 0: small ones add up to above 1.

Intervals: bootstrap over graph cells, crossed with the replicates (one seed is the same seed in every cell;
Owen 2007, Ann. Appl. Stat. 1, 386). Drawing whole graph cells with replacement would leave 88 of 140, and a
model of 311 parameters without rank; so the *residuals* of a graph cell are multiplied by one random number
(wild cluster bootstrap, Mammen 1993), after they are blown up by (I - H)^(-1/2) within their graph cell:
with three parameters for four cells residuals are half as large as errors.

Axes: n cells, p parameters, S replicates, G graph cells, B resamples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.special import expit, logit
from scipy.stats import binom, fisher_exact, norm
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from folklore.stats.design import Factors, contrasts, encode, max_vif, rank, term_columns, terms

PAIRS = (
    ("init", "activation"),
    ("activation", "norm"),
    ("norm", "dropout"),
    ("norm", "batch_size"),
    ("norm", "optimizer"),
)
LEVEL = 0.95
CHANCE, N_TEST = 0.1, 10_000  # ten balanced classes; size of the test split
MIN_RESIDUAL_DF = 10
CHUNK = 250
RATIOS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
TOP, MIN_TOP = 0.05, 5
Term = tuple[str, ...]


# ---------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class Model:
    """What was fitted. `estimable`: the main effects are; `complete`: so are all two-way interactions."""

    estimable: bool
    complete: bool
    reason: str  # why not estimable, or why not complete; else empty
    cells: int
    graph_cells: int
    replicates: int
    parameters: int = 0
    rank: int = 0
    residual_df: int = 0
    max_vif: float = math.nan
    graph_df: int = 0  # graph cells to spare; what intervals of adjusted means rest on
    graph_variance: float = 0.0  # variance that the cells of a graph cell share, over that of one cell
    r_squared: float = math.nan
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """One analysis of the grid. Frames are empty where a quantity is not estimable.

    shares: term, df, sum_sq (type II, on cell means), share, lo, hi; the last two rows are `rest` (higher
    orders, and the choice of the rate) and `seeds`. factors: factor, main, main_lo, main_hi, share, lo, hi
    (Shapley). levels: factor, level, accuracy, lo, hi, logit, cells. pairs: a, b, level_a, level_b,
    accuracy, lo, hi. best: factor, level, top, cells, ratio, lo, hi, p, p_holm. Accuracies are in 0..1.
    """

    name: str
    title: str
    model: Model
    shares: pd.DataFrame = field(default_factory=pd.DataFrame)
    factors: pd.DataFrame = field(default_factory=pd.DataFrame)
    levels: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    best: pd.DataFrame = field(default_factory=pd.DataFrame)
    best_reason: str = ""


@dataclass(frozen=True)
class GridResult:
    """All analyses by name (`all`, `no_constant`, `alive`) and the learning rates that tuning chose.

    rates: optimizer, batch_size, median, q1, q3, cells, at_edge. rate_levels: factor, level, median, q1, q3,
    relative (median ratio to the rate of the same optimizer and batch size), cells. cells: the factors,
    accuracy (mean of the replicates), dead; not part of the JSON, because it is long.
    """

    analyses: dict[str, Analysis]
    rates: pd.DataFrame
    rate_levels: pd.DataFrame
    cells: pd.DataFrame
    dead_cells: int
    resamples: int

    def to_json(self, **more: Any) -> str:
        """Canonical JSON after the keys of `more`: 6 significant digits, null for what does not exist."""
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cells"}
        return json.dumps(_plain({**more, **content}), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Dataclasses, frames and numpy numbers as JSON values."""
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return (float(f"{value:.6g}") if math.isfinite(value) else None) if isinstance(value, float) else value


# ---------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Grid:
    """Cells with their replicates. `factors` holds the levels that occur, where there are two."""

    table: pd.DataFrame  # n rows: the factors, and lr, edge where the frame had them
    factors: dict[str, list[Any]]
    graph_n: np.ndarray  # number of the graph cell
    y_nS: np.ndarray  # logit of test accuracy; nan for a missing replicate
    dead_n: np.ndarray  # every replicate at chance

    @property
    def y_n(self) -> np.ndarray:
        return np.nanmean(self.y_nS, axis=1)

    @property
    def seed_deviation_nS(self) -> np.ndarray:
        """Replicate minus the mean of its cell; 0 for a missing one."""
        return np.nan_to_num(self.y_nS - self.y_n[:, None])

    def keep(self, mask: np.ndarray) -> Grid:
        """The cells of the mask."""
        table = self.table[mask].reset_index(drop=True)
        graph = np.unique(self.graph_n[mask], return_inverse=True)[1]
        return Grid(table, _present(table, self.factors), graph, self.y_nS[mask], self.dead_n[mask])


def make_grid(
    frame: pd.DataFrame,
    factors: Factors,
    graph_factors: Sequence[str],
    *,
    n_test: int = N_TEST,
    chance: float = CHANCE,
) -> Grid:
    """Cells of confirmed runs: columns of the factors, replicate, test_accuracy, and perhaps lr and edge.

    A run without a test accuracy counts as chance. Raises ValueError for an unknown level or no run at all.
    """
    if frame.empty:
        raise ValueError("no confirmed run in the frame")
    names = list(factors)
    long = pd.DataFrame(encode(frame[names].to_dict("records"), factors))
    for column in ("replicate", *(c for c in ("lr", "edge") if c in frame)):
        long[column] = frame[column].to_numpy()
    long["accuracy"] = frame["test_accuracy"].fillna(chance).to_numpy()
    wide = long.pivot_table(index=names, columns="replicate", values="accuracy", aggfunc="first")
    accuracy_nS, codes = wide.to_numpy(dtype=float), wide.index.to_frame(index=False)
    table = pd.DataFrame({f: pd.Series([factors[f][c] for c in codes[f]], dtype=object) for f in names})
    for column in [c for c in ("lr", "edge") if c in long]:
        table[column] = long.groupby(names)[column].first().to_numpy()
    graph_n = np.unique(codes[list(graph_factors)].to_numpy(), axis=0, return_inverse=True)[1].ravel()
    clipped = np.clip(accuracy_nS, 0.5 / n_test, 1 - 0.5 / n_test)
    dead = np.nanmax(accuracy_nS, axis=1) <= chance_limit(n_test, chance)
    return Grid(table, _present(table, factors), graph_n, logit(clipped), dead)


def chance_limit(n_test: int, chance: float) -> float:
    """Accuracy that guessing stays under 999 times of 1,000, plus a tenth for classes of unequal size."""
    return float(binom.ppf(0.999, n_test, chance)) / n_test + 0.1 * chance


def _present(table: pd.DataFrame, factors: Factors) -> dict[str, list[Any]]:
    kept = {f: [v for v in levels if (table[f] == v).any()] for f, levels in factors.items()}
    return {f: levels for f, levels in kept.items() if len(levels) > 1}


# ---------------------------------------------------------------------------------------------- fit


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
    adjusted = _adjust(ols.resid[:, None], cells, adjust)[:, 0]
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


def _adjust(
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


# ---------------------------------------------------------------------------------------- effects and shares


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


def _squares(fitted: Fit, coef_Bp: np.ndarray) -> dict[Term, np.ndarray]:
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
    raw = _squares(fitted, coef_Bp)
    residual = (fitted.blocks.colour(adjusted_nB) ** 2).mean(axis=0)
    return Components({t: raw[t] - noise[t] for t in raw}, residual - seeds_B / n_seeds, seeds_B)


def seed_variance(deviation_nS: np.ndarray) -> np.ndarray:
    """Variance of one replicate about its cell, (n,); 0 with a single replicate."""
    n_seeds = deviation_nS.shape[1]
    return (deviation_nS**2).sum(axis=1) / max(n_seeds - 1, 1)


# ---------------------------------------------------------------------------------------------- bootstrap


def mammen(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mammen's two-point multipliers: mean 0, variance 1, third moment 1."""
    root = math.sqrt(5)
    return np.where(rng.random(shape) < (root + 1) / (2 * root), (1 - root) / 2, (1 + root) / 2)


def graph_weights(grid: Grid, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each cell is in a resample of whole graph cells, (n, B), as floats: integers multiply slowly."""
    n_graph = int(grid.graph_n.max()) + 1
    draws = rng.multinomial(n_graph, np.full(n_graph, 1 / n_graph), size=resamples)
    return draws.T[grid.graph_n].astype(float)


def _chunks(resamples: int) -> list[int]:
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
    parts = [_redraw(fitted, grid, centre, seeds_n, size, rng) for size in _chunks(resamples)]
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
    left_nB = _adjust(errors_nB - fitted.xw_np @ error_Bp.T, fitted.blocks.cells, fitted.adjust)
    weight_nB = graph_weights(grid, resamples, rng)
    seeds_B = seeds_n @ weight_nB / weight_nB.sum(axis=0)
    return error_Bp, components(fitted, centre_p + error_Bp, left_nB, seeds_B, grid.y_nS.shape[1])


def _joined(parts: Sequence[Components]) -> Components:
    term = {t: np.concatenate([part.term[t] for part in parts]) for t in parts[0].term}
    rest, seeds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rest", "seeds"))
    return Components(term, rest, seeds)


def _shrunk(fitted: Fit, estimate: Components) -> np.ndarray:
    coef, raw = fitted.coef_p.copy(), _squares(fitted, fitted.coef_p[None])
    for term, columns in fitted.slices.items():
        left = max(estimate.term[term][0], 0.0)
        coef[columns] *= math.sqrt(left / raw[term][0]) if raw[term][0] > 0 else 0.0
    return coef


# ---------------------------------------------------------------------------------------------- tables


def shares_table(fitted: Fit, draws: Draws, y_n: np.ndarray) -> pd.DataFrame:
    """Every term's share of the variance of one run, then the rest and the seeds."""
    sums = type2(fitted, y_n)
    rows = [
        _share_row(" x ".join(t), draws, lambda c, t=t: c.term[t], df=s.stop - s.start, sum_sq=sums[t])
        for t, s in fitted.slices.items()
    ]
    rows.append(_share_row("rest", draws, lambda c: c.rest, df=fitted.model.residual_df, sum_sq=math.nan))
    rows.append(_share_row("seeds", draws, lambda c: c.seeds, df=0, sum_sq=math.nan))
    return pd.DataFrame(rows)


def _share_row(name: str, draws: Draws, part: Any, **more: Any) -> dict[str, Any]:
    share = max((part(draws.estimate) / draws.estimate.total)[0], 0.0)
    lo, hi = np.maximum(interval(part(draws.redrawn) / draws.redrawn.total), 0.0)
    return {"term": name, **more, "share": share, "lo": min(lo, share), "hi": max(hi, share)}


def factors_table(fitted: Fit, draws: Draws) -> pd.DataFrame:
    """Every factor: its main effect, and its Shapley share (main effect and half of its interactions)."""
    rows = []
    for name in fitted.factors:
        main = _share_row(name, draws, lambda c, name=name: c.term[(name,)])
        shapley = _share_row(name, draws, lambda c, name=name: _shapley(c, name))
        own = {"main": main["share"], "main_lo": main["lo"], "main_hi": main["hi"]}
        rows.append(
            {"factor": name, **own, "share": shapley["share"], "lo": shapley["lo"], "hi": shapley["hi"]}
        )
    return pd.DataFrame(rows)


def _shapley(part: Components, name: str) -> np.ndarray:
    return sum(v / len(term) for term, v in part.term.items() if name in term)


def _t_over_z(fitted: Fit) -> float:
    """Widening of an interval for errors whose size is known from few graph cells only."""
    tail = (1 + LEVEL) / 2
    return float(student.ppf(tail, max(fitted.model.graph_df, 1)) / norm.ppf(tail))


def _means(fitted: Fit, draws: Draws, names: Term) -> pd.DataFrame:
    """Adjusted means, one row a combination of levels: logit, accuracy, lo, hi."""
    rows = mean_map(fitted, names)
    centre = rows @ fitted.coef_p
    lo, hi = centre + _t_over_z(fitted) * interval(draws.error_Bp @ rows.T)
    return pd.DataFrame({"accuracy": expit(centre), "lo": expit(lo), "hi": expit(hi), "logit": centre})


def levels_table(fitted: Fit, draws: Draws, table: pd.DataFrame) -> pd.DataFrame:
    """Adjusted mean of every level, other factors averaged over the complete crossing."""
    parts = []
    for name, levels in fitted.factors.items():
        part = _means(fitted, draws, (name,))
        part.insert(0, "factor", name)
        part.insert(1, "level", pd.Series(levels, dtype=object))
        parts.append(part.assign(cells=[int((table[name] == v).sum()) for v in levels]))
    return pd.concat(parts, ignore_index=True)


def pairs_table(fitted: Fit, draws: Draws, pairs: Sequence[Term]) -> pd.DataFrame:
    """Adjusted means of two factors at once, for the pairs whose interaction was fitted."""
    parts = [pd.DataFrame()]
    for a, b in [p for p in pairs if p in fitted.slices or p[::-1] in fitted.slices]:
        part = _means(fitted, draws, (a, b))
        combos = [(u, v) for u in fitted.factors[a] for v in fitted.factors[b]]
        level_a, level_b = (pd.Series(column, dtype=object) for column in zip(*combos, strict=True))
        parts.append(part.assign(a=a, b=b, level_a=level_a, level_b=level_b))
    table = pd.concat(parts, ignore_index=True)
    return table[["a", "b", "level_a", "level_b", "accuracy", "lo", "hi", "logit"]] if len(table) else table


# -------------------------------------------------------------------------------------------- the best cells


def best_cells(grid: Grid, *, resamples: int, rng: np.random.Generator) -> tuple[pd.DataFrame, str]:
    """What the best 5 % of cells have in common, and why not when there are too few.

    ratio: share of a level among the best over its share among all, with an interval from drawing graph
    cells and replicates with replacement. p: Fisher's exact test, two-sided, over all levels corrected after
    Holm; it takes cells for independent, though the cells of one graph are not quite: where p and the
    interval disagree, trust the interval.
    """
    n, n_top = len(grid.table), round(TOP * len(grid.table))
    if n_top < MIN_TOP:
        return pd.DataFrame(), f"the best {TOP:.0%} of {n} cells are {n_top}; at least {MIN_TOP} are needed"
    top = np.zeros(n, dtype=bool)
    top[np.argsort(-grid.y_n, kind="stable")[:n_top]] = True
    names = [(factor, level) for factor, levels in grid.factors.items() for level in levels]
    has_Ln = np.array([(grid.table[factor] == level).to_numpy() for factor, level in names])
    chunks = [_resampled_ratios(grid, has_Ln, size, rng) for size in _chunks(resamples)]
    rows = [
        {"factor": factor, "level": level, **_enrichment(has, top), **_bounds(has, top, ratio)}
        for (factor, level), has, ratio in zip(names, has_Ln, np.hstack(chunks), strict=True)
    ]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=multipletests(table["p"], method="holm")[1]), ""


def _enrichment(has: np.ndarray, top: np.ndarray) -> dict[str, Any]:
    inside, cells = int((has & top).sum()), int(has.sum())
    counts = [[inside, cells - inside], [int(top.sum()) - inside, int((~has & ~top).sum())]]
    ratio = (inside / top.sum()) / (cells / len(top))
    return {"top": inside, "cells": cells, "ratio": ratio, "p": float(fisher_exact(counts)[1])}


def _bounds(has: np.ndarray, top: np.ndarray, ratio_B: np.ndarray) -> dict[str, float]:
    """Interval of the ratio; a resample without any cell of the level does not count."""
    lo, hi = interval(ratio_B[np.isfinite(ratio_B)])
    if not has[top].any():  # what no best cell has, no resample has either: exact binomial bound instead
        hi = max(hi, (1 - ((1 - LEVEL) / 2) ** (1 / top.sum())) / has.mean())
    return {"lo": lo, "hi": hi}


def _resampled_ratios(grid: Grid, has_Ln: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Share among the best over share among all, (levels, B); nan where a level was not drawn."""
    weight_nB = graph_weights(grid, resamples, rng)
    best_nB = weight_nB * _resampled_top(grid, weight_nB, rng)
    cells_LB, inside_LB = has_Ln.astype(float) @ weight_nB, has_Ln.astype(float) @ best_nB
    share_LB = np.where(cells_LB > 0, cells_LB, np.nan) / weight_nB.sum(axis=0)
    return inside_LB / best_nB.sum(axis=0) / share_LB


def _resampled_top(grid: Grid, weight_nB: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether cells are among the best, (n, B), when replicates are redrawn too."""
    n_seeds, resamples = grid.y_nS.shape[1], weight_nB.shape[1]
    seeds_BS = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=resamples) / n_seeds
    score_nB = grid.y_n[:, None] + grid.seed_deviation_nS @ seeds_BS.T
    order = np.argsort(-score_nB, axis=0, kind="stable")
    sorted_nB = np.take_along_axis(weight_nB, order, axis=0)
    better_nB = np.cumsum(sorted_nB, axis=0) - sorted_nB
    top = np.zeros(weight_nB.shape, dtype=bool)
    np.put_along_axis(top, order, better_nB < TOP * weight_nB.sum(axis=0), axis=0)
    return top


# -------------------------------------------------------------------------------------------- learning rates


def rates_table(grid: Grid) -> pd.DataFrame:
    """Median and quartiles of the chosen rate for every optimizer and batch size."""
    rows = []
    for (optimizer, batch_size), part in _groups(grid, ["optimizer", "batch_size"]):
        edges = int((part["edge"].fillna("") != "").sum()) if "edge" in part else 0
        rows.append({"optimizer": optimizer, "batch_size": batch_size, **_rate(part["lr"]), "at_edge": edges})
    return pd.DataFrame(rows)


def rate_levels_table(grid: Grid) -> pd.DataFrame:
    """Chosen rates of every level, and their ratio to the usual one of their optimizer and batch size."""
    log = np.log(grid.table["lr"].astype(float))
    usual = log.groupby([grid.table["optimizer"], grid.table["batch_size"]]).transform("median")
    relative = np.exp(log - usual)
    rows = []
    for name in grid.factors:
        for (level,), part in _groups(grid, [name]):
            extra = {"relative": float(relative[part.index].median())}
            rows.append({"factor": name, "level": level, **_rate(part["lr"]), **extra})
    return pd.DataFrame(rows)


def _groups(grid: Grid, names: list[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Cells by level, in the order of the levels."""
    groups = {key: part for key, part in grid.table.groupby(names, sort=False)}
    levels = [grid.factors.get(n, list(grid.table[n].unique())) for n in names]
    keys = [tuple(key) for key in pd.MultiIndex.from_product(levels)]
    return [(key, groups[key]) for key in keys if key in groups]


def _rate(lr: pd.Series) -> dict[str, Any]:
    q1, median, q3 = np.exp(np.quantile(np.log(lr.astype(float)), [0.25, 0.5, 0.75]))
    return {"median": median, "q1": q1, "q3": q3, "cells": len(lr)}


# ---------------------------------------------------------------------------------------------- interface


def analyse_cells(
    grid: Grid,
    name: str,
    title: str,
    *,
    rng: np.random.Generator,
    resamples: int,
    pairs: Sequence[Term] = PAIRS,
) -> Analysis:
    """Fit, bootstrap and tabulate one selection of cells."""
    best, why = best_cells(grid, resamples=resamples, rng=rng)
    fitted = fit(grid)
    if isinstance(fitted, Model):
        return Analysis(name, title, fitted, best=best, best_reason=why)
    draws = bootstrap(fitted, grid, resamples=resamples, rng=rng)
    return Analysis(
        name, title, fitted.model, shares_table(fitted, draws, grid.y_n), factors_table(fitted, draws),
        levels_table(fitted, draws, grid.table), pairs_table(fitted, draws, pairs), best, why,
    )  # fmt: skip


def analyse(
    frame: pd.DataFrame,
    factors: Factors,
    graph_factors: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    n_test: int = N_TEST,
) -> GridResult:
    """The factor analysis of confirmed runs: all cells, without the constant initialisation, without dead
    cells.

    Leaving cells out by their outcome answers another question (what matters among networks that learn at
    all); both are shown. Each analysis has a generator of its own, so that none depends on whether another
    could be made.
    """
    grid = make_grid(frame, factors, graph_factors, n_test=n_test)
    learned = (grid.table["init"] != "constant").to_numpy()
    selections = {
        "all": ("all cells", np.ones(len(learned), dtype=bool)),
        "no_constant": ("without the constant initialisation", learned),
        "alive": ("without the constant initialisation and dead cells", learned & ~grid.dead_n),
    }
    analyses = {
        name: analyse_cells(grid.keep(mask), name, title, rng=child, resamples=resamples)
        for (name, (title, mask)), child in zip(selections.items(), rng.spawn(len(selections)), strict=True)
        if mask.any()
    }
    has_rates = "lr" in grid.table
    rates = (rates_table(grid), rate_levels_table(grid)) if has_rates else (pd.DataFrame(), pd.DataFrame())
    accuracy = np.nanmean(expit(grid.y_nS), axis=1)
    cells = grid.table[list(factors)].assign(accuracy=accuracy, dead=grid.dead_n)
    return GridResult(analyses, *rates, cells=cells, dead_cells=int(grid.dead_n.sum()), resamples=resamples)
