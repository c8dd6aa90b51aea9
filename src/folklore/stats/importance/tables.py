"""Shares, factors, levels and pairs as frames, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm
from scipy.stats import t as student

from folklore.stats.importance.components import Components, mean_map
from folklore.stats.importance.fitting import Fit, type2
from folklore.stats.importance.resampling import LEVEL, Draws, interval
from folklore.stats.importance.results import Term


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
