"""Batch normalisation also works like a regulariser

Under batch normalisation a row never gives the same activations twice: its mean and variance are those of
the rows that happen to be drawn with it. Ioffe and Szegedy saw in this noise a reason why their nets
generalised better and needed less dropout, and the lecture lists it among the benefits.

But batch normalisation also fits the training data faster, and a net that has fitted more may score better
with no regulariser in it. So all nets are stopped at one and the same training loss, measured in evaluation
mode, without the noise, on 512 of the rows that they train on; how fast they came there no longer counts. A
rate that never comes there counts at chance when rates are chosen, so that no arm gains by stopping early.
With 1,024 rows the plain net would fit its data completely, which is where a regulariser is called for.

If the noise is what regularises, more noise should do more. It is dosed by ghosts: the same batches of 32
rows, normalised in parts of 16 or of 8. A table gives what the parts bring over whole batches; if that is
nothing, batch normalisation may regularise, but not by its noise.

Supported means: at the same training loss the test accuracy is better with batch normalisation, by an amount
not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, mean_text
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="normalisation",
    lectures=(3,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.4; Hoffer, Hubara & Soudry 2017, arXiv:1705.08741 "
    "(ghosts)",
    reported="Ioffe and Szegedy: better generalisation, so that dropout could be removed or reduced; no figure "
    "at equal training loss.",
    limits="A net stops where its training loss first falls to the target: an early stop for all of them, at "
    "different numbers of updates. The loss that stops is measured on 512 of the 1,024 rows that the criterion names. Each "
    "arm has its own rate, in the pilot a higher one with batch normalisation, and a high rate may regularise by itself. "
    "What the noise does need not rise with each of its three doses. Small ghosts also make training slower. Fully "
    "connected layers.",
    headline=False,
)
PLAIN, NORMED, HALF, MOST = "no norm", "batch norm", "ghosts of 16", "ghosts of 8"
_NORMS = {PLAIN: "none", NORMED: "batch", HALF: "ghost-16", MOST: "ghost-8"}
_CELLS = tuple({"label": label, "norm": norm} for label, norm in _NORMS.items())
LARGE = "four times the data"
# Pilot (seeds 20000, 20001 over three rates, 20100 to 20107 at the best): updates to .4 about 300 (none, rate .2), 280 (batch, .4), 420
# (ghosts of 16, .4), 1,080 (ghosts of 8, .3), 1,300 at most at other good rates; validation accuracy there .41, .45, .46 and .48, spread of
# the differences 1.6 to 2.1 points. With 4,096 rows .8 takes 600 to 800 updates without and with batch normalisation (.55 and .59).
# In 32 replicates the spread was .019, hence 56, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="bn-regulariser",
    title="Batch normalisation at equal training loss, by its noise",
    cells=_CELLS,
    fixed={"optimizer": "sgd", "n_train": 1024, "procedure": "until_loss-400"},
    updates=2048,
    tune_on="matched_accuracy",
    variants=(
        Variant(
            LARGE,
            fixed={"n_train": 4096, "procedure": "until_loss-800"},
            study={
                "cells": _CELLS[:2],
                "updates": 1280,
                "replicates": 16,
                "rates": Rates(count=5),
            },
        ),
    ),
    replicates=56,
    seconds=68,
)
CRITERION = Criterion(
    text="Test accuracy with batch normalisation minus that without, each net stopped at a training loss of .4 "
    "(evaluation mode, 1,024 rows) and tuned for validation accuracy there, is above 0 (95 % interval) and not "
    "negligible (90 % interval not within 1 point).",
    metric="test accuracy at equal training loss",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.018,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Batch normalisation minus none where both have the same training loss; the dose beside it."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {NORMED: 1.0, PLAIN: -1.0}, criterion.delta)
    return replace(
        finding,
        tables=(_stops(runs), _dose(runs)),
        undecidable=finding.undecidable or _unmatched(runs),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Validation accuracy at the target by rate, and test accuracy there."""
    from folklore.figures import claims, panels, style
    from folklore.stats.findings import measured

    style.apply()
    fig, (left, right) = style.new(7.6, ncols=2)
    claims.tuning_curves(
        left, runs, score=measured("matched_accuracy"), ylabel="validation accuracy, matched (%)"
    )
    claims.legend_above(left, 2)
    claims.arm_points(right, finding.rows, claims.arms_of(runs))
    return fig, (
        "Left: validation accuracy at the common training loss against learning rate; rates that never reach it "
        "count at chance. Right: " + panels.scores_in_words(finding)
    )


def _dose(runs: pd.DataFrame) -> Table:
    """What each dose of noise brings over less of it."""
    from folklore.stats.findings import Table

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    main = main.assign(measure=100 * main["test_accuracy"])
    steps = ((HALF, NORMED), (MOST, HALF), (MOST, NORMED))
    return Table(
        "What more noise brings: differences of test accuracy at the common training loss, in points with 95 % intervals.",
        ("arms", "difference"),
        tuple((f"{more} minus {less}", difference(main, {more: 1.0, less: -1.0})) for more, less in steps),
    )


def _unmatched(runs: pd.DataFrame) -> str:
    """Why nothing is compared at equal training loss, if that is so."""
    from folklore.stats.findings import measured

    main = runs[
        (runs["variant"] == "main") & (runs["phase"] == "confirm") & runs["arm"].isin((PLAIN, NORMED))
    ]
    never = measured("stopped_at")(main).isna().groupby(main["arm"]).mean()
    return "Most runs of an arm never reached the training loss." if (never > 0.5).any() else ""


def _stops(runs: pd.DataFrame) -> Table:
    """Where the runs of each arm stopped."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"]
    confirmed = confirmed.assign(at=measured("stopped_at"), loss=measured("stopped_loss"))
    rows = [
        (
            arm if variant == "main" else f"{arm}, {variant}",
            f"{group['lr'].iloc[0]:.3g}",
            mean_text(group["at"], ",.0f"),
            int(group["at"].isna().sum()),
            mean_text(group["loss"], ".3f"),
            mean_text(100 * group["test_accuracy"], ".1f"),
        )
        for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False)
    ]
    return Table(
        "Where training stopped: learning rate, mean updates, runs that never got to the loss (they keep their last "
        "weights), mean training loss, and test accuracy in percent.",
        ("arm", "rate", "updates", "never", "training loss", "test accuracy"),
        tuple(rows),
    )
