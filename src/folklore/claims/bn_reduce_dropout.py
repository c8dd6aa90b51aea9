"""With batch normalisation, use less dropout

Both add noise: dropout on purpose, batch normalisation through the accidents of each batch. With the one in
place, the lectures say, the other should be turned down. An often quoted benchmark of CaffeNet variants
with batch normalisation shows a small optimum at a dropout rate of .2.

That is an interaction: what a dropout rate of .5 brings without batch normalisation minus what it brings
with it, on 1,024 training rows, all four arms with their own tuned rates. The claim predicts that this is
above zero. The table shows all three rates, so that the best rate with and without can be read off.
"""

from folklore.claims.base import Claim, Criterion

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(2,),
    paper="Ioffe & Szegedy 2015, arXiv:1502.03167, sec. 4.2.1; Mishkin et al. 2017, arXiv:1606.02228 "
    "(caffenet-benchmark)",
    reported="CaffeNet128 with BN, dropout .5, .2, 0: accuracy .499, .527, .513.",
    limits="One width, one budget, one data size. The L2 half of the lecture's advice is not part of this "
    "test.",
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
WEIGHTS = {
    "n=1024 dropout=0.5": 1.0,
    "n=1024 dropout=0": -1.0,
    "n=1024 dropout=0.5 BN": -1.0,
    "n=1024 dropout=0 BN": 1.0,
}


def judge(runs, criterion):
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(runs[runs["n_train"] == 1024], WEIGHTS, criterion.delta)
    means = {r.arm: r.mean for r in finding.rows if r.variant == "main" and r.mean is not None}
    best = {bn: max((a for a in means if a.endswith(" BN") == bn), key=means.get) for bn in (False, True)}
    note = (
        f"Best mean test accuracy without BN at {best[False].split()[1]}, with BN at {best[True].split()[1]}."
    )
    return replace(finding, notes=(note, *finding.notes))


def plot(runs, finding):
    from folklore.figures.panels import tuning_and_scores

    main = runs[(runs["variant"] == "main") & (runs["n_train"] == 1024)]
    arms = list(dict.fromkeys(main["arm"]))
    names = {arm: arm.replace("n=1024 ", "").replace("dropout=", "dropout ") for arm in arms}
    return tuning_and_scores(main, finding, names, arms=arms, columns=2)
