"""Stop training when the validation score begins to fall

A net that trains on and on fits its training rows ever more closely, and from some update on what it learns holds
for those rows alone. The rule: watch the accuracy on validation rows, and keep the weights with which it was best.

There are two traps. What is often shown is the validation loss, and it does rise; but the loss punishes confident
errors, and grows when a net becomes surer of the same mistakes. Accuracy need not fall with it. So test accuracy
decides here, and the loss is shown beside. And a net that is picked by validation rows looks good on them, so it
is judged on test rows, which nobody has picked by, and its rate is tuned on the other half of the validation rows.

Nets are trained on 1,024 rows of MNIST-1D for 4,000 updates, 125 epochs, long after the training rows are
fitted. One arm ends with its last weights; the other with those of its best validation accuracy, measured 50 times
on the way. Each has its own tuned rate. Stopping at the lowest validation loss, which comes much sooner, is a row
of its own, at the rate that was tuned for stopping by accuracy. So is the same comparison where a fifth of the
training labels are random: a net that has learnt those by heart has something to lose.

Supported means: early stopping has the better test accuracy, by an amount not shown to be below 1 point. Refuted
as negligible, a rule with finite patience would still save time; the runs here all go on to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import mean_text
from folklore.claims.base import Claim, Criterion
from folklore.grid import Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from folklore.stats.findings import Finding, Table

CLAIM = Claim(
    kind="S",
    family="regularisation",
    lectures=(1, 2, 3),
    paper="Prechelt 1998, Early Stopping - But When?; Goodfellow, Bengio & Courville 2016, section 7.8",
    reported="Prechelt: slower criteria of stopping generalise a little better, a few percent of the error, and take "
    "several times as long.",
    limits="Stopping looks back over the whole run, which is endless patience; one that stops at the first bad sign "
    "sees less of it. Stopping by loss has no tuned rate of its own. 1,000 rows to choose by, as many as are trained on.",
    headline=False,
)
END, STOPPED, NOISY = "to the end", "early stopping", "20 % random labels"
# Pilot (seeds 20000, 20001, rates .05 to .2, 8,000 updates). Training rows are fitted after 500 to 1,400 updates. Best validation
# accuracy at 640 to 1,760 updates at the larger rates, anywhere up to the end on a plateau; lowest validation loss at 160 to 320.
# Accuracy on the second half .40 to .42 (.31 to .35 with random labels), best rate .2, spread of an arm .004 to .013. Accuracy on all
# validation rows after 4,000 updates .417 at the end, after 8,000 .422 with the best weights.
DESIGN = Study(
    name="early-stopping",
    title="The best weights by validation, and the last",
    cells=({"label": END, "procedure": "once"}, {"label": STOPPED, "procedure": "early_stopping"}),
    fixed={"optimizer": "sgd", "n_train": 1024, "probe": "second_half"},
    updates=4000,
    tune_on="second_half_accuracy",
    seconds=43,
    variants=(Variant(NOISY, fixed={"view": "random_labels-20"}, study={"replicates": 16}),),
)
CRITERION = Criterion(
    text="Test accuracy of the weights with the best validation accuracy minus that of the last weights, each arm "
    "tuned on validation rows that nothing was stopped by, is above 0 (95 % interval) and not negligible (90 % "
    "interval not within 1 point).",
    metric="test accuracy, early stopping against the last weights",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.01,
)


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """Best minus last; stopping by loss as a row, and all three in one run as a table."""
    from dataclasses import replace

    from folklore.stats.findings import Robust, contrast

    weights = {STOPPED: 1.0, END: -1.0}
    finding = contrast(runs, weights, criterion.delta)
    main = runs[runs["variant"] == "main"]
    other = contrast(main, weights, criterion.delta, measure=_stopped_by_loss)
    row = Robust("by validation loss, same rate", other.verdict(criterion.delta, None), other.estimate)
    return replace(finding, robustness=(*finding.robustness, row), tables=(_within_runs(runs),))


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Validation accuracy by update, and the effect on every ground."""
    from folklore.figures import claims, style

    style.apply()
    figure, (left, right) = style.new(7.0, ncols=2)
    grounds = {"main": "true labels", NOISY: NOISY}
    colours = claims.arm_colours(grounds)
    for variant, name in grounds.items():
        label, colour = {END: name}, {END: colours[variant]}
        look = {"steps": "val_step", "values": "val_curve", "scale": 100, "log": False}
        claims.loss_curves(
            left,
            runs,
            [END],
            variant=variant,
            names=label,
            colours=colour,
            ylabel="validation accuracy (%)",
            **look,
        )
    for line, dashes in zip(left.lines, ("-", "--"), strict=False):
        line.set_linestyle(dashes)
    claims.legend_above(left, 2)
    claims.effects(right, finding, CRITERION.delta, xlabel="gain by early stopping (points)")
    return figure, (
        "Left: validation accuracy by update of nets that train to the end, median of the replicates with a band of "
        "80 % of them, with true labels and with a fifth of them random. Right: gain in test accuracy by early "
        f"stopping with 95 % intervals; {claims.rows_in_words(finding.rows)}."
    )


def _stopped_by_loss(runs: pd.DataFrame) -> pd.Series:
    """Test accuracy, of a stopped run at its lowest validation loss; as scored where it was not measured or diverged."""
    from folklore.stats.findings import measured

    found = measured("by_loss_test_accuracy")(runs)
    stopped = (runs["arm"] == STOPPED) & (runs["status"] != "diverged") & found.notna()
    return found.where(stopped, runs["test_accuracy"])


def _within_runs(runs: pd.DataFrame) -> Table:
    """The runs of the stopped arm at three points: where they stopped, at the lowest validation loss, and at the end."""
    from folklore.stats.findings import Table, measured

    confirmed = runs[(runs["phase"] == "confirm") & (runs["arm"] == STOPPED) & (runs["status"] != "diverged")]
    rows = []
    for variant, group in confirmed.groupby("variant", sort=False):
        updates = group["updates"].astype(float)
        points = {
            "best validation accuracy": (
                measured("stopped_at")(group),
                group["test_accuracy"],
                group["test_loss"],
            ),
            "lowest validation loss": tuple(
                measured(f"by_loss_{what}")(group) for what in ("stopped_at", "test_accuracy", "test_loss")
            ),
            "the end": (updates, *(measured(f"final_test_{what}")(group) for what in ("accuracy", "loss"))),
        }
        rows += [
            (
                "true labels" if variant == "main" else variant,
                name,
                *(
                    mean_text(values, form)
                    for values, form in zip(found, (",.0f", ".1%", ".2f"), strict=True)
                ),
            )
            for name, found in points.items()
        ]
    return Table(
        "Within the runs of the arm that stops, at the rate tuned for its accuracy: the update, and accuracy and loss on the test rows there.",
        ("labels", "weights of", "update", "test accuracy", "test loss"),
        tuple(rows),
    )
