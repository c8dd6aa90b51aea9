"""What `make` does before Python does anything: what it refuses, whom it waits for, and texts that nobody else reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

STUB = """#!/bin/sh
# a Python that logs what it is asked, and whose environments hold more of the same
if [ "$1 $2" = "-m venv" ]; then
  echo "begins" >> log; sleep 0.2
  mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$0" .venv/bin/uv; echo "ends" >> log
fi
if [ "$2" = "folklore.stages.register" ]; then for word; do printf '<%s>\\n' "$word"; done; fi
if [ "$2" = "snakemake" ]; then echo "started" >> log; fi
"""
# a slow machine: what one step leaves half done stays so for a while
SLOW = '#!/bin/sh\n/bin/{name} "$@" || exit\ncase "$*" in *.venv-setup*) sleep 0.5 ;; esac\n'


@pytest.fixture
def folder(tmp_path: Path, repository: Path) -> Path:
    for name in ("Makefile", "requirements.in", "requirements.lock", "pyproject.toml"):
        shutil.copy(repository / name, tmp_path)
    (tmp_path / "bin").mkdir()
    write(tmp_path / "bin" / "python", STUB)
    for name in ("mkdir", "ln"):
        write(tmp_path / "bin" / name, SLOW.format(name=name))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "CORES", "REASON", "PROFILE")}
    return subprocess.Popen(
        ["make", "-s", f"PYTHON={folder}/bin/python", *arguments],
        cwd=folder,
        env=inherited | {"PATH": f"{folder}/bin:/usr/bin:/bin"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate(timeout=60)


@pytest.mark.parametrize("target", ["report", "slides", "calibrate", "estimate"])
@pytest.mark.parametrize("cores", ["0", "-1", "08", "two", "1;echo x", ""])
def test_cores_that_are_none_are_refused_before_anything_is_set_up(
    target: str, cores: str, folder: Path
) -> None:
    process = make(folder, target, f"CORES={cores}")
    out, err = said(process)
    assert process.returncode == 2 and not out
    assert err.splitlines()[0] == f"error: CORES={cores}: allowed is all, or a whole number from 1"
    assert not (folder / "log").exists()


@pytest.mark.parametrize("cores", ["all", "1", "16"])
def test_cores_that_there_are_start_the_workflow(cores: str, folder: Path) -> None:
    process = make(folder, "calibrate", f"CORES={cores}")
    said(process)
    assert process.returncode == 0
    assert (folder / "log").read_text().splitlines() == ["begins", "ends", "started"]


REASON = """costs $5, $(id), `id`, "quoted" and it's \\n $$ so"""


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_reason_arrives_as_it_was_typed(by: str, folder: Path) -> None:
    given = {"REASON": REASON} if by == "environment" else {}
    out, err = said(make(folder, "register", *([f"REASON={REASON}"] * (by == "argument")), **given))
    assert out.splitlines()[-2:] == ["<--reason>", f"<{REASON}>"], err


def test_no_reason_is_one_line(folder: Path) -> None:
    _, err = said(make(folder, "register"))
    assert err.startswith("error: REASON=: say why")


def test_two_makes_set_up_one_after_the_other(folder: Path) -> None:
    """The lock had an owner some time after it was there; until then the other make took it for a dead one's."""
    both = [make(folder, "env") for _ in range(2)]
    told = [said(one) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert (folder / "log").read_text().splitlines() == ["begins", "ends"]
    assert not os.path.lexists(folder / ".venv-setup")


@pytest.mark.parametrize("left", ["link", "folder"])
def test_the_lock_of_one_that_is_gone_is_no_lock(left: str, folder: Path) -> None:
    """A link to its number; or a folder, as earlier versions made it."""
    if left == "link":
        (folder / ".venv-setup").symlink_to("99999999")
    else:
        (folder / ".venv-setup").mkdir()
        (folder / ".venv-setup" / "pid").write_text("99999999\n")
    process = make(folder, "env")
    said(process)
    assert process.returncode == 0
    assert (folder / "log").read_text().splitlines() == ["begins", "ends"]
    assert not os.path.lexists(folder / ".venv-setup")
