"""What the best cells have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests

from folklore.stats.importance.cells import Grid
from folklore.stats.importance.resampling import LEVEL, chunk_sizes, graph_weights, interval

TOP, MIN_TOP = 0.05, 5


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
    chunks = [_resampled_ratios(grid, has_Ln, size, rng) for size in chunk_sizes(resamples)]
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
