"""Other machines' habits: paths, languages, time zones, homes, no network, two reports at once. The bytes stay the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from folklore import progress
from folklore.plan import make_plan
from pipelines import ROOT, digests, environment, finished, parts, said

torture = pytest.mark.torture

# A C locale without Python's rescue reads files as ASCII; a German one writes decimals with a comma, where it is installed.
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "German": {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
}
ZONES = {"Kathmandu": {"TZ": "Asia/Kathmandu"}, "Niue": {"TZ": "Pacific/Niue"}}
WITHOUT_NETWORK = (
    ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
)


def copy_of_the_project(folder: Path) -> Path:
    """What git tracks or would; the virtual environment is borrowed."""
    left_out = shutil.ignore_patterns(
        ".git",
        ".venv*",
        "results",
        ".snakemake",
        "__pycache__",
        "folklore.pdf",
        "cheatsheet.pdf",
        "index.html",
        ".sums",
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def at_the_same_commit(project: Path) -> dict[str, str]:
    """The commit stands in the report: this copy is a working tree of the same repository."""
    return {"GIT_DIR": str(ROOT / ".git"), "GIT_WORK_TREE": str(ROOT)} if (ROOT / ".git").exists() else {}


def assert_same_in(folder: Path, data: Path, done: Path, *without: str, **changes: str) -> None:
    """A pipeline from nothing to the report in a changed environment."""
    shutil.copytree(data, folder / "results/data")
    env = {k: v for k, v in environment(ROOT).items() if k not in (*without, "LC_ALL", "LANG")} | changes
    finished(folder, env=env)
    assert digests(folder) == digests(done)


@torture
@pytest.mark.parametrize("changes", [*LOCALES.values()], ids=[*LOCALES])
def test_languages(changes: Mapping[str, str], data: Path, done: Path, tmp_path: Path) -> None:
    assert_same_in(tmp_path, data, done, **changes)


@torture
def test_time_zones_may_change_between_two_calls(data: Path, done: Path, tmp_path: Path) -> None:
    assert_same_in(tmp_path, data, done, **ZONES["Kathmandu"])
    again = finished(tmp_path, env=environment(ROOT) | ZONES["Niue"])
    assert "Nothing to be done" in said(again)


@torture
def test_no_home(data: Path, done: Path, tmp_path: Path) -> None:
    assert_same_in(tmp_path, data, done, "HOME", "XDG_CACHE_HOME")


@torture
def test_no_network(data: Path, done: Path, tmp_path: Path) -> None:
    """In a network of its own, which has not even the loopback device up."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True).returncode
    ):
        pytest.skip("this system allows no network of one's own")
    shutil.copytree(data, tmp_path / "results/data")
    finished(tmp_path, before=WITHOUT_NETWORK)
    assert digests(tmp_path) == digests(done)


@torture
def test_spaces_and_foreign_letters_in_the_path(data: Path, done: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "Übung 3, naïve «Kopie»")
    shutil.copytree(data, project / "results/data")
    finished(project, project=project, env=environment(project) | at_the_same_commit(project))
    assert digests(project) == digests(done)


def report(project: Path, **changes: str) -> subprocess.Popen[str]:
    """The real command, in a copy; its environment is taken as it is."""
    command = ["make", "-o", "env", "report", "PROFILE=nano", "CORES=1"]
    env = environment(project) | at_the_same_commit(project) | changes
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=project
    )


@torture
def test_two_reports_at_once(data: Path, done: Path, tmp_path: Path) -> None:
    """The second waits, says so, and then has nothing to do."""
    project = copy_of_the_project(tmp_path / "project")
    shutil.copytree(data, project / "results/data")
    first = report(project)
    while first.poll() is None and not (project / ".snakemake/locks").exists():
        time.sleep(0.2)
    second = report(project)
    told = [first.communicate(timeout=500)[0], second.communicate(timeout=500)[0]]
    assert (first.returncode, second.returncode) == (0, 0), told
    assert "waiting for it to end" in told[1]
    assert "Nothing to be done" in told[1]
    assert "waiting" not in told[0]
    assert digests(project) == digests(done)
    assert parts(project) == parts(done)


@torture
def test_a_home_that_may_not_be_written(data: Path, done: Path, tmp_path: Path) -> None:
    """Through make, which sends Snakemake's cache elsewhere then. A file in the place of the home stops root, too."""
    project, home = copy_of_the_project(tmp_path / "project"), tmp_path / "home"
    shutil.copytree(data, project / "results/data")
    home.write_text("no folder")
    home.chmod(0o444)
    made = report(project, HOME=str(home / "nobody"))
    told, _ = made.communicate(timeout=500)
    assert made.returncode == 0, told[-3000:]
    assert digests(project) == digests(done)


def test_a_clock_that_goes_backwards_changes_only_the_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heartbeat is written, and no time left below zero is told."""
    plan = make_plan(["profile=nano"])
    job = plan.phase("tune")[0]
    stack = [job.units[0].cells[0].run]
    now = iter([2e9, 2e9, 1e9, 1e9 - 50, 1e9 - 60, *(1e9 - 70 - i for i in range(50))])
    monkeypatch.setattr(progress.time, "time", lambda: next(now))
    with progress.Progress(tmp_path, plan, job) as shown:
        shown.training(stack, 0.5)
        shown.finished(stack, trained=True)
    told = capsys.readouterr().err
    assert "done" in told
    assert "-" not in told.split("tune 000")[0]


def test_a_heartbeat_that_is_none_counts_as_nothing(tmp_path: Path) -> None:
    """Every job reads those of all others, and must not fail for what lies there."""
    plan = make_plan(["profile=nano"])
    job, *_ = plan.phase("tune")
    file, mine = tmp_path / "progress" / f"tune-{job.name}.json", {"identity": job.identity}
    file.parent.mkdir()
    foreign = ["[]", "null", "3", '"text"', "{}", "{", "[" * 100_000, json.dumps(mine)]
    foreign += [json.dumps(mine | {"session": "", "runs": "many", "done": None}), '{"identity": []}']
    for text in foreign:
        file.write_text(text)
        assert progress.totals(tmp_path, plan)[:2] == (0, 0.0)
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / f"{job.name}.json").write_text(json.dumps(mine))
    assert progress.totals(tmp_path, plan)[0] == job.runs
