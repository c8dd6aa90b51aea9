"""The pipeline from outside: the real Snakefile at `nano` size, interrupted, repeated, and asked for what it promises."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from folklore import datasets
from folklore.store import Store
from pipelines import (
    NANO,
    ROOT,
    digests,
    environment,
    keys_of,
    new_folder,
    parts,
    snakemake,
    start_and_kill,
    tracked,
    trained_twice,
)


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
    assert verdicts["runs"] == len(keys_of(done))


def test_nothing_leaves_this_machine(done: Path) -> None:
    """Every process of the pipeline was guarded (see tests/guard); digits are at hand, so that nothing had to be fetched."""
    assert not (done / "connections").exists(), (done / "connections").read_text()


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
        command, capture_output=True, text=True, env=environment(ROOT), cwd=done, check=True
    )
    keys = sorted(set(re.findall(r"\b[0-9a-f]{24}\b", said.stdout)))
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == claim["run_keys_sha256"]


def test_a_second_call_trains_nothing(done: Path) -> None:
    before = parts(done)
    again = snakemake(done, *NANO)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr
    assert parts(done) == before


def test_every_run_is_once_in_mlflow(done: Path) -> None:
    assert sorted(tracked(done)) == sorted(keys_of(done))


def test_kill_and_carry_on(done: Path, data: Path, tmp_path: Path) -> None:
    """kill -9 at random moments, then the same command: the same bytes, nothing trained or imported twice."""
    folder, moments = new_folder(data, tmp_path), random.Random(7)
    for _ in range(4):
        start_and_kill(folder, after=moments.uniform(4, 22))
    finished = snakemake(folder, *NANO)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert digests(folder) == digests(done)
    assert not trained_twice(folder)
    assert sorted(tracked(folder)) == keys_of(folder)


ONE_BY_ONE = """
import random
from folklore import cost
from folklore.plan import make_plan
from folklore.stages import jobs
cost.stack_width = lambda run: 1  # a network at a time
cost.seconds = lambda run: 1.0  # so that jobs are as short as they can be
plan = make_plan(["profile=nano", "profile.job_seconds=1"])
for phase in ("tune", "confirm"):
    for job in random.Random(7).sample(plan.phase(phase), len(plan.phase(phase))):
        jobs.main([phase, job.name, "--out", "results", "profile=nano", "profile.job_seconds=1"])
print(len(plan.jobs))
"""


def test_neither_stacks_nor_jobs_nor_cores_show(done: Path, data: Path, tmp_path: Path) -> None:
    """Trained one at a time, in many small jobs, in any order, and reported on one core: the same bytes."""
    folder = new_folder(data, tmp_path)
    datasets.prepare("digits", folder / "results/data")
    trained = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE], capture_output=True, text=True, env=environment(ROOT), cwd=folder
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert int(trained.stdout) > 10, "jobs of the pipeline itself are two"
    before = Store(folder / "results").keys()
    for phase in ("tune", "confirm"):
        shutil.rmtree(folder / "results" / phase)  # which runs a job has made depends on how jobs are cut
    completed = snakemake(folder, "--cores", "1", *NANO)
    assert completed.returncode == 0, completed.stderr[-3000:]
    assert sorted(before) == keys_of(folder), "the store had everything"
    assert not trained_twice(folder)
    assert digests(folder) == digests(done)


def test_a_damaged_result_is_noticed_and_trained_again(done: Path, tmp_path: Path) -> None:
    """By the plain command, although every job had finished."""
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    part = next((folder / "results/runs").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    finished = snakemake(folder, *NANO)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "is damaged" in finished.stdout + finished.stderr
    assert parts(folder) == parts(done), "the same numbers, so the same parts"
    assert digests(folder) == digests(done)


def a_copy_of_the_project(folder: Path) -> Path:
    """For edits; with what is compiled, which knows by itself what it was compiled from."""
    left = shutil.ignore_patterns(".git", ".venv*", "results", ".snakemake")
    shutil.copytree(ROOT, folder, ignore=left)
    return folder


@pytest.mark.parametrize("answered", [False, True])
def test_a_look_adds_replicates_only_where_it_answers_nothing(
    answered: bool, done: Path, tmp_path: Path
) -> None:
    """Four replicates with a look after two, to the report; what the look says of toys is given, and what follows from it is not."""
    project, folder = a_copy_of_the_project(tmp_path / "project"), tmp_path / "copy"
    shutil.copytree(done, folder)
    profile = project / "conf/profile/nano.yaml"
    text = profile.read_text()
    profile.write_text(text.replace("\nreplicates: 2", "\nreplicates: 4\nfirst_look: 2"))
    looks = project / "src/folklore/looks.py"
    said = looks.read_text()
    assert "    return bool(p < level" in said
    looks.write_text(
        said.replace("    return bool(p < level", f"    return {answered}\n    return bool(p < level")
    )
    old = Store(folder / "results").keys()
    finished = snakemake(folder, *NANO, project=project)
    assert finished.returncode == 0, finished.stderr[-3000:]
    added = Store(folder / "results").read()
    added = added[~added["run_key"].isin(old)]
    judged = json.loads((folder / "results/verdicts.json").read_bytes())["claims"]
    (looked,) = (claim for claim in judged if claim["id"] == "he-vs-glorot-relu")
    assert (looked["n"], looked["n_planned"]) == ((2, 4) if answered else (4, 4))
    assert bool([note for note in looked["notes"] if "after 2 of 4" in note]) == answered
    # the grid, which has no look, has three replicates
    assert set(added["seed"]) == ({2} if answered else {2, 3})
    assert sorted(tracked(folder)) == keys_of(folder)
    assert not trained_twice(folder)


def test_another_seed_trains_only_itself(done: Path, tmp_path: Path) -> None:
    """One replicate more in a copy of the configuration: the old parts stay, new rows are the new seed's."""
    project, folder = a_copy_of_the_project(tmp_path / "project"), tmp_path / "copy"
    shutil.copytree(done, folder)
    profile = project / "conf/profile/nano.yaml"
    profile.write_text(profile.read_text().replace("\nreplicates: 2", "\nreplicates: 3"))
    before, old = parts(folder), Store(folder / "results").keys()
    finished = snakemake(folder, *NANO, "--until", "confirm", project=project)
    assert finished.returncode == 0, finished.stderr[-3000:]
    added = Store(folder / "results").read()
    added = added[~added["run_key"].isin(old)]
    assert before <= parts(folder)
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
    refused = snakemake(tmp_path, *arguments)
    said = [line for line in (refused.stdout + refused.stderr).splitlines() if named in line]
    assert refused.returncode != 0
    assert len(said) == 1, refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "results").exists()
