"""Looks at studies: what one may say, what it costs at the end, and what is read of a study that it ended."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from folklore import looks
from folklore.claims.base import LoadedClaim, discover
from folklore.criteria import family_size
from folklore.frames import Frames, job_runs
from folklore.judging import corrected_p, planned
from folklore.looks import Look, charged, decided, look_at
from folklore.plan import Plan, make_plan
from folklore.stats.estimates import estimate
from folklore.stats.findings import Check, Finding
from folklore.stats.sequential import nominal_levels
from folklore.stats.verdicts import ALPHA
from folklore.store import Store

STUDY = "he-vs-glorot-relu"
SMALL = [
    "profile=smoke",
    f"profile.only=[{STUDY},bn-backward]",
    "profile.replicates=6",
    "profile.first_look=2",
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(SMALL)


@pytest.fixture(scope="module")
def claim() -> LoadedClaim:
    return next(claim for claim in discover() if claim.id == STUDY)


def of(differences: np.ndarray, **more: object) -> Finding:
    found = estimate(differences, sensitivity=False)
    return Finding(found, found.p, **more)


NOISE, DELTA = np.tile([-0.01, 0.01], 8), 0.01  # standard error .0026


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("equivalence", [False, True])
def test_a_look_answers_what_lies_beyond_the_smallest_effect_of_interest(
    sign: int, equivalence: bool
) -> None:
    assert decided(of(sign * (NOISE + 0.05), equivalence=equivalence), DELTA, 1e-6)
    # apart from 0 at the level, but perhaps negligible with all replicates
    assert not decided(of(sign * (NOISE + 0.012), equivalence=equivalence), DELTA, 1e-2)
    # beyond at a milder level alone
    assert decided(of(sign * (NOISE + 0.022), equivalence=equivalence), DELTA, 1e-2)
    assert not decided(of(sign * (NOISE + 0.022), equivalence=equivalence), DELTA, 1e-6)


def test_a_look_never_says_that_there_is_nothing() -> None:
    assert not decided(of(NOISE), DELTA, 0.05)
    assert not decided(of(NOISE / 100, equivalence=True), DELTA, 0.05)


def test_a_look_is_silent_where_the_runs_or_another_test_are() -> None:
    clear = of(NOISE + 0.05)
    assert not decided(of(NOISE + 0.05, undecidable="all diverged"), DELTA, 1e-6)
    assert not decided(Finding(clear.estimate, 1.0), DELTA, 1e-6)  # two kinds of nets that do not agree
    assert not decided(Finding(checks=(Check("exact", 0.0, 1.0, True),)), DELTA, 0.05)


def test_p_values_are_charged_so_that_a_level_at_the_end_is_that_of_its_look(claim: LoadedClaim) -> None:
    level = ALPHA / family_size(claim)
    first, last = nominal_levels(level, (32, 184))
    assert first == pytest.approx(level * (32 / 184) ** 3)
    assert Look(32, 184, ended=True).charge(claim) * first == pytest.approx(level)
    assert Look(32, 184, ended=False).charge(claim) * last == pytest.approx(level)
    assert 1.0 < Look(32, 184, ended=False).charge(claim) < 1.01


def test_the_charge_reaches_the_correction_but_not_a_test_of_equivalence(claim: LoadedClaim) -> None:
    finding = of(NOISE + 0.004)
    assert 1e-4 < finding.p_charged == finding.p
    assert charged(finding, claim, None) is finding
    later = charged(finding, claim, Look(32, 64, ended=False))
    plain, dearer = (corrected_p([claim], {claim.id: found})[claim.id] for found in (finding, later))
    assert dearer == pytest.approx(min(1.0, plain * later.charge))
    assert later.charge > 1.05
    alike = charged(of(NOISE, equivalence=True), claim, Look(32, 64, ended=False))
    assert alike.p_charged == alike.p
    assert charged(Finding(), claim, Look(32, 64, ended=False)).p_charged is None


def test_what_ended_early_says_so_and_has_the_power_of_its_plan(claim: LoadedClaim) -> None:
    ended, went_on = (charged(of(NOISE), claim, Look(32, 184, ended)) for ended in (True, False))
    assert "after 32 of 184 planned replicates" in ended.notes[0]
    assert went_on.notes == ()
    assert planned(31, Look(32, 184, ended=True)) == 178
    assert planned(184, Look(32, 184, ended=False)) == planned(184, None) == 184


@pytest.fixture
def nothing_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "read", lambda self, keys: pd.DataFrame())


def written(out: Path, plan: Plan, ended: list[str]) -> Path:
    """Outcomes of all jobs, made up."""
    for job in plan.jobs:
        cells = [cell for unit in job.units for cell in unit.cells]
        rates = {"lr": 0.1, "half_lr": 0.1, "edge": "", "rates": {"0.1": [0.5]}}
        choices = {cell.key: rates for cell in cells}
        path = out / job.phase / f"{job.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"identity": job.identity, "choices": choices, "ended": ended}))
    return out


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("ended", "count"), [([STUDY], 2), ([], 6)])
def test_of_a_study_that_a_look_ended_no_later_replicates_are_read(
    ended: list[str], count: int, plan: Plan, tmp_path: Path
) -> None:
    frames = Frames(plan, written(tmp_path, plan, ended))
    seen = {i for cell, phase, i, _ in frames.listed[STUDY] if (phase, cell.variant) == ("confirm", "main")}
    assert seen == set(range(count))
    assert look_at(frames, STUDY) == Look(2, 6, ended=bool(ended))
    (extending,) = plan.phase("extend")
    tracked = {
        i for _, phase, i, _ in job_runs(plan, frames.chosen, extending, frames.ended) if phase == "confirm"
    }
    assert tracked == (set() if ended else set(range(2, 6)))


@pytest.mark.usefixtures("nothing_stored")
def test_a_study_ends_when_all_of_its_claims_are_answered(
    plan: Plan, claim: LoadedClaim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear, faint = of(NOISE + 0.5), of(NOISE + 0.01)
    found = {"a": clear, "b": faint}
    two = [
        SimpleNamespace(id=name, study=STUDY, criterion=claim.criterion, claim=claim.claim) for name in found
    ]
    monkeypatch.setattr(looks, "claims_of", lambda study: two)
    monkeypatch.setattr(looks, "finding_of", lambda one, runs: found[one.id])
    monkeypatch.setattr(Frames, "study", lambda self, name: None)
    out = written(tmp_path, plan, [])
    assert not looks.ends(plan, out, STUDY)
    found["b"] = clear
    assert looks.ends(plan, out, STUDY)
