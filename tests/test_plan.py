"""A plan is complete, minimal and the same every time; jobs are of a length and know what decides."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from folklore import levels
from folklore import plan as plan_module
from folklore.claims.base import discover
from folklore.errors import UsageError
from folklore.grid import Cell, Rates, Run, Study
from folklore.plan import CONFIRMING, Job, Plan, make_plan
from test_run_keys import clear_caches, edit
from test_studies import STUDY


@pytest.fixture(scope="module")
def laptop() -> Plan:
    return make_plan(["profile=laptop"])


@pytest.fixture(scope="module", params=["nano", "smoke", "laptop"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan([f"profile={request.param}"])


def identities(plan: Plan) -> list[tuple[str, str, str]]:
    return [(job.phase, job.name, job.identity) for job in plan.jobs]


def test_every_cell_is_tuned_once(plan: Plan) -> None:
    tuned = Counter(c.key for job in plan.phase("tune") for u in job.units for c in u.cells if c.tuned)
    assert set(tuned) == {cell.key for cell in plan.cells if cell.tuned}
    assert set(tuned.values()) == {1}


def test_every_replicate_is_confirmed_once(plan: Plan) -> None:
    found = Counter(
        (cell.key, i)
        for phase in CONFIRMING
        for job in plan.phase(phase)
        for u in job.units
        for cell in u.cells
        for i in u.replicates
    )
    assert set(found) == {(cell.key, i) for cell in plan.cells for i in range(cell.replicates)}
    assert set(found.values()) == {1}


def sources(job: Job, plan: Plan) -> Iterator[Cell]:
    """Cells whose tuned rate the job needs: its own, or those that its cells follow."""
    by_label = {(c.study, c.variant, c.label): c for c in plan.cells}
    for unit in job.units:
        for cell in unit.cells:
            yield by_label[cell.study, cell.variant, cell.leader] if cell.leader else cell


def test_confirming_waits_for_the_tuning_that_chooses_its_rates_and_for_nothing_else(plan: Plan) -> None:
    holds = {job.name: {c.key for u in job.units for c in u.cells if c.tuned} for job in plan.phase("tune")}
    for job in plan.phase("confirm"):
        wanted = {cell.key for cell in sources(job, plan) if cell.tuned}
        assert job.needs == tuple(sorted(name for name, held in holds.items() if held & wanted))
        assert wanted <= set().union(*(holds[name] for name in job.needs))


def test_later_replicates_wait_for_all_that_a_look_at_their_studies_is_at(laptop: Plan) -> None:
    assert laptop.phase("extend")
    for job in laptop.phase("extend"):
        studies = {cell.study for unit in job.units for cell in unit.cells}
        for phase, waited in (("tune", job.needs), ("confirm", job.after)):
            holding = [
                other.name
                for other in laptop.phase(phase)
                if studies & {unit.cells[0].study for unit in other.units}
            ]
            assert sorted(waited) == sorted(holding)
            assert holding or phase == "tune"  # where all rates are fixed nothing is tuned


def test_studies_of_many_replicates_are_looked_at_where_effects_decide_all_of_their_claims(
    laptop: Plan,
) -> None:
    look = laptop.config.profile.first_look
    main = {cell.study: cell for cell in laptop.cells if cell.variant == "main"}
    kinds = {name: {c.claim.kind for c in discover() if c.study == name} for name in main}
    looked = {name for name, cell in main.items() if cell.look}
    assert looked == {
        n for n, c in main.items() if kinds[n] and kinds[n] <= {"S", "E+S"} and c.replicates >= 2 * look
    }
    for phase, fine in (("confirm", lambda i: i < look), ("extend", lambda i: i >= look)):
        replicates = [
            i for job in laptop.phase(phase) for u in job.units if u.study in looked for i in u.replicates
        ]
        assert replicates
        assert all(map(fine, replicates))


def test_without_looks_everything_is_confirmed_at_once() -> None:
    plan = make_plan(["profile=laptop", "profile.first_look=0"])
    assert not plan.phase("extend")
    assert not any(cell.look for cell in plan.cells)


def test_a_look_at_a_study_asks_the_same_whichever_claims_are_wanted() -> None:
    one, both = (
        make_plan(["profile=laptop", f"profile.only=[{names}]"])
        for names in ("coarse-to-fine", "coarse-to-fine,log-space-grid")
    )
    assert identities(one) == identities(both)


def test_jobs_that_follow_another_arm_wait_for_it(laptop: Plan) -> None:
    followers = [c for c in laptop.cells if c.leader]
    assert followers
    for cell in followers:
        (leader,) = [
            c
            for c in laptop.cells
            if (c.study, c.variant, c.label) == (cell.study, cell.variant, cell.leader)
        ]
        assert leader.tuned
        assert not cell.tuned


def test_units_share_one_graph(plan: Plan) -> None:
    for job in plan.jobs:
        for unit in job.units:
            assert len({cell.run.graph for cell in unit.cells}) == 1
            assert len({(cell.study, cell.variant) for cell in unit.cells}) == 1


def test_jobs_are_of_a_length(laptop: Plan) -> None:
    limit = laptop.config.profile.job_seconds
    for phase in ("tune", "confirm", "extend"):
        jobs = laptop.phase(phase)
        lengths = [job.seconds for job in jobs]
        assert lengths == sorted(lengths, reverse=True)  # the long ones start first
        assert len(jobs) <= -(-sum(lengths) // limit)
        for job in jobs:
            longest = max(unit.seconds(phase) for unit in job.units)
            assert job.seconds <= limit + longest
    assert len(laptop.jobs) < 150  # starting an interpreter is not free


def test_jobs_read_few_data_sets_and_wait_for_few_others(laptop: Plan) -> None:
    data = len(laptop.data)
    for phase in ("tune", "confirm", "extend"):
        jobs = laptop.phase(phase)
        read = sum(len({unit.cells[0].run.data for unit in job.units}) for job in jobs)
        assert read < len(jobs) + data
    assert sum(len(job.needs) for job in laptop.phase("confirm")) < 2 * len(laptop.phase("confirm"))


def test_chunks_hold_every_job_of_fresh_replicates_once(plan: Plan) -> None:
    assert [job for chunk in plan.chunks() for job in chunk] == [
        *plan.phase("confirm"),
        *plan.phase("extend"),
    ]


def test_an_unknown_job_is_one_line(laptop: Plan) -> None:
    with pytest.raises(UsageError, match="no such job"):
        laptop.job("tune", "999")


def test_the_grid_of_the_laptop_is_large_enough(laptop: Plan) -> None:
    mine = [cell for cell in laptop.cells if cell.study == "six-factor"]
    assert len(mine) >= 420
    assert {cell.rates.count for cell in mine} == {5}
    assert {cell.replicates for cell in mine} == {3}
    assert {cell.run.updates for cell in mine} == {max(16_384 // b, 256) for b in (2, 8, 32, 128, 512)}


SCRIPT = """
import sys
from folklore.plan import make_plan
plan = make_plan(["profile=laptop"])
heavy = {"torch", "mlflow", "pandas", "scipy", "matplotlib", "statsmodels"} & set(sys.modules)
print(sorted(heavy), "heavy")
print("\\n".join(f"{j.phase} {j.name} {j.identity}" for j in plan.jobs))
"""


def test_planning_is_light_and_the_same_in_another_process(laptop: Plan, repository: Path) -> None:
    given = {**os.environ, "PYTHONPATH": str(repository / "src"), "PYTHONHASHSEED": "123"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=given, capture_output=True, text=True, check=True
    )
    first, *rest = done.stdout.splitlines()
    assert first.startswith("[] ")
    assert rest == [" ".join(entry) for entry in identities(laptop)]


def test_identity_changes_with_what_a_job_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(study: Study) -> str:
        from folklore import plan as module

        monkeypatch.setattr(module, "studies", lambda profile: [study])
        return make_plan(["profile=laptop"]).phase("tune")[0].identity

    base = first(STUDY)
    assert first(STUDY) == base
    assert first(replace(STUDY, samples=8192)) != base
    assert first(replace(STUDY, rates=Rates(count=9))) != base
    assert first(replace(STUDY, title="other words")) == base


@pytest.mark.parametrize(
    "place", sorted({place for places in plan_module.DECIDES.values() for place in places})
)
def test_identity_changes_with_the_code_that_decides(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed rule of tuning makes the choices again. What is stored is not trained again for that: the keys of runs stay."""
    for file in (file for places in plan_module.DECIDES.values() for file in places):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(levels.HERE / file, tmp_path / file)
    monkeypatch.setattr(levels, "HERE", tmp_path)
    clear_caches()

    def found() -> dict[str, str]:
        return {name: Job("000", name, ()).identity for name in plan_module.DECIDES}

    before, key = found(), Run().key
    edit(tmp_path / place, "\ndef ", "\n# a remark\ndef ")
    assert found() == before
    edit(tmp_path / place, "\ndef ", "\nEXTRA = 1\n\n\ndef ")
    after = found()
    clear_caches()
    assert {name for name in before if before[name] != after[name]} == {
        phase for phase, places in plan_module.DECIDES.items() if place in places
    }
    assert Run().key == key
