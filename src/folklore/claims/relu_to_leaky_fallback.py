"""If a net of ReLUs dies, take leaky ReLU

A dead ReLU net says the same of every input, and no gradient passes its dead layer: nothing that is done to its
learning rate can wake it. A leaky ReLU lets a hundredth of the gradient through below zero, so the lecture's
advice is to start with ReLU and to change to leaky ReLU if the net dies.

Nets were made to die: 400 updates at a rate of .32, sixteen times the middle one of those that are tried when a
rate is tuned. From the dead net, 2,000 more updates are made with leaky ReLU or with ReLU again, at a rate that
is tuned for each; for ReLU this is the other remedy, a lower rate. Only nets that had died count, and both arms
have the same ones. The verdict is about this recovery.

But nobody has to keep a dead net. The same two activations are also started afresh at their tuned rates, and
all four arms are tried once more at the rate that kills. There, nothing but the activation is changed, which is
the advice at its word; and a leaky ReLU, which has no way to die, has no protection from divergence, either.
The table holds all eight cases, and a robustness row compares the recovered net with a fresh ReLU net at a
lower rate.

Supported means: leaky ReLU takes a dead net to a better test accuracy than ReLU does, by an amount not shown to
be below 1 point. It does not mean that it is the best thing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust, Table

CLAIM = Claim(
    kind="S",
    family="activations",
    lectures=(2,),
    paper="The lecture names none. Leaky ReLU: Maas, Hannun & Ng 2013",
    reported="an advice without a figure; Maas and colleagues saw no gain in accuracy over ReLU on speech",
    limits="Nets that died of a high rate, without norm, with SGD and momentum. A unit here and there that dies is "
    "another matter (see dying-relu), and so is a net that was started with a bad bias.",
    headline=False,
)
LEAKY, RELU = "leaky ReLU from the dead net", "ReLU from the dead net"
FRESH_LEAKY, FRESH_RELU = "leaky ReLU afresh", "ReLU afresh"
ARMS = (LEAKY, RELU, FRESH_LEAKY, FRESH_RELU)
DEADLY, KEPT = 0.32, "the deadly rate kept"
_FRESH = (
    {"label": FRESH_LEAKY, "activation": "leaky_relu", "init": "he_normal"},
    {"label": FRESH_RELU, "activation": "relu", "init": "he_normal"},
)
_DEAD = {"procedure": "fallback-32", "updates": 2400, "probe": "dead"}
_CELLS = (_FRESH[0] | _DEAD | {"label": LEAKY}, _FRESH[1] | _DEAD | {"label": RELU}, *_FRESH)

# Pilot (seeds 20000 up): after 400 updates at .32 17 of 19 ReLU nets say the same of every validation row, none has diverged.
# From there 2,000 updates of leaky ReLU give a validation accuracy of .39 to .50 at .01 (spread .045); at .02 and above some diverge, at
# .16 and .32 all. ReLU stays at .10 at any rate. Afresh at .32 leaky ReLU diverges in 3 of 3 runs, ReLU dies in 3 of 3. For an
# effect of this size the usual 32 replicates are plenty, even if half of them do not count. The fresh tuned arms are those of
# activation-choice-minor, and not counted in `seconds`.
DESIGN = Study(
    name="relu-to-leaky-fallback",
    title="What to do with a dead ReLU net",
    cells=_CELLS,
    fixed={"optimizer": "momentum"},
    updates=2000,
    seconds=34,
    variants=(
        Variant(
            KEPT,
            study={
                "cells": tuple(cell | {"lr": DEADLY, "probe": "dead"} for cell in _CELLS),
                "replicates": 12,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="Of nets that died in 400 updates at a rate of .32: test accuracy after 2,000 more updates with leaky ReLU "
    "minus that with ReLU, each at its tuned rate, is above 0 (95 % interval) and not negligible (90 % interval not "
    "within 1 point). Undecidable if fewer than half of the nets died.",
    metric="test accuracy from the dead net, leaky ReLU minus ReLU",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.045,
    settings={"least_dead": 0.5},
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Recovery from the dead net by either activation; fresh starts beside it."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    alive = _alive(runs, criterion.settings["least_dead"])
    counted = runs[~alive]
    finding = contrast(counted, {LEAKY: 1.0, RELU: -1.0}, criterion.delta)
    main = counted[counted["variant"] == "main"]
    others = {
        "recovered leaky against fresh ReLU": {LEAKY: 1.0, FRESH_RELU: -1.0},
        "both afresh": {FRESH_LEAKY: 1.0, FRESH_RELU: -1.0},
    }
    rows = tuple(_row(main, name, weights, criterion.delta) for name, weights in others.items())
    died, nets = _deaths(runs[runs["variant"] == "main"])
    few = "" if died >= criterion.settings["least_dead"] * nets else "Fewer than half of the nets died."
    return replace(
        finding,
        robustness=(*finding.robustness, *rows),
        tables=(_by_arm(runs),),
        notes=(f"{died} of {nets} nets were dead after the first part.", *finding.notes),
        undecidable=finding.undecidable or few,
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    from folklore.figures.panels import tuning_and_scores

    names = {arm: arm.replace(" from ", ",\nfrom ").replace(" afresh", ",\nafresh") for arm in ARMS}
    figure, said = tuning_and_scores(runs, finding, names, arms=ARMS, columns=2)
    return figure, said.replace("\n", " ")


def _died(runs: pd.DataFrame) -> pd.Series:
    """1 for a net that had died, 0 for one that had not, 1 where nobody looked: a fresh net has nothing to die of beforehand."""
    from folklore.stats.findings import measured

    return measured("died")(runs).fillna(1.0)


def _deaths(runs: pd.DataFrame) -> tuple[int, int]:
    """Dead nets, and all, among those that were to die."""
    mine = runs[(runs["phase"] == "confirm") & (runs["arm"] == LEAKY)]
    return int(_died(mine).sum()), len(mine)


def _alive(runs: pd.DataFrame, least: float) -> pd.Series:
    """Runs that do not count, since their net had not died; none on a ground where few had, which decides nothing anyway."""
    few = []
    for variant, mine in runs.groupby("variant"):
        died, nets = _deaths(mine)
        few += [variant] * (died < max(2, least * nets))
    return (_died(runs) == 0) & ~runs["variant"].isin(few)


def _row(runs: pd.DataFrame, label: str, weights: dict[str, float], delta: float) -> Robust:
    from folklore.stats.findings import Robust, contrast

    found = contrast(runs, weights, delta)
    return Robust(label, found.verdict(delta, None), found.estimate)


def _by_arm(runs: pd.DataFrame) -> Table:
    """All cases: activation, start and rate."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[runs["phase"] == "confirm"]
    confirmed = confirmed.assign(died=measured("died")(confirmed), dead=measured("dead_net")(confirmed))
    rows = [
        (
            arm,
            f"{group['lr'].iloc[0]:.3g}" + {"main": "", KEPT: " (deadly)"}.get(variant, f" ({variant})"),
            f"{int(group['died'].sum())} of {len(group)}" if group["died"].notna().any() else "",
            f"{int(group['dead'].sum())} of {len(group)}" if group["dead"].notna().any() else "",
            int((group["status"] == "diverged").sum()),
            f"{100 * group['test_accuracy'].mean():.1f}",
        )
        for (variant, arm), group in confirmed.groupby(["variant", "arm"], sort=False)
    ]
    return Table(
        "All cases, nets that had not died included. Dead: says the same of every validation row, after the first part "
        "and at the end.",
        ("arm", "rate", "dead before", "dead at the end", "diverged", "test accuracy (%)"),
        tuple(rows),
    )
