"""What claims about kinds of dropout share: the choice of a rate by validation, and contrasts and means in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd


def better(runs: pd.DataFrame, arms: Iterable[str]) -> str:
    """Which of these arms has the best mean validation accuracy: of its tuning runs at the tuned rate, where there are any."""
    mine = runs[runs["arm"].isin(list(arms))]
    tuned = mine[(mine["phase"] == "tune") & mine["chosen"]]
    return str((tuned if len(tuned) else mine).groupby("arm", sort=False)["val_accuracy"].mean().idxmax())


def ahead(runs: pd.DataFrame, ours: str, rival: str) -> str:
    """Points of test accuracy by which an arm is ahead of another in confirmed runs, with 95 % interval; empty for itself."""
    from folklore.stats.estimates import estimate
    from folklore.stats.findings import differences

    if ours == rival:
        return ""
    confirmed = runs[runs["phase"] == "confirm"]
    d = differences(confirmed.assign(measure=100 * confirmed["test_accuracy"]), {ours: 1.0, rival: -1.0})
    if len(d) < 2:
        return "not trained"
    found = estimate(d, sensitivity=False)
    return f"{found.effect:+.1f} ({found.interval[0]:+.1f} to {found.interval[1]:+.1f})"


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
