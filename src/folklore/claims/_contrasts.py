"""What statistical claims share: which arm validation prefers, and differences with their intervals in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import pandas as pd


def validated(runs: pd.DataFrame) -> pd.Series:
    """Mean validation accuracy by arm: of the tuning runs at the tuned rate, of all runs where there are none."""
    tuned = runs[(runs["phase"] == "tune") & runs["chosen"].astype(bool)]
    return (tuned if len(tuned) else runs).groupby("arm", sort=False)["val_accuracy"].mean()


def preferred(runs: pd.DataFrame, arms: Iterable[str]) -> str:
    """Which of these arms validates best; the first of equals, without those that are not there."""
    arms = list(arms)
    means = validated(runs[runs["arm"].isin(arms)])
    return str(means[[arm for arm in arms if arm in means.index]].idxmax())


def difference(
    runs: pd.DataFrame,
    weights: Mapping[str, float],
    *,
    scale: float = 1.0,
    decimals: int = 1,
    otherwise: str = "",
) -> str:
    """A contrast of the column `measure`, replicate by replicate, as `with_interval` writes it."""
    from folklore.stats.findings import differences

    return with_interval(scale * differences(runs, weights), decimals, otherwise)


def with_interval(d: np.ndarray, decimals: int = 1, otherwise: str = "") -> str:
    """The mean of differences (n,) with its 95 % interval, `+1.2 (+0.4 to +2.0)`; `otherwise` for fewer than two of them."""
    from folklore.stats.estimates import estimate

    if len(d) < 2:
        return otherwise
    found = estimate(d, sensitivity=False)
    mean, low, high = (f"{value:+.{decimals}f}" for value in (found.effect, *found.interval))
    return f"{mean} ({low} to {high})"
