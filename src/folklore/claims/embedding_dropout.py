"""For text, drop single entries of the word embeddings

A lecture shows a sentence of four words as a matrix, a column of three numbers for each word, and the same matrix
after dropout: some numbers are zero, no word is gone and no row is. A network that reads words in this way cannot
rely on a single coordinate of a single word.

The slide's arithmetic is checked on its own numbers. Four of twelve entries are zero, one in each word, and the
others stand as they were: this is dropout in its first form, which has to scale at test time, or else the mean over
all such masks is two thirds of what the test sees. That our network drops exactly these entries is checked, too.

Whether it helps is tried on made-up texts: eight different words out of 160, on ten topics that share most of their
words. Embeddings are learnt, the words' vectors are added up, and a hidden layer of 32 units reads the sum. With
1,024 texts the network without dropout learns them by heart. The rate is .2 or .5, whichever has the better
validation accuracy at its own tuned learning rate. Dropping whole words, the obvious rival, gets the same two
rates and the same choice.

Supported means: the arithmetic holds, and dropping entries has the better test accuracy than no dropout, by an
amount not shown to be below 1 point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._contrasts import preferred
from folklore.claims._dropout import ahead
from folklore.claims._exact import check, relative_error
from folklore.claims.base import Claim, Criterion, Formula
from folklore.grid import Rates, Study, Variant

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

CLAIM = Claim(
    kind="E+S",
    family="regularisation",
    lectures=(0,),
    paper="Srivastava et al. 2014, JMLR 15, section 6 (texts as bags of words)",
    reported="The slide gives an example and no figure. Srivastava and colleagues drop hidden units, too, and find a smaller "
    "gain on texts than on images.",
    limits="Made-up texts without word order, and embeddings of 32 numbers; where embeddings come trained from a "
    "large corpus, there is less to learn by heart.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            'mat(delim: "[", 0.3, 3.4, 0.5, 7.6; 0.1, 5.5, 1.2, 4.1; 4.7, 3.2, 2.9, 4.6) arrow.r mat(delim: "[", 0.3, 3.4, '
            "0, 7.6; 0, 5.5, 1.2, 0; 4.7, 0, 2.9, 4.6)",
            "of a matrix of three numbers for each of four words one number of each word becomes zero, the others stay as "
            "they are",
        ),
        Formula(
            "right",
            "EE[3/2 M dot.o X] = X",
            "over all masks of four zeros among twelve entries, three halves of what is kept is on average the matrix itself",
        ),
    ),
)
NONE, MORE = "no dropout", "four times the data"
ENTRIES = {rate: f"entries, {rate:g}" for rate in (0.2, 0.5)}
WORDS = {rate: f"whole words, {rate:g}" for rate in (0.2, 0.5)}
_PLAIN = {"label": NONE, "dropout": 0.0}
_ENTRIES = tuple({"label": label, "dropout": rate, "mask": "first"} for rate, label in ENTRIES.items())
_WORDS = tuple({"label": label, "dropout": rate, "mask": "inputs"} for rate, label in WORDS.items())
# Pilot (seeds 20000, 20001 over rates, 20010 to 20017 at the best): validation accuracy .692 without, .699 and .711 with
# entries, .694 and .686 with whole words dropped at .2 and .5; best rates .05 to .1, and .2 diverges now and then, hence
# the centre. Spread of the paired difference .012. Training loss without dropout .02 after 600 updates.
DESIGN = Study(
    name="embedding-dropout",
    title="Dropout on embeddings of words",
    cells=(_PLAIN, *_ENTRIES, *_WORDS),
    fixed={
        "data": "bag_of_words",
        "model": "bag",
        "width": 32,
        "depth": 2,
        "n_train": 1024,
        "optimizer": "sgd",
    },
    updates=600,
    rates=Rates(center=0.05),
    seconds=30,
    variants=(
        Variant(
            MORE,
            fixed={"n_train": 4096},
            study={
                "cells": (_PLAIN, *_ENTRIES),
                "rates": Rates(count=5, center=0.05),
                "tuning_seeds": 2,
                "replicates": 16,
            },
        ),
    ),
)
CRITERION = Criterion(
    text="The slide's second matrix is the first times a mask of zeros and ones, and the network adds up the same numbers "
    "(relative error 1e-6); and test accuracy with entries dropped at .2 or .5, whichever has the better mean validation "
    "accuracy, minus that without dropout, 1,024 texts, all tuned, is above 0 (95 % interval) and not negligible (90 % "
    "interval not within 1 point).",
    metric="test accuracy, entries dropped minus none",
    unit="points",
    delta=0.01,
    scale=100,
    pilot_sd=0.0125,
    settings={"tolerance": 1e-6},
)
# the slide, a column for each of the words "I like green apples"
BEFORE = ((0.3, 3.4, 0.5, 7.6), (0.1, 5.5, 1.2, 4.1), (4.7, 3.2, 2.9, 4.6))
AFTER = ((0.3, 3.4, 0.0, 7.6), (0.0, 5.5, 1.2, 0.0), (4.7, 0.0, 2.9, 4.6))


def judge(runs: pd.DataFrame, criterion: Criterion) -> Finding:
    """The better rate against none; whole words as a table; the slide's arithmetic."""
    from dataclasses import replace

    from folklore.stats.findings import contrast

    best = {v: preferred(group, ENTRIES.values()) for v, group in runs.groupby("variant", sort=False)}
    weights = {variant: {arm: 1.0, NONE: -1.0} for variant, arm in best.items()}
    finding = contrast(runs, weights, criterion.delta)
    note = f"Chosen on validation: {best['main']}."
    return replace(
        finding,
        checks=_checks(criterion.settings["tolerance"]),
        tables=(_rivals(runs),),
        notes=(note, *finding.notes),
    )


def plot(runs: pd.DataFrame, finding: Finding) -> tuple[Figure, str]:
    """Tuning curves and test accuracy of all arms."""
    from folklore.figures.panels import tuning_and_scores

    return tuning_and_scores(runs, finding, columns=2)


def _rivals(runs: pd.DataFrame) -> Table:
    """By how much dropping entries is ahead of no dropout and of dropping words, each at the rate chosen on validation."""
    from folklore.stats.findings import Table

    rows = []
    for variant, group in runs.groupby("variant", sort=False):
        ours, there = preferred(group, ENTRIES.values()), set(group["arm"])
        rivals = [NONE] + ([preferred(group, WORDS.values())] if there & set(WORDS.values()) else [])
        rows += [
            ("1,024 texts" if variant == "main" else variant, ours, r, ahead(group, ours, r)) for r in rivals
        ]
    return Table(
        "Points of test accuracy by which dropping entries is ahead, with 95 % interval; rates chosen on validation.",
        ("ground", "arm", "against", "ahead by"),
        tuple(rows),
    )


def _checks(tolerance: float) -> tuple[Check, ...]:
    """The slide's matrices, the mean over all masks of four of its entries, and the same by the code that trains."""
    import torch

    before, after = (torch.tensor(m, dtype=torch.float64) for m in (BEFORE, AFTER))
    mask = (after != 0).double()
    mean = _mean_over_masks(before, int((mask == 0).sum()))
    odd = abs(float((mask == 0).sum()) - 4) + float(((mask == 0).sum(dim=0) - 1).abs().sum())
    found = (
        (
            "after = before times a mask of 0 and 1, nothing scaled",
            relative_error(before * mask, after),
            "printed",
        ),
        ("four of twelve entries are zero, one in each word", odd, "derived"),
        (
            "mean over all masks, unscaled: 2/3 of the test matrix",
            relative_error(mean, before * 2 / 3),
            "derived",
        ),
        ("kept entries times 3/2: the mean is the test matrix", relative_error(1.5 * mean, before), "right"),
        (
            "the network adds up the slide's entries",
            relative_error(_added(before, mask), after.sum(dim=1)),
            "right",
        ),
    )
    return tuple(check(name, error, tolerance, form) for name, error, form in found)


def _mean_over_masks(matrix: torch.Tensor, zeros: int) -> torch.Tensor:
    """Mean of the matrix over all choices of so many entries that become zero."""
    from itertools import combinations

    total, count = 0.0 * matrix, 0
    for chosen in combinations(range(matrix.numel()), zeros):
        kept = matrix.clone()
        kept.view(-1)[list(chosen)] = 0.0
        total, count = total + kept, count + 1
    return total / count


def _added(matrix: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What the project's model makes of a text of these words with this mask on its embeddings: their sum."""
    import torch

    from folklore.core.networks import Layout, Parameters, Pass

    entries, words = matrix.shape
    layout = Layout(words, entries, 1, entries, "relu", "none", "bag")
    weights = [matrix.T[None], torch.eye(entries, dtype=torch.float64)[None]]
    biases = [torch.zeros(1, 1, entries, dtype=torch.float64)] * 2
    net = Pass(layout, Parameters(weights, biases, [], [], []), {("unit", 0): mask.T[None]}, training=True)
    return net.logits(torch.ones(1, 1, words, dtype=torch.float64))[0, 0]
