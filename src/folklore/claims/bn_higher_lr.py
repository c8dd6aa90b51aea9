"""Batch normalisation allows higher learning rates

Without normalisation a large step changes the scale of every later layer and training blows up; the paper
reports that Inception diverged at five times its rate. With batch normalisation the scale of the weights
cancels, so larger steps should survive.

We train both networks over eleven rates a factor of two apart, from small to absurd, with the same seeds,
and note for each seed the largest rate of the unbroken range at which the network still learns: its mean
training loss at the end is finite and well below that of guessing. Nothing is tuned, for the limit itself
is the result. The effect is the binary logarithm of the ratio of the two limits.

A higher limit is not yet a benefit: whether higher rates also train faster or better is asked by
bn-lr-ladder.
"""

from folklore.claims._contrasts import every_second_rate
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

CLAIM = Claim(
    kind="S",
    family="normalisation",
    lectures=(3,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, sec. 3.3 and 4.2.2",
    reported="Inception diverges at five times its rate; with batch normalisation thirty times the rate "
    "trains.",
    limits="300 updates of a small MLP with plain SGD: a rate that survives these may fail later. The loss is that of "
    "training mode over the last three updates; predictions with the moving averages may fail at a lower rate.",
)

RATES = tuple(float(f"{0.05 * 2**k:.6g}") for k in range(11))

DESIGN = Study(
    name="bn-higher-lr",
    cells=tuple({"norm": n, "lr": r, "label": f"{n}, rate {r:g}"} for n in ("none", "batch") for r in RATES),
    fixed={"optimizer": "sgd"},
    updates=300,
    seconds=67,
    variants=(
        Variant("fashion_mnist", fixed={"data": "fashion_mnist", "n_train": 8192}, study={"replicates": 16}),
    ),
)

CRITERION = Criterion(
    text="log2 of the largest rate that still learns (mean training loss of the last window finite and "
    "below 2.0, where guessing has 2.3) with batch normalisation minus the same without, seed by seed; "
    "smallest effect of interest half an octave.",
    metric="largest stable rate, with against without",
    unit="octaves",
    delta=0.5,
    pilot_sd=0.6,
    settings={"loss": 2.0},
)


def judge(runs, criterion):
    from dataclasses import replace

    import pandas as pd

    from folklore.stats.findings import contrast

    limits = stable_limits(runs, criterion.settings["loss"])
    half = stable_limits(every_second_rate(runs, "norm"), criterion.settings["loss"]).assign(phase="half")
    finding = contrast(
        pd.concat([limits, half]), {"batch norm": 1.0, "no norm": -1.0}, criterion.delta, measure="limit"
    )
    top = int((limits["limit"] >= limits["top"]).sum())
    none = int(limits["none"].sum())
    notes = []
    if top:
        notes.append(
            f"In {top} of {len(limits)} cases even the highest rate of the grid still learnt: the limit lies higher than counted."
        )
    if none:
        notes.append(
            f"In {none} of {len(limits)} cases no rate learnt; the limit counts as one octave below the grid."
        )
    silent = (
        "No rate learnt with any seed, with or without batch normalisation." if limits["none"].all() else ""
    )
    return replace(finding, notes=(*notes, *finding.notes), undecidable=silent)


def stable_limits(runs, loss):
    """One row for each ground, norm and seed: log2 of the highest rate up to which all rates learn."""
    import numpy as np
    import pandas as pd

    rows = []
    for (variant, norm, replicate), group in runs.groupby(["variant", "norm", "replicate"], sort=False):
        group = group.sort_values("lr")
        learns = (group["status"] == "ok") & (group["train_loss"] < loss)
        # slow rates at the bottom may not have learnt yet: the range begins at the first rate that has
        first = int(learns.to_numpy().argmax()) if learns.any() else None
        rates = group["lr"].to_numpy()
        if first is None:
            limit = np.log2(rates[0]) - 1
        else:
            after = np.flatnonzero(~learns.to_numpy()[first:])
            limit = np.log2(rates[first + after[0] - 1] if len(after) else rates[-1])
        rows.append(
            {
                "arm": "batch norm" if norm == "batch" else "no norm",
                "replicate": replicate,
                "limit": float(limit),
                "top": float(np.log2(rates[-1])),
                "none": first is None,
                "status": "ok",
                "lr": float("nan"),
                "edge": "",
                "variant": variant,
                "phase": "confirm",
            }
        )
    return pd.DataFrame(rows)


def plot(runs, finding):
    import matplotlib.pyplot as plt

    from folklore.figures import claims, style
    from folklore.figures.panels import WIDTH

    style.apply()
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.6), layout="constrained")
    names = {"none": "no norm", "batch": "batch norm"}
    colours = claims.arm_colours(["no norm", "batch norm"])
    for norm, group in runs[runs["variant"] == "main"].groupby("norm", sort=False):
        filled = group.assign(shown=group["train_loss"].fillna(float("inf")))
        for quantile, style_ in ((0.5, "-"), (0.9, ":")):
            middle = filled.groupby("lr")["shown"].quantile(quantile, interpolation="nearest").clip(upper=10)
            label = f"{names[norm]}, {'median' if quantile == 0.5 else 'worst tenth'}"
            left.plot(
                middle.index,
                middle,
                style_,
                marker="o" if quantile == 0.5 else None,
                markersize=3,
                color=colours[names[norm]],
                label=label,
            )
    left.axhline(CRITERION.settings["loss"], color=style.MUTED, linestyle=(0, (2, 2)), linewidth=1)
    claims.rate_axis(left)
    left.set_ylabel("training loss after 300 updates\n(10: diverged or worse)")
    claims.legend_above(left, columns=1)
    claims.arm_points(
        right,
        finding.rows,
        ["no norm", "batch norm"],
        scale=1.0,
        xlabel="log2 of the largest stable rate",
        decimals=2,
    )
    words = claims.rows_in_words(finding.rows, scale=1.0, unit="", decimals=2)
    return (
        figure,
        f"Left: training loss against learning rate with and without batch norm. Right: log2 of the largest stable rate: {words}.",
    )
