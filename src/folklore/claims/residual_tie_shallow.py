"""In a net of moderate depth, skip connections gain nothing

He and colleagues' nets of 18 layers ended at the same error with and without skips, 27.88 and 27.94 %; the gain
came with depth. They added that the residual net got there sooner. The lecture shows the two numbers side by side.

No gain is a statement about size, so the roles are swapped: the claim is supported when the data show that plain
and residual nets of 9 hidden layers differ by less than 1 point of test accuracy. Both have batch normalisation
and the same weights, the skips add none; fully connected nets and convolutional ones are trained, every arm at its
own tuned rate, and the verdict is about the mean of both kinds, neither of which may be 1 point or more apart.

Here the budget is the confounder. The paper trained until nothing moved any more; if skips only make a net faster, a
short training shows that as a gain. So the convolutional nets are also trained four times as long. How much sooner
the residual net reaches a given training loss is counted apart, at rates tuned for speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference
from folklore.claims._residual import KINDS, SHALLOW, SPEED, TARGETS, arm, confirmed, over_kinds
from folklore.claims.base import Claim, Criterion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="architecture",
    lectures=(0,),
    paper="He et al. 2016, arXiv:1512.03385, table 2 and section 4.1",
    reported="ImageNet error with 18 layers 27.94 % plain and 27.88 % with skips; the latter converges sooner.",
    limits="What is shallow depends on width and data: 9 layers of 32 units or 16 channels on 40 inputs stand for "
    "18 wide ones on images, with a shorter training at a constant rate.",
    headline=False,
)
DESIGN = "residual"  # pilots are told in plain-degradation
CRITERION = Criterion(
    text="At 9 hidden layers, with batch normalisation, the 90 % interval of test accuracy with skips minus without, "
    "each tuned, mean of fully connected and convolutional nets, lies within 1 point, and so does the mean "
    "difference of either kind. Refuted: the 95 % interval excludes 0 and is not within 1 point.",
    metric="test accuracy, with skips minus without",
    unit="points",
    delta=0.01,
    scale=100,
    equivalence=True,
    pilot_sd=0.0175,
    settings=dict(TARGETS),
)
ARMS = tuple(arm(kind, skips, SHALLOW) for kind in KINDS for skips in (False, True))


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Residual minus plain at 9 layers, and how much sooner the training loss falls."""
    from dataclasses import replace

    finding = over_kinds(runs, _gain, criterion.delta, equivalence=True)
    return replace(finding, tables=(_speed(runs, criterion),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Tuning and test accuracy of the nets of 9 layers."""
    from dataclasses import replace

    from folklore.figures.panels import tuning_and_scores

    names = {a: a.replace(f", {SHALLOW} layers", "") for a in ARMS}
    shown = replace(finding, rows=tuple(row for row in finding.rows if row.arm in ARMS))
    return tuning_and_scores(runs, shown, names, arms=ARMS, columns=2)


def _gain(kind: str) -> dict[str, float]:
    return {arm(kind, True, SHALLOW): 1.0, arm(kind, False, SHALLOW): -1.0}


def _speed(runs: pd.DataFrame, criterion: Criterion) -> Table:
    """Updates to a training loss at rates tuned for that, by kind of net; runs that never arrive count with the budget."""
    from folklore.stats.findings import Table, steps_measure

    rows = []
    for kind, words in KINDS.items():
        target = criterion.settings[kind]
        there = runs[runs["variant"] == SPEED[kind]]
        ground = SPEED[kind] if len(there) else "main"
        mine = runs[(runs["variant"] == ground) & runs["arm"].isin(_gain(kind))]
        steps = confirmed(mine, ground, steps_measure(target)(mine))
        means = (
            2 ** steps.loc[steps["arm"] == a, "measure"] for a in (arm(kind, s, SHALLOW) for s in (0, 1))
        )
        sooner = difference(
            steps, {a: -w for a, w in _gain(kind).items()}, decimals=2, otherwise="not trained"
        )
        rows.append((words, f"{target:g}", *(f"{m.mean():,.0f}" for m in means), sooner))
    return Table(
        "Updates to a training loss, tuned for speed, and the octaves (log2 of the ratio, 95 % interval) by which "
        "skips shorten the way.",
        ("nets", "training loss", "plain", "with skips", "octaves sooner"),
        tuple(rows),
    )
