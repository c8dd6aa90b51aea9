"""Skip connections repair what depth breaks

A residual block adds its input to its output, so that layers which have nothing to add only need to be small. With
34 layers of this kind He and colleagues had 25.03 % error on ImageNet where plain layers gave 28.54 %, and less
than with 18: depth helped again.

Skips might help everywhere, deep or not, and then they would be no repair. What the rule says is that they help
more the deeper the net is: the interaction of depth and skips. We train nets of 9 and 33 hidden layers, plain and
with identity skips around blocks of two, which adds no weights; fully connected and convolutional; every arm at its
own tuned rate. The effect is the gain by skips at 33 layers minus that at 9, mean of both kinds.

The interaction also grows when the plain net falls apart and the deep residual net is merely no worse, so a table
shows the simple effects: whether skips help at each depth, and whether depth helps with them. Batch normalisation is
in all nets, as in the paper: without it every block about doubles the variance of what a residual net passes on. The
same contrast is shown for fully connected nets that have none, for half as many updates, and with the moments of
evaluation measured anew, since moving averages through 33 layers might be what fails.

Supported means: in both kinds of net skips gain more at 33 layers than at 9, on average by an amount not shown to
be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, recalibrated
from folklore.claims._residual import (
    DEEP,
    DEPTHS,
    KINDS,
    SHALLOW,
    arm,
    by_kind,
    confirmed,
    over_kinds,
)
from folklore.claims.base import Claim, Criterion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="architecture",
    lectures=(0, 2),
    paper="He et al. 2016, arXiv:1512.03385, table 2",
    reported="ImageNet error with 34 layers 28.54 % plain and 25.03 % with skips; with 18 layers 27.94 and 27.88 %.",
    limits="Narrow nets and a short budget at a constant rate; 33 layers are far more than these data need. That a "
    "deep residual net beats a shallow one is another question, which the table answers.",
    headline=False,
)
DESIGN = "residual"  # pilots are told in plain-degradation
CRITERION = Criterion(
    text="Test accuracy with skips minus without at 33 hidden layers, minus the same at 9, all with batch "
    "normalisation and tuned, mean of fully connected and convolutional nets, is above 0 (95 % interval), the same "
    "sign in both kinds, and not negligible (90 % interval not within 1 point).",
    metric="test accuracy, gain by skips at 33 minus at 9 layers",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.03,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The interaction, again with moments of evaluation measured anew, and the simple effects as a table."""
    from dataclasses import replace

    from folklore.stats.findings import Robust

    finding = over_kinds(runs, _interaction, criterion.delta)
    main = runs[runs["variant"] == "main"]
    again = over_kinds(main, _interaction, criterion.delta, measure=recalibrated)
    row = Robust("evaluation moments recomputed", again.verdict(criterion.delta, None), again.estimate)
    return replace(finding, robustness=(*finding.robustness, row), tables=(_simple_effects(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Test accuracy by depth with and without skips, a panel for each kind of net."""
    from folklore.figures import claims

    def draw(ax: Axes, kind: str) -> None:
        names = {"with skips": True, "plain": False}
        series = {name: {d: arm(kind, skips, d) for d in DEPTHS} for name, skips in names.items()}
        claims.level_lines(ax, finding.rows, series, xlabel="hidden layers")

    return by_kind(draw), (
        "Test accuracy by number of hidden layers with and without skips, with 95 % intervals, for fully connected "
        f"and convolutional nets: {claims.rows_in_words(finding.rows)}."
    )


def _gain(kind: str, depth: int, weight: float = 1.0) -> dict[str, float]:
    """What skips bring at a depth."""
    return {arm(kind, True, depth): weight, arm(kind, False, depth): -weight}


def _interaction(kind: str) -> dict[str, float]:
    return _gain(kind, DEEP) | _gain(kind, SHALLOW, -1.0)


def _simple_effects(runs: pd.DataFrame) -> Table:
    from folklore.stats.findings import Table

    main = confirmed(runs, "main", runs["test_accuracy"])

    def deeper(kind: str, skips: bool) -> dict[str, float]:
        return {arm(kind, skips, DEEP): 1.0, arm(kind, skips, SHALLOW): -1.0}

    effects = {
        "skips, 9 layers": lambda kind: _gain(kind, SHALLOW),
        "skips, 33 layers": lambda kind: _gain(kind, DEEP),
        "33 instead of 9 layers, plain": lambda kind: deeper(kind, False),
        "33 instead of 9 layers, with skips": lambda kind: deeper(kind, True),
        "interaction": _interaction,
    }
    rows = tuple(
        (name, *(difference(main, weights(kind), scale=100, otherwise="not trained") for kind in KINDS))
        for name, weights in effects.items()
    )
    return Table("Effects in points of test accuracy with 95 % intervals.", ("effect", *KINDS.values()), rows)
