"""What the Snakefile relies on: recovery from a crash, options, identities of code, and the shape of the workflow."""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from folklore import recovery, workflow
from folklore.errors import UsageError
from folklore.studies import placebo

ROOT = Path(__file__).resolve().parents[1]


def test_stale_locks_are_removed(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.write_text("results/x")
    assert recovery.heal(tmp_path)
    assert not lock.exists()


def _holder(folder: Path) -> subprocess.Popen[str]:
    """A living workflow in this folder."""
    held = subprocess.Popen(
        [sys.executable, "-c", _hold(folder)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    assert held.stdout.readline().strip() == "held"
    return held


def test_a_workflow_waits_for_a_living_one_and_its_locks_stay(tmp_path: Path) -> None:
    """And holds the lock itself from then on: the system drops it with the process, however that ends."""
    holder = _holder(tmp_path)
    lock = tmp_path / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.write_text("results/x")
    second = subprocess.Popen(
        [sys.executable, "-c", _hold(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "waiting for it to end" in second.stderr.readline()
    assert lock.exists()
    holder.kill()
    holder.wait()
    assert second.stdout.readline().strip() == "held"
    assert not lock.exists()
    assert not _is_free(tmp_path)
    second.kill()
    second.communicate()
    assert _is_free(tmp_path)


def _is_free(folder: Path) -> bool:
    with (folder / recovery.LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_said_in_one_line_and_nothing_is_mended(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    lock = tmp_path / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.touch()
    assert not recovery.heal(tmp_path)
    assert lock.exists()
    assert not (tmp_path / recovery.LOCK).read_text(), "a session would end the jobs of another workflow"
    (said,) = capsys.readouterr().err.splitlines()
    assert "snakemake --unlock" in said


@pytest.mark.parametrize(
    "arguments, looks",
    [
        ("--cores 2 --config profile=nano", False),
        ("--cores 2 --report --report-after-run", False),
        ("--lint", True),
        ("--report=page.html", True),
        ("-S", True),
    ],
)
def test_what_only_looks_is_no_workflow(arguments: str, looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake", *arguments.split()])
    assert recovery.only_looks(dry_run=False) == looks
    assert recovery.only_looks(dry_run=True)


def test_a_dry_run_takes_no_lock_and_a_run_waits_for_it(tmp_path: Path) -> None:
    """The real Snakefile beside a living workflow."""
    folder = tmp_path / ".snakemake"
    folder.mkdir()
    holder = _holder(folder)
    session = (folder / recovery.LOCK).read_text()
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--config", "profile=nano", "--cores", "1"]
    looked = subprocess.run([*command, "-n"], capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr[-2000:]
    assert "another workflow" not in looked.stderr
    assert (folder / recovery.LOCK).read_text() == session

    wanted = "results/data/digits.npz"
    run = subprocess.Popen([*command, wanted], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert any("waiting for it to end" in line for line in run.stderr)
    time.sleep(1)
    assert not (tmp_path / wanted).exists()
    holder.kill()
    holder.wait()
    said = run.communicate(timeout=100)[1]
    assert run.returncode == 0, said[-2000:]
    assert (tmp_path / wanted).exists()
    assert (folder / recovery.LOCK).read_text() not in ("", session)


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


# What else a rule's code imports: part of the keys and identities of jobs that the rule waits for, or of no weight for its result.
ELSEWHERE = {
    *("datasets", "levels", "grid", "plan", "studies", "study_files", "config", "schema", "device"),
    *("store", "files", "errors", "validation", "provenance", "report", "stages/command"),
}


@pytest.mark.parametrize("rule", ["judge", "draw", "analyse"])
def test_a_rule_is_made_again_after_an_edit_of_any_module_that_decides_its_result(rule: str) -> None:
    behind = {place.removeprefix("src/folklore/").removesuffix(".py") for place in workflow.BEHIND[rule]}
    wanted, seen = [f"stages/{rule}"], set()
    while wanted:
        place = wanted.pop()
        # the analysis of the grid computes nothing by the core; claims do, which lend it their helpers
        if place in seen or {place, place.split("/")[0]} & (
            ELSEWHERE | ({"core"} if rule == "analyse" else set())
        ):
            continue
        seen.add(place)
        assert {place, place.split("/")[0]} & behind, f"{place} is not behind {rule}"
        wanted += imported(ROOT / "src/folklore" / f"{place}.py")


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file names, as places such as `stats/tuning`."""
    if path.exists():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "folklore":
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("folklore."):
                yield node.module.removeprefix("folklore.").replace(".", "/")


def test_an_edit_takes_effect_in_a_clone_below_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "slides" / "example"
    source = clone / "src/folklore/calibration.py"
    source.parent.mkdir(parents=True)
    monkeypatch.setattr(workflow, "CONF", clone / "conf")
    found = set()
    for text in ("a = 1", "a = 2"):
        source.write_text(text)
        found.add(workflow.code.__wrapped__("calibrate"))
    assert len(found) == 2


def test_what_was_made_is_no_source_of_what_makes_it(tmp_path: Path) -> None:
    for name, counts in (("page.typ", True), ("slides/tables/a.csv", False), ("example/a.csv", False)):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert workflow._is_source(file, tmp_path) == counts


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
        assert flow.placebo_data() == f"results/data/{placebo(flow.plan.config, family).run.data}.npz"


def test_data_that_are_generated_come_before_those_that_are_fetched() -> None:
    """They keep a core busy while others wait for the network, and most jobs wait for them."""
    flow = workflow.Flow({"profile": "smoke"})
    assert flow.dataset_priority("mnist1d") > flow.dataset_priority("mnist") == flow.priorities["fetch"]
    assert "priority: lambda w: flow.dataset_priority(w.data)" in (ROOT / "Snakefile").read_text()


def test_jobs_start_in_the_order_of_the_plan_and_nothing_short_waits_for_them() -> None:
    flow, rules = workflow.Flow({"profile": "smoke"}), (ROOT / "Snakefile").read_text()
    turns = [flow.turn(job.phase, job.name) for job in flow.plan.jobs]
    assert turns == list(range(len(turns), 0, -1))
    assert turns[0] < flow.priorities["track"] < flow.priorities["report"] < flow.dataset_priority("mnist")
    for phase in ("tune", "confirm", "extend"):
        assert f'priority: lambda w: flow.turn("{phase}", w.job)' in rules
    parts = [flow.turn(job.phase, job.name) for part in flow.plan.chunks() for job in part]
    assert parts == sorted(parts, reverse=True)


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


def test_a_calibration_is_that_of_its_cell_and_profile() -> None:
    flow = workflow.Flow({"profile": "laptop"})
    cells = [None, *flow.placebo_families]
    assert len({flow.placebo_identity(family) for family in cells}) == len(cells)
    assert workflow.Flow({"profile": "full"}).placebo_identity() == flow.placebo_identity()
    assert workflow.Flow({"profile": "smoke"}).placebo_identity() != flow.placebo_identity()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("key=1: allowed is 2"), "error: key=1: allowed is 2"),
        (
            PermissionError(errno.EACCES, "Permission denied", "results/x"),
            "error: results/x: Permission denied;",
        ),
    ],
)
def test_what_cannot_be_mended_ends_in_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fails() -> bool:
        raise error

    monkeypatch.setattr(recovery, "heal", fails)
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    with pytest.raises(SystemExit) as ended:
        workflow.mend(dry_run=False)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
    workflow.mend(dry_run=True)  # which mends nothing
