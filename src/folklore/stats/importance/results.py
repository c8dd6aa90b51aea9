"""What the analysis of a grid returns: plain dataclasses of frames, and their JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

Term = tuple[str, ...]


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
