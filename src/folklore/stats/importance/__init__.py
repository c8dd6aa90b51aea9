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

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from folklore.stats.design import Factors
from folklore.stats.importance.best import best_cells
from folklore.stats.importance.cells import N_TEST, Grid, make_grid
from folklore.stats.importance.fitting import fit
from folklore.stats.importance.rates import rate_levels_table, rates_table
from folklore.stats.importance.resampling import bootstrap
from folklore.stats.importance.results import Analysis, GridResult, Model, Term
from folklore.stats.importance.tables import factors_table, levels_table, pairs_table, shares_table

PAIRS = (
    ("init", "activation"),
    ("activation", "norm"),
    ("norm", "dropout"),
    ("norm", "batch_size"),
    ("norm", "optimizer"),
)

__all__ = ["PAIRS", "Analysis", "GridResult", "Model", "analyse", "analyse_cells"]


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
