"""A full disk, a folder without rights: one line, nothing half-written, and the same command finishes once the cause is gone."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from folklore import files
from folklore.errors import refused
from pipelines import NANO, SNAKEMAKE, digests, environment, finished, said, snakemake

# whom no right stops; without these two capabilities root is a user like any other
ROOT_USER = os.getuid() == 0
PLAIN_USER = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]
# a private mount needs a user namespace, which some systems forbid
PRIVATE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder whose rights are given back at the end."""
    yield tmp_path
    for path in (tmp_path, *tmp_path.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


@pytest.fixture
def as_user() -> list[str]:
    """What to put in front of a command so that rights count."""
    if not ROOT_USER:
        return []
    if (
        shutil.which("setpriv") is None
        or subprocess.run([*PLAIN_USER, "true"], capture_output=True).returncode
    ):
        pytest.skip("root cannot give up its capabilities here: setpriv is missing or refused")
    return PLAIN_USER


def stage(
    repository: Path, folder: Path, *words: str, limit: int | None = None, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """An entry point as a process, with a limit on the size of a file."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [*before, sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=environment(repository),
        preexec_fn=limited,
    )


def assert_told(refusal: subprocess.CompletedProcess[str], *words: str) -> None:
    assert refusal.returncode == 2, said(refusal)
    lines = [line for line in refusal.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, refusal.stderr
    assert "Traceback" not in refusal.stderr
    for word in (*words, "start the same command again"):
        assert word in lines[0]


def leftovers(folder: Path) -> list[Path]:
    """Files that were begun and not renamed."""
    found = [p for p in folder.rglob(".*") if p.is_file() and ".sums" not in p.parts]
    return [p for p in found if p.suffix != ".lock"]


JOB = ("folklore.stages.jobs", "tune", "000", "--out", "results", "profile=nano")


def test_a_job_that_may_not_write_so_much(repository: Path, data_root: Path, place: Path) -> None:
    """RLIMIT_FSIZE: the system refuses as it does on a full disk, and needs no rights."""
    shutil.copytree(data_root, place / "results/data")
    assert_told(stage(repository, place, *JOB, limit=6000), "results/runs/", "make room")
    assert not list((place / "results").rglob("*.parquet"))
    assert not leftovers(place)
    again = stage(repository, place, *JOB)
    assert again.returncode == 0, again.stderr
    assert (place / "results/tune/000.json").exists()


def test_data_that_do_not_fit(repository: Path, place: Path) -> None:
    fetch = ("folklore.stages.fetch", "digits", "--root", "data")
    assert_told(stage(repository, place, *fetch, limit=100_000), "make room")
    assert not list((place / "data").glob("digits*"))
    assert stage(repository, place, *fetch).returncode == 0


@pytest.mark.parametrize("folder", ["results", "results/data"])
def test_a_folder_without_the_right_to_write(
    folder: str, repository: Path, place: Path, as_user: list[str]
) -> None:
    closed = place / folder
    closed.mkdir(parents=True)
    closed.chmod(0o555)
    fetch = ("folklore.stages.fetch", "digits", "--root", "results/data")
    refusal = stage(repository, place, *fetch, before=as_user)
    assert_told(refusal, "results/data", "Permission denied", "writable")
    closed.chmod(0o755)
    assert stage(repository, place, *fetch, before=as_user).returncode == 0


def test_only_what_a_person_can_mend_is_one_line() -> None:
    """A missing file is a fault of the program, and keeps its traceback."""
    assert "No space left" in refused(OSError(errno.ENOSPC, "No space left on device", "results/x"))
    assert refused(FileNotFoundError(errno.ENOENT, "No such file or directory", "results/x")) is None


def test_a_half_written_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write(path, content[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left.*x\.json"):
        files.atomic_write(tmp_path / "x.json", "content")
    assert list(tmp_path.iterdir()) == []


FULL = """
mount -t tmpfs -o size={size}k tmpfs "{folder}"
cp -r "{data}" "{folder}/data"
cd "{folder}/.."
dd if=/dev/zero of="{folder}/filler" bs=1k 2>/dev/null || true
{command} || echo "first: $?"
rm "{folder}/filler"
{command}
echo "second: $?"
"""


def test_a_disk_that_is_really_full(repository: Path, data_root: Path, place: Path) -> None:
    """A small file system of its own, filled to the brim, then freed."""
    if not private_mounts(place):
        pytest.skip("this system allows no private mounts")
    (place / "results").mkdir()
    command = " ".join(f"'{word}'" for word in (sys.executable, "-m", *JOB))
    script = FULL.format(size=20_000, folder=place / "results", data=data_root, command=command)
    done = subprocess.run(
        [*PRIVATE, script], capture_output=True, text=True, timeout=300, env=environment(repository)
    )
    assert "first: 2" in done.stdout, said(done)
    assert "second: 0" in done.stdout, said(done)
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "No space left on device; make room" in told[0]
    assert "Traceback" not in done.stderr


def private_mounts(place: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*PRIVATE, f"mount -t tmpfs tmpfs '{place}'"], capture_output=True)
    return tried.returncode == 0


# On the real pipeline.


def limited_pipeline(folder: Path, repository: Path, blocks: int) -> subprocess.CompletedProcess[str]:
    words = " ".join(f"'{word}'" for word in [*SNAKEMAKE, "--directory", str(folder), *NANO])
    return subprocess.run(
        ["bash", "-c", f"ulimit -f {blocks}; exec {words}"],
        capture_output=True,
        text=True,
        timeout=550,
        env=environment(repository),
        cwd=folder,
    )


@pytest.mark.torture
@pytest.mark.parametrize("blocks", [12, 300, 1200], ids=["results", "data", "tracker"])
def test_the_pipeline_on_a_full_disk_carries_on_later(
    blocks: int, done: Path, repository: Path, tmp_path: Path
) -> None:
    """Blocks of a kilobyte: too few for a part of the store, for a data set, for MLflow's database."""
    refusal = limited_pipeline(tmp_path, repository, blocks)
    assert refusal.returncode != 0
    assert "error: " in said(refusal)
    assert "Traceback" not in said(refusal)
    finished(tmp_path)
    assert digests(tmp_path) == digests(done)


@pytest.mark.torture
def test_the_pipeline_in_a_folder_of_somebody_else(
    done: Path, repository: Path, place: Path, as_user: list[str]
) -> None:
    place.chmod(0o555)
    refusal = snakemake(place, *NANO, before=as_user)
    assert refusal.returncode != 0
    assert ".snakemake: Permission denied; make it readable and writable" in said(refusal)
    assert "Traceback" not in said(refusal)
    assert not list(place.iterdir())
    place.chmod(0o755)
    finished(place, before=as_user)
    assert digests(place) == digests(done)
