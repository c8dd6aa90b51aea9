"""With batch normalisation and more data, batches of 32 and 64 can be the best

Masters and Luschi recommend batches of 32 or fewer, often 2 or 4, but make an exception: with batch
normalisation and large data sets a batch of up to 32 or 64 did best. Two reasons are plausible. Moments of
four rows are noisy, so batch normalisation wants more of them; and where there is much data, the noise of a
small batch is less needed against overfitting.

We train a net with batch normalisation on 16,384 rows, eight epochs at every batch size, so that batch 64
still makes 2,048 updates, each batch with its own tuned rate. Compared are the better one of batches 32 and
64 and the better one of batches 4 and 8: two on either side, each side's batch chosen on validation data.
Whether more is better still is not tested; the arm of batch 128 and a table show it.

One trap: a small batch may train well and only be evaluated badly, because the moving averages of noisy
moments are off. So the scores that decide are those with the moments recomputed from 1,024 training rows
after training; those with the moving averages stand beside them. The second condition, more data, is tested
by the same contrast on 1,024 rows with equally many updates, and by the difference of the two. More data
then also means fewer epochs, 8 against 128.

Supported means: on the larger data the larger batches win by an amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._budgets import budgets
from folklore.claims._contrasts import best_batches, difference, recalibrated
from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="batch-size",
    lectures=(1,),
    paper="Masters & Luschi 2018, arXiv:1804.07612",
    reported="With batch normalisation the best batches were 4 to 8 (ResNet-32) and 8 to 64 (AlexNet) on "
    "CIFAR, 16 to 64 on ImageNet; the median of the last five epochs, the best settings chosen on the test set.",
    limits="16,384 rows are little beside ImageNet, and a fully connected layer gives batch normalisation "
    "one value a row, where a convolution gives it hundreds. Equal epochs, hence fewer updates for large "
    "batches; equal updates are the question of batch-equal-steps. More data and fewer epochs are not told apart. "
    "Rates and batches are chosen by validation with the moving averages; only the test score is one with moments recomputed.",
    headline=False,
)
FEW = "1,024 rows"
# Pilot (seeds 20000 and up; five rates, 2 seeds): with 16,384 rows validation accuracy at batches 4, 8, 32, 64 and
# 128 .45, .66, .78, .79 and .80; fresh seeds: batch 64 minus batch 8 .114, spread .007. With 1,024 rows -.006,
# spread .025. Best rates lie within an octave of the default centre, two below it at batch 4.
DESIGN = Study(
    name="batch-bn-larger",
    title="Batch size with batch normalisation, much and little data",
    factors={"batch_size": (4, 8, 32, 64, 128)},
    fixed={"norm": "batch", "optimizer": "sgd", "n_train": 16_384},
    samples=131_072,
    seconds=130,
    variants=(
        Variant(
            FEW,
            fixed={"n_train": 1024},
            study={
                "factors": {"batch_size": (4, 8, 32, 64)},
                "rates": Rates(count=5),
                "tuning_seeds": 2,
                "replicates": 12,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="Test accuracy, moments of evaluation recomputed, of the better one of batches 32 and 64 minus "
    "that of the better one of batches 4 and 8, each chosen by its mean validation accuracy at the tuned "
    "rate; batch normalisation, 16,384 rows, equal epochs; smallest effect of interest 1 point.",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.01,
    settings={"largest_small": 8, "largest_large": 64},
)
NAMES = {f"batch_size={b}": f"batch {b}" for b in (4, 8, 32, 64, 128)}


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The contrast on the larger data, again with moving averages, and what the size of the data does to it."""
    from dataclasses import replace

    from folklore.stats.findings import Robust, contrast

    chosen = {v: _chosen(group, criterion) for v, group in runs.groupby("variant", sort=False)}
    weights = {v: w for v, w in chosen.items() if v != FEW}
    finding = contrast(runs, weights, criterion.delta, measure=recalibrated)
    again = contrast(runs[runs["variant"] == "main"], weights["main"], criterion.delta)
    moving = Robust("moving averages as they stand", again.verdict(criterion.delta, None), again.estimate)
    return replace(
        finding,
        robustness=(*finding.robustness, moving),
        tables=(_by_data(runs, chosen), budgets(runs)),
        notes=(_words(chosen), *finding.notes),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Tuning curves and confirmed scores on the larger data."""
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, NAMES)


def _chosen(runs: pd.DataFrame, criterion: Criterion) -> dict[str, float]:
    """Weights -1 for the smaller and +1 for the larger batch that validates best on its side."""
    borders = (int(criterion.settings[name]) for name in ("largest_small", "largest_large"))
    return dict(zip(best_batches(runs, *borders), (-1.0, 1.0), strict=True))


def _words(chosen: Mapping[str, Mapping[str, float]]) -> str:
    named = [
        f"{' and '.join(NAMES[arm] for arm in weights)} {'with ' + FEW if variant == FEW else 'on the larger data'}"
        for variant, weights in chosen.items()
        if variant in ("main", FEW)
    ]
    return f"Chosen on validation: {', '.join(named)}."


def _by_data(runs: pd.DataFrame, chosen: Mapping[str, Mapping[str, float]]) -> Table:
    """The contrast by size of the data, the difference, and the step from the best larger batch to 128."""
    import pandas as pd

    from folklore.stats.findings import Table

    main, few = (runs[runs["variant"] == v] for v in ("main", FEW))
    both = pd.concat([main, few.assign(arm="few " + few["arm"])])
    both = both[both["phase"] == "confirm"]
    little = {f"few {arm}": weight for arm, weight in chosen.get(FEW, {}).items()}
    best = next(arm for arm, weight in chosen["main"].items() if weight > 0)
    contrasts = {
        "16,384 rows": chosen["main"],
        FEW: little,
        "difference of the two": dict(chosen["main"]) | {arm: -weight for arm, weight in little.items()},
        f"batch 128 minus {NAMES[best]}, 16,384 rows": {"batch_size=128": 1.0, best: -1.0},
    }
    measures = (recalibrated, lambda frame: frame["test_accuracy"])
    found = [
        (
            name,
            *(difference(both.assign(measure=100 * m(both)), w, otherwise="not trained") for m in measures),
        )
        for name, w in contrasts.items()
    ]
    return Table(
        "Larger minus smaller batches in points, with 95 % interval: moments recomputed, and moving averages.",
        ("contrast", "recomputed", "moving averages"),
        tuple(found),
    )
