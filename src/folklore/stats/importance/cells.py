"""From confirmed runs to cells: logit accuracies by replicate, graph cells, dead cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import binom

from folklore.stats.design import Factors, encode

CHANCE, N_TEST = 0.1, 10_000  # ten balanced classes; size of the test split


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
