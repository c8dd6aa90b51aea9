"""Changed copies of the training rows improve the net, if the change keeps the label

A digit that is moved a little, or drawn a little larger, is still the same digit. Showing the net such variants
instead of the rows themselves, anew in every epoch, tells it what does not matter, and stands in for more data.
The lectures recommend random crops and scales, mirror images, changes of contrast and brightness while training.
For testing one of them has fixed crops and scales, the others nothing; here the test rows stay as they are.

The trap is in the word variant. Mirrored, some digits are no digits, or others: a 2 becomes nearly a 5. The curves
of MNIST-1D are digits drawn as a line, and they are moved, stretched and made higher or lower by those who
generate them, but never turned round. So moves and stretches keep the label, and the mirror image is here to show
what happens when a change does not.

The rule is judged by random crops, a window moved and stretched by up to 10 or 25 %, whichever is better on
validation rows, against the rows as they are, each arm at its own tuned rate. Moving alone, stretching alone,
contrast and mirroring are shown beside, without a say. Every arm makes 2,000 updates, about 15 epochs; a quarter of
the rows, where there is more to gain, is a ground of its own.

Supported means: with random crops test accuracy is better, by an amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, preferred, with_interval
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(2, 3, 4),
    paper="Simard, Steinkraus & Platt 2003; Krizhevsky, Sutskever & Hinton 2012 (crops and mirror images)",
    reported="Simard and colleagues: on MNIST distorted copies cut the error of a fully connected net by about half. "
    "Krizhevsky and colleagues: without crops and mirror images their net overfits badly.",
    limits="Curves, whose ends are joined when they are moved. The changes are those that the generator of the data "
    "uses itself, which is more than is known about photographs. Fixed crops at test time and changes of "
    "brightness are not tried.",
    headline=False,
)
NONE, MIRRORED, FEW = "as they are", "mirrored", "1,024 rows"
CROPS = {"crops, 10 %": "crop-10", "crops, 25 %": "crop-25"}
OTHERS = {
    "moved, 10 %": "shift-10",
    "stretched, 10 %": "scale-10",
    "contrast, 20 %": "contrast-20",
    MIRRORED: "flip",
}
# Pilot (seeds 20000, 20001, rates .1 and .2, the latter better for all), validation accuracy: .64 as they are, .68 and .59 crops by 10
# and 25 %, .70 moved, .65 stretched, .61 contrast, .63 mirrored; spread of an arm .005 to .027.
# In 32 replicates the spread was .018, hence 64, planned from that spread alone for a power of .8 at 1 point.
_NONE = {"label": NONE, "augmentation": "none"}
_CROPS = tuple({"label": label, "augmentation": level} for label, level in CROPS.items())
# In 64 replicates the spread was .022, hence 80, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="data-augmentation",
    title="Changed copies of the training rows",
    cells=(_NONE, *_CROPS, *({"label": label, "augmentation": level} for label, level in OTHERS.items())),
    fixed={"optimizer": "sgd"},
    updates=2000,
    replicates=80,
    seconds=95,
    variants=(
        Variant(
            FEW,
            fixed={"n_train": 1024},
            study={"cells": (_NONE, *_CROPS), "replicates": 16, "rates": Rates(count=5)},
        ),
    ),
)
CRITERION = Criterion(
    text="Test accuracy with random crops (by up to 10 or 25 %, whichever has the better mean validation accuracy) "
    "minus that of the rows as they are, each tuned, is above 0 (95 % interval) and not negligible (90 % interval not "
    "within 1 point). Mirroring is expected to hurt, and has no say.",
    metric="test accuracy, crops against rows as they are",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.018,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The better crops minus none; every kind of change as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    weights = {
        variant: {preferred(mine, CROPS): 1.0, NONE: -1.0}
        for variant, mine in runs.groupby("variant", sort=False)
    }
    finding = contrast(runs, weights, criterion.delta)
    chosen = next(arm for arm, weight in weights["main"].items() if weight > 0)
    return replace(
        finding,
        tables=(_by_change(runs),),
        notes=(f"Chosen on validation rows: {chosen}.", *_harmful(runs), *finding.notes),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Test accuracy of every kind of change, and training loss with and without crops."""
    from folklore.figures import claims, style
    from folklore.figures.panels import scores_in_words

    style.apply()
    figure, (left, right) = style.new(8.2, ncols=2)
    arms = [NONE, *CROPS, *OTHERS]
    claims.arm_points(left, finding.rows, arms)
    shown = [NONE, *CROPS, MIRRORED]
    colours = {arm: colour for arm, colour in claims.arm_colours(arms).items() if arm in shown}
    claims.loss_curves(right, runs, shown, colours=colours)
    claims.legend_above(right, 2)
    return figure, (
        "Left: test accuracy for each change of the training rows, with 95 % intervals. Right: training loss by "
        f"update, which crops keep higher. {scores_in_words(finding)}"
    )


def _harmful(runs: pd.DataFrame) -> tuple[str, ...]:
    """Names the changes that are meant to keep the label and are shown to do harm, where there are any."""
    from folklore.stats.estimates import estimate
    from folklore.stats.findings import differences

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    scored = main.assign(measure=100 * main["test_accuracy"])
    gains = {arm: differences(scored, {arm: 1.0, NONE: -1.0}) for arm in (*CROPS, *OTHERS) if arm != MIRRORED}
    bad = [
        f"{arm} {with_interval(d)}"
        for arm, d in gains.items()
        if len(d) > 1 and estimate(d, sensitivity=False).interval[1] < 0
    ]
    if not bad:
        return ()
    return (
        f"Keeping the label is not enough. Meant to keep it and yet harmful, in points: {'; '.join(bad)}.",
    )


def _by_change(runs: pd.DataFrame) -> Table:
    """Accuracy and training loss under every change, and what it gains."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    rows = []
    for variant, mine in confirmed.groupby("variant", sort=False):
        for arm, group in mine.groupby("arm", sort=False):
            gain = difference(mine, {arm: 1.0, NONE: -1.0}) if arm != NONE else ""
            size = "4,096 rows" if variant == "main" else variant
            loss = f"{group['train_loss'].median():.2f}" if group["train_loss"].notna().any() else ""
            rows.append((size, arm, loss, f"{group['measure'].mean():.1f}", gain))
    return Table(
        "Training loss (median, of the changed rows), test accuracy in percent, and points gained over rows as they "
        "are, with a 95 % interval.",
        ("data", "training rows", "training loss", "test accuracy", "gain"),
        tuple(rows),
    )
