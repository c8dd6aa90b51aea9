"""Whole figures that several claims share, built from the plots of `folklore.figures.claims`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from folklore.figures import claims, style
from folklore.stats.findings import Finding

WIDTH = 6.3  # inches: the text width of the report


def _height(arms: int) -> float:
    """Inches: room for every arm's line and the legend, yet no more than a third of a page."""
    return min(9 / 2.54, 1.5 + max(1.3, 0.24 * arms))


def tuning_and_scores(
    runs: pd.DataFrame,
    finding: Finding,
    names: Mapping[str, str] | None = None,
    *,
    arms: Sequence[str] | None = None,
    columns: int = 3,
) -> tuple[Figure, str]:
    """Left: validation accuracy by learning rate while tuning. Right: test accuracy of the fresh replicates with intervals."""
    style.apply()
    arms = claims.arms_of(runs) if arms is None else list(arms)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, _height(len(arms))), layout="constrained")
    claims.tuning_curves(left, runs, arms, names=names)
    claims.legend_above(left, columns=columns)
    claims.arm_points(right, finding.rows, arms, names=names)
    return figure, "Left: validation accuracy against learning rate for each arm. " + scores_in_words(
        finding, names
    )


def curves_and_steps(
    runs: pd.DataFrame,
    finding: Finding,
    target: float,
    names: Mapping[str, str] | None = None,
    *,
    arms: Sequence[str] | None = None,
) -> tuple[Figure, str]:
    """Left: training loss by update with the target. Right: log2 of the updates to the target, with intervals."""
    style.apply()
    arms = claims.arms_of(runs) if arms is None else list(arms)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, _height(len(arms))), layout="constrained")
    claims.loss_curves(left, runs, arms, target=target, names=names)
    claims.legend_above(left, columns=2)
    claims.arm_points(
        right, finding.rows, arms, scale=1.0, names=names, xlabel="updates to the target (log2)", decimals=2
    )
    alt = (
        f"Left: training loss against updates, target {target:g}. Right: log2 of the updates to the target: "
    )
    return figure, alt + claims.rows_in_words(finding.rows, scale=1.0, unit="", names=names, decimals=2) + "."


def scores_in_words(finding: Finding, names: Mapping[str, str] | None = None) -> str:
    return "Test accuracy of the confirmed runs: " + claims.rows_in_words(finding.rows, names=names) + "."
