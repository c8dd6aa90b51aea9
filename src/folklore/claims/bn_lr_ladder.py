"""With batch normalisation, five times the plain network's rate needs fewer steps

The lecture prints four lines from the batch normalisation paper: Inception needs 31.0 million steps to 72.2
%; with batch normalisation 13.3 million; at five times the rate 2.1 million and a better final accuracy; at
thirty times 2.7 million and a better one still. The table reads as if the rate alone did it.

More was changed than the rate: the fast rows also dropped dropout and local response normalisation, cut the
L2 penalty to a fifth, decayed the rate faster, shuffled better and augmented less. What each of these did,
the paper does not show. We rebuild the table with the rate alone, and then with that part of the bundle
that our networks have (a fifth of the weight decay, a decaying rate); our baseline has no dropout and no
augmentation to take away.

The rate of the plain network is tuned, for accuracy, although it is steps that are counted; the rows with
batch normalisation use one, five and thirty times that rate, untuned, as the table does. What decides is
its central line: whether batch normalisation at five times the rate is faster than at one time.
"""

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

CLAIM = Claim(
    kind="S",
    family="normalisation",
    lectures=(4,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, fig. 3",
    reported="Steps to 72.2 %: Inception 31.0 million, BN 13.3, BN x5 2.1, BN x30 2.7; best accuracy 72.2, "
    "72.7, 73.0 and 74.8 %.",
    limits="The rate of the plain network was tuned here, and for accuracy, not for speed; the paper's baseline "
    "may have been below its own best rate, which would leave more room above it. Small networks, no dropout or "
    "augmentation in the bundle.",
)

_PLAIN = "plain"
_BUNDLE = {"weight_decay": 2e-4, "schedule": "exponential"}


def _bn(times, label, **extra):
    return {"norm": "batch", "label": label, "lr_of": _PLAIN, "lr_times": times, **extra}


DESIGN = Study(
    name="bn-lr-ladder",
    cells=(
        {"norm": "none", "label": _PLAIN},
        _bn(1.0, "BN x1"),
        _bn(5.0, "BN x5"),
        _bn(30.0, "BN x30"),
        _bn(5.0, "BN x5, bundle", **_BUNDLE),
        _bn(30.0, "BN x30, bundle", **_BUNDLE),
    ),
    fixed={"optimizer": "sgd", "weight_decay": 1e-3},
    updates=2000,
    half_replicates=8,
    seconds=54,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 8192},
            study={"updates": 1000, "replicates": 16, "rates": Rates(count=5)},
        ),
    ),
)

CRITERION = Criterion(
    text="log2 of the updates to a training loss of .8 (Fashion-MNIST .45) with batch normalisation at the "
    "plain network's rate minus the same at five times that rate; runs censored at the budget; "
    "t-interval and log-rank test; smallest ratio of interest 1.1.",
    metric="steps to the target, BN x1 against BN x5",
    unit="octaves",
    delta=0.1375,
    pilot_sd=0.3,
    settings={"main": 0.8, "fashion_mnist": 0.45},
)

_PAPER = {
    "plain": ("31.0", "72.2"),
    "BN x1": ("13.3", "72.7"),
    "BN x5": ("2.1", "73.0"),
    "BN x30": ("2.7", "74.8"),
}


def judge(runs, criterion):
    from dataclasses import replace

    from folklore.stats.findings import speed_contrast

    # a ground of another profile, with wider nets or a longer budget, has the target of the main one
    targets = {v: criterion.settings.get(v, criterion.settings["main"]) for v in runs["variant"].unique()}
    finding = speed_contrast(runs, "BN x1", "BN x5", targets, criterion.delta)
    return replace(finding, tables=(_ladder(runs, criterion),))


def _ladder(runs, criterion):
    """The lecture's table with our columns beside the paper's."""
    import numpy as np

    from folklore.stats.findings import Table, steps_measure

    confirmed = runs[(runs["phase"] == "confirm") & (runs["variant"] == "main")]
    steps = 2 ** steps_measure(criterion.settings["main"])(confirmed)
    rows = []
    for arm, group in confirmed.groupby("arm", sort=False):
        mine, never = steps.loc[group.index], int((steps.loc[group.index] > group["updates"] - 0.5).sum())
        paper = _PAPER.get(arm, ("", ""))
        reached = f"{np.mean(mine):,.0f}" + (f" ({never} of {len(group)} never)" if never else "")
        rows.append(
            (arm, f"{group['lr'].iloc[0]:.3g}", reached, f"{100 * group['test_accuracy'].mean():.1f}", *paper)
        )
    columns = (
        "",
        "rate",
        "mean updates to the target",
        "test accuracy (%)",
        "paper: steps to 72.2 % (millions)",
        "paper: best (%)",
    )
    return Table(
        "The ladder: ours beside the paper's (mean updates count a run that never arrives with its whole budget)",
        columns,
        tuple(rows),
    )


def plot(runs, finding):
    from folklore.figures.panels import curves_and_steps

    return curves_and_steps(runs, finding, CRITERION.settings["main"])
