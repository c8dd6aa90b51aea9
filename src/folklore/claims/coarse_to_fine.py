"""A coarse search with short runs finds where to refine

The recipe of the lecture: first a coarse grid, each setting trained for 1 to 5 epochs only, then a finer
grid around the best ones, trained longer. It saves most of the work if the order of the settings after a
few epochs is about their order in the end.

We trained a coarse grid, ten learning rates by three weight decays, for ten epochs, and read the validation
accuracy on the way. For each of the seeds we took the rank correlation, over the 30 settings, of what was
seen after two epochs with the test accuracy after all ten. The test images took no part in the first
number, so that shared images cannot make the two agree. A grid whose ends are hopeless would agree by them
alone: a table repeats the correlation among the five rates in the middle, where a fine search would look.

Short runs might favour large rates, for a small rate that would win in the end has not arrived yet. The table
shows by how many octaves the best rate after one, two and five epochs differs from that after ten, and what
it costs in the end to trust the short run's winner without refining.

Supported means: the mean rank correlation after two epochs is above one half (95 % interval), by more than
.05 or at least not shown to be below that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import with_interval
from folklore.claims.base import Claim, Criterion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="procedure",
    lectures=(0,),
    paper="cs231n course notes, hyperparameter optimization; Li et al. 2018 (Hyperband), arXiv:1603.06560",
    reported="a first stage of one epoch or less, a second of about five (cs231n); no correlation is given.",
    limits="Learning rate and weight decay of a small net, constant rates, ten epochs in all. A rate that "
    "decays, or regularisation that pays off late, may turn the order round. The short run is the beginning of the long one, with the "
    "same start and batches; one that starts anew would agree less.",
    headline=False,
)
DESIGN = "fixed-rates"  # of log-space-grid
SHARES = {"after a tenth": 0.1, "after a fifth": 0.2, "after half": 0.5}
MAIN, BAR = "after a fifth", "one half"
# Pilot (seeds 20000 to 20002): correlations of .86 to .96 with a spread of .003 to .025.
CRITERION = Criterion(
    text="Mean over the seeds of the rank correlation (Spearman), over 10 learning rates by 3 weight decays, "
    "between validation accuracy after a fifth of the training (2 epochs) and test accuracy at its end, minus "
    ".5, is above 0 (95 % interval) and not negligible (90 % interval not within .05).",
    metric="rank correlation of short and full training",
    unit="above .5",
    delta=0.05,
    pilot_sd=0.02,
    settings={"share": 0.2, "bar": 0.5, "lowest": 0.003, "highest": 3.0, "near_low": 0.05, "near_high": 1.0},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Rank correlation after a fifth against the bar; other moments and the shift of the best rate as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    grid = _grid(runs, criterion)
    frame = correlations(grid, criterion)
    finding = contrast(frame, {MAIN: 1.0, BAR: -1.0}, criterion.delta, measure="correlation")
    diverged = int((grid["status"] == "diverged").sum())
    return replace(
        finding,
        rows=tuple(replace(row, diverged=diverged) for row in finding.rows if row.arm != BAR),
        robustness=tuple(_robust(arm, frame, criterion) for arm in SHARES if arm != MAIN),
        tables=(_table(grid, criterion),),
        notes=(_shift(grid, criterion.settings["share"]), *finding.notes),
        diverged=diverged,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Accuracy after two epochs against that in the end, and the correlation by the length of the short run."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1.1, 1))
    _scatter(left, _grid(runs, CRITERION))
    claims.legend_above(left, 3)
    claims.arm_points(right, finding.rows, scale=1.0, xlabel="rank correlation with the end", decimals=2)
    right.axvline(CRITERION.settings["bar"], color=style.MUTED, linestyle=(0, (2, 2)), linewidth=1)
    words = claims.rows_in_words(finding.rows, scale=1.0, unit="", decimals=2)
    return fig, (
        "Left: mean test accuracy in the end against validation accuracy after a fifth of the training, a "
        f"point for each setting of the grid. Right: rank correlation with 95 % intervals: {words}; the "
        "dashed line is one half."
    )


def correlations(grid: pd.DataFrame, criterion: Criterion) -> pd.DataFrame:
    """One row for each replicate and moment: Spearman's correlation with the end over the settings; and the bar."""
    import pandas as pd

    rows = []
    for replicate, group in grid.groupby("replicate"):
        status = "diverged" if (group["status"] == "diverged").all() else "ok"
        found = {arm: rank_correlation(seen(group, s), group["test_accuracy"]) for arm, s in SHARES.items()}
        found[BAR] = criterion.settings["bar"]
        rows += [
            {"arm": arm, "replicate": replicate, "correlation": value, "status": status}
            for arm, value in found.items()
        ]
    edge = max(grid["edge"])
    return pd.DataFrame(rows).assign(lr=float("nan"), edge=edge, variant="main", phase="confirm")


def seen(runs: pd.DataFrame, share: float) -> np.ndarray:
    """Validation accuracy of each run after this share of its updates."""
    import numpy as np

    columns = (runs["updates"], runs["val_step"], runs["val_curve"])
    values = [np.interp(share * u, np.asarray(s), np.asarray(v)) for u, s, v in zip(*columns, strict=True)]
    return np.array(values)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, 0 where one of the two is constant and orders nothing."""
    import numpy as np
    from scipy.stats import rankdata

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _grid(runs: pd.DataFrame, criterion: Criterion) -> pd.DataFrame:
    """The confirmed runs of the coarse grid."""
    lowest, highest = criterion.settings["lowest"], criterion.settings["highest"]
    mine = (runs["variant"] == "main") & (runs["phase"] == "confirm")
    return runs[mine & runs["lr"].between(lowest, highest)]


def _robust(arm: str, frame: pd.DataFrame, criterion: Criterion) -> Robust:
    from folklore.stats.findings import Robust, contrast

    other = contrast(frame, {arm: 1.0, BAR: -1.0}, criterion.delta, measure="correlation")
    return Robust(arm, other.verdict(criterion.delta, None), other.estimate)


def _table(grid: pd.DataFrame, criterion: Criterion) -> Table:
    """By moment: correlation in the whole grid and in its middle, shift of the best rate, and what its choice costs."""
    import numpy as np

    from folklore.stats.findings import Table

    middle = grid[grid["lr"].between(criterion.settings["near_low"], criterion.settings["near_high"])]
    rows = []
    for arm, share in SHARES.items():
        all_of_them, near = (
            np.array([_correlation(g, share) for _, g in part.groupby("replicate")])
            for part in (grid, middle)
        )
        shifts, lost = _winners(grid, share)
        rows.append((arm, *(with_interval(d, 2) for d in (all_of_them, near, shifts, 100 * lost))))
    return Table(
        "What a short run says of the end: rank correlation over the whole grid and over its middle (rates "
        f"from {criterion.settings['near_low']:g} to {criterion.settings['near_high']:g}); octaves from the "
        "best rate in the end to the best one then; and points of test accuracy lost by training on with its "
        "winner. Mean and 95 % interval over the seeds.",
        ("short run", "whole grid", "middle", "shift of the best rate (octaves)", "accuracy lost (points)"),
        tuple(rows),
    )


def _correlation(group: pd.DataFrame, share: float) -> float:
    return rank_correlation(seen(group, share), group["test_accuracy"])


def _shift(grid: pd.DataFrame, share: float) -> str:
    """Whether short runs favour large rates."""
    shifts, _ = _winners(grid, share)
    return (
        f"The best rate {MAIN} of the training minus the best one in the end, in octaves: {with_interval(shifts, 2)}; above 0 would "
        "mean that short runs favour large rates."
    )


def _winners(grid: pd.DataFrame, share: float) -> np.ndarray:
    """What `_winner` says of every seed, (2, seeds)."""
    import numpy as np

    return np.array([_winner(group, share) for _, group in grid.groupby("replicate")]).T


def _winner(group: pd.DataFrame, share: float) -> tuple[float, float]:
    """Octaves from the best rate in the end to that of the short run, and the test accuracy that the latter costs."""
    import numpy as np

    then, end = group.iloc[int(seen(group, share).argmax())], group.iloc[int(group["val_accuracy"].argmax())]
    return float(np.log2(then["lr"] / end["lr"])), float(end["test_accuracy"] - then["test_accuracy"])


def _scatter(ax: Axes, grid: pd.DataFrame) -> None:
    """Means over the replicates, a mark for each weight decay; the rate is written at some points of the first."""
    from folklore.figures import claims

    grid = grid.assign(short=100 * seen(grid, CRITERION.settings["share"]), end=100 * grid["test_accuracy"])
    decays = sorted(set(grid["weight_decay"]))
    colours, markers = claims.arm_colours(decays), claims.arm_markers(decays)
    for decay in decays:
        means = grid[grid["weight_decay"] == decay].groupby("lr")[["short", "end"]].mean()
        look = {"color": colours[decay], "marker": markers[decay], "label": f"decay {decay:g}"}
        ax.plot(means["short"], means["end"], linestyle="", alpha=0.85, **look)
        if decay == decays[0]:
            for rate, (x, y) in list(zip(means.index, means.to_numpy(), strict=True))[::2]:
                place = {"xytext": (4, -8), "textcoords": "offset points"}
                if rate < 0.9:  # beyond, the points of several rates lie together
                    ax.annotate(f"{rate:.2g}", (x, y), fontsize=7, **place)
    ax.set(xlabel="validation accuracy after a fifth (%)", ylabel="test accuracy in the end (%)")
