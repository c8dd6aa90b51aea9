"""The best learning rate is proportional to the batch size

If a batch is twice as large, there are half as many updates in an epoch, and each averages twice as many
samples; with twice the rate an epoch moves the weights about as far as before. Masters and Luschi therefore
compare batch sizes at a constant base rate, the learning rate divided by the batch size, and Goyal and
colleagues made the linear scaling rule popular. Others take the square root, which keeps the noise of an
update constant.

The tuning runs of small-batch-best answer this: six batch sizes from 2 to 512, each trained for 250 epochs
over seven rates half an octave apart, and more where the best sat at an end, seven seeds each, plain SGD.
For each batch size and seed we take the best rate from the validation accuracies and divide it by the
batch size. A single best score jumps about, so it is the top of a parabola through the neighbours of the
best score; rates beyond the largest stable one, where accuracy falls off a cliff, are left out of it.

A pair of batch sizes and a seed give one slope: the octaves by which the best base rate changes when the
batch doubles. Each batch size serves in one pair only, 2 with 64, 8 with 128, 32 with 512, so the 21
slopes have no run in common, and where the relation is bent they differ and widen the interval. A slope of 0
is the linear rule, -1/2 the rule of the square root.

The claim predicts no change, so the burden is reversed: it is supported when the whole 90 % interval of the
slope lies within a quarter of an octave a doubling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.estimates import Estimate
    from folklore.stats.findings import Finding, Row, Table

CLAIM = Claim(
    kind="S",
    family="batch-size",
    lectures=(1,),
    paper="Masters & Luschi 2018, arXiv:1804.07612; Goyal et al. 2017, arXiv:1706.02677",
    reported="Masters and Luschi present all results by base rate, from 2^-12 to 2^0; no slope is given. "
    "Goyal et al. scale the rate in proportion for batches of up to 8,192 on ImageNet, with a warm-up.",
    limits="A small MLP on small data, no momentum, constant rate, equal epochs. The best rate lies just "
    "below the largest stable one, so the slope may be that of stability, not of generalisation.",
    headline=False,
)
# Pilot (seeds 20000 to 20002, the study's rates at three of its batch sizes): best base rates (log2) -7.2 at batch
# 32, -6.6 at 128 and -8.6 at 512, seeds .3 apart; accuracy rises up to the largest stable rate. A pair of batch
# sizes and a seed then spread by .07 within a pair; twice that is expected with pairs that differ.
DESIGN = "batch-size"
CRITERION = Criterion(
    text="Mean of the slopes of log2(best rate / batch) over log2(batch) between batches 2 and 64, 8 and "
    "128, 32 and 512, by tuning seed; best rate by a parabola through the validation accuracies of the five "
    "rates around the best that score within 5 points of it; equivalence with 0 within .25.",
    metric="slope of the best base rate",
    unit="octaves a doubling",
    delta=0.25,
    equivalence=True,
    pilot_sd=0.15,
    settings={"around": 2, "collapse": 0.05},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Slopes by pair of batch sizes and seed, from the best rate of each batch size and seed."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    best = best_rates(runs, criterion)
    finding = contrast(_slopes(best), {"slope": 1.0}, criterion.delta, measure="slope", equivalence=True)
    tables = (_table(runs, best),)
    return replace(
        finding,
        rows=_rows(runs, best),
        tables=tables,
        notes=(*_notes(runs), *_by_pair(_slopes(best), finding.estimate)),
        diverged=int(_confirmed(runs)["status"].eq("diverged").sum()),
        undecidable=_silence(runs),
    )


def best_rates(runs: pd.DataFrame, criterion: Criterion) -> pd.DataFrame:
    """One row for each ground, batch size and tuning seed, and again from every second rate (phase "half").

    `measure`: log2 of the best base rate. Without tuning runs the confirmed ones stand in, which then say nothing.
    """
    import numpy as np
    import pandas as pd

    from folklore.stats.tuning import every_second

    tuned = runs[runs["phase"] == "tune"]
    rows = []
    for (variant, arm, batch), group in (tuned if len(tuned) else runs).groupby(
        ["variant", "arm", "batch_size"], sort=False
    ):
        scores = group.pivot_table(index="replicate", columns="lr", values="val_accuracy").dropna()
        for phase, kept in (("confirm", slice(None)), ("half", every_second(scores.shape[1]))):
            rates, values = scores.columns.to_numpy()[kept], scores.to_numpy()[:, kept]
            tops = [_top(np.log2(rates / batch), v, criterion) for v in values]
            rows += [
                {
                    "variant": variant,
                    "arm": arm,
                    "batch_size": batch,
                    "phase": phase,
                    "replicate": i,
                    "measure": top,
                }
                for i, top in zip(scores.index, tops, strict=True)
            ]
    return pd.DataFrame(rows)


def _top(places: np.ndarray, scores: np.ndarray, criterion: Criterion) -> float:
    """Place of the highest score, smoothed by a parabola through its neighbours that have not collapsed."""
    import numpy as np

    best, reach = int(scores.argmax()), int(criterion.settings["around"])
    near = np.abs(np.arange(len(scores)) - best) <= reach
    kept = near & (scores >= scores[best] - criterion.settings["collapse"])
    x = places[kept] - places[best]
    if len(x) < 3:
        return float(places[best])
    a, b, _ = np.polyfit(x, scores[kept], 2)
    return float(places[best] + (np.clip(-b / (2 * a), x[0], x[-1]) if a < 0 else 0.0))


def _slopes(best: pd.DataFrame) -> pd.DataFrame:
    """One row for each ground, pair of batch sizes and seed; each batch size serves in one pair."""
    import numpy as np
    import pandas as pd

    rows = []
    for (variant, phase), group in best.groupby(["variant", "phase"], sort=False):
        wide = group.pivot_table(index="replicate", columns="batch_size", values="measure")
        batches = sorted(wide.columns)
        half = len(batches) // 2
        for low, high in zip(batches[:half], batches[-half:], strict=True):
            slopes = (wide[high] - wide[low]) / np.log2(high / low)
            labels = {"variant": variant, "phase": phase, "low": low, "high": high}
            rows += [
                {**labels, "pair": f"batch {low} to {high}", "slope": s} for s in slopes.dropna().round(9)
            ]
    frame = pd.DataFrame(rows).assign(arm="slope", status="ok", edge="", lr=float("nan"))
    return frame.assign(replicate=frame.groupby(["variant", "phase"]).cumcount())


def _confirmed(runs: pd.DataFrame, variant: str = "main") -> pd.DataFrame:
    return runs[(runs["phase"] == "confirm") & (runs["variant"] == variant)]


def _rows(runs: pd.DataFrame, best: pd.DataFrame) -> tuple[Row, ...]:
    """The slope of each pair, with what its confirmed runs tell of the tuned rates: edges and divergence."""
    from dataclasses import replace

    from folklore.stats.findings import arm_rows

    slopes = _slopes(best)
    pairs = {(s.variant, s.pair): (s.low, s.high) for s in slopes.itertuples()}

    def told(row: Row) -> Row:
        mine = _confirmed(runs, row.variant)
        mine = mine[mine["batch_size"].isin(pairs[row.variant, row.arm])]
        edges = ", ".join(sorted({str(edge) for edge in mine["edge"] if edge}))
        return replace(row, diverged=int(mine["status"].eq("diverged").sum()), edge=edges)

    return tuple(told(row) for row in arm_rows(slopes.assign(arm=slopes["pair"], measure=slopes["slope"])))


def _silence(runs: pd.DataFrame) -> str:
    """Why these runs can decide nothing, if so."""
    tuned = runs[(runs["phase"] == "tune") & (runs["variant"] == "main")]
    if tuned["lr"].nunique() < 2:
        return "There are no tuning runs to find a best rate in."
    if (
        tuned.groupby("arm")["val_accuracy"].agg("max") == tuned.groupby("arm")["val_accuracy"].agg("min")
    ).any():
        return "At some batch size every rate scored the same."
    return ""


def _notes(runs: pd.DataFrame) -> tuple[str, ...]:
    import numpy as np

    tuned = _confirmed(runs).drop_duplicates("arm")
    slope = float(np.polyfit(np.log2(tuned["batch_size"]), np.log2(tuned["lr"] / tuned["batch_size"]), 1)[0])
    note = (
        "A rate proportional to the batch has slope 0, one proportional to its square root -.5. Least squares "
        f"through the rates that tuning chose give {slope:+.2f}: a rate proportional to the batch to the power {1 + slope:.2f}."
    )
    edges = tuned[tuned["edge"] != ""]
    flagged = ", ".join(f"batch {r.batch_size} ({r.edge} end)" for r in edges.itertuples())
    said = f"The best learning rate still sat at an end of its widened grid for {flagged}."
    return (note, said) if flagged else (note,)


def _by_pair(slopes: pd.DataFrame, found: Estimate) -> tuple[str, ...]:
    """The slope over the pairs' means: slopes of one pair share its bend, so they are not as independent as their number says."""
    import numpy as np

    from folklore.stats.estimates import t_interval

    mine = slopes[(slopes["variant"] == "main") & (slopes["phase"] == "confirm")]
    means = mine.groupby("pair")["slope"].mean().to_numpy()
    if len(means) < 2 or np.ptp(means) == 0:
        return ()
    few, all_of_them = (
        f"{low:+.2f} to {high:+.2f}" for low, high in (t_interval(means, 0.9), found.interval90)
    )
    return (
        f"The {len(mine)} slopes are those of {len(means)} pairs of batch sizes, each with as many seeds, and "
        f"pairs may differ by more than seeds do. 90 % interval over the means of the pairs (n = {len(means)}): {few}; over "
        f"all slopes, which decides: {all_of_them}.",
        *_bent({pair: group.to_numpy() for pair, group in mine.groupby("pair", sort=False)["slope"]}),
    )


def _bent(by_pair: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Told where pairs differ from the rule in opposite ways: their mean then hides what each of them says."""
    from folklore.stats.estimates import t_interval

    above, below = [], []
    for pair, d in by_pair.items():
        low, high = t_interval(d, 0.95) if len(d) > 1 else (0.0, 0.0)
        told = f"{pair} {d.mean():+.2f} ({low:+.2f} to {high:+.2f})"
        if low > 0:
            above.append(told)
        elif high < 0:
            below.append(told)
    if not above or not below:
        return ()
    return (
        f"The relation is bent: the best rate grows faster than the batch for {' and '.join(above)}, slower for "
        f"{' and '.join(below)}. In proportion is what it does on average over this range, not at each place of it.",
    )


def _table(runs: pd.DataFrame, best: pd.DataFrame) -> Table:
    """The best rates by batch size, and what it costs to carry the base rate of batch 32 over to another batch."""
    from folklore.stats.findings import Table

    chosen = _confirmed(runs).drop_duplicates("arm").set_index("batch_size")["lr"]
    base = chosen.get(32, float("nan")) / 32
    tuned = runs[(runs["phase"] == "tune") & (runs["variant"] == "main")]
    mine = best[(best["variant"] == "main") & (best["phase"] == "confirm")]
    rows = []
    for batch, group in mine.groupby("batch_size"):
        tops, scores = (
            2 ** group["measure"],
            tuned[tuned["batch_size"] == batch].groupby("lr")["val_accuracy"].mean(),
        )
        accuracies = (_score_near(scores, rate) for rate in (chosen[batch], base * batch))
        rows.append(
            (
                f"batch {batch}",
                f"{2 ** group['measure'].mean():.2g}",
                f"{tops.min():.2g} to {tops.max():.2g}",
                *accuracies,
            )
        )
    return Table(
        "Best base rate (rate / batch) by batch size, mean over tuning seeds and extremes; validation accuracy "
        "in percent at the tuned rate and at the base rate tuned for batch 32.",
        ("arm", "best base rate", "seeds", "at the tuned rate", "at that of batch 32"),
        tuple(rows),
    )


def _score_near(scores: pd.Series, rate: float) -> str:
    """Mean score at the measured rate within a quarter of an octave, where there is one."""
    import numpy as np

    away = np.abs(np.log2(scores.index.to_numpy(dtype=float) / rate))
    near = away <= away.min(initial=0.26)
    return f"{100 * scores.to_numpy()[near][0]:.1f}" if near.any() else "rate not tried"


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Validation accuracy by base rate, and the best base rate by batch size beside two rules."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(8.2, ncols=2, width_ratios=(1.1, 1))
    best = best_rates(runs, CRITERION)
    best = best[(best["variant"] == "main") & (best["phase"] == "confirm")]
    _curves(left, runs)
    claims.legend_above(left, columns=3)
    means = _best(right, best)
    claims.legend_above(right, columns=1)
    said = ", ".join(f"{2**place:.2g} at batch {batch}" for batch, place in means.items())
    e = finding.estimate
    return fig, (
        "Left: validation accuracy against base rate (rate / batch) for each batch size. Right: best base rate "
        f"against batch size on logarithmic axes: {said}; mean slope {e.effect:+.2f} octaves a doubling "
        f"(95 % interval {e.interval[0]:+.2f} to {e.interval[1]:+.2f})."
    )


def _curves(ax: Axes, runs: pd.DataFrame) -> None:
    from folklore.figures import claims

    tuned = runs[(runs["phase"] == "tune") & (runs["variant"] == "main")]
    names = [f"batch {b}" for b in sorted(set(tuned["batch_size"]))]
    colours, markers = claims.arm_colours(names), claims.arm_markers(names)
    for name, (batch, group) in zip(names, tuned.groupby("batch_size"), strict=True):
        means = 100 * group.groupby("lr")["val_accuracy"].mean()
        ax.plot(
            means.index / batch, means, color=colours[name], marker=markers[name], markersize=3, label=name
        )
    ax.set_xscale("log", base=2)
    ax.set_xlabel("base rate: learning rate / batch size")
    ax.set_ylabel("validation accuracy (%)")


def _best(ax: Axes, best: pd.DataFrame) -> pd.Series:
    """Seeds as marks, means joined, and both rules through the middle of the means. Returns the means (log2)."""
    import numpy as np

    from folklore.figures import style

    ax.plot(best["batch_size"], 2 ** best["measure"], "o", color=style.INK, markersize=3, alpha=0.5)
    means = best.groupby("batch_size")["measure"].mean()
    ax.plot(means.index, 2**means, "D-", color=style.INK, label="best, mean over seeds")
    x, middle = np.log2(means.index.to_numpy(dtype=float)), means.mean()
    for slope, dashes, name in ((0.0, "--", "linear rule"), (-0.5, ":", "square-root rule")):
        ax.plot(2**x, 2 ** (middle + slope * (x - x.mean())), dashes, color=style.MUTED, label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xlabel("batch size")
    ax.set_ylabel("best base rate")
    return means
