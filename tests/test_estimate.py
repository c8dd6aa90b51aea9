"""What a profile costs, foretold: numbers that follow from the plan, and one line for bad input."""

from __future__ import annotations

import subprocess
import sys

import pytest

from folklore.errors import UsageError
from folklore.plan import Plan, make_plan
from folklore.stages import estimate


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(["profile=smoke", "profile.only=[he-vs-glorot-relu,backprop-w1]"])


def test_an_estimate_follows_from_the_plan_the_pace_and_the_cores(plan: Plan) -> None:
    one, two, slow = (estimate.estimate(plan, *given) for given in ((1, 1.0), (2, 1.0), (1, 2.0)))
    assert one.runs == round(estimate.TUNED_FURTHER * plan.runs)
    assert (one.jobs, one.claims) == (len(plan.jobs), 2)
    assert one.training == pytest.approx(estimate.TUNED_FURTHER * sum(job.seconds for job in plan.jobs))
    assert slow.training == pytest.approx(2 * one.training)
    assert slow.beside == pytest.approx(2 * one.beside)
    both, longest = one.training + one.beside, one.training / one.jobs
    assert one.wall - two.wall == pytest.approx(both / 2)
    assert two.wall == pytest.approx(both / 2 + longest)


def test_of_what_comes_after_looks_a_share_is_expected() -> None:
    every, looked = (
        make_plan(["profile=laptop", "profile.only=[he-vs-glorot-relu]", *more])
        for more in (["profile.first_look=0"], [])
    )
    later = sum(job.seconds for job in looked.phase("extend"))
    assert later > 0
    whole, some = (estimate.estimate(plan, 1, 1.0) for plan in (every, looked))
    spared = (1 - estimate.LEFT_OPEN) * later
    assert whole.training - some.training == pytest.approx(estimate.TUNED_FURTHER * spared)
    assert some.runs < whole.runs


def test_the_command_says_what_it_takes_and_writes_nothing(tmp_path: object) -> None:
    command = [sys.executable, "-m", "folklore.stages.estimate", "profile=smoke", "--cores", "3"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    for expected in ("networks", "core", "on 3 cores", "MLflow", "times the cost model"):
        assert expected in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cores", ["0", "-1", "two", "1.5"])
def test_wrong_cores_are_one_line(cores: str) -> None:
    with pytest.raises(UsageError, match="--cores="):
        estimate.main([f"--cores={cores}", "profile=nano"])


@pytest.mark.parametrize(
    ("seconds", "said"), [(59.0, "1 min"), (60 * 61, "1 h 01 min"), (60 * 150, "2 h 30 min")]
)
def test_times_in_words(seconds: float, said: str) -> None:
    assert estimate._hours(seconds) == said
