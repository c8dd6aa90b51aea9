"""Dropout and batch normalisation together shift the variance

Batch normalisation remembers the variance that it saw in training and divides by it when the network is used. If
there is dropout before it, training shows it a variance with the noise of dropout in it, and that noise is gone
in use. Li and colleagues call this the variance shift and advise to put dropout behind the last normalisation.

We measure it on trained networks: the variance of each layer's pre-activations in evaluation mode, dropout off, over
the moving average that the normalisation keeps. Both are taken on training rows, so nothing but the mode differs; a
network without dropout shows how close to one the ratio can be, as does the first layer, which has no dropout
before it. The effect is the size of the shift, in octaves, that is how often the variance would have to be doubled or
halved, on average over the second and third layer: with dropout in every layer minus with dropout after the last
layer only. A tenth of the variance, .14 octaves, is the least that we call a shift.

A shift need not do harm. So a table shows the test accuracy as it is and with the averages replaced by moments of
1,024 training rows without dropout, which the paper tries as well; what this gains was lost by the shift.
That dropout in fewer places also drops less is no objection to the shift, but it is one to comparing accuracies.

Supported means: the shift is larger with dropout before the norms, by an amount not shown to be below .14 octaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._dropout import middle, unmeasured
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(2,),
    paper="Li et al. 2019, CVPR, arXiv:1801.05134",
    reported="In convolutional nets on CIFAR the variance at test time is off by a factor that grows with the rate "
    "and towards the output, and accuracy falls with it; dropout after the last normalisation does no harm.",
    limits="Three layers of 100 units: wide layers are said to shift less. The measure is about the variance; the "
    "accuracies beside it mix the shift with what dropout does anyway.",
    headline=False,
)
NONE, BEFORE, AFTER, LIGHT = (
    "no dropout",
    "before the norms, .5",
    "after the last, .5",
    "before the norms, .2",
)
# Pilot (seeds 20010 to 20013, rate .3): log2 of the ratio with dropout .5 in every layer .01, -.42 and -.54 at the three
# layers (spread .06, .11 and .15), with .2 .00, -.21 and -.26, after the last layer only .00, -.02 and .02, without dropout
# .00, -.02 and -.02; recomputed moments gain 3.3 points at .5, .4 at .2, nothing in the others.
DESIGN = Study(
    name="dropout-bn-disharmony",
    title="Dropout before and after batch normalisation",
    cells=(
        {"label": NONE, "dropout": 0.0},
        {"label": BEFORE, "dropout": 0.5},
        {"label": AFTER, "dropout": 0.5, "mask": "last"},
        {"label": LIGHT, "dropout": 0.2},
    ),
    fixed={"optimizer": "sgd", "norm": "batch", "probe": "variance_shift"},
    updates=2000,
    seconds=41,
)
CRITERION = Criterion(
    text="Size of the log2 ratio between the variance of pre-activations in evaluation mode and the running variance, mean "
    "over the second and third layer, with dropout .5 in every layer minus with dropout .5 after the last layer only, "
    "both tuned: above 0 (95 % interval) and not negligible (90 % interval not within log2 of 1.1).",
    metric="size of the variance shift, dropout before minus after the norms",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.12,
)
PLACES = (0, 1, 2)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Shift before minus after; the milder rate as a row; ratios and accuracies as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {BEFORE: 1.0, AFTER: -1.0}, criterion.delta, measure=shift)
    return replace(
        finding,
        robustness=(*finding.robustness, *_milder(runs, criterion.delta)),
        tables=(_table(runs),),
        undecidable=finding.undecidable or unmeasured(runs, "variance_shift_2"),
    )


def shift(runs: pd.DataFrame) -> pd.Series:
    """Mean size of the shift at the places behind a hidden layer, in octaves; 0 for a run that has none, having diverged."""
    from folklore.stats.findings import measured

    return sum(measured(f"variance_shift_{i}")(runs).abs() for i in PLACES[1:]).fillna(0.0) / len(PLACES[1:])


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Left: log2 of the ratio by layer. Right: what recomputed moments gain."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.4, ncols=2, width_ratios=(1.2, 1))
    arms = claims.arms_of(runs)
    colours, markers = claims.arm_colours(arms), claims.arm_markers(arms)
    lines, said, gains = ("-", "--", ":", "-."), [], []
    for k, arm in enumerate(arms):
        mine = _confirmed(runs, arm)
        found = [middle(_shift_at(mine, i)) for i in PLACES]
        left.errorbar(
            [i + 1 + 0.05 * (k - 1.5) for i in PLACES],
            [m for m, _ in found],
            yerr=[e for _, e in found],
            label=arm,
            color=colours[arm],
            marker=markers[arm],
            linestyle=lines[k % 4],
        )
        said.append(f"{arm} " + ", ".join(f"{m:+.2f}" for m, _ in found))
        gain, error = middle(100 * _gain(mine))
        right.errorbar([gain], [k], xerr=[error], color=colours[arm], marker=markers[arm])
        gains.append(f"{arm} {gain:+.1f}")
    left.axhline(0, color=style.MUTED, linewidth=0.8)
    left.set(xlabel="hidden layer", ylabel="log2 of variance in use / running")
    left.set_xticks([i + 1 for i in PLACES])
    right.axvline(0, color=style.MUTED, linewidth=0.8)
    right.set_yticks(range(len(arms)), [arm.replace(" the ", " the\n") for arm in arms])
    right.set(ylim=(len(arms) - 0.5, -0.5), xlabel="gain by new moments (points)")
    right.grid(axis="y", visible=False)
    claims.legend_on_top(left, 4)
    return fig, (
        "Left: log2 of the variance of pre-activations in evaluation mode over the running variance, by hidden layer, with "
        f"95 % intervals: {'; '.join(said)}. Right: points of test accuracy gained by recomputing the moments without "
        f"dropout: {', '.join(gains)}."
    )


def _confirmed(runs: pd.DataFrame, arm: str) -> pd.DataFrame:
    return runs[(runs["variant"] == "main") & (runs["phase"] == "confirm") & (runs["arm"] == arm)]


def _shift_at(runs: pd.DataFrame, place: int) -> pd.Series:
    from folklore.stats.findings import measured

    return measured(f"variance_shift_{place}")(runs)


def _gain(runs: pd.DataFrame) -> pd.Series:
    """Test accuracy with recomputed moments minus that with the moving averages."""
    return runs["recalibrated_accuracy"].astype(float) - runs["test_accuracy"].astype(float)


def _milder(runs: pd.DataFrame, delta: float) -> tuple[Robust, ...]:
    """The shift at a rate of .2 in every layer against no dropout at all."""
    from folklore.stats.findings import Robust, contrast

    mine = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm") & runs["arm"].isin([LIGHT, NONE])]
    if mine.groupby("replicate")["arm"].nunique().eq(2).sum() < 2:
        return ()
    found = contrast(mine, {LIGHT: 1.0, NONE: -1.0}, delta, measure=shift)
    return (Robust("rate .2, against no dropout", found.verdict(delta, None), found.estimate),)


def _table(runs: pd.DataFrame) -> Table:
    """Ratios by layer, and accuracy with and without recomputed moments."""
    from folklore.stats.findings import Table

    rows = []
    for arm in dict.fromkeys(runs.loc[runs["variant"] == "main", "arm"]):
        mine = _confirmed(runs, arm)
        ratios = [2 ** middle(_shift_at(mine, i))[0] for i in PLACES]
        gain, error = middle(100 * _gain(mine))
        rows.append(
            (
                arm,
                " / ".join(f"{ratio:.2f}" for ratio in ratios),
                f"{100 * mine['test_accuracy'].mean():.1f}",
                f"{gain:+.1f} ({gain - error:.1f} to {gain + error:.1f})",
            )
        )
    return Table(
        "Variance of pre-activations in use over the running one at the three layers (geometric mean), test accuracy in "
        "percent, and the points that recomputed moments gain, with 95 % interval.",
        ("dropout", "variance ratio", "test accuracy", "gain by new moments"),
        tuple(rows),
    )
