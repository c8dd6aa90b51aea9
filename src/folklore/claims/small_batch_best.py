"""Small batches give the best test error

A minibatch gradient is a noisy estimate of the full one, and the noise falls as the batch grows. Masters
and Luschi trained networks for a fixed number of epochs with plain SGD and found their best test results at
batches of 32 or fewer, often at 2 or 4. LeCun made it a slogan: friends do not let friends use minibatches
larger than 32.

Three traps lie in such a comparison. A large batch makes fewer updates in the same number of epochs, so it
may simply not have finished; we train for 250 epochs, which gives batch 512 its 2,000 updates, and report
how far its loss still falls. Each batch size has its own best learning rate, so each is tuned with the same
budget, over rates half an octave apart (a whole one on Fashion-MNIST), because the best rate lies just
below the largest stable one. And the best of many batch sizes is better than the best of few by luck alone,
so both sides have three members, and each side's batch is chosen on validation data before the test set is
read.

The claim is supported when the best batch of 32 or fewer beats the best batch of 64 or more by an amount
that matters.
"""

from folklore.claims._budgets import budgets, fall
from folklore.claims._contrasts import best_batches
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

CLAIM = Claim(
    kind="S",
    family="batch-size",
    lectures=(1,),
    paper="Masters & Luschi 2018, arXiv:1804.07612; Keskar et al. 2017, arXiv:1609.04836",
    reported="32 or fewer, with plain SGD and equal epochs, scored by the median of the last five epochs, the best "
    "settings chosen on the test set. The paper's own "
    "ranges fit this only loosely: AlexNet up to 8; with batch normalisation AlexNet 8 to 64, ResNet-32 4 to 8 and "
    "ImageNet 16 to 64. Keskar: MNIST 98.03 against 97.81 %, CIFAR-10 80.04 against 77.26 %, batches of 256, which "
    "count as large here, against a tenth of the data.",
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
    # With three seeds the slopes of linear-lr-scaling spread by .27, hence seven, planned from that spread alone for a power of .8 at .25;
    # and a rate was chosen at which 3 of 64 fresh runs diverged. In seven they spread by .23, hence five; in 32 replicates small-batch-best
    # spread by .0087, hence 16, both for a power of .8, corrected.
    tuning_seeds=5,
    replicates=16,
    half_replicates=8,
    seconds=900,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 4096},
            study={
                "factors": {"batch_size": (8, 32, 64, 128)},
                "samples": 256_000,
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

    border, share = criterion.settings["largest_small"], criterion.settings["levelled_share"]
    chosen = {variant: best_batches(group, border) for variant, group in runs.groupby("variant", sort=False)}
    weights = {variant: {small: 1.0, large: -1.0} for variant, (small, large) in chosen.items()}
    finding = contrast(runs, weights, criterion.delta)
    small, large = chosen["main"]
    notes = (
        f"Chosen on validation: {small} of the small batches, {large} of the large ones.",
        _levelled(runs, share),
    )
    return replace(finding, tables=(budgets(runs, share),), notes=(*notes, *finding.notes))


def _levelled(runs, share):
    """Whether the largest batch had finished: its updates on every ground, and how far its loss still fell."""
    confirmed, said = runs[runs["phase"] == "confirm"], []
    for variant, group in confirmed.groupby("variant", sort=False):
        largest = group[group["batch_size"] == group["batch_size"].max()]
        ground = _ground(variant, largest["data"].iloc[0])
        said.append(f"{ground} {int(largest['updates'].iloc[0]):,} and {fall(largest, share)}")
    return (
        "Updates of the largest batch, and the median fall of its training loss over the last "
        f"{100 * share:.0f} % of them: {'; '.join(said)}."
    )


def _ground(variant, data):
    """A ground by its data set, and by its own name where that says more."""
    from folklore.datasets import title

    return title(data) if variant in ("main", data) else f"{title(data)} ({variant})"


def plot(runs, finding):
    from folklore.figures.panels import tuning_and_scores

    names = {f"batch_size={b}": f"batch {b}" for b in sorted(set(runs["batch_size"]))}
    return tuning_and_scores(runs, finding, names)
