"""Early updates far from a thousandth of the weights' size foretell a run that fails

The lecture says to monitor not only the losses but the size of the updates. The notes of Stanford's course cs231n
give the figure: the norm of an update over the norm of the weights should be about one in a thousand; far below it
the rate is too low, far above it too high. An early look would then tell which runs are going to fail.

We read the ratio off updates 4, 8, 12 and 16 (their geometric mean, all weights together) of 27 settings, nine
rates a factor of four apart for plain SGD, for momentum and for Adam, and then let them train on. A run fails if it
diverges, or if it stalls: its training loss has come down by less than a tenth of what guessing costs. The measure
of a prediction is the area under the ROC curve: the chance that a failing run's ratio lies further from one
thousandth, in powers of ten, than a good run's. A half is what guessing gives.

With one optimizer the ratio is little more than the rate in disguise. That is why three are mixed, whose rates mean
different things: a table shows how well the rate itself predicts, and what another figure than one in a thousand or
another notion of failure would give. A run that diverges before the sixteenth update needs no prediction and is
left out; a note counts which failures are left to predict.

Supported means: the area is above one half, by an amount not shown to be below .05.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="procedure",
    lectures=(3,),
    paper="cs231n course notes, neural networks part 3, on the ratio of updates to weights",
    reported="a rough heuristic: the ratio should be somewhere around 1e-3; no study is cited.",
    limits="All weight matrices together, four epochs of one net from He's start. The area depends on which rates are tried "
    "and on what counts as a failure; the ratio of a late update is another number. The bound of a stall was "
    "fixed after a pilot had tried two: with a loss above .5 log 10 instead of .9 log 10 the area was .51 to .61.",
    headline=False,
)
CENTRES = {"sgd": 0.2, "momentum": 0.02, "adam": 0.001}
STEPS = range(-5, 4)  # powers of four around the default rate
NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam"}
CELLS = tuple(
    {
        "optimizer": optimizer,
        "lr": float(f"{centre * 4.0**k:.3g}"),
        "label": f"{NAMES[optimizer]}, rate {centre * 4.0**k:.3g}",
    }
    for optimizer, centre in CENTRES.items()
    for k in STEPS
)
# Pilot (seeds 20000 to 20002, 640 updates): area .87, .86 and .85, where a stall is a loss above .9 log 10; .51 to .61 where it is one above
# .5 log 10. Ratios of the best rates 10^-1.8 (SGD), 10^-2.2 (momentum) and 10^-2.05 (Adam).
DESIGN = Study(
    name="update-monitoring",
    title="Early updates at many rates of three optimizers",
    cells=CELLS,
    fixed={"procedure": "update_ratio"},
    updates=512,
    seconds=42,
)
CRITERION = Criterion(
    text="Area under the ROC curve for failing runs (diverged, or final training loss above .9 log 10) by the distance of "
    "log10 of the early update-to-weight ratio from -3, over 27 settings of a seed; mean over the seeds minus .5 is above 0 "
    "(95 % interval) and not negligible (90 % interval not within .05).",
    metric="area under the ROC curve",
    unit="above .5",
    delta=0.05,
    pilot_sd=0.02,
    settings={"centre": -3.0, "stall": 0.9, "bar": 0.5},
)
AREA, BAR = "update ratio", "guessing"
RATE_ALONE = "learning rate, healthy at .01"


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The area minus a half, seed by seed; other failures as rows, other figures and the rate itself as a table."""
    from dataclasses import replace

    mine = scored(runs, criterion.settings["stall"])
    finding, found = _judged(mine, criterion), mean_areas(mine, criterion.settings["centre"])
    _, *others = failures(mine).items()
    diverged = int((mine["status"] == "diverged").sum())
    return replace(
        finding,
        rows=tuple(replace(row, diverged=diverged) for row in finding.rows if row.arm != BAR),
        robustness=tuple(_robust(name, mine.assign(failed=failed), criterion) for name, failed in others),
        tables=(_table(found),),
        notes=(_left_to_predict(mine), _best(found), *finding.notes),
        diverged=diverged,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Final training loss against the early ratio, and the area under the ROC curve by the figure that is called healthy."""
    import numpy as np

    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(7.8, ncols=2, width_ratios=(1.3, 1))
    mine = scored(runs, CRITERION.settings["stall"])
    colours, markers = claims.arm_colours(NAMES), claims.arm_markers(NAMES)
    for optimizer, name in NAMES.items():
        some = mine[(mine["optimizer"] == optimizer) & mine["ratio"].notna()]
        loss = some["train_loss"].astype(float).fillna(3.4).clip(upper=3.4)
        look = {"color": colours[optimizer], "marker": markers[optimizer], "label": name}
        left.plot(some["ratio"], loss, linestyle="", markersize=3, alpha=0.5, **look)
    left.axvline(-3, color=style.MUTED, linestyle=(0, (2, 2)), linewidth=1)
    left.axhline(CRITERION.settings["stall"] * np.log(10), color=style.MUTED, linestyle=":", linewidth=1)
    left.set(xlabel="early update over weights (log10)", ylabel="final training loss (3.4: diverged)")
    claims.legend_above(left, 3)
    centres = np.arange(-4.5, -0.9, 0.25)
    ratio, failed, seeds = mine["ratio"].to_numpy(), mine["failed"].to_numpy(), _seeds(mine)
    middle = [_mean(_areas(abs(ratio - c), failed, seeds)) for c in centres]
    right.plot(centres, middle, "o-", color=style.INK, markersize=3)
    for row in finding.rows:
        if row.lo is not None:
            right.plot([-3, -3], [row.lo, row.hi], color=style.PALETTE[0], linewidth=4, solid_capstyle="butt")
    right.axhline(0.5, color=style.MUTED, linewidth=1, linestyle="--")
    right.axvline(-3, color=style.MUTED, linestyle=(0, (2, 2)), linewidth=1)
    right.set(xlabel="ratio called healthy (log10)", ylabel="area under the ROC curve", ylim=(0, 1.02))
    return fig, (
        "Left: final training loss of every run against its early ratio of update to weights, by optimizer; dashed: "
        "one thousandth, dotted: a stall. Right: area under the ROC curve by the ratio that is called healthy. At one "
        f"thousandth: {claims.rows_in_words(finding.rows, scale=1.0, unit='', decimals=2)}."
    )


def scored(runs: pd.DataFrame, stall: float) -> pd.DataFrame:
    """The confirmed runs with their early `ratio` (log10) and whether they failed."""
    import numpy as np

    from folklore.stats.findings import measured

    mine = runs[(runs["variant"] == "main") & (runs["phase"] == "confirm")]
    stalled = mine["train_loss"].astype(float) > stall * np.log(10)
    ratio = measured("log_update_ratio")(mine)
    read = ["optimizer", "replicate", "lr", "edge", "status", "train_loss", "val_accuracy"]
    return mine[read].assign(ratio=ratio, failed=stalled | (mine["status"] == "diverged"))


def failures(mine: pd.DataFrame) -> dict[str, pd.Series]:
    """What may be called a failure besides divergence, that of the criterion first."""
    import numpy as np

    best = mine.groupby(["optimizer", "replicate"])["val_accuracy"].transform("max")
    return {
        "loss above .9 log 10": mine["failed"],
        "loss above .5 log 10": ~(mine["train_loss"].astype(float) <= 0.5 * np.log(10)),
        "under 4/5 of the best accuracy": mine["val_accuracy"] < 0.8 * best,
    }


def _judged(mine: pd.DataFrame, criterion: Criterion) -> Finding:
    from folklore.stats.findings import contrast

    numbers = criterion.settings
    frame = areas(mine, numbers["centre"], numbers["bar"])
    return contrast(frame, {AREA: 1.0, BAR: -1.0}, criterion.delta, measure="area")


def _robust(label: str, mine: pd.DataFrame, criterion: Criterion) -> Robust:
    from folklore.stats.findings import Robust

    other = _judged(mine, criterion)
    return Robust(label, other.verdict(criterion.delta, None), other.estimate)


def _left_to_predict(mine: pd.DataFrame) -> str:
    early, diverged = mine["ratio"].isna(), mine["status"] == "diverged"
    left = mine["failed"] & ~early
    return (
        f"{early.sum()} of {len(mine)} runs were not finite after sixteen updates and are left out, {(early & diverged).sum()} of the "
        f"{diverged.sum()} that diverged among them. Of the {left.sum()} failures that are left to predict, {(left & ~diverged).sum()} are stalls."
    )


def _best(found: dict[str, dict[str, float]]) -> str:
    """The figure that predicts best, beside the rate alone, by the criterion's failures."""
    first = {name: next(iter(by_failure.values())) for name, by_failure in found.items()}
    rate = first.pop(RATE_ALONE)
    best = max(first, key=first.__getitem__)
    return f"Best of the figures tried: {best}, with an area of {first[best]:.2f}; the learning rate alone has {rate:.2f}."


def areas(mine: pd.DataFrame, centre: float, bar: float) -> pd.DataFrame:
    """One row for each seed and arm: the area by the distance from the centre, and the bar."""
    import pandas as pd

    seeds, replicate = _seeds(mine), mine["replicate"].to_numpy()
    dead = (mine["status"] == "diverged").to_numpy()
    found = _areas(abs(mine["ratio"].to_numpy() - centre), mine["failed"].to_numpy(), seeds)
    rows = [
        (arm, replicate[seed[0]], value, "diverged" if dead[seed].all() else "ok")
        for seed, area in zip(seeds, found, strict=True)
        for arm, value in ((AREA, area), (BAR, bar))
    ]
    frame = pd.DataFrame(rows, columns=["arm", "replicate", "area", "status"])
    return frame.assign(lr=float("nan"), edge=max(mine["edge"]), variant="main", phase="confirm")


def _seeds(mine: pd.DataFrame) -> list[np.ndarray]:
    """Where the runs of each seed are."""
    import numpy as np

    replicates = mine["replicate"].to_numpy()
    return [np.flatnonzero(replicates == replicate) for replicate in np.unique(replicates)]


def _areas(distance: np.ndarray, failed: np.ndarray, seeds: list[np.ndarray]) -> list[float]:
    return [_area(distance[seed], failed[seed]) for seed in seeds]


def _area(distance: np.ndarray, failed: np.ndarray) -> float:
    """Chance that a failing run has the larger distance than a good one, ties half; .5 where nothing or everything failed."""
    import numpy as np

    known = ~np.isnan(distance)
    d, failed = distance[known], failed[known]
    if failed.all() or not failed.any():
        return 0.5
    gaps = d[failed][:, None] - d[~failed]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def mean_areas(mine: pd.DataFrame, centre: float) -> dict[str, dict[str, float]]:
    """Areas by the figure called healthy, and those of the rate itself; each by what is called a failure."""
    import numpy as np

    sources = {f"ratio, healthy at 10^{c:g}": ("ratio", c) for c in (centre, -2.5, -2.0)}
    sources[RATE_ALONE] = ("rate", -2.0)
    known = mine.assign(rate=np.log10(mine["lr"].astype(float)).where(mine["ratio"].notna()))
    by_failure, seeds = {n: failed.to_numpy() for n, failed in failures(mine).items()}, _seeds(mine)
    return {
        name: {
            n: _mean(_areas(abs(known[column].to_numpy() - healthy), failed, seeds))
            for n, failed in by_failure.items()
        }
        for name, (column, healthy) in sources.items()
    }


def _table(found: dict[str, dict[str, float]]) -> Table:
    from folklore.stats.findings import Table

    return Table(
        "Mean area under the ROC curve by what is watched and by what counts as a failure besides divergence.",
        ("predictor", *found[RATE_ALONE]),
        tuple((name, *(f"{area:.2f}" for area in by_failure.values())) for name, by_failure in found.items()),
    )
