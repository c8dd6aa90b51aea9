"""ELU improves the convergence of deep nets

A ReLU passes on only positive numbers, so each layer shifts the mean of what the next one sees. ELU also
takes negative values, down to -1, which brings the mean back towards zero; its authors argue that this makes
the gradient point in a better direction, the more so the deeper the net. They showed it on plain nets of
eight layers of 128 units and on deep convolutional nets.

Convergence may mean two things, and they are kept apart. The verdict is about speed: the updates that nets of
the paper's shape need to come to a training loss which was fixed beforehand, ReLU against ELU. A table has
the other meaning, test accuracy at the end. Both activations start from He's weights, as in the paper.

A curve at one common rate would favour whichever activation that rate suits. So each arm has its own rate,
and each question its own tuning: for speed here, for validation accuracy there. The same comparison with
three layers shows whether depth has anything to do with it. Updates are not time: the exponential costs more
than a comparison with zero.

Supported means: with eight layers ReLU needs more updates than ELU, by an amount not shown to be below a
tenth. It says nothing about accuracy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(2, 3),
    paper="Clevert, Unterthiner & Hochreiter 2016, arXiv:1511.07289",
    reported="a test error of 28.75 ± .24 against 31.56 ± .37 % for ReLU on CIFAR-100 (11 convolutional "
    "layers), and a faster fall of the training error in nets of 8 x 128 units on MNIST.",
    limits="Nets of 8 x 128 units without normalisation on a small problem; the paper's figures are of "
    "convolutional nets and a hundred times as many updates.",
    headline=False,
)
RELU, ELU = "ReLU", "ELU"
SHALLOW, ACCURACY = "three layers", "tuned for accuracy"

# Pilot (seeds 20000, 20001 over rates, 20010 to 20015 at the best). Eight layers: ReLU, the weaker arm, comes to a loss
# of 1.0 after 580 of 896 updates (best rate .01), ELU after 380 (.005 to .01): .60 octaves, spread .21. Three layers,
# loss .75: 720 and 760 of 2,000 updates (.02). The runs tuned for accuracy, but the last four of each arm, are those of activation-ranking, which
# also has all tuning runs, so that only the speed-tuned ones are counted in `seconds`.
# In 32 replicates the spread was .24, hence 56, planned from that spread alone for a power of .8 at a tenth fewer updates.
DESIGN = Study(
    name="elu-deep-convergence",
    title="ReLU and ELU in deep nets, tuned for speed and for accuracy",
    cells=(
        {"label": RELU, "activation": "relu", "init": "he_normal"},
        {"label": ELU, "activation": "elu", "init": "he_normal"},
    ),
    fixed={"depth": 8, "width": 128, "optimizer": "momentum"},
    updates=896,
    rates=Rates(center=0.01),
    tune_on="steps",
    target=1.0,
    replicates=56,
    seconds=48,
    variants=(
        Variant(
            SHALLOW,
            fixed={"depth": 3, "width": 100},
            study={
                "updates": 2000,
                "target": 0.75,
                "rates": Rates(center=0.02),
                "replicates": 16,
            },
        ),
        Variant(ACCURACY, study={"tune_on": "val_accuracy", "target": None}),
    ),
)
CRITERION = Criterion(
    text="With eight hidden layers, log2 of the updates to a training loss of 1.0 with ReLU minus the same "
    "with ELU, both tuned for speed, is above 0 (95 % interval; log-rank test at 5 %, too) and not negligible "
    "(90 % interval not within a tenth more updates). Runs that never get there are censored at the budget.",
    metric="steps to the target, ReLU against ELU",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.21,
    settings={"main": 1.0, SHALLOW: 0.75},  # the targets, by ground
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Updates of ReLU over those of ELU; test accuracy, tuned for either purpose, as a table."""
    from dataclasses import replace

    from folklore.stats.findings import speed_contrast

    timed = runs[runs["variant"].isin(criterion.settings)]
    finding = speed_contrast(timed, RELU, ELU, criterion.settings, criterion.delta)
    return replace(finding, tables=(_accuracies(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import curves_and_steps

    return curves_and_steps(runs, finding, CRITERION.settings["main"])


def _accuracies(runs: pd.DataFrame) -> Table:
    """Test accuracy and final training loss of both, by what they were tuned for."""
    from folklore.stats.findings import Table

    names = {"main": "8 layers, speed", ACCURACY: "8 layers, accuracy", SHALLOW: "3 layers, speed"}
    confirmed = runs[runs["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    rows = []
    for variant, mine in confirmed.groupby("variant", sort=False):
        means = mine.groupby("arm")["measure"].mean()
        losses = mine.groupby("arm")["train_loss"].median()
        rows.append(
            (
                names[variant],
                *(f"{means[arm]:.1f}" for arm in (RELU, ELU)),
                difference(mine, {ELU: 1.0, RELU: -1.0}),
                *(f"{losses[arm]:.2f}" for arm in (RELU, ELU)),
            )
        )
    return Table(
        "Test accuracy after all updates in percent, ELU minus ReLU in points with a 95 % interval, and the "
        "training loss at the end (median), by what the rates were tuned for.",
        ("net, tuned for", RELU, ELU, "ELU minus ReLU", "loss, ReLU", "loss, ELU"),
        tuple(rows),
    )
