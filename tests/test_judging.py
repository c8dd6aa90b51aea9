"""What a judged claim says beside its verdict: what was trained on each ground, and which test its p-values are of."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from folklore import criteria, judged_words, judging
from folklore.config import compose
from folklore.grid import Rates, Study, Variant
from folklore.report import claim as report
from folklore.stats.findings import contrast
from folklore.studies import cells
from judged import CLAIMS
from simulation import template

SMALLER = {"rates": Rates(count=5), "tuning_seeds": 2, "replicates": 4}
STUDY = Study(
    name="made up",
    cells=({"label": "a"}, {"label": "b", "norm": "batch"}, {"label": "given", "lr": 0.1}),
    updates=100,
    replicates=6,
    variants=(Variant("fashion_mnist", {"data": "fashion_mnist"}, SMALLER),),
)


@pytest.fixture
def frame() -> pd.DataFrame:
    return template(cells(STUDY, compose(["profile=laptop"])), None, True)


def test_each_ground_is_told_with_its_own_rates_and_seeds(frame: pd.DataFrame) -> None:
    main, other = judged_words.trained(STUDY, frame).split("; as a check: ")
    assert main.endswith(
        "100 updates; 3 arms, 2 of them tuned over 7 rates x 3 seeds; 6 fresh replicates of each"
    )
    assert "3 arms, 2 of them tuned over 5 rates x 2 seeds; 4 fresh replicates of each." in other
    assert "where the grid moved" not in main + other


def test_a_grid_that_moved_is_told(frame: pd.DataFrame) -> None:
    tuned = frame[(frame["phase"] == "tune") & (frame["variant"] == "main") & (frame["arm"] == "a")]
    more = [tuned.assign(lr=float(2**i)) for i in range(1, 10)]
    said = judged_words.trained(STUDY, pd.concat([frame, *more]))
    assert "tuned over 7 rates (up to 12 where the grid moved) x 3 seeds" in said


def test_arms_of_another_procedure_are_some(frame: pd.DataFrame) -> None:
    frame.loc[frame["arm"] == "b", "procedure"] = "early_stopping"
    assert "training rows, some trained by early stopping, 100 updates" in judged_words.trained(STUDY, frame)
    assert ", trained by early stopping," in judged_words.trained(
        STUDY, frame.assign(procedure="early_stopping")
    )


def a_finding(equivalence: bool, gain: float = 0.0):
    """Of forty runs; arm a is better by `gain`."""
    rng = np.random.default_rng(1)
    runs = pd.DataFrame(
        {"arm": ["a", "b"] * 20, "replicate": np.repeat(range(20), 2), "variant": "main", "phase": "confirm",
         "status": "ok", "edge": "", "lr": 0.1, "test_accuracy": 0.5 + 0.05 * rng.standard_normal(40)}
    )  # fmt: skip
    runs.loc[runs["arm"] == "a", "test_accuracy"] += gain
    return contrast(runs, {"a": 1.0, "b": -1.0}, 0.01, equivalence=equivalence)


@pytest.mark.parametrize("equivalence", [False, True])
def test_p_values_name_their_test(equivalence: bool) -> None:
    claim, finding = CLAIMS["momentum"], a_finding(equivalence)
    said = judged_words.summary(claim, finding, finding.verdict(0.01, 0.5), 0.5)
    assert ("corrected p of equivalence = 0.5" in said) == equivalence
    entry = {
        "effect": 0.1,
        "interval": [0, 0.2],
        "p": finding.p,
        "p_t": finding.estimate.p,
        "equivalence": equivalence,
    }
    facts = dict(report.view(entry | {"id": "x", "title": "x", "verdict": "refuted"})["facts"])
    assert "p of the paired t-test" in facts
    assert ("p of two one-sided tests" in facts) == equivalence


def test_a_p_value_of_several_tests_is_called_so() -> None:
    entry = {"id": "x", "title": "x", "verdict": "refuted", "effect": 0.1, "p": 1.0, "p_t": 0.001}
    facts = dict(report.view(entry)["facts"])
    assert facts["largest p of the rule’s parts"] == "1"


@pytest.mark.parametrize(("p", "verdict"), [(0.01, "supported"), (0.2, "inconclusive")])
def test_every_version_of_a_criterion_is_judged_at_the_corrected_level(p: float, verdict: str) -> None:
    """The last of them is the one that decides: its verdict in the history is the claim's."""
    claim, finding = CLAIMS["early-stopping"], a_finding(False, gain=0.1)
    assert finding.verdict(claim.criterion.delta, p).verdict == verdict
    history = judging._criterion(claim, None, finding, criteria.read(), lambda _: judging.Corrected(p))[
        "history"
    ]
    assert history[-1]["hash"] == claim.criterion_hash
    assert history[-1]["verdict"] == verdict


def test_an_own_claim_changes_nothing_for_the_others_of_its_family() -> None:
    frozen = criteria.families()["architecture"]
    p = dict.fromkeys(frozen, 0.01) | {"mine": 0.012}
    claims = [SimpleNamespace(id=name, claim=SimpleNamespace(family="architecture")) for name in p]
    findings = {name: SimpleNamespace(p_charged=value) for name, value in p.items()}
    without = judging._corrected_in("architecture", claims[:-1], findings)
    assert without == pytest.approx(dict.fromkeys(frozen, 0.01 * len(frozen)))
    assert judging._corrected_in("architecture", claims, findings) == without | {
        "mine": pytest.approx(0.01 * (len(frozen) + 1))  # Holm's are never below those of smaller p-values
    }
    assert criteria.family_size(claims[-1]) == criteria.family_size(claims[0]) + 1 == len(frozen) + 1


def test_another_ground_is_judged_at_the_corrected_level() -> None:
    finding = a_finding(False, gain=0.1)
    (row,) = [judging.Robust("other", finding.verdict(0.01, None), finding.estimate)]
    assert row.verdict.verdict == "supported"
    assert judging._at_corrected_level(row, finding, lambda _: judging.Corrected(0.04)) == row.verdict
    lost = judging._at_corrected_level(row, finding, lambda _: judging.Corrected(0.06))
    assert lost.verdict == "inconclusive"
    nothing = replace(row, verdict=a_finding(True).verdict(1.0, 0.0))
    # what is negligible needs no p-value
    assert (
        judging._at_corrected_level(nothing, a_finding(True), lambda _: judging.Corrected(0.9))
        == nothing.verdict
    )
