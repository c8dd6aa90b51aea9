"""Choose a model by cross-validation

Which model to take is decided on data that it was not trained on. With few data the question is how: one split
spends a fifth of the rows on a judgement that rests on these alone, while k-fold cross-validation lets every row
judge once, at the price of k trainings. The lecture recommends it for the choice among models.

We let eight nets compete, two activations, two widths and two learning rates, for 400 training rows. Five nets of
each kind are trained, each without a fifth of the rows, and scored on it. One split looks at the first of the five
only, cross-validation at all; both see the same rows and the same nets. The model that wins is then trained on all
400 rows and scored on test data. Ties count as a draw of lots.

Both choices are honest, so the difference is only in how often they are wrong. A table shows how far either is from
the best model, what a blind choice would cost, and what 2,000 rows kept for validation would add. Five-fold
cross-validation costs three times the work of one split, counting the last training, and the verdict says nothing
about whether it is worth that.

Supported means: the models chosen by cross-validation have the better test accuracy, by an amount not shown to be
below 1 point.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="procedure",
    lectures=(3,),
    paper="Stone 1974; Kohavi 1995 (IJCAI), on cross-validation for model selection",
    reported="Kohavi recommends ten folds, stratified, for choosing a model, and finds a single held-out part more "
    "variable; no regret of neural nets is given.",
    limits="Eight models a few points apart and 400 rows. With models that are further apart or more rows the two choices "
    "agree more often; five folds, not stratified.",
    headline=False,
)
MODELS = {
    f"{name}, width {width}, rate {rate:g}": {"activation": activation, "width": width, "lr": rate}
    for (name, activation), width, rate in product((("ReLU", "relu"), ("ELU", "elu")), (30, 100), (0.05, 0.2))
}
# Pilot (seeds 20000 to 20015, 300 updates): mean test accuracy of the eight .28 to .365; chosen by five folds .353, by one
# split .345, by 2,000 validation rows .365, at random .317; spread of the difference .021.
# In 64 replicates the spread was .04, in 232 .032, hence 164, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="cross-validation",
    title="Eight models for 400 rows, chosen by five folds or one split",
    cells=tuple({"label": name, **model} for name, model in MODELS.items()),
    fixed={
        "n_train": 400,
        "batch_size": 20,
        "optimizer": "sgd",
        "procedure": "cross_validation-5",
    },
    updates=240,
    replicates=164,
    seconds=78,
)
CRITERION = Criterion(
    text="Test accuracy of the model, of eight, with the best accuracy in five-fold cross-validation on 400 rows minus that of "
    "the one with the best accuracy in the first fold alone, both trained on all 400 rows, is above 0 (95 % interval) and "
    "not negligible (90 % interval not within 1 point).",
    metric="test accuracy, five folds minus one split",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.021,
)
FOLDS, SPLIT, MUCH, BLIND, BEST = (
    "five folds",
    "one split",
    "2,000 further rows",
    "blind choice",
    "best on average",
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Five folds minus one split; the regret of every way to choose as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    frame = choices(runs)
    finding = contrast(frame, {FOLDS: 1.0, SPLIT: -1.0}, criterion.delta)
    diverged = int((_confirmed(runs)["status"] == "diverged").sum())
    return replace(
        finding,
        rows=tuple(replace(row, diverged=diverged) for row in finding.rows),
        tables=(_regrets(frame), _by_model(runs)),
        diverged=diverged,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """How the two estimates scatter around what a model is worth, and what the models chosen are worth."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1, 1.1))
    mine = _confirmed(runs)
    colours, markers = claims.arm_colours([SPLIT, FOLDS]), claims.arm_markers([SPLIT, FOLDS])
    worth = 100 * mine.groupby("arm")["test_accuracy"].transform("mean").astype(float)
    for way, column, aside in ((SPLIT, "split", 0.0), (FOLDS, "folds", 0.35)):
        look = {"color": colours[way], "marker": markers[way], "label": way}
        left.plot(worth + aside, 100 * mine[column], linestyle="", markersize=3, alpha=0.45, **look)
    left.axline((30, 30), slope=1, color=style.MUTED, linewidth=1)
    left.set(xlabel="mean test accuracy of the model (%)", ylabel="held-out accuracy of a seed (%)")
    claims.legend_above(left, 2)
    claims.arm_points(right, finding.rows, [FOLDS, SPLIT, MUCH, BLIND, BEST])
    right.set_xlabel("test accuracy of the choice (%)")
    return fig, (
        "Left: held-out accuracy of every model and seed in one split and in five folds, against the mean test "
        "accuracy of the model; five folds scatter less. Right: test accuracy of the model chosen: "
        f"{claims.rows_in_words(finding.rows)}."
    )


def choices(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each replicate and way to choose: test accuracy of the model chosen, a mean over those that tie."""
    import pandas as pd

    mine = _confirmed(runs)
    test = _wide(mine, "test_accuracy")
    best = int(test.mean(axis=0).argmax())
    picks = {FOLDS: _wide(mine, "folds"), SPLIT: _wide(mine, "split"), MUCH: _wide(mine, "val_accuracy")}
    dead = (mine["status"] == "diverged").groupby(mine["replicate"]).all()
    rows = []
    for i, replicate in enumerate(dead.index):
        found = {way: test[i][scores[i] == scores[i].max()].mean() for way, scores in picks.items()}
        found |= {BLIND: test[i].mean(), BEST: test[i][best]}
        status = "diverged" if dead[replicate] else "ok"
        rows += [
            {"arm": way, "replicate": replicate, "test_accuracy": v, "status": status}
            for way, v in found.items()
        ]
    edge = max(mine["edge"])
    return pd.DataFrame(rows).assign(lr=float("nan"), edge=edge, variant="main", phase="confirm")


def _confirmed(runs: pd.DataFrame) -> pd.DataFrame:
    """The confirmed runs with their held-out accuracies; a missing one counts as nothing right."""
    from folklore.stats.findings import measured

    mine = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    scores = {"folds": "cv_accuracy", "split": "split_accuracy"}
    return mine.assign(**{name: measured(measure)(mine).fillna(0.0) for name, measure in scores.items()})


def _wide(mine: pd.DataFrame, column: str) -> np.ndarray:
    """A column as (replicates, models)."""
    numbers = mine[["replicate", "arm"]].assign(value=mine[column].astype(float))
    wide = numbers.pivot_table(index="replicate", columns="arm", values="value")
    return wide[sorted(set(mine["arm"]))].to_numpy(dtype=float)


def _regrets(frame: pd.DataFrame) -> Table:
    """Points of test accuracy by which each way to choose misses the model that is best on average."""
    from folklore.stats.findings import Table

    points = frame.assign(measure=100 * frame["test_accuracy"])
    rows = [(way, difference(points, {BEST: 1.0, way: -1.0})) for way in (FOLDS, SPLIT, MUCH, BLIND)]
    return Table(
        "Regret: points of test accuracy below the model that is best on average over all seeds, with a 95 % interval.",
        ("chosen by", "regret"),
        tuple(rows),
    )


def _by_model(runs: pd.DataFrame) -> Table:
    """What each model is worth, and how the two estimates of it spread."""
    from folklore.stats.findings import Table

    mine = _confirmed(runs)
    rows = []
    for arm, group in mine.groupby("arm", sort=False):
        spread = (
            f"{100 * group[c].mean():.1f} ({100 * group[c].std(ddof=0):.1f})" for c in ("folds", "split")
        )
        rows.append((arm, f"{100 * group['test_accuracy'].mean():.1f}", *spread))
    return Table(
        "Mean test accuracy in percent, and mean and spread over the seeds of the two estimates.",
        ("model", "test accuracy", FOLDS, SPLIT),
        tuple(rows),
    )
