"""A big gap between the curves asks for regularisation, none for a larger net

Draw training and validation loss into one picture. Where validation lies far above training, the net has learnt its
rows by heart, and the advice is to regularise it or to get more data. Where the two run together, it has learnt all
it can hold, and the advice is to enlarge it. The curves name the remedy.

So there have to be two situations and two remedies in each. One net of 50 units a layer has 256 rows to learn from
and a gap of several units of loss; one of 8 units a layer has 4,096 rows and nearly none. Both get the remedy that
the gap names and the other one: dropout of .2 or .5, and two or four times the width. The stronger or the weaker
dose is chosen on validation data, two doses of each remedy, every arm with its own tuned rate. The claim is about
the choice, so the advice followed is compared with the advice turned round; that it also beats doing nothing is
shown in a table, and so is the gap itself.

In between the advice is put to a harder test. The common net of this report, 100 units and 4,096 rows, has a clear
gap and would gain from being larger, too: a robustness row compares the two remedies there. More data, the other
answer to a gap, needs no proof and is left out.

If the gaps are not above 1 and below .5 in the two situations, the comparison decides nothing.

Supported means: the named remedy beats the other one on average over both situations, by an amount not shown to be
below 1 point, and in each of the two taken alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, largest_p, preferred
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="procedure",
    lectures=(0, 3),
    paper="cs231n course notes, on babysitting the learning process; Goodfellow, Bengio & Courville 2016, chapter 5",
    reported="A reading of loss curves, without figures. Belkin et al. 2019, arXiv:1812.11118, object that larger nets "
    "may generalise better where the gap is already complete.",
    limits="Two extreme situations, where the reading is easy, and one remedy of each kind; how large a gap is big is "
    "left open by the lectures and is not tested.",
    headline=False,
)
GAP, FLAT, BETWEEN = "256 rows, width 50", "4,096 rows, width 8", "4,096 rows, width 100"
SITUATIONS = {GAP: (256, 50), FLAT: (4096, 8), BETWEEN: (4096, 100)}
REGULARISE, ENLARGE = ("dropout .2", "dropout .5"), ("twice as wide", "four times as wide")
REMEDIES: dict[str, tuple[float, int]] = {
    "as it is": (0.0, 1),
    **{name: (rate, 1) for name, rate in zip(REGULARISE, (0.2, 0.5), strict=True)},
    **{name: (0.0, times) for name, times in zip(ENLARGE, (2, 4), strict=True)},
}


def _cells(situation: str, remedies: tuple[str, ...] = tuple(REMEDIES)) -> tuple[dict[str, object], ...]:
    rows, width = SITUATIONS[situation]
    return tuple(
        {
            "n_train": rows,
            "width": width * REMEDIES[name][1],
            "dropout": REMEDIES[name][0],
            "label": f"{situation}, {name}",
        }
        for name in remedies
    )


# Pilot (seeds 20000 to 20003, 1,000 updates, rates .05 and .2): validation accuracy with the gap .27, with dropout .31 and
# .27, wider .285 and .29; without a gap .40, with dropout .31 and .25, wider .45 and .505.
# In 32 replicates the spread was .017, hence 48, planned from that spread alone for a power of .8 at 1 point.
DESIGN = Study(
    name="loss-curve-gap",
    title="Two remedies with and without a gap between the loss curves",
    cells=(*_cells(GAP), *_cells(FLAT)),
    fixed={"optimizer": "sgd"},
    updates=1500,
    replicates=48,
    seconds=79,
    variants=(
        Variant(
            BETWEEN,
            study={
                "cells": _cells(BETWEEN, ("as it is", REGULARISE[0], ENLARGE[0])),
                "updates": 2000,
                "replicates": 16,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="Test accuracy with the remedy that the gap names minus that with the other one (dropout against more width with "
    "256 rows and 50 units; more width against dropout with 4,096 rows and 8 units), the better of two doses by mean "
    "validation accuracy, mean of both situations, above 0 (95 % interval), not negligible (90 % interval not within 1 "
    "point), and of the same sign in each situation (p: the largest of three).",
    metric="test accuracy, named remedy minus the other",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.015,
    settings={"big": 1.0, "small": 0.5},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The named remedy minus the other over both situations; gaps and all remedies as a table."""
    from dataclasses import replace

    from folklore.stats.findings import contrast, differences

    own = runs[runs["variant"].isin(("main", BETWEEN))]  # a further ground has the arms of the main one
    chosen = {s: _chosen(own, s) for s in SITUATIONS if f"{s}, as it is" in set(own["arm"])}
    main = {arm: w / 2 for s in (GAP, FLAT) for arm, w in chosen[s].items()}
    weights = {v: chosen[v] if v in SITUATIONS else main for v in runs["variant"].unique()}

    def test(mine: pd.DataFrame) -> float:
        if mine["variant"].iloc[0] in SITUATIONS:
            return 0.0
        return largest_p([differences(mine, chosen[s]) for s in (GAP, FLAT)])

    finding = contrast(runs, weights, criterion.delta, test=test)
    table, gaps = _table(own, chosen)
    big, small = gaps[GAP] >= criterion.settings["big"], gaps[FLAT] <= criterion.settings["small"]
    silent = "" if big and small else "The gaps are not what the two situations were built to have."
    words = [arm for s in (GAP, FLAT) for arm in chosen[s]]
    return replace(
        finding,
        tables=(table,),
        notes=(f"Doses chosen on validation: {'; '.join(words)}.", *finding.notes),
        undecidable=finding.undecidable or silent,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Training loss and final validation loss of the untreated nets, and what each remedy does."""
    from folklore.figures import claims, style

    style.apply()
    fig, (left, right) = style.new(8.6, ncols=2, width_ratios=(1, 1.05))
    arms = [f"{s}, as it is" for s in (GAP, FLAT)]
    main = runs[runs["variant"] == "main"]
    colours, losses = claims.arm_colours(arms), _last_losses(main)
    claims.loss_curves(left, runs, arms, names=dict(zip(arms, (GAP, FLAT), strict=True)), colours=colours)
    for arm in arms:
        left.plot(main["updates"].min(), losses.loc[arm, "val_loss"], "D", color=colours[arm], clip_on=False)
    left.set_ylabel("training loss; mark: validation")
    claims.legend_above(left, 1)
    shown = [f"{s}, {name}" for s in (GAP, FLAT) for name in REMEDIES]
    names = {arm: arm.split(", ", 2)[2] for arm in shown}
    place = {arm: colours[f"{s}, as it is"] for s in (GAP, FLAT) for arm in shown if arm.startswith(s)}
    claims.arm_points(right, finding.rows, shown, names=names, colours=place)
    return fig, (
        "Left: training loss of both untreated nets by update, and as a mark their validation loss at the end: "
        "far above for 256 rows, close by for the narrow net. Right: test accuracy with each remedy, first "
        f"for 256 rows, then for the narrow net: {claims.rows_in_words(finding.rows)}."
    )


def _chosen(runs: pd.DataFrame, situation: str) -> dict[str, float]:
    """Weights: +1 for the better dose of the remedy that the gap names, -1 for that of the other one, by validation."""
    found = [preferred(runs, [f"{situation}, {n}" for n in doses]) for doses in (REGULARISE, ENLARGE)]
    named, other = found[::-1] if situation == FLAT else found
    return {named: 1.0, other: -1.0}


def _last_losses(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean losses of each arm at the end."""
    return runs[runs["phase"] == "confirm"].groupby("arm")[["train_loss", "val_loss"]].mean()


def _table(runs: pd.DataFrame, chosen: Mapping[str, Mapping[str, float]]) -> tuple[Table, dict[str, float]]:
    """By situation: the gap, and what either remedy adds to the untreated net; and the gaps by situation."""
    from folklore.stats.findings import Table

    losses = _last_losses(runs)
    confirmed = runs[runs["phase"] == "confirm"].assign(measure=100 * runs["test_accuracy"].astype(float))
    rows, gaps = [], {}
    for situation, weights in chosen.items():
        plain = f"{situation}, as it is"
        train, val = losses.loc[plain]
        gaps[situation] = float(val - train)
        for arm in weights:
            gain = difference(confirmed, {arm: 1.0, plain: -1.0})
            rows.append((situation, f"{train:.2f}, {val:.2f}", arm.split(", ", 2)[2], gain))
    caption = "Training and validation loss of the untreated net, and points of test accuracy that the named remedy (first) and the "
    return Table(
        caption + "other one add, with 95 % intervals.",
        ("situation", "losses", "remedy", "points added"),
        tuple(rows),
    ), gaps
