"""Judges and figures of the claims on bad days: runs diverge, arms tie, grounds are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pandas as pd
import pytest

from folklore import criteria
from folklore.stats.findings import Finding
from judged import CLAIMS, EXACT, ORDERS, TRAINED
from simulated_claims import CHANCE, MODELS
from simulation import Simulator

pytestmark = pytest.mark.usefixtures("_no_resampling")


@cache
def whole(name: str) -> Simulator:
    """All grounds, three replicates, halved grids: a study as large as the report's, as short as a smoke run's."""
    sim = Simulator(CLAIMS[name], replicates=3, everything=True)
    sim.sigma = 0.02
    return sim


def diverge(frame: pd.DataFrame, which: np.ndarray) -> pd.DataFrame:
    """These runs as the store has them when they diverge at once."""
    frame = frame.copy()
    frame.loc[which, "status"] = "diverged"
    frame.loc[which, "diverged_step"] = 3
    frame.loc[which, ["train_loss", "val_loss", "test_loss"]] = np.nan
    frame.loc[which, "val_accuracy"] = CHANCE
    for name in ("test_accuracy", "recalibrated_accuracy"):
        frame.loc[which & frame[name].notna(), name] = CHANCE
    curves = [[np.nan] * len(c) if w else c for c, w in zip(frame["loss_curve"], which, strict=True)]
    return frame.assign(loss_curve=curves)


def ties(frame: pd.DataFrame) -> pd.DataFrame:
    kept = frame.assign(val_accuracy=0.5, train_loss=1.0)
    kept["test_accuracy"] = kept["test_accuracy"].where(kept["test_accuracy"].isna(), 0.5)
    return kept.assign(loss_curve=[frame["loss_curve"].iloc[0]] * len(frame))


def all_diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return diverge(frame, np.full(len(frame), True))


def some_diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return diverge(frame, np.arange(len(frame)) % 3 == 0)


def an_arm_diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return diverge(frame, (frame["arm"] == frame["arm"].iloc[0]).to_numpy())


def censored(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(
        loss_curve=[list(9.0 + 0.0 * np.asarray(c)) for c in frame["loss_curve"]], train_loss=9.0
    )


def at_the_edge(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(edge="high")


def only_main(frame: pd.DataFrame) -> pd.DataFrame:
    """Another profile may leave out grounds, tuning and halved grids."""
    return frame[(frame["variant"] == "main") & (frame["phase"] == "confirm")].reset_index(drop=True)


BAD_DAYS = [ties, all_diverged, some_diverged, an_arm_diverged, censored, at_the_edge, only_main]


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("happening", BAD_DAYS)
@pytest.mark.parametrize("name", TRAINED)
def test_a_judge_survives(name: str, happening: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    claim, sim = CLAIMS[name], whole(name)
    frame = happening(sim.frame({}, np.random.default_rng(4)))
    finding = claim.module.judge(frame, claim.criterion)
    verdict = finding.verdict(claim.criterion.delta, None)
    assert verdict.verdict in ("supported", "refuted", "inconclusive")
    assert np.isfinite(finding.estimate.effect)
    if happening is all_diverged:
        assert verdict.verdict == "inconclusive"
    if happening is ties and not claim.criterion.equivalence:
        assert verdict.verdict != "supported"
    if happening is at_the_edge and not sim.model.shared:
        assert "end of its widened grid" in " ".join(finding.notes)


SAID = ("supported", "refuted", "inconclusive", "holds", "fails")


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.parametrize("name", CLAIMS)
def test_a_judge_reads_every_registered_version_of_its_criterion(name: str) -> None:
    claim = CLAIMS[name]
    frame = whole(name).frame({}, np.random.default_rng(7)) if claim.design else None
    for entry in criteria.versions(claim, criteria.read()):
        criterion = criteria.criterion_of(entry)
        found = claim.module.judge(frame, criterion).verdict(criterion.delta, None)
        assert found.verdict in SAID, entry["reason"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("happening", BAD_DAYS)
@pytest.mark.parametrize("name", ORDERS)
def test_an_order_counts_the_seeds_that_break_it(
    name: str, happening: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    claim, sim = CLAIMS[name], whole(name)
    frame = happening(sim.frame({}, np.random.default_rng(4)))
    finding = claim.module.judge(frame, claim.criterion)
    seeds = frame.loc[frame["variant"] == "main", "replicate"].nunique()
    assert finding.estimate is None and finding.p is None
    assert finding.checks
    for check in finding.checks:
        assert check.form == "printed"
        assert check.tolerance == int(claim.criterion.settings["allowed"] * seeds)
        assert check.holds == (check.error <= check.tolerance)
        assert check.error in range(seeds + 1)
    if happening in (ties, all_diverged):
        assert finding.verdict(claim.criterion.delta, None).verdict == "fails"


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.parametrize("name", TRAINED)
def test_divergence_is_counted(name: str) -> None:
    sim = whole(name)
    if sim.model.shared:
        return  # divergence is what these measure
    finding = sim.judge(some_diverged(sim.frame({}, np.random.default_rng(5))))
    assert finding.diverged > 0
    assert sum(row.diverged for row in finding.rows) >= finding.diverged


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.parametrize("name", TRAINED)
def test_other_grounds_become_robustness_rows(name: str) -> None:
    sim = whole(name)
    finding: Finding = sim.judge(sim.frame({}, np.random.default_rng(6)))
    labels = [row.label for row in finding.robustness]
    assert len(labels) == len(set(labels))
    tuned = (sim.template["phase"] == "half").any()
    # a headline claim about a whole range of rates has half of them among its own runs
    ranged = CLAIMS[name].claim.headline and not tuned
    assert ("half as many rates" in labels) == (tuned or ranged)
    assert {row.variant for row in finding.rows} <= set(sim.template["variant"])


@pytest.fixture(scope="module")
def _figures_closed() -> Iterator[None]:
    from matplotlib import pyplot

    yield
    pyplot.close("all")


@pytest.mark.usefixtures("_exact_once", "_figures_closed")
@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_draws_its_finding(name: str) -> None:
    from matplotlib import pyplot

    claim = CLAIMS[name]
    runs = None if name in EXACT else whole(name).frame({}, np.random.default_rng(7))
    figure, said = claim.module.plot(runs, claim.module.judge(runs, claim.criterion))
    width, height = figure.get_size_inches() * 2.54
    assert width <= 16.1
    assert height <= 9.1
    assert len(said) > 40
    assert "nan" not in said
    pyplot.close(figure)


def test_no_model_is_left_over() -> None:
    assert set(MODELS) <= set(TRAINED)


@pytest.mark.parametrize(("still", "notes"), [(0.55, 1), (0.59, 0)])
def test_a_loss_to_noise_is_said_not_to_be_one_to_drift(still: float, notes: int) -> None:
    means = {"no norm": 0.60, "batch norm": 0.62, "BN, drifting noise": 0.57, "BN, still noise": still}
    rows = [
        {"replicate": k, "arm": arm, "test_accuracy": mean + 0.001 * (k % 3)}
        for k in range(6)
        for arm, mean in means.items()
    ]
    found = CLAIMS["internal-covariate-shift"].module._whose_harm(pd.DataFrame(rows))
    assert len(found) == notes
    assert all("differ by +2.0 (+2.0 to +2.0) points" in note for note in found)


def test_halves_of_a_rule_that_part_ways_are_told() -> None:
    parted = CLAIMS["l1-sparsity"].module._parted
    assert parted("+70 (+60 to +80)", "+9 (+7 to +11)") == parted("not trained", "not trained") == ()
    (note,) = parted("+70 (+60 to +80)", "-9 (-11 to -7)")
    assert "+70 (+60 to +80) points of exact zeros" in note and "-9 (-11 to -7) points of pairs" in note


def test_pairs_that_differ_in_opposite_ways_are_told() -> None:
    bent = CLAIMS["linear-lr-scaling"].module._bent
    up, down, none = (np.array([m - 0.01, m, m + 0.01]) for m in (0.1, -0.3, 0.0))
    assert bent({"batch 2 to 64": up, "batch 8 to 128": up}) == bent({"a": down, "b": none}) == ()
    (note,) = bent({"batch 2 to 64": up, "batch 32 to 512": down})
    assert "faster than the batch for batch 2 to 64 +0.10 (+0.08 to +0.12)" in note
    assert "slower for batch 32 to 512 -0.30 (-0.32 to -0.28)" in note
