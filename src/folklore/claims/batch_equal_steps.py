"""With tuned rates and equal steps the batch size does no harm

Shallue and colleagues trained 168,160 models on 35 workloads and found no evidence that large batches harm
the test error, once the rates are tuned for each batch size and training is given enough steps. On this
view the harm that others saw came from equal epochs, in which a large batch makes fewer updates, or from
rates carried over from another batch size.

This is the counter-position to the small-batch claim, so it is tested with the same care: a batch of 32 and
one of 256 make the same number of updates, with rates tuned for each, dropout against overfitting, and a
rate that decays in steps so that both settle.

The claim predicts no difference, so the burden is reversed: it is supported when the whole 90 % interval of
the difference lies within one point either way. Equal steps give the large batch eight times as many
samples, so if anything it should gain.
"""

from folklore.claims.base import Claim, Criterion
from folklore.grid import Rates, Study, Variant

CLAIM = Claim(
    kind="S",
    family="batch-size",
    lectures=(1,),
    paper="Shallue et al. 2019, JMLR 20(112)",
    reported="No evidence that larger batches degrade the out-of-sample error when metaparameters are "
    "tuned and steps suffice.",
    limits="Two batch sizes, one budget, a small MLP. Equivalence within a point says nothing of smaller "
    "differences.",
)

DESIGN = Study(
    name="batch-equal-steps",
    factors={"batch_size": (32, 256)},
    fixed={"optimizer": "sgd", "dropout": 0.2, "schedule": "step"},
    updates=4500,
    half_replicates=8,
    seconds=267,
    variants=(
        Variant(
            "fashion_mnist",
            fixed={"data": "fashion_mnist", "n_train": 8192},
            study={
                "updates": 1000,
                "rates": Rates(count=5),
                "tuning_seeds": 2,
                "replicates": 12,
            },
        ),
    ),
)

CRITERION = Criterion(
    text="Test accuracy at batch 32 minus that at batch 256, equal updates; equivalence within 1 point "
    "either way.",
    metric="test accuracy",
    unit="points",
    delta=0.01,
    scale=100,
    equivalence=True,
    pilot_sd=0.012,
)


def judge(runs, criterion):
    from dataclasses import replace

    from folklore.stats.findings import contrast

    finding = contrast(
        runs, {"batch_size=32": 1.0, "batch_size=256": -1.0}, criterion.delta, equivalence=True
    )
    if finding.estimate.effect < 0:
        note = "Whatever difference there is favours the large batch, which saw eight times as many samples."
    else:
        note = "Whatever difference there is favours the small batch."
    return replace(finding, notes=(note, *finding.notes))


def plot(runs, finding):
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, {"batch_size=32": "batch 32", "batch_size=256": "batch 256"})
