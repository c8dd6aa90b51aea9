"""The real Snakefile at `nano` size, for tests: start it, kill it, and look at what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from folklore.store import Store
from hostile import as_a_user_has_it

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
NANO = ["--config", "profile=nano"]
REPORTS = ("folklore.pdf", "index.html", "cheatsheet.pdf", "provenance.json")


def new_folder(data: Path, folder: Path) -> Path:
    """A folder to work in, with the generated data."""
    shutil.copytree(data, folder / "results/data")
    return folder


def environment(project: Path) -> dict[str, str]:
    """A user's, with a guard in every process that notes connections in the file CONNECTIONS (see tests/guard)."""
    path = os.pathsep.join(map(str, (ROOT / "tests" / "guard", project / "src")))
    return as_a_user_has_it() | {"PYTHONPATH": path, "PROFILE": ""}


def snakemake(
    folder: Path,
    *arguments: str,
    project: Path = ROOT,
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """The workflow to its end. `before`: words in front of the command, such as `unshare -n`."""
    command = [*before, *SNAKEMAKE, "--directory", str(folder), *arguments]
    command[command.index("-s") + 1] = str(project / "Snakefile")
    env = environment(project) | {"CONNECTIONS": str(folder / "connections")} if env is None else env
    return subprocess.run(command, capture_output=True, text=True, timeout=550, env=env, cwd=folder)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def finished(folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """The plain command, which must end well."""
    done = snakemake(folder, *NANO, **options)
    assert done.returncode == 0, said(done)[-4000:]
    return done


def started(folder: Path) -> subprocess.Popen[bytes]:
    """The plain command, under way."""
    command = [*SNAKEMAKE, "--directory", str(folder), *NANO]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(ROOT), cwd=folder
    )


def start_and_kill(folder: Path, after: float) -> None:
    """Only the workflow's own process is killed: its jobs must end by themselves."""
    process = started(folder)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(2)


def keys_of(folder: Path) -> list[str]:
    """Run keys of what the pipeline itself trained (the placebo runs of the calibration are not in its plan)."""
    placebo = set(json.loads((folder / "results/calibration.json").read_text())["run_keys"])
    return sorted(Store(folder / "results").keys() - placebo)


def trained_twice(folder: Path) -> list[str]:
    """Run keys with two measured times. Equal results are stored under one name; their times differ, and so are not."""
    timings = [pd.read_parquet(path) for path in (folder / "results/timings").glob("*.parquet")]
    each = pd.concat(timings).groupby("run_key")["seconds"].nunique()
    return sorted(each[each > 1].index)


def parts(folder: Path) -> set[str]:
    return {path.name for path in (folder / "results/runs").glob("*.parquet")}


def digests(folder: Path) -> dict[str, str]:
    """Bytes of all that a reader sees."""
    shown = [folder / "results/verdicts.json", folder / "results/grid.json"]
    shown += [folder / "reports" / name for name in REPORTS]
    shown += [*(folder / "results/tables").glob("*.csv"), *(folder / "results/figures").glob("*.svg")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(shown)}


def tracked(folder: Path) -> list[str]:
    """Run keys in MLflow, by MLflow's own API, in a process of its own."""
    script = (
        "import sys, mlflow\n"
        "client = mlflow.MlflowClient('sqlite:///' + sys.argv[1])\n"
        "for e in client.search_experiments():\n"
        "    token = None\n"
        "    while True:\n"
        "        page = client.search_runs([e.experiment_id], max_results=1000, page_token=token)\n"
        "        for r in page:\n"
        "            if 'run_key' in r.data.tags: print('KEY', r.data.tags['run_key'], r.info.status)\n"
        "        token = page.token\n"
        "        if not token: break\n"
    )
    listed = subprocess.run(
        [sys.executable, "-c", script, str(folder / "results/mlflow.db")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert listed.returncode == 0, listed.stderr[-2000:]
    lines = [line.split() for line in listed.stdout.splitlines() if line.startswith("KEY")]
    assert all(status == "FINISHED" for _, _, status in lines)
    return [key for _, key, _ in lines]
