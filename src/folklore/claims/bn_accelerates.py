"""Batch normalisation needs fewer steps

Ioffe and Szegedy reached the accuracy of their Inception network in 13.3 million steps with batch
normalisation at the same learning rate, against 31.0 million without: 2.3 times fewer. Lecture 4 prints
these numbers; lecture 2 says that training becomes much faster.

Speed is measured as the number of updates to a fixed training loss, set before the runs from a pilot of the
slower arm. Both arms are tuned for exactly this, for speed and not for accuracy, because a rate that is
best for one is not best for the other. A run that never gets there counts with the whole budget.

The effect is the binary logarithm of the ratio: 1 means half the steps. Steps are not time: a step with
batch normalisation also costs more.
"""

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

CLAIM = Claim(
    kind="S",
    family="normalisation",
    lectures=(2, 4),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, fig. 2 and 3",
    reported="31.0 million steps to 72.2 % without, 13.3 million with batch normalisation at the same "
    "rate: a ratio of 2.3.",
    limits="Three hidden layers (ten as a check) and a short budget. Steps, not seconds. The target is a loss of training "
    "mode, which with batch normalisation contains the batch's noise and what it regularises; accuracy after equally "
    "many updates is in the table.",
)

# Pilot (2 seeds, five rates): without normalisation the loss falls to .8 after about 800 to 1,200 of 2,000
# updates at the best rates; on Fashion-MNIST to .45 within the first half of 1,000.
DESIGN = Study(
    name="bn-accelerates",
    factors={"norm": ("none", "batch")},
    fixed={"optimizer": "sgd"},
    updates=2000,
    tune_on="steps",
    target=0.8,
    half_replicates=8,
    seconds=62,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 8192},
            study={
                "updates": 1000,
                "target": 0.45,
                "replicates": 16,
                "rates": Rates(count=5),
            },
        ),
        Variant(
            "ten layers",
            fixed={"depth": 10},
            study={"replicates": 16, "rates": Rates(count=5)},
        ),
    ),
)

CRITERION = Criterion(
    text="log2 of the updates to a training loss of .8 (Fashion-MNIST .45) without batch normalisation "
    "minus the same with it, both tuned for speed, runs censored at the budget; t-interval and log-rank "
    "test; smallest ratio of interest 1.1.",
    metric="steps to the target, without against with",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.3,
    settings={"main": 0.8, "fashion_mnist": 0.45, "ten layers": 0.8},
)
GROUNDS = {"main": "MNIST-1D", "fashion_mnist": "Fashion-MNIST"}
SHARES = {"a fifth": 0.2, "half": 0.5, "all": 1.0}  # of the updates; runs are validated after each tenth
NAMES = {"norm=none": "no norm", "norm=batch": "batch norm"}


def judge(runs, criterion):
    from dataclasses import replace

    from folklore.stats.findings import speed_contrast

    finding = speed_contrast(runs, "norm=none", "norm=batch", criterion.settings, criterion.delta)
    return replace(finding, tables=(_on_the_way(runs),))


def _on_the_way(runs):
    """Median validation accuracy after equally many updates."""
    import numpy as np

    from folklore.stats.findings import Table

    confirmed = runs[(runs["phase"] == "confirm") & runs["variant"].isin(GROUNDS)]
    rows = []
    for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False):
        steps, updates = group["val_step"].iloc[0], group["updates"].iloc[0]
        places = np.searchsorted(steps, [share * updates for share in SHARES.values()])
        median = 100 * np.median(np.stack(group["val_curve"]).astype(float), axis=0)
        shown = median[np.minimum(places, len(steps) - 1)]
        rows.append((f"{GROUNDS[variant]}, {NAMES[arm]}", *(f"{value:.1f}" for value in shown)))
    return Table(
        "Validation accuracy in percent (median) after equal shares of the updates, at the rates tuned for speed.",
        ("data, net", *SHARES),
        tuple(rows),
    )


def plot(runs, finding):
    from folklore.figures.panels import curves_and_steps

    return curves_and_steps(runs, finding, CRITERION.settings["main"], NAMES)
