"""The learning rates that tuning chose, by optimizer, batch size and level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from folklore.stats.importance.cells import Grid


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
