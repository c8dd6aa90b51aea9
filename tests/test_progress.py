"""The time that is left, from heartbeats of all jobs: steady while jobs end and begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from folklore import progress
from folklore.plan import Job, Plan, make_plan

NOW = 2e9


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(["profile=smoke"])


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.time, "time", lambda: NOW)
    monkeypatch.setenv(progress.SESSION, "this")


def beats(out: Path, job: Job, began: float, last: float, *, pace: float = 2.0, ended: bool = False) -> None:
    """A job that trained from `began` to `last` seconds ago, at `pace` times the expected seconds."""
    trained = (began - last) / pace
    state = {
        "identity": job.identity,
        "session": "this",
        "runs": 1,
        "done": job.seconds if ended else trained,
    }
    state |= {"trained": trained, "busy": float(began - last), "began": NOW - began, "time": NOW - last}
    file = out / "progress" / f"{job.phase}-{job.name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(state))


def left(out: Path, plan: Plan) -> float:
    _, done, total, seconds = progress.totals(out, plan)
    assert seconds is not None
    return seconds / (2.0 * (total - done))  # of what one job would take


def test_two_jobs_take_half_as_long_as_one(plan: Plan, tmp_path: Path) -> None:
    first, second, *_ = plan.jobs
    beats(tmp_path, first, 100, 0)
    assert left(tmp_path, plan) == pytest.approx(1.0)
    beats(tmp_path, second, 100, 0)
    assert left(tmp_path, plan) == pytest.approx(0.5)


def test_a_job_that_follows_another_is_not_a_third_one(plan: Plan, tmp_path: Path) -> None:
    first, second, third, *_ = plan.jobs
    beats(tmp_path, first, 100, 0)
    beats(tmp_path, second, 100, 10, ended=True)
    assert left(tmp_path, plan) == pytest.approx(1 / 1.9)  # between two jobs
    beats(tmp_path, third, 8, 0)
    assert left(tmp_path, plan) == pytest.approx(1 / 1.98)


def test_nothing_is_foretold_before_something_was_trained(plan: Plan, tmp_path: Path) -> None:
    assert progress.totals(tmp_path, plan)[3] is None
    beats(tmp_path, plan.jobs[0], 5, 5)
    assert progress.totals(tmp_path, plan)[3] is None
    beats(tmp_path, plan.jobs[0], 5, 0)
    assert progress.totals(tmp_path, plan)[3] > 0
