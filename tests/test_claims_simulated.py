"""Every judge of a trained claim against simulated studies whose truth is known: no effect, one as large as matters, its opposite."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from folklore.claims.base import LoadedClaim
from folklore.stats import findings
from folklore.stats.estimates import power
from folklore.stats.findings import Row
from folklore.studies import studies
from judged import CLAIMS, PLANTED
from simulation import FEW, Simulator, composed

pytestmark = pytest.mark.usefixtures("_no_resampling")

STUDIES, MORE, SMALL = 200, 60, 40  # studies without an effect, with one either way, and of three replicates
ERROR = 0.001  # chance that a sound judge fails one of the tests of a share


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch, _exact_once: None) -> Iterator[None]:
    """For tests that judge many studies: leave out notes and intervals of the tables' rows, which decide nothing, either, and keep the few
    strings of a small frame as Python's: taking them from Arrow would be a third of the time."""
    monkeypatch.setattr(findings, "arm_rows", mean_rows)
    monkeypatch.setattr(findings, "_edge_note", lambda runs: ())
    monkeypatch.setattr(findings, "_divergence_note", lambda confirmed, weights, how: ())
    with pd.option_context("mode.string_storage", "python"):
        yield


def mean_rows(runs: pd.DataFrame) -> tuple[Row, ...]:
    confirmed, measured = (runs["phase"] == "confirm").to_numpy(), defaultdict(list)
    columns = (runs[name].to_numpy()[confirmed] for name in ("variant", "arm", "measure"))
    for variant, arm, value in zip(*columns, strict=True):
        measured[variant, arm] += [float(value)] * bool(value == value)
    return tuple(
        Row(arm, sum(values) / len(values) if values else math.nan, None, None, 0, 0, None, "", variant)
        for (variant, arm), values in measured.items()
    )


@cache
def simulator(name: str) -> Simulator:
    """Main ground, as many replicates as designed, the spread that the pilot found."""
    claim = CLAIMS[name]
    return Simulator(claim).spread_to(claim.criterion.pilot_sd)


@cache
def short(name: str, replicates: int) -> Simulator:
    """The same with fewer replicates."""
    sim = Simulator(CLAIMS[name], replicates=replicates)
    sim.sigma = simulator(name).sigma
    return sim


def verdicts(sim: Simulator, effect: float, count: int, seed: int) -> list[str]:
    """Verdicts of simulated studies with a planted effect, before the correction over the family."""
    rng, shifts = np.random.default_rng(seed), sim.shifts(effect)
    found = (sim.judge(sim.frame(shifts, rng)) for _ in range(count))
    return [f.verdict(sim.claim.criterion.delta, None).verdict for f in found]


def at_most(share: float, count: int) -> float:
    """The largest share that `count` studies may show when the true one is `share`."""
    return float(binom.ppf(1 - ERROR, count, share)) / count


def at_least(share: float, count: int) -> float:
    return float(binom.ppf(ERROR, count, share)) / count


def share(found: list[str], verdict: str = "supported") -> float:
    return found.count(verdict) / len(found)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_the_judge_reads_the_arms_as_the_claim_means_them(name: str) -> None:
    """Better arms that the claim favours raise the effect, better ones of the other side lower it, the rest do nothing."""
    sim = simulator(name)
    found = {g: np.sign(w) for g, w in sim.sensitivities.items()}
    if sim.model.favoured is not None:
        assert found == {g: np.sign(s) for g, s in sim.model.favoured.items()}


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_without_an_effect_support_is_rare(name: str) -> None:
    sim = simulator(name)
    if sim.claim.criterion.equivalence:
        assert share(verdicts(sim, 0.0, STUDIES, 1)) >= at_least(0.8, STUDIES)
    else:  # large studies take long to judge; false support does not hang on the number of replicates
        few = short(name, 8 if sim.model.shared else 32)
        assert share(verdicts(few, 0.0, STUDIES, 1)) <= at_most(0.05, STUDIES)


def expected_power(claim: LoadedClaim) -> float:
    """Power for twice the smallest effect of interest with the pilot's spread, before the correction."""
    criterion = claim.criterion
    (study,) = [s for s in studies(composed("laptop").profile) if s.name == claim.study]
    return power(criterion.pilot_sd, study.replicates, 2 * criterion.delta, 0.05)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_an_effect_is_found_and_its_opposite_is_not(name: str, record_property: Callable) -> None:
    sim = simulator(name)
    delta, equivalence = sim.claim.criterion.delta, sim.claim.criterion.equivalence
    found, opposed = (verdicts(sim, effect, MORE, 2) for effect in (2 * delta, -2 * delta))
    assert share(opposed) <= at_most(0.05, MORE)
    if equivalence:
        assert share(found) <= at_most(0.05, MORE)
        return
    assert share(opposed, "refuted") > 0.5 or not sim.model.reverses
    record_property("expected_power", expected_power(sim.claim))
    record_property("found", share(found))
    if expected_power(sim.claim) >= 0.8:
        assert share(found) >= at_least(0.8, MORE)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_a_judge_with_a_swapped_sign_would_be_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that these tests are there to catch."""
    sim = simulator(name)
    shifts = sim.shifts(2 * sim.claim.criterion.delta)
    frames = [sim.frame(shifts, np.random.default_rng(seed)) for seed in range(10)]
    sound = findings.differences
    monkeypatch.setattr(findings, "differences", lambda runs, weights: -sound(runs, weights))
    found = [sim.judge(frame).verdict(sim.claim.criterion.delta, None).verdict for frame in frames]
    assert "supported" not in found


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_three_replicates_do_not_support_by_chance(name: str) -> None:
    claim = CLAIMS[name]
    found = verdicts(
        short(name, FEW), 2 * claim.criterion.delta if claim.criterion.equivalence else 0.0, SMALL, 3
    )
    assert share(found) <= at_most(0.05, SMALL)
