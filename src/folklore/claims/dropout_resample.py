"""Dropout has to draw a new mask in every iteration

The lecture is explicit: in each iteration the units to be dropped are drawn anew, so that each iteration trains
another network. It adds that dropout holds the network back while it trains. Both belong together: what changes all
the time cannot be learnt by heart.

The rival is a mask that is drawn once and stays. Then nothing is random any more; it is a smaller network, and a
fair comparison has to treat it as one. At test time it keeps its mask: what leaves the dropped units is set to zero
after training, both while its rate is tuned and when it is tested. To test it with all its units, as one would after
dropout, would mix units in that nothing was ever trained to read. That figure is shown as well.

New means two things. The lecture draws once an iteration, for all rows of the batch; the paper, and every library,
draws for each row of the batch. The verdict is about the usual way, and the other one stands beside it.

The rate is .2 and there are 1,024 training rows, where dropout is of use; a rate of .5 and 4,096 rows have rows of
their own. Supported means: with masks drawn anew the test accuracy is better than with one mask for good, by an
amount not shown to be below 1 point. A table shows the training loss with the masks on, which should be higher; part
of that is the masks' own noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._dropout import ahead
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(1,),
    paper="Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, JMLR 15, section 4",
    reported="A new thinned network for each training case; a fixed mask is not considered.",
    limits="A mask for good also leaves a smaller network, so capacity and randomness change together; the arm "
    "without dropout shows what the whole network can do.",
    headline=False,
)
FRESH, BATCH, FROZEN = "new for each row", "new for each batch", "one for good"
WHOLE, NONE = "one for good, all units tested", "no dropout"
HALF, MORE = "dropout .5", "four times the data"
_FRESH, _NONE = {"label": FRESH, "dropout": 0.2}, {"label": NONE, "dropout": 0.0}
_FROZEN = {"label": FROZEN, "dropout": 0.2, "mask": "frozen", "procedure": "thinned"}
# Pilot (seeds 20000, 20001 over rates, 20010 to 20017 at the best; 1,024 rows): accuracy .508 new for each row, .504 new for
# each batch, .433 one for good, .454 without dropout (validation); spread of the first minus the third .006 and of single
# arms .010 to .016. At .5 validation .27 new, .40 one for good. One for good with all units: chance to .23 at .5.
# The arms with new masks for each row, and those without dropout, are runs of the study "dropout"; `seconds` counts the rest.
# In 32 replicates the spread was .015, hence 44, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="dropout-resample",
    title="Dropout masks drawn anew, and drawn once",
    cells=(
        _NONE,
        _FRESH,
        {"label": BATCH, "dropout": 0.2, "mask": "batchwise"},
        _FROZEN,
        {"label": WHOLE, "dropout": 0.2, "mask": "frozen"},
    ),
    fixed={"optimizer": "sgd", "n_train": 1024},
    updates=2000,
    replicates=44,
    seconds=49,
    variants=(
        Variant(
            HALF,
            study={"cells": (_FRESH | {"dropout": 0.5}, _FROZEN | {"dropout": 0.5}), "replicates": 16},
        ),
        Variant(MORE, fixed={"n_train": 4096}, study={"cells": (_NONE, _FRESH, _FROZEN), "replicates": 16}),
    ),
)
CRITERION = Criterion(
    text="Test accuracy with masks drawn anew for each row of each batch minus that with one mask for good, which is "
    "kept in testing, dropout .2, 1,024 rows, both tuned: above 0 (95 % interval) and not negligible (90 % interval "
    "not within 1 point).",
    metric="test accuracy, new masks minus one mask",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.0125,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """New masks minus one mask; training loss and the other arms as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs, {FRESH: 1.0, FROZEN: -1.0}, criterion.delta)
    return replace(finding, tables=(_table(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss by update, and test accuracy, of every arm."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.6, ncols=2, width_ratios=(1.1, 1))
    arms = claims.arms_of(runs)
    names = {WHOLE: "one for good,\nall units tested"}
    curves = [arm for arm in arms if arm != WHOLE]  # in training it is the frozen one
    colours = claims.arm_colours(arms)
    claims.loss_curves(left, runs, curves, colours=colours, ylabel="training loss, mask on")
    claims.legend_above(left, 2)
    claims.arm_points(right, finding.rows, arms, names=names, colours=colours)
    return fig, (
        "Left: training loss by update with the masks on, median of the replicates with a band of 80 % of them. Right: "
        f"test accuracy with 95 % intervals: {claims.rows_in_words(finding.rows)}."
    )


def _table(runs: pd.DataFrame) -> Table:
    """Training loss at the end and test accuracy by arm, and what new masks bring over each arm."""
    from folklore.stats.findings import Table

    confirmed = runs[runs["phase"] == "confirm"]
    rows = []
    for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False):
        end = group["train_loss"].median()
        rows.append(
            (
                arm if variant == "main" else f"{arm}, {variant}",
                f"{end:.2f}" if end == end else "diverged",
                f"{100 * group['test_accuracy'].mean():.1f}",
                ahead(confirmed[confirmed["variant"] == variant], FRESH, arm),
            )
        )
    return Table(
        "Training loss over the last updates with the mask on (median), test accuracy in percent, and by how many "
        "points new masks for each row are ahead, with 95 % interval.",
        ("masks", "training loss", "test accuracy", "new masks ahead by"),
        tuple(rows),
    )
