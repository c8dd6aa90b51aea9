"""The real Snakefile on a real Slurm of one node: the same bytes as here, and recovery by the same command.

`make test-slurm`; some fifteen minutes on two cores, most of it waiting for Slurm's answers.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import NANO, ROOT, digests, keys_of, new_folder, tracked, trained_twice
from slurm_cluster import cluster, missing, squeue

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.timeout(1800),
]

# Without accounting the plugin's default would wait for ever on sacct.
CLUSTER = ["--profile", str(ROOT / "profiles/slurm"), "--jobs", "3", "--slurm-no-account"]
CLUSTER += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a cluster that is up."""
    with cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment | {"PYTHONPATH": str(ROOT / "src"), "PROFILE": ""}


def test_a_cluster_makes_the_same_bytes(
    slurm: dict[str, str], done: Path, data: Path, tmp_path: Path
) -> None:
    folder = new_folder(data, tmp_path)
    _finish(folder, slurm)
    ran = {comment.split("_wildcards")[0] for _, comment in squeue(slurm)}
    assert {"rule_tune", "rule_confirm", "rule_judge", "rule_draw_0", "rule_render"} <= ran
    assert not ran & {"rule_fetch", "rule_track", "rule_attach"}, "SQLite and the network stay here"
    assert digests(folder) == digests(done)
    assert sorted(tracked(folder)) == sorted(keys_of(folder))


def test_a_job_that_is_cancelled_is_made_by_the_same_command(
    slurm: dict[str, str], done: Path, data: Path, tmp_path: Path
) -> None:
    folder = new_folder(data, tmp_path)
    workflow = _start(folder, slurm)
    _tell("scancel", _training(folder, slurm), slurm=slurm)
    said = workflow.communicate(timeout=600)[0]
    assert workflow.returncode == 1
    assert "Error in rule" in said
    assert not (folder / "reports/folklore.pdf").exists()
    _finish(folder, slurm)
    assert digests(folder) == digests(done)
    _assert_once(folder)


def test_a_workflow_that_is_killed_leaves_no_second_trainer(
    slurm: dict[str, str], done: Path, data: Path, tmp_path: Path
) -> None:
    """Slurm goes on with a job whose workflow is gone. Once another has begun, the job steps back and takes nothing away.

    It is held up meanwhile, so that it cannot end before.
    """
    folder = new_folder(data, tmp_path)
    workflow = _start(folder, slurm)
    orphan = _training(folder, slurm)
    _tell("scontrol", "suspend", orphan, slurm=slurm)
    workflow.kill()
    workflow.communicate()
    _finish(folder, slurm)
    _tell("scontrol", "resume", orphan, slurm=slurm)
    while orphan in dict(squeue(slurm, state="running")):
        time.sleep(0.5)
    (log,) = (folder / "results/logs/slurm").rglob(f"{orphan}.log")
    assert "a later workflow has begun" in log.read_text()
    assert (folder / "results/tune/000.json").exists()
    assert digests(folder) == digests(done)
    _assert_once(folder)


def _command(folder: Path) -> list[str]:
    snakefile = str(ROOT / "Snakefile")
    return [sys.executable, "-m", "snakemake", "-s", snakefile, "--directory", str(folder), *CLUSTER, *NANO]


def _start(folder: Path, slurm: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(folder),
        env=slurm,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _finish(folder: Path, slurm: dict[str, str]) -> None:
    said = _start(folder, slurm)
    output = said.communicate(timeout=900)[0]
    assert said.returncode == 0, output[-3000:] + _logs(folder)


def _training(folder: Path, slurm: dict[str, str]) -> str:
    """Number of the job that tunes, once it trains."""
    for _ in range(600):
        beats = list((folder / "results/progress").glob("tune-*.json"))
        jobs = [job for job, comment in squeue(slurm, state="running") if comment.startswith("rule_tune")]
        if beats and jobs:
            return jobs[-1]
        time.sleep(0.1)
    raise AssertionError(f"nothing was tuned: {squeue(slurm)}")


def _tell(*command: str, slurm: dict[str, str]) -> None:
    subprocess.run(command, env=slurm, check=True, timeout=30)


def _assert_once(folder: Path) -> None:
    """No network was trained twice, and every one is once in MLflow."""
    assert not trained_twice(folder)
    assert sorted(tracked(folder)) == sorted(keys_of(folder))


def _logs(folder: Path) -> str:
    """What Slurm says of jobs that failed."""
    logs = (folder / "results/logs/slurm").rglob("*.log")
    return "".join(f"\n{log.name}:\n{log.read_text()[-2000:]}" for log in logs)
