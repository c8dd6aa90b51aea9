"""Small batches give the best test error

A minibatch gradient is a noisy estimate of the full one, and the noise falls as the batch grows. Masters
and Luschi trained networks for a fixed number of epochs with plain SGD and found their best test results at
batches of 32 or fewer, often at 2 or 4. LeCun made it a slogan: friends do not let friends use minibatches
larger than 32.

Three traps lie in such a comparison. A large batch makes fewer updates in the same number of epochs, so it
may simply not have finished; we train for 250 epochs, which gives batch 512 its 2,000 updates, and report
whether its loss still falls. Each batch size has its own best learning rate, so each is tuned with the same
budget, over rates half an octave apart, because the best rate lies just below the largest stable one. And
the best of many batch sizes is better than the best of few by luck alone, so both sides have three members,
and each side's batch is chosen on validation data before the test set is read.

The claim is supported when the best batch of 32 or fewer beats the best batch of 64 or more by an amount
that matters.
"""

from folklore.claims._contrasts import validated
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

CLAIM = Claim(
    kind="S",
    family="batch-size",
    lectures=(1,),
    paper="Masters & Luschi 2018, arXiv:1804.07612; Keskar et al. 2017, arXiv:1609.04836",
    reported="Best batches of 2 to 32 on CIFAR with plain SGD and equal epochs; the best epoch was chosen "
    "on the test set. Keskar: MNIST 98.03 against 97.81 %, CIFAR-10 80.04 against 77.26 %, small against "
    "large batch.",
    limits="A small MLP on small data, plain SGD without momentum, constant rate, equal epochs. Equal "
    "epochs favour small batches in updates and large batches in time on parallel hardware; "
    "batch-equal-steps asks the question at equal updates.",
)

# Half an octave between rates: the first runs, an octave apart, showed accuracy rising up to the largest stable rate, so that where
# the grid happened to meet this cliff was worth up to four points. Batch 2 makes 512,000 updates a run.
DESIGN = Study(
    name="batch-size",
    title="Batch size at equal epochs",
    factors={"batch_size": (2, 8, 32, 64, 128, 512)},
    fixed={"optimizer": "sgd"},
    samples=250 * 4096,
    rates=Rates(count=7, octaves=0.5, widen=6),
    half_replicates=8,
    seconds=1189,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 4096},
            study={
                "factors": {"batch_size": (8, 32, 64, 128)},
                "samples": 192_000,
                "rates": Rates(count=5),
                "tuning_seeds": 2,
                "replicates": 12,
            },
        ),
    ),
)

CRITERION = Criterion(
    text="Test accuracy of the best batch of 32 or fewer minus that of the best of 64 or more, each chosen "
    "by its mean validation accuracy at the tuned rate; equal epochs; smallest effect of interest 1 point.",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.013,
    settings={"largest_small": 32, "levelled_share": 0.1},
)


def judge(runs, criterion):
    from dataclasses import replace

    from folklore.stats.findings import contrast

    border = criterion.settings["largest_small"]
    weights = {
        variant: _best_of_each(group, border) for variant, group in runs.groupby("variant", sort=False)
    }
    finding = contrast(runs, weights, criterion.delta)
    main = weights["main"]
    small, large = (next(arm for arm, w in main.items() if w == sign) for sign in (1, -1))
    notes = (
        f"Chosen on validation: {small} of the small batches, {large} of the large ones.",
        _levelled(runs, criterion),
    )
    return replace(finding, notes=(*notes, *finding.notes))


def _best_of_each(runs, border):
    """Weights +1 and -1 for the batch size with the best validation accuracy on either side of the border."""
    small = runs["batch_size"] <= border
    return {validated(runs[side]).idxmax(): sign for side, sign in ((small, 1.0), (~small, -1.0))}


def _levelled(runs, criterion):
    """Whether the largest batch had finished: its updates, and how much its loss fell over the last tenth of training."""
    import numpy as np

    main = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    largest = main[main["batch_size"] == main["batch_size"].max()]
    last = [np.asarray(curve, dtype=float) for curve in largest["loss_curve"]]
    falls = [
        1 - c[-1] / c[-max(2, len(c) // 10)]
        for c in last
        if np.isfinite(c).all() and c[-max(2, len(c) // 10)] > 0
    ]
    fall = f"{100 * float(np.median(falls)):.0f} %" if falls else "not measurable"
    updates = int(largest["updates"].iloc[0])
    return f"The largest batch made {updates:,} updates; the median fall of its training loss over the last tenth of them was {fall}."


def plot(runs, finding):
    from folklore.figures.panels import tuning_and_scores

    names = {f"batch_size={b}": f"batch {b}" for b in sorted(set(runs["batch_size"]))}
    return tuning_and_scores(runs, finding, names)
