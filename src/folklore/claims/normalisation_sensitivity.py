"""With normalised inputs the loss is less sensitive to small changes of the weights

Two lectures show the same picture: a cloud of points far from the origin, divided by a line through it. Turn the
line a little and it misses the cloud altogether. Once the cloud is moved to the origin, a small turn costs a few
points at the edge. In a net, an input with a large mean adds the same large number to every product, so an error
of a weight is multiplied by it.

We train nets on MNIST-1D as it lies far from the origin, 3 standard deviations added to every input, and on the
same data with every input standardised. Each arm has its own tuned rate. Then every weight of the trained net is
multiplied by 1 plus a small normal number, the noise being 1 % of the weight: relative, because an arm with larger
weights would otherwise seem the more robust. Biases are left alone. The change of the training loss, root mean
square over 16 such perturbations, is compared on the logarithmic scale.

With the offset a net learns less, and the loss that is left may matter to its sensitivity. A third arm therefore
ends the standardised training after 256 updates, at about the loss that the nets with the offset end with; the same
contrast with it is a row of its own. So is an offset of 1.

Supported means: at the origin the same relative noise changes the loss less, by a factor not shown to be below
1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="preprocessing",
    lectures=(0, 4),
    paper="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.3 (the argument for inputs with mean 0)",
    reported="a picture of a linear classifier, no figure.",
    limits="The offset is made, and equal for all inputs. Sensitivity is that of trained nets to random changes, "
    "not to those that would hurt most; noise of the inputs is another matter.",
    headline=False,
)
FAR, STANDARD, EARLY = "offset inputs", "standardised", "little trained"
NEAR = "offset of 1"
# Pilot (seeds 20000, 20001): best rates .025 and .05 with an offset of 3 (validation accuracy .43), .2 without (.64); change of the
# loss .002 to .0055 with an offset of 3, .002 to .005 with 1, .0013 to .0033 standardised: spread of its log2 about .5. Standardised
# nets reach the loss that those with an offset of 3 end with, 1.4, after about 260 updates.
# In 64 replicates the spread was .74, hence 376, planned from that spread alone for a power of .8 at a tenth more.
_STANDARD = {"label": STANDARD, "view": "standardised"}
DESIGN = Study(
    name="normalisation-sensitivity",
    title="Noise on the weights, with inputs far from the origin and standardised",
    cells=(
        {"label": FAR, "view": "offset_inputs-3"},
        _STANDARD,
        {"label": EARLY, "view": "standardised", "updates": 256, "lr_of": STANDARD},
    ),
    fixed={"optimizer": "sgd", "probe": "weight_noise-1"},
    updates=2000,
    replicates=376,
    rates=Rates(center=0.1),
    seconds=115,
    variants=(
        Variant(
            NEAR, study={"cells": ({"label": FAR, "view": "offset_inputs-1"}, _STANDARD), "replicates": 16}
        ),
    ),
)
CRITERION = Criterion(
    text="log2 of the change of the training loss (root mean square over 16 draws) when every weight gets relative "
    "noise of 1 %, nets trained on inputs offset by 3 standard deviations minus nets trained on standardised inputs, "
    "each tuned; above 0 (95 % interval), smallest ratio of interest 1.1.",
    metric="change of the loss, offset against standardised",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.7,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Octaves by which the offset raises the change of the loss; what else differs between the nets as a table."""
    from dataclasses import replace

    from folklore.stats.findings import Robust, contrast

    finding = contrast(runs, {FAR: 1.0, STANDARD: -1.0}, criterion.delta, measure=sensitivity)
    main = runs[runs["variant"] == "main"]
    equal = contrast(main, {FAR: 1.0, EARLY: -1.0}, criterion.delta, measure=sensitivity)
    row = Robust("at about the same loss", equal.verdict(criterion.delta, None), equal.estimate)
    return replace(finding, robustness=(*finding.robustness, row), tables=(_by_arm(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Sensitivity of every net against its loss, and the effect on both grounds."""
    from folklore.figures import claims, style
    from folklore.stats.findings import measured

    style.apply()
    figure, (left, right) = style.new(7.5, ncols=2, width_ratios=(1.3, 1))
    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    arms = (FAR, STANDARD, EARLY)
    colours, markers = claims.arm_colours(arms), claims.arm_markers(arms)
    for arm in arms:
        nets = main[main["arm"] == arm]
        look = {"marker": markers[arm], "color": colours[arm], "linestyle": "", "alpha": 0.7}
        left.plot(measured("loss_unchanged")(nets), 1000 * 2 ** sensitivity(nets), label=arm, **look)
    left.set_ylim(bottom=0)
    left.set_xlabel("training loss before the noise")
    left.set_ylabel("change of the loss (1/1000)")
    claims.legend_above(left, 2)
    claims.effects(right, finding, CRITERION.delta, scale=1.0, xlabel="octaves more with offset")
    return figure, (
        "Left: change of the training loss when every weight gets noise of 1 %, against the loss before, a point a "
        "net. Right: by how many octaves the offset raises it, with 95 % intervals. Log2 of the change: "
        + claims.rows_in_words(finding.rows, scale=1.0, unit="", decimals=2)
        + "."
    )


def sensitivity(runs: pd.DataFrame) -> pd.Series:
    """log2 of the change of the loss. A diverged net has none: it counts like the most sensitive of all, never as missing."""
    import numpy as np

    from folklore.stats.findings import measured

    change = measured("loss_change")(runs)
    change = change.where((runs["status"] != "diverged") & np.isfinite(change))
    logarithm = np.log2(change.clip(lower=1e-9))
    return logarithm.fillna(logarithm.max()).fillna(0.0)


def _by_arm(runs: pd.DataFrame) -> Table:
    """Means of what the probe has measured, and the nets' scores."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"]
    parts = [(measured(name), digits) for name, digits in (("loss_unchanged", 3), ("loss_change", 4))]
    rows = [
        (
            "offset of 3" if variant == "main" else variant,
            arm,
            f"{group['lr'].iloc[0]:.3g}",
            *(f"{measure(group).mean():.{digits}f}" for measure, digits in parts),
            f"{100 * measured('accuracy_lost')(group).mean():.2f}",
            f"{100 * group['test_accuracy'].mean():.1f}",
        )
        for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False)
    ]
    return Table(
        "Means over the nets of an arm: tuned rate, training loss before the noise and its change, training accuracy "
        "lost by the noise, test accuracy without it.",
        ("ground", "arm", "rate", "loss", "change", "accuracy lost (points)", "test accuracy (%)"),
        tuple(rows),
    )
