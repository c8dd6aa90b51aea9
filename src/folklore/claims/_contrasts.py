"""What statistical claims share: which arm validation prefers, and means and differences with their intervals in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import pandas as pd


def recalibrated(runs: pd.DataFrame) -> pd.Series:
    """Test accuracy with the moments of evaluation recomputed where there are any."""
    return runs["recalibrated_accuracy"].astype(float).fillna(runs["test_accuracy"])


def every_second_rate(runs: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The runs of the main ground at the lowest, third lowest, ... of the rates that a level of the factor has: half as many rates."""
    main = runs[runs["variant"] == "main"]
    return main[main.groupby(factor)["lr"].rank("dense") % 2 == 1]


def validated(runs: pd.DataFrame) -> pd.Series:
    """Mean validation accuracy by arm: of the tuning runs at the tuned rate, of all runs where there are none."""
    tuned = runs[(runs["phase"] == "tune") & runs["chosen"].astype(bool)]
    return (tuned if len(tuned) else runs).groupby("arm", sort=False)["val_accuracy"].mean()


def preferred(runs: pd.DataFrame, arms: Iterable[str]) -> str:
    """Which of these arms validates best; the first of equals, without those that are not there."""
    arms = list(arms)
    means = validated(runs[runs["arm"].isin(arms)])
    return str(means[[arm for arm in arms if arm in means.index]].idxmax())


def best_batches(runs: pd.DataFrame, small: float, large: float = float("inf")) -> tuple[str, str]:
    """The arms whose batch sizes validate best: up to `small`, and above it up to `large`."""
    sides = (runs["batch_size"] <= small, (runs["batch_size"] > small) & (runs["batch_size"] <= large))
    lower, upper = (str(validated(runs[side]).idxmax()) for side in sides)
    return lower, upper


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


def largest_p(parts: Sequence[np.ndarray]) -> float:
    """Of the contrasts with these differences (n,) the largest p-value; 1 when they differ in sign."""
    from folklore.stats.estimates import estimate

    if min(len(d) for d in parts) < 2:
        return 1.0
    found = [estimate(d, sensitivity=False) for d in parts]
    same = all(f.effect > 0 for f in found) or all(f.effect < 0 for f in found)
    return max(f.p for f in found) if same else 1.0


def standing(d: np.ndarray) -> str:
    """What the 95 % interval of differences (n,), n >= 2, says of their first arm: it is `ahead of` the other, or not."""
    from folklore.stats.estimates import estimate

    low, high = estimate(d, sensitivity=False).interval
    return "ahead of" if low > 0 else "behind" if high < 0 else "not told apart from"


def mean_text(values: pd.Series, form: str) -> str:
    """The mean of what was measured, as `form` writes it; nothing where nothing was."""
    return format(float(values.mean()), form) if values.notna().any() else ""
