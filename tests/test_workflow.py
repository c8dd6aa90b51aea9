"""What the Snakefile relies on: recovery from a crash, options, identities of code, and the shape of the workflow."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from folklore import recovery, workflow
from folklore.stages.calibrate import placebo

ROOT = Path(__file__).resolve().parents[1]


def test_stale_locks_are_removed(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.write_text("results/x")
    assert recovery.heal(tmp_path)
    assert not lock.exists()


def test_a_second_workflow_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    recovery.wait_for_others(tmp_path)  # nobody there
    holder = _holder(tmp_path)
    code = f"from pathlib import Path; from folklore import recovery; recovery.wait_for_others(Path({str(tmp_path)!r}))"
    second = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert "waiting for it to end" in second.stderr.readline()
    assert second.poll() is None
    holder.kill()
    holder.wait()
    assert second.wait(timeout=20) == 0
    recovery.wait_for_others(tmp_path)


def _holder(folder: Path) -> subprocess.Popen[str]:
    """A living workflow in this folder."""
    held = subprocess.Popen(
        [sys.executable, "-c", _hold(folder)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    assert held.stdout.readline().strip() == "held"
    return held


def test_locks_of_a_living_workflow_stay(tmp_path: Path) -> None:
    holder = _holder(tmp_path)
    lock = tmp_path / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.write_text("results/x")
    assert not recovery.heal(tmp_path)
    assert lock.exists()
    holder.kill()
    holder.wait()
    assert recovery.heal(tmp_path), "the system drops the lock with the process, however that ends"
    assert not lock.exists()


def _hold(folder: Path) -> str:
    return textwrap.dedent(f"""
        from pathlib import Path
        from folklore import recovery
        assert recovery.heal(Path({str(folder)!r}))
        print("held", flush=True)
        input()
    """)


@pytest.mark.parametrize(
    "config, expected",
    [
        ({}, ["profile=laptop"]),
        ({"profile": "smoke"}, ["profile=smoke"]),
        ({"profile": "nano", "only": "a,b"}, ["profile=nano", "profile.only=[a,b]"]),
    ],
)
def test_options(config: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROFILE", raising=False)
    assert workflow.overrides_of(config) == expected


def test_an_edited_plot_is_no_training_code() -> None:
    """Only what trains is behind the identity of a training job; plots, prose and verdicts are behind other rules."""
    assert set(workflow.BEHIND) == {"calibrate", "judge", "draw", "analyse", "render"}
    for places in workflow.BEHIND.values():
        assert all((ROOT / place).exists() for place in places)


def test_what_was_made_is_no_source_of_what_makes_it(tmp_path: Path) -> None:
    for name, counts in (("page.typ", True), ("slides/tables/a.csv", False), ("example/a.csv", False)):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert workflow._is_source(file) == counts


def test_every_job_is_planned_before_anything_runs(tmp_path: Path) -> None:
    listed = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "-n", "-s", str(ROOT / "Snakefile")),
            *("--directory", str(tmp_path), "--config", "profile=laptop"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert listed.returncode == 0, listed.stderr[-2000:]
    flow = workflow.Flow({"profile": "laptop"})
    said = listed.stdout + listed.stderr
    for phase in ("tune", "confirm"):
        assert f"{phase} {len(flow.names(phase))}".split() in [line.split() for line in said.splitlines()]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("profile", ["nano", "laptop"])
def test_the_calibration_waits_for_the_data_that_it_reads(profile: str) -> None:
    """On one core it came before the data of `nano` were there, and failed."""
    flow = workflow.Flow({"profile": profile})
    for family in (None, *flow.placebo_families):
        assert flow.placebo_data() == f"results/data/{placebo(flow.plan, family).run.data}.npz"


def test_exact_claims_alone_train_nothing_but_the_calibration() -> None:
    """And that on the profile's own data set."""
    flow = workflow.Flow({"profile": "nano", "only": "backprop-w1"})
    assert (flow.names("tune"), flow.names("confirm"), flow.chunks()) == ([], [], [])
    assert flow.placebo_data() == "results/data/digits.npz"
    assert (
        workflow.Flow({"profile": "laptop", "only": "backprop-w1"}).placebo_data()
        == "results/data/mnist1d.npz"
    )
    assert (ROOT / "Snakefile").read_text().count("flow.placebo_data(),") == 2
