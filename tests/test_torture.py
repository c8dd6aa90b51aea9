"""`kill -9` of the workflow and of each kind of its jobs, again and again: N kills, drawn from SEED (`make torture N=80 SEED=7`).

Afterwards the plain command ends with the bytes of a run that nobody disturbed, no network was trained twice, and each is once and whole
in MLflow.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from pipelines import (
    NANO,
    digests,
    finished,
    keys_of,
    new_folder,
    said,
    snakemake,
    started,
    tracked,
    trained_twice,
)

pytestmark = [pytest.mark.torture, pytest.mark.timeout(2700)]

N, SEED = int(os.environ.get("N") or 80), int(os.environ.get("SEED") or 7)
# Along the pipeline, so that a folder sees all of them; with the seconds within which each is killed once it has begun.
VICTIMS = (
    ("workflow", 12.0),
    ("jobs tune", 6.0),
    ("workflow", 15.0),
    ("jobs confirm", 6.0),
    ("calibrate", 8.0),
    ("jobs confirm", 9.0),
    ("workflow", 15.0),
    ("track runs", 8.0),
    ("judge", 3.0),
    ("workflow", 12.0),
    ("draw", 3.0),
    ("analyse", 3.0),
    ("track runs", 14.0),
    ("render", 3.0),
    ("workflow", 10.0),
    ("render", 4.0),
    ("track verdicts", 4.0),
)
# What makes a job due again that an earlier start has finished.
OUTPUTS = {
    "jobs tune": "results/tune/000.json",
    "jobs confirm": "results/confirm/000.json",
    "calibrate": "results/calibration.json",
    "track runs": "results/tracking/runs-00.done",
    "judge": "results/verdicts.json",
    "draw": "results/figures/he-vs-glorot-relu.svg",
    "analyse": "results/grid.json",
    "render": "reports/folklore.pdf",
    "track verdicts": "results/tracking/verdicts.done",
}
PATIENCE = 240.0


def test_killed_again_and_again(done: Path, data: Path, tmp_path: Path) -> None:
    moments, kills, rounds = random.Random(SEED), Counter(), 0
    print(f"\n{N} kills, SEED={SEED}")
    while kills.total() < N:
        folder = new_folder(data, tmp_path / f"round-{rounds}")
        for victim, within in VICTIMS:
            if kills.total() < N:
                kills.update(killed(folder, victim, moments.uniform(0, within), moments.uniform(-3, 3)))
        assert_as_undisturbed(folder, done)
        rounds += 1
        print(f"{kills.total()} kills in {rounds} folders: {dict(kills)}", flush=True)
        assert rounds <= N, "the victims end before they are killed"


def killed(folder: Path, victim: str, after: float, then: float) -> list[str]:
    """Start the workflow; kill the victim so many seconds after its start, and the workflow `then` seconds later, unless that is below 0.

    Returns who was killed: nobody where all had ended.
    """
    if victim in OUTPUTS:
        (folder / OUTPUTS[victim]).unlink(missing_ok=True)
    workflow = started(folder)
    own = psutil.Process(workflow.pid)
    target = own if victim == "workflow" else found(own, workflow, victim)
    if target is not None:
        over(target, after)
    family = own.children(recursive=True) if workflow.poll() is None else []
    hit = [victim] if target is not None and kill(target) else []
    if hit and target is not own and then > 0:
        over(own, then)
        family += own.children(recursive=True) if workflow.poll() is None else []
        hit += ["workflow"] if workflow.poll() is None and kill(own) else []
    workflow.wait(PATIENCE)
    _, orphans = psutil.wait_procs(family, timeout=60)
    assert not orphans, f"jobs outlive their workflow: {orphans}"
    return hit


def found(own: psutil.Process, workflow: subprocess.Popen[bytes], victim: str) -> psutil.Process | None:
    """The Python process of a job of this kind, when it begins; None when the workflow ends without one."""
    while workflow.poll() is None:
        for child in own.children(recursive=True):
            if named(child, victim):
                return child
        time.sleep(0.05)
    return None


def named(process: psutil.Process, victim: str) -> bool:
    """The interpreter itself, not the shell around it, whose command line holds the same words."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "-m" in words and " ".join(words[2:]).startswith(f"folklore.stages.{victim}")


def over(target: psutil.Process, seconds: float) -> None:
    with contextlib.suppress(psutil.TimeoutExpired):
        target.wait(seconds)


def kill(target: psutil.Process) -> bool:
    try:
        target.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def assert_as_undisturbed(folder: Path, done: Path) -> None:
    finished(folder)
    assert digests(folder) == digests(done), f"SEED={SEED}"
    assert trained_twice(folder) == [], f"SEED={SEED}"
    assert sorted(tracked(folder)) == keys_of(folder), f"SEED={SEED}"
    assert not list((folder / "results").rglob("*.damaged")), f"SEED={SEED}"
    again = snakemake(folder, *NANO)
    assert "Nothing to be done" in said(again), said(again)[-3000:]
