"""With batch normalisation, use less dropout

Both add noise: dropout on purpose, batch normalisation through the accidents of each batch. With the one in
place, one lecture says, the other should be turned down. An often quoted benchmark of CaffeNet variants with
batch normalisation shows a small optimum at a dropout rate of .2.

That is an interaction: what a dropout rate of .5 brings without batch normalisation minus what it brings
with it, on 1,024 training rows, all four arms with their own tuned rates. The claim predicts that this is
above zero.

There is a trap. For nets of 100 units a layer a rate of .5 is an overdose, with batch normalisation and without.
The contrast then measures how much normalisation softens the overdose, and a reversed one does not mean that more
dropout is in order with it. So the same contrast at a rate of .2 is a row of its own, and a note has the rates
that validate best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import difference, preferred
from folklore.claims.base import Claim, Criterion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Robust

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(2,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, sec. 4.2.1; Mishkin et al. 2017, arXiv:1606.02228 "
    "(caffenet-benchmark)",
    reported="CaffeNet128 with BN, dropout .5, .2, 0: accuracy .499, .527, .513.",
    limits="One width, one budget, one data size. The verdict is about a rate of .5, too much for these nets: how BN "
    "softens an overdose, not which rate is best. The L2 half of the lecture's advice is not part of this test.",
)

DESIGN = "dropout"

CRITERION = Criterion(
    text="(dropout .5 minus 0 without batch normalisation) minus (dropout .5 minus 0 with it) in test "
    "accuracy, 1,024 rows, all arms tuned; smallest effect of interest 1 point.",
    metric="gain by dropout without BN minus with BN, test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.02,
)
NORMS = {"without BN": "", "with BN": " BN"}


def _gain(rate: str, norm: str) -> dict[str, float]:
    """Weights of this rate against none, both with the same normalisation."""
    return {f"n=1024 dropout={rate}{norm}": 1.0, f"n=1024 dropout=0{norm}": -1.0}


def _interaction(rate: str) -> dict[str, float]:
    """Weights of the gain by this rate without batch normalisation minus the gain with it."""
    return _gain(rate, "") | {arm: -weight for arm, weight in _gain(rate, " BN").items()}


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The interaction at a rate of .5; at the milder rate as a row; the rates that validate best."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    mine = runs[runs["n_train"] == 1024]
    finding = contrast(mine, _interaction("0.5"), criterion.delta)
    main = mine[mine["variant"] == "main"]
    return replace(
        finding,
        robustness=(*finding.robustness, _milder(main, criterion.delta)),
        notes=(_gains(main), _best(main), *finding.notes),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Tuning curves and test accuracy of all rates, without and with batch normalisation."""
    from folklore.figures.panels import tuning_and_scores

    main = runs[(runs["variant"] == "main") & (runs["n_train"] == 1024)]
    arms = list(dict.fromkeys(main["arm"]))
    names = {arm: arm.replace("n=1024 ", "").replace("dropout=", "dropout ") for arm in arms}
    return tuning_and_scores(main, finding, names, arms=arms, columns=2)


def _milder(main: pd.DataFrame, delta: float) -> Robust:
    """The same contrast at a rate of .2."""
    from folklore.stats.findings import Robust, contrast

    found = contrast(main[main["phase"] == "confirm"], _interaction("0.2"), delta)
    return Robust("rate .2 instead of .5", found.verdict(delta, None), found.estimate)


def _gains(main: pd.DataFrame) -> str:
    """Whether the rate of .5 helps or harms at all."""
    scored = main[main["phase"] == "confirm"].assign(measure=lambda frame: 100 * frame["test_accuracy"])
    gains = (f"{difference(scored, _gain('0.5', norm))} {name}" for name, norm in NORMS.items())
    return f"A rate of .5 brings, in points, {', '.join(gains)}."


def _best(main: pd.DataFrame) -> str:
    rates = ("0", "0.2", "0.5")
    best = (
        f"{preferred(main, [f'n=1024 dropout={rate}{norm}' for rate in rates]).split()[1]} {name}"
        for name, norm in NORMS.items()
    )
    return f"Best mean validation accuracy at {', '.join(best)}."
