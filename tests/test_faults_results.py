"""Results that are not what was written: noticed by their sums, named, set aside, made again by the plain command; never judged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from folklore import datasets, files, recovery
from folklore.choices import read_choices
from folklore.errors import UsageError
from folklore.plan import make_plan
from pipelines import digests, environment, finished, parts, said

TEXT = '{"lr": 0.0125, "rates": [0.00625, 0.0125, 0.025]}\n'


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flipped(path: Path) -> None:
    """One bit: a digit becomes another, and the file is as well-formed as before."""
    content = bytearray(path.read_bytes())
    digit = next(i for i in range(len(content) // 2, len(content)) if chr(content[i]).isdigit())
    content[digit] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_text('{"schema": 1, "identity": "another", "claims": [], "choices": {}, "summary": {}}')


DAMAGE = [truncated, flipped, emptied, foreign]
# a file of each kind, and what the workflow must miss so that it is made again
PLACES = {
    "results/tune/000.json": "results/tune/000.json",
    "results/confirm/000.json": "results/confirm/000.json",
    "results/extend/000.json": "results/extend/000.json",
    "results/calibration.json": "results/calibration.json",
    "results/findings.json": "results/findings.json",
    "results/verdicts.json": "results/verdicts.json",
    "results/grid.json": "results/grid.json",
    "results/data/digits.npz": "results/data/digits.npz",
    "results/data/digits.json": "results/data/digits.json",
    "results/tables/verdicts.csv": "results/verdicts.json",
    "results/tables/elu.csv": "results/verdicts.json",
    "results/tables/grid-cells.csv": "results/grid.json",
    "results/figures/grid-best.png": "results/grid.json",
    "results/figures/elu.png": "results/figures/elu.svg",
    "results/figures/overview.svg": "reports/folklore.pdf",
    "reports/index.html": "reports/index.html",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every place, written as the stages write."""
    monkeypatch.chdir(tmp_path)
    for place in {*PLACES, *PLACES.values()}:
        files.write_result(Path(place), TEXT)
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", PLACES)
def test_damage_is_named_and_made_again(
    place: str, damage: Callable[[Path], None], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(Path(place))
    assert recovery.heal_results() == [Path(place)]
    named = [line for line in capsys.readouterr().err.splitlines() if place in line]
    assert len(named) == 1
    assert not Path(place).exists()
    assert not Path(PLACES[place]).exists()
    assert Path(place + ".damaged").exists()
    kept = {*PLACES, *PLACES.values()} - {place, PLACES[place]}
    assert all(Path(other).read_text() == TEXT for other in kept)


def test_sound_files_stay_whatever_lies_beside(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/tables/mine.csv").write_text("a person's own")
    Path("results/verdicts.json").unlink()
    assert recovery.heal_results() == []
    assert capsys.readouterr().err == ""
    assert Path("results/tables/mine.csv").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_removed_file_is_made_again(place: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Snakemake misses its own; pictures and tables beside are missed here, once, and what they are made with goes."""
    Path(place).unlink()
    beside = PLACES[place] != place
    assert recovery.heal_results() == [Path(place)] * beside
    assert capsys.readouterr().err.count(f"{place} is gone") == beside
    assert not Path(PLACES[place]).exists()
    kept = {*PLACES, *PLACES.values()} - {place, PLACES[place]}
    assert all(Path(other).read_text() == TEXT for other in kept)
    Path(PLACES[place]).write_text(TEXT)
    if beside:  # such as a table that its claim no longer has
        assert recovery.heal_results() == []


@pytest.mark.parametrize("suffix", [".damaged", ".old"])
def test_a_part_that_a_job_has_set_aside_is_trained_again(suffix: str, project: Path) -> None:
    """By the next plain command, and by that one alone."""
    jobs = [
        Path("results") / name
        for name in ("tune/000.json", "confirm/000.json", "extend/000.json", "calibration.json")
    ]
    aside = Path("results/runs/0123456789ab").with_suffix(suffix)
    aside.parent.mkdir()
    aside.write_bytes(b"half a part")
    assert recovery.heal_results() == [aside]
    assert not any(job.exists() for job in jobs)
    assert (aside.parent / "aside" / aside.name).exists()
    for job in jobs:
        files.write_result(job, TEXT)
    assert recovery.heal_results() == []
    assert all(job.exists() for job in jobs)


def test_a_kill_between_the_sum_and_the_file_is_no_trust(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum comes first: a file that it does not vouch for is made again, and never the other way round."""
    target, replace_file = project / "results/verdicts.json", os.replace

    def killed(source: Path, name: Path) -> None:
        if Path(name) == target:
            raise KeyboardInterrupt
        replace_file(source, name)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.write_result(target, "new")
    monkeypatch.undo()
    assert target.read_text() == TEXT
    assert recovery.heal_results(project / "results", project / "reports") == [target]


def test_files_of_the_future_are_dated_now(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Snakemake refuses what is older than its input; a file of today stays as it is."""
    late, fine = Path("results/data/digits.npz"), Path("results/tune/000.json")
    os.utime(late, (4e9, 4e9))
    os.utime(fine, (1e9, 1e9))
    assert recovery.heal_results() == []
    assert "dated in the future" in capsys.readouterr().err
    assert late.stat().st_mtime < 3e9
    assert fine.stat().st_mtime == 1e9


def test_halves_of_killed_writers_are_removed_an_hour_later(project: Path) -> None:
    """A person's own hidden files stay, and so does what may still be written."""
    old = [
        Path("results/tune/.000.json.4711"),
        Path("results/tune/.sums/.000.json.4711"),
        Path("reports/.folklore.pdf.12"),
    ]
    kept = [Path("results/tune/.000.json.4712"), Path("results/.mine"), Path("results/.notes.1st")]
    for path in (*old, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    for path in (*old, *kept[1:]):
        os.utime(path, (1e9, 1e9))
    assert recovery.heal_results() == []
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("content", [foreign, truncated, emptied])
def test_choices_of_another_plan_are_refused(content: Callable[[Path], None], tmp_path: Path) -> None:
    """Also where the sum beside is right, for it was copied, too."""
    plan = make_plan(["profile=nano"])
    job = plan.phase("tune")[0]
    path = tmp_path / "tune" / f"{job.name}.json"
    files.write_result(path, json.dumps({"identity": job.identity, "choices": {"cell": {"lr": 0.5}}}))
    assert read_choices(plan, tmp_path) == {"cell": {"lr": 0.5}}
    content(path)
    with pytest.raises(UsageError, match=r"000\.json: not made by this configuration.* remove it"):
        read_choices(plan, tmp_path)


def test_arrays_of_another_set_are_not_trained_on(data_root: Path, tmp_path: Path) -> None:
    """Of the same shapes and types, in a sound file."""
    for name in ("digits.npz", "digits.json"):
        shutil.copy(data_root / name, tmp_path)
    with np.load(tmp_path / "digits.npz") as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "digits.npz", **arrays | {"pool_x": np.flip(arrays["pool_x"], axis=1).copy()})
    with pytest.raises(UsageError, match="does not match"):
        datasets.load("digits", tmp_path)


# On the real pipeline.


@pytest.mark.torture
@pytest.mark.parametrize(
    "places",
    [
        {"results/tune/000.json": flipped},
        {"results/data/digits.npz": truncated, "results/verdicts.json": flipped},
        {"results/calibration.json": foreign, "results/tables/he-vs-glorot-relu.csv": emptied},
        {
            "results/grid.json": truncated,
            "results/figures/backprop-w1.png": flipped,
            "reports/folklore.pdf": emptied,
        },
    ],
    ids=["choices", "data", "tables", "pictures"],
)
def test_the_plain_command_makes_it_again(
    places: dict[str, Callable[[Path], None]], done: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    for place, damage in places.items():
        damage(folder / place)
    again = finished(folder)
    for place in places:
        assert f"{place} is damaged" in said(again)
        assert "data" in place or (folder / place).exists(), "it was set aside and not made again"
    assert digests(folder) == digests(done)
    assert parts(folder) == parts(done), "something was trained"


@pytest.mark.torture
def test_future_files_do_not_stop_or_repeat_the_workflow(done: Path, tmp_path: Path) -> None:
    """The clock was set back by a day after the data were made: nothing trains, and the second call has nothing to do."""
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    for path in (folder / "results/data").glob("*.*"):
        later = path.stat().st_mtime + 86_400
        os.utime(path, (later, later))
    (folder / "results/verdicts.json").unlink()
    finished(folder)
    assert digests(folder) == digests(done)
    assert parts(folder) == parts(done)
    assert "Nothing to be done" in said(finished(folder))


READER = """
import sys
from pathlib import Path
from folklore.store import Store
Store(Path(sys.argv[1])).read()
"""


@pytest.mark.torture
def test_a_job_that_has_read_results_ends_well(done: Path, repository: Path) -> None:
    """Arrow's threads must not hold Python objects while the interpreter ends: one start in ten aborted so, its work done."""
    command = [sys.executable, "-c", READER, str(done / "results")]
    statuses = [subprocess.run(command, env=environment(repository)).returncode for _ in range(40)]
    assert statuses == [0] * 40
