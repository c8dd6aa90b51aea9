"""A lower training loss is not a lower test error

Training lowers the loss on the rows that the net is shown. What is wanted is a low error on rows that it is not,
and the one does not give the other: a net that is large enough can learn its training rows by heart. Zhang and
colleagues made that plain with labels drawn at random. A net fits them as it fits the true ones, although there
is nothing in them that could hold for any other row.

We train the same net on 1,024 rows of which 0, 25, 50 and 100 % have a label drawn anew. Each arm has its own
rate, tuned for what optimisation is about, a low training loss in few updates; validation and test rows keep their
true labels. Accuracy is measured in evaluation mode on the 1,024 rows that were trained on.

Two things decide together. From no random labels to half of them, the gap between training and test accuracy has
to grow; and the training accuracy has to stay where it was, within 2 points. Without the second, the first would
only say that the harder task was learnt less well. The other shares show how the gap follows the dose.

Supported means: training is as good with half of the labels random, and the gap is wider, by an amount not shown
to be below 1 point. It does not follow that training loss says nothing: among nets trained on the same true labels
the two may well go together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(4,),
    paper="Zhang, Bengio, Hardt, Recht & Vinyals 2017, arXiv:1611.03530",
    reported="convolutional nets reach a training error of 0 on CIFAR-10 with every label random, and a test error of "
    "chance; in between the test error grows with the share of random labels.",
    limits="1,024 rows and a net of 25,000 weights, trained until the rows are fitted. Random labels are a proof that "
    "fitting is not enough, not a picture of ordinary overfitting.",
    headline=False,
)
SHARES = (0, 25, 50, 100)
ARMS = {share: f"{share} % random labels" for share in SHARES}
CLEAN, HALF = ARMS[0], ARMS[50]
# Pilot (seeds 20000, 20001, rates .05 to .2, 4,000 updates): every net with 0, 20, 50 and 100 % random labels has a training
# accuracy of 1; the loss falls to .05 after 510, 610, 690 and 700 updates at .2. Validation accuracy .41, .33, .24, .10, spread .003
# to .014.
DESIGN = Study(
    name="optimisation-not-generalisation",
    title="Random labels: training and test accuracy",
    cells=tuple(
        {"label": ARMS[share], "view": f"random_labels-{share}" if share else "plain"} for share in SHARES
    ),
    fixed={"optimizer": "sgd", "n_train": 1024, "probe": "training_fit"},
    updates=2000,
    tune_on="steps",
    target=0.05,
    seconds=25,
)
CRITERION = Criterion(
    text="Training minus test accuracy with half of the labels random, less the same with true labels, is above 0 "
    "(95 % interval) and not negligible (90 % interval not within 1 point), while the training accuracies of the two "
    "are shown to differ by less than 2 points (two one-sided tests; p: the larger of both tests').",
    metric="gap between training and test accuracy, half of the labels random against none",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.015,
    settings={"flat": 0.02, "chance": 0.1},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """How much the gap grows, provided that training stays as good; all shares as a table."""
    from dataclasses import replace

    from folklore.stats.estimates import equivalence_p
    from folklore.stats.findings import contrast, differences

    weights, chance = {HALF: 1.0, CLEAN: -1.0}, criterion.settings["chance"]

    def gap(frame: pd.DataFrame) -> pd.Series:
        return training_accuracy(frame, chance) - frame["test_accuracy"]

    def apart(frame: pd.DataFrame) -> np.ndarray:
        return differences(frame.assign(measure=training_accuracy(frame, chance)), weights)

    def flat(mine: pd.DataFrame) -> float:
        return equivalence_p(apart(mine), criterion.settings["flat"])

    finding = contrast(runs, weights, criterion.delta, measure=gap, test=flat)
    points = 100 * apart(runs[(runs["phase"] == "confirm") & (runs["variant"] == "main")]).mean()
    note = f"Training accuracy with half of the labels random minus that with none: {points:+.2f} points."
    return replace(finding, tables=(_by_share(runs, chance),), notes=(*finding.notes, note))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training and test accuracy by the share of random labels, and the training loss of each arm."""
    import numpy as np

    from folklore.figures import claims, style
    from folklore.stats.findings import arm_rows

    style.apply()
    figure, (left, right) = style.new(7.5, ncols=2)
    confirmed = runs[(runs["phase"] == "confirm") & (runs["variant"] == "main")]
    scores = {
        "training": training_accuracy(confirmed, CRITERION.settings["chance"]),
        "test": confirmed["test_accuracy"].astype(float),
    }
    said = []
    for (name, values), mark, colour in zip(scores.items(), "os", style.PALETTE, strict=False):
        found = {
            row.arm: (row.mean, row.lo, row.hi) for row in arm_rows(confirmed.assign(measure=100 * values))
        }
        middle, low, high = np.array([found[ARMS[share]] for share in SHARES]).T
        left.errorbar(SHARES, middle, (middle - low, high - middle), marker=mark, color=colour, label=name)
        said.append(f"{name} " + ", ".join(f"{m:.1f} %" for m in middle))
    left.set_xticks(SHARES)
    left.set_ylim(0, 104)
    left.set_xlabel("random labels (%)")
    left.set_ylabel("accuracy (%)")
    claims.legend_above(left, 2)
    names = {arm: arm.replace(" random labels", "") for arm in ARMS.values()}
    claims.loss_curves(right, runs, list(ARMS.values()), names=names)
    claims.legend_above(right, 4)
    return figure, (
        "Left: accuracy on training and test rows for 0, 25, 50 and 100 % random labels, with 95 % intervals: "
        f"{'; '.join(said)}. Right: training loss by update for each share."
    )


def training_accuracy(runs: pd.DataFrame, chance: float) -> pd.Series:
    """Accuracy on training rows; a diverged run counts at chance, as its test accuracy does."""
    from folklore.stats.findings import measured

    accuracy = measured("training_accuracy")(runs)
    return accuracy.where(runs["status"] != "diverged", chance).fillna(chance)


def _by_share(runs: pd.DataFrame, chance: float) -> Table:
    """Both accuracies, their gap and the training loss of every arm."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"].assign(
        fit=lambda frame: training_accuracy(frame, chance), loss=measured("training_loss")
    )
    rows = [
        (
            arm,
            f"{group['lr'].iloc[0]:.3g}",
            f"{group['loss'].median():.4f}" if group["loss"].notna().any() else "",
            f"{100 * group['fit'].mean():.1f}",
            f"{100 * group['test_accuracy'].mean():.1f}",
            f"{100 * (group['fit'] - group['test_accuracy']).mean():.1f}",
        )
        for arm, group in confirmed.groupby("arm", sort=False)
    ]
    return Table(
        "Training loss (median) and accuracy on the training rows, test accuracy, and the gap, in percent.",
        ("labels", "rate", "training loss", "training accuracy", "test accuracy", "gap"),
        tuple(rows),
    )
