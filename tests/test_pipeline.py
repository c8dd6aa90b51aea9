"""The pipeline from outside: the real Snakefile at `nano` size, interrupted, repeated, and asked for what it promises."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from folklore import datasets
from folklore.store import Store

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
NANO = ["--config", "profile=nano"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated data set, made once."""
    root = tmp_path_factory.mktemp("data")
    datasets.prepare("mnist1d", root)
    return root


@pytest.fixture(scope="session")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished nano pipeline. Tests must not change it."""
    folder = _folder(data, tmp_path_factory.mktemp("done"))
    finished = _snakemake(folder, *NANO)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder


def test_everything_that_is_promised_is_there(done: Path) -> None:
    verdicts = json.loads((done / "results/verdicts.json").read_text())
    for name in ("folklore.pdf", "cheatsheet.pdf"):
        assert (done / "reports" / name).read_bytes().startswith(b"%PDF-")
    assert (done / "reports/index.html").read_text().startswith("<!doctype html>")
    assert {c["id"] for c in verdicts["claims"]} == {"he-vs-glorot-relu", "backprop-w1"}
    for claim in verdicts["claims"]:
        assert (done / "results/figures" / f"{claim['id']}.svg").exists()
        assert list((done / "results/tables").glob(f"{claim['id']}*.csv"))
        assert claim["criterion"]["commit"], "a criterion that is not registered"
    assert verdicts["runs"] == len(_keys(done))


def test_a_figure_is_traced_to_every_run_behind_it(done: Path) -> None:
    verdicts = json.loads((done / "results/verdicts.json").read_text())
    claim = next(c for c in verdicts["claims"] if c["id"] == "he-vs-glorot-relu")
    traces = json.loads((done / "reports/provenance.json").read_text())["figures"]
    assert traces[claim["id"]]["run_keys_sha256"] == claim["run_keys_sha256"]
    command = [
        sys.executable,
        "-m",
        "folklore.stages.explain",
        f"results/figures/{claim['id']}.svg",
        "--keys",
    ]
    said = subprocess.run(
        command, capture_output=True, text=True, env=_environment(ROOT), cwd=done, check=True
    )
    keys = sorted(set(re.findall(r"\b[0-9a-f]{24}\b", said.stdout)))
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == claim["run_keys_sha256"]


def test_a_second_call_trains_nothing(done: Path) -> None:
    before = _parts(done)
    again = _snakemake(done, *NANO)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr
    assert _parts(done) == before


def test_every_run_is_once_in_mlflow(done: Path) -> None:
    tracked = _tracked(done)
    assert sorted(tracked) == sorted(_keys(done))


def test_kill_and_carry_on(done: Path, data: Path, tmp_path: Path) -> None:
    """kill -9 at random moments, then the same command: the same bytes, nothing trained or imported twice."""
    folder, moments = _folder(data, tmp_path), random.Random(7)
    for _ in range(4):
        _start_and_kill(folder, after=moments.uniform(4, 22))
    finished = _snakemake(folder, *NANO)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert _digests(folder) == _digests(done)
    parts = [set(pd.read_parquet(path)["run_key"]) for path in (folder / "results/runs").glob("*.parquet")]
    whole = [
        keys for keys in parts if not any(keys < other for other in parts)
    ]  # a kill may leave what was merged
    assert sum(map(len, whole)) == len(Store(folder / "results").keys()), "a run was stored twice"
    assert sorted(_tracked(folder)) == sorted(_keys(folder))


def test_a_damaged_result_is_noticed_and_trained_again(done: Path, tmp_path: Path) -> None:
    """By the plain command, although every job had finished."""
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    part = next((folder / "results/runs").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    finished = _snakemake(folder, *NANO)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "is damaged" in finished.stdout + finished.stderr
    assert _digests(folder) == _digests(done)


def test_another_seed_trains_only_itself(done: Path, tmp_path: Path) -> None:
    """One replicate more in a copy of the configuration: the old parts stay, new rows are the new seed's."""
    project, folder = tmp_path / "project", tmp_path / "copy"
    shutil.copytree(done, folder)
    shutil.copytree(
        ROOT, project, ignore=shutil.ignore_patterns(".git", ".venv*", "results", ".snakemake", "__pycache__")
    )
    profile = project / "conf/profile/nano.yaml"
    profile.write_text(profile.read_text().replace("\nreplicates: 2", "\nreplicates: 3"))
    before, old = _parts(folder), Store(folder / "results").keys()
    finished = _snakemake(folder, *NANO, "--until", "confirm", project=project)
    assert finished.returncode == 0, finished.stderr[-3000:]
    added = Store(folder / "results").read()
    added = added[~added["run_key"].isin(old)]
    assert before <= _parts(folder)
    assert set(added["seed"]) == {2}
    assert len(added) > 0


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--config", "profile=huge"], "profile=huge"),
        (["--config", "profile=nano", "only=no-such-claim"], "only=no-such-claim"),
    ],
)
def test_bad_input_ends_in_one_line(arguments: list[str], named: str, tmp_path: Path) -> None:
    refused = _snakemake(tmp_path, *arguments)
    said = [line for line in (refused.stdout + refused.stderr).splitlines() if named in line]
    assert refused.returncode != 0
    assert len(said) == 1, refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "results").exists()


def _folder(data: Path, folder: Path) -> Path:
    shutil.copytree(data, folder / "results/data")
    return folder


def _environment(project: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(project / "src"), "PROFILE": ""}


def _snakemake(folder: Path, *arguments: str, project: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [*SNAKEMAKE, "--directory", str(folder), *arguments]
    command[command.index("-s") + 1] = str(project / "Snakefile")
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, env=_environment(project), cwd=folder
    )


def _start_and_kill(folder: Path, after: float) -> None:
    """Only the workflow's own process is killed: its jobs must end by themselves."""
    command = [*SNAKEMAKE, "--directory", str(folder), *NANO]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(ROOT), cwd=folder
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(2)


def _keys(folder: Path) -> list[str]:
    """Run keys of what the pipeline itself trained (the placebo runs of the calibration are not in its plan)."""
    placebo = set(json.loads((folder / "results/calibration.json").read_text())["run_keys"])
    return sorted(Store(folder / "results").keys() - placebo)


def _parts(folder: Path) -> set[str]:
    return {path.name for path in (folder / "results/runs").glob("*.parquet")}


def _digests(folder: Path) -> dict[str, str]:
    """Bytes of all that a reader sees."""
    shown = [folder / "results/verdicts.json", folder / "results/grid.json", *(folder / "reports").iterdir()]
    shown += [*(folder / "results/tables").glob("*.csv"), *(folder / "results/figures").glob("*.svg")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(shown)}


def _tracked(folder: Path) -> list[str]:
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
    said = subprocess.run(
        [sys.executable, "-c", script, str(folder / "results/mlflow.db")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr[-2000:]
    lines = [line.split() for line in said.stdout.splitlines() if line.startswith("KEY")]
    assert all(status == "FINISHED" for _, _, status in lines)
    return [key for _, key, _ in lines]
