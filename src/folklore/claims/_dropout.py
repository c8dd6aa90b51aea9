"""What claims about kinds of dropout share: contrasts and means in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference

if TYPE_CHECKING:
    import pandas as pd


def ahead(runs: pd.DataFrame, ours: str, rival: str) -> str:
    """Points of test accuracy by which an arm is ahead of another in confirmed runs, with 95 % interval; empty for itself."""
    if ours == rival:
        return ""
    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    return difference(confirmed, {ours: 1.0, rival: -1.0}, otherwise="not trained")


def middle(values: pd.Series) -> tuple[float, float]:
    """Mean and half its 95 % interval, without what was not measured; 0 where there is nothing."""
    from scipy import stats

    values = values.dropna()
    if len(values) < 2:
        return float(values.sum()), 0.0
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * values.sem())


def unmeasured(runs: pd.DataFrame, name: str) -> str:
    """Why nothing can be decided where most confirmed runs lack a measure, which counts as 0: equal zeros must not pass for agreement."""
    from folklore.stats.findings import measured

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    return "Most runs were not measured." if measured(name)(main).isna().mean() > 0.5 else ""
