"""Regularisers all act alike

Dropout, L2, L1 and stopping early look different, yet one lecture finds their effects similar. It names two
theorems: to first order dropout is an L2 penalty on rescaled features, and for a linear model with squared error
stopping early is an L2 penalty. If that carries over to nets, it should not matter which of them one uses, once
each is tuned.

Tuned is the word that decides: a weak penalty beside a well chosen one would show a difference that is one of
effort. Each of the four gets three strengths, and each strength its own seven learning rates: dropout, L2 and L1
around the best one of the first runs. For early stopping the strength is the number of updates, up to three quarters of
what the plain net makes. The strength is chosen on validation data before the test set is
read; a note says where it lies at an end. There are 1,024 training rows, which the plain net learns by heart.

Alike is a statement about size, so the roles are swapped: the claim is supported when all six pairs are shown to
differ by less than 1 point, and refuted when the pair that lay furthest apart in a pilot is shown to differ, and
not shown to differ by less than 1 point. A table shows what each of them brings over no regulariser at all: things
that do nothing are alike, too, and would prove nothing.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from folklore.claims._contrasts import preferred
from folklore.claims._penalties import L1, L2, choices, difference_of, l1_arm, l2_arm, labels, test_accuracy
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(2,),
    paper="Wager, Wang & Liang 2013, arXiv:1307.1493 (dropout); Goodfellow, Bengio & Courville 2016, section 7.8 "
    "(early stopping)",
    reported="Dropout is an L2 penalty to first order in generalised linear models, early stopping one for quadratic "
    "losses. For nets the likeness is an analogy.",
    limits="Alike in test accuracy: what the weights look like is not compared. Early stopping is a number of updates "
    "chosen on validation data, the same for all replicates; stopping each run by its own curve is another claim. "
    "As each number of updates has its own tuned rate, a shorter run may make up for it with a larger one: it is not the plain "
    "net stopped on its way.",
    headline=False,
)
NONE = "none"
_WEIGHTS = {"probe": "weights"}
_KINDS = {
    "dropout": tuple({"label": f"dropout {rate}", "dropout": float(rate)} for rate in (".1", ".2", ".5")),
    "L2": tuple(l2_arm(strength, **_WEIGHTS) for strength in L2),
    "L1": tuple(l1_arm(strength, **_WEIGHTS) for strength in L1),
    "early stopping": tuple({"label": f"{n:,} updates", "updates": n} for n in (500, 1000, 1500)),
}
ARMS = {kind: labels(arms) for kind, arms in _KINDS.items()}
# Pilot (seeds 20000 and 20001, rates .05 to .4), best validation accuracies: dropout .478, .497, .269 at .1, .2, .5; L2 .440,
# .488, .465 at .003, .01, .03; L1 .441, .499, .424 at .0003, .001, .004; 250, 500 and 1,000 updates .362, .439, .452; none .417.
# L1 and early stopping were furthest apart. Spread of the pairs' differences (seeds 20020 to 20027) .020 to .030 on 2,000 validation
# rows, less on 10,000 test rows; hence 64 replicates. L2 and L1 are runs of l2-first, dropout .2 and .5 and none those of
# dropout-generalises: `seconds` counts the rest.
# In the first runs L2 .003, the weakest then, was best, and stopping after 1,000 of the 2,000 updates, the latest, like no stopping.
# In 64 replicates the spread was .023, hence 100, planned from that spread alone for a power of .8 at 1 point.
# In 100 replicates the spread was .029, hence 152, planned from that spread alone for a power of .8 at 1 point, corrected.
DESIGN = Study(
    name="regularisers-similar",
    title="Four regularisers, each tuned",
    cells=({"label": NONE}, *(arm for arms in _KINDS.values() for arm in arms)),
    fixed={"optimizer": "sgd", "n_train": 1024},
    updates=2000,
    replicates=152,
    seconds=200,
)
FURTHEST = ("L1", "early stopping")  # in the pilot
CRITERION = Criterion(
    text="The 90 % intervals of the difference in test accuracy lie within 1 point for all six pairs of dropout, L2, L1 and "
    "early stopping, each at its strength of best mean validation accuracy, 1,024 rows (p: the largest of the pairs' two "
    "one-sided tests). Refuted: the 95 % interval of L1 minus early stopping excludes 0 and is not within 1 point.",
    metric="test accuracy, L1 minus early stopping",
    unit="points",
    delta=0.01,
    scale=100,
    equivalence=True,
    pilot_sd=0.022,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The pair furthest apart in the pilot; the p-value is that of the pair furthest apart now."""
    from dataclasses import replace

    from folklore.stats.estimates import equivalence_p
    from folklore.stats.findings import contrast, differences

    chosen = {kind: preferred(runs[runs["variant"] == "main"], arms) for kind, arms in ARMS.items()}

    def test(mine: pd.DataFrame) -> float:
        pairs = [differences(mine, {a: 1.0, b: -1.0}) for a, b in combinations(chosen.values(), 2)]
        return max(equivalence_p(d, criterion.delta) if len(d) > 1 else 1.0 for d in pairs)

    one, other = (chosen[kind] for kind in FURTHEST)
    finding = contrast(runs, {one: 1.0, other: -1.0}, criterion.delta, equivalence=True, test=test)
    note = choices({"main": list(chosen.values())}, {"main": list(ARMS.values())})
    return replace(finding, tables=(_pairs(runs, chosen),), notes=(note, *finding.notes))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """The strengths that validate best, and none."""
    from folklore.figures.panels import tuning_and_scores

    main = runs[runs["variant"] == "main"]
    arms = [NONE, *(preferred(main, of_kind) for of_kind in ARMS.values())]
    return tuning_and_scores(runs, finding, arms=arms, columns=2)


def _pairs(runs: pd.DataFrame, chosen: Mapping[str, str]) -> Table:
    """Every kind against none, and every pair."""
    from folklore.stats.findings import Table

    main = runs[runs["variant"] == "main"]
    against = [(kind, NONE, chosen[kind], NONE) for kind in chosen]
    pairs = [(a, b, chosen[a], chosen[b]) for a, b in combinations(chosen, 2)]
    rows = tuple(
        (f"{a} minus {b}", difference_of(main, {one: 1.0, other: -1.0}, test_accuracy, 100))
        for a, b, one, other in (*against, *pairs)
    )
    return Table(
        "Each regulariser at its chosen strength against none and against the others, in points of test accuracy with "
        "95 % interval.",
        ("pair", "difference"),
        rows,
    )
