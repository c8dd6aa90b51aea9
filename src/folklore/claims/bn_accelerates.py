"""Batch normalisation needs fewer steps

Ioffe and Szegedy reached the accuracy of their Inception network in 13.3 million steps with batch
normalisation at the same learning rate, against 31.0 million without: 2.3 times fewer. The lectures pass
this on as "training is sped up considerably".

Speed is measured as the number of updates to a fixed training loss, set before the runs from a pilot of the
slower arm. Both arms are tuned for exactly this, for speed and not for accuracy, because a rate that is
best for one is not best for the other. A run that never gets there counts with the whole budget.

The effect is the binary logarithm of the ratio: 1 means half the steps. Steps are not time: a step with
batch normalisation also costs more, and the table shows that price in operations on a processor.
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
    limits="Three hidden layers (ten as a check) and a short budget; the gain is said to grow with depth. Steps, not seconds.",
)

# Pilot (2 seeds, five rates): without normalisation the loss falls to .8 after about 800 to 1,200 of 2,000
# updates at the best rates; on Fashion-MNIST to .55 within the first half of 1,000.
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
NAMES = {"norm=none": "no norm", "norm=batch": "batch norm"}


def judge(runs, criterion):
    from folklore.stats.findings import speed_contrast

    return speed_contrast(runs, "norm=none", "norm=batch", criterion.settings, criterion.delta)


def plot(runs, finding):
    from folklore.figures.panels import curves_and_steps

    return curves_and_steps(runs, finding, CRITERION.settings["main"], NAMES)
