"""Large batches narrow the usable range of learning rates

Masters and Luschi plot accuracy against the base rate, which is the learning rate divided by the batch
size, and observe that the range of rates that train well shrinks as the batch grows. A practitioner feels
this as touchiness: with a large batch the rate has to be hit more exactly.

We train every batch size over twelve rates a factor of two apart, for the same number of epochs, and count
for each seed the octaves of rate whose final validation accuracy is at least four fifths of the best that
this batch size reached with this seed. Nothing is tuned, for the whole curve is the result. The slope of
this count against the binary logarithm of the batch size decides.

Equal epochs are part of the claim: a large batch makes few updates, so slow rates, which a small batch can
afford, do not get there in time. A robustness row gives every batch size the same 512 updates: what narrowing is
left there is not for want of updates. Counted in octaves, the range is equally wide in the rate and in the base
rate; at which end it shrinks is not, and the table gives both ends in the rate.
"""

from folklore.claims._contrasts import every_second_rate
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

CLAIM = Claim(
    kind="S",
    family="batch-size",
    lectures=(1,),
    paper="Masters & Luschi 2018, arXiv:1804.07612, fig. 16",
    reported="The range of base rates with stable convergence narrows as the batch grows from 2 to 1024 (a "
    "plot, no figure).",
    limits='Eight epochs of a small MLP; "usable" means four fifths of the best accuracy, and another '
    "threshold gives another width. Batch 256 makes 128 updates (on Fashion-MNIST 64), far fewer than the 2,000 of "
    "small-batch-best, so that part of the narrowing is that slow rates do not get there.",
)

BATCHES = (4, 16, 64, 256)
OCTAVES = range(-6, 6)


def _rate(batch, octave):
    """Rates around the optimum of a pilot, .2 (batch / 32)^.6."""
    return float(f"{0.2 * (batch / 32) ** 0.6 * 2.0**octave:.6g}")


def _cells(batches):
    return tuple(
        {"batch_size": b, "lr": _rate(b, k), "label": f"batch {b}, rate {_rate(b, k):.3g}"}
        for b in batches
        for k in OCTAVES
    )


# In 24 replicates the spread was .19, in 56 .155, hence 40, planned from that spread alone for a power of .8 at a tenth of an octave.
DESIGN = Study(
    name="small-batch-lr-range",
    cells=_cells(BATCHES),
    fixed={"optimizer": "sgd"},
    samples=8 * 4096,
    replicates=40,
    seconds=221,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 4096},
            study={"cells": _cells(BATCHES[1:]), "samples": 4 * 4096, "replicates": 8},
        ),
        Variant("512 updates", study={"samples": 0, "updates": 512, "replicates": 8}),
    ),
)

CRITERION = Criterion(
    text="Minus the slope, over log2 of the batch size, of the number of octaves of rate that reach four "
    "fifths of the best validation accuracy of that batch size and seed; smallest slope of interest .1 "
    "octave a doubling.",
    metric="octaves of usable rates lost a doubling of the batch",
    unit="octaves",
    delta=0.1,
    pilot_sd=0.2,
    settings={"share": 0.8},
)


def judge(runs, criterion):
    from dataclasses import replace

    import pandas as pd

    from folklore.stats.findings import Table, contrast

    share = criterion.settings["share"]
    widths, half = usable_octaves(runs, share), usable_octaves(every_second_rate(runs, "batch_size"), share)
    half = half.assign(phase="half", octaves=2 * half["octaves"])
    weights = {
        variant: _slope(group["batch_size"]) for variant, group in widths.groupby("variant", sort=False)
    }
    finding = contrast(pd.concat([widths, half]), weights, criterion.delta, measure="octaves")
    main = widths[widths["variant"] == "main"]
    table = Table(
        "Lowest and highest usable rate (median over seeds)",
        ("batch", "lowest", "highest"),
        tuple(
            (arm, f"{g['lowest'].median():.3g}", f"{g['highest'].median():.3g}")
            for arm, g in main.groupby("arm", sort=False)
        ),
    )
    ends = int(main["at_end"].sum())
    note = f"In {ends} of {len(main)} cases the usable range reached an end of the grid of rates, so it may be wider than counted."
    silent = "Every run diverged." if (runs["status"] == "diverged").all() else ""
    return replace(finding, tables=(table,), notes=(note, *finding.notes), undecidable=silent)


def _slope(batches):
    """Weights of the arms whose sum with their measures is minus the least-squares slope over log2 of the batch."""
    import numpy as np

    x = {f"batch {b}": np.log2(b) for b in sorted(set(batches))}
    centred = {arm: v - np.mean(list(x.values())) for arm, v in x.items()}
    scale = sum(v * v for v in centred.values())
    return {arm: -v / scale for arm, v in centred.items()}


def usable_octaves(runs, share):
    """One row for each ground, batch size and seed: how many rates of the grid are usable, and which is the lowest and the highest."""
    key = ["variant", "batch_size", "replicate"]
    read = runs[[*key, "status", "val_accuracy", "lr"]]
    best = read.groupby(key, sort=False)["val_accuracy"].transform("max")
    fine = read[(read["status"] == "ok") & (read["val_accuracy"] >= share * best)]
    grid = read.groupby(key, sort=False)["lr"].agg(["min", "max"])
    usable = fine.groupby(key, sort=False)["lr"].agg(["size", "min", "max"]).reindex(grid.index)
    at_end = (usable["min"] == grid["min"]) | (usable["max"] == grid["max"])
    found = usable.rename(columns={"size": "octaves", "min": "lowest", "max": "highest"}).assign(
        at_end=at_end
    )
    found = found.fillna({"octaves": 0.0}).reset_index()
    arms = [f"batch {batch}" for batch in found["batch_size"]]
    return found.assign(arm=arms, status="ok", lr=float("nan"), edge="", phase="confirm")


def plot(runs, finding):
    import matplotlib.pyplot as plt
    import numpy as np

    from folklore.figures import claims, style
    from folklore.figures.panels import WIDTH

    style.apply()
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9), layout="constrained")
    colours = claims.arm_colours([f"batch {b}" for b in sorted(set(runs["batch_size"]))])
    for batch, group in runs[runs["variant"] == "main"].groupby("batch_size"):
        middle = group.groupby("lr")["val_accuracy"].quantile([0.1, 0.5, 0.9]).unstack() * 100
        base, colour = middle.index / batch, colours[f"batch {batch}"]
        left.plot(base, middle[0.5], marker="o", markersize=3, color=colour, label=f"batch {batch}")
        left.fill_between(base, middle[0.1], middle[0.9], color=colour, alpha=0.2, linewidth=0)
    left.set_xscale("log", base=2)
    left.set_xlabel("base rate: learning rate / batch size")
    left.set_ylabel("validation accuracy (%)")
    claims.legend_above(left, columns=2)
    claims.arm_points(right, finding.rows, scale=1.0, xlabel="usable octaves of rate", decimals=1)
    words = claims.rows_in_words(finding.rows, scale=1.0, unit="octaves")
    right.set_xlim(left=max(0.0, np.floor(right.get_xlim()[0])))
    return (
        figure,
        f"Left: validation accuracy against base rate for each batch size. Right: usable octaves of rate: {words}.",
    )
