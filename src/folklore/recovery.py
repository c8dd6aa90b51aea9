"""Recovery: what a killed workflow leaves in the way, damaged results, and another workflow at work in the same folder.

Light: the Snakefile uses it while it is parsed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from folklore import files
from folklore.errors import UsageError, refused
from folklore.progress import LOCK, PARENT, SESSION, superseded

# options of Snakemake with which it makes nothing
LOOKS = {
    *("--lint", "--report", "--print-compilation", "--dag", "--rulegraph", "--filegraph", "--d3dag"),
    *("--summary", "-S", "--detailed-summary", "-D", "--list-rules", "--list", "-l"),
    *("--list-target-rules", "--lt", "--list-changes", "--lc", "--list-input-changes", "--li"),
    *("--list-params-changes", "--lp", "--list-untracked", "--lu", "--list-conda-envs"),
}
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what file systems say that keep none
ASIDE = "aside"  # folder of parts of the store that are no longer read, and whose jobs were told

_held: list[IO[str]] = []


def only_looks(dry_run: bool) -> bool:
    """Whether Snakemake makes nothing this time: then it needs no lock, and nothing is mended.

    While the Snakefile is parsed, Snakemake's own object knows of a dry run alone; lists and pictures are seen on the command line. One
    that is not seen, for its option was shortened, is taken for a workflow, which waits for others where it need not.
    """
    given = {word.partition("=")[0] for word in sys.argv[1:]}
    return dry_run or (bool(LOOKS & given) and "--report-after-run" not in given)


def heal(folder: Path = Path(".snakemake")) -> bool:
    """Wait for other workflows here, then remove the locks of one that was killed. False where nothing is to be mended.

    A workflow holds an advisory lock on a file of its own while it lives; the system drops it with the process, however that ends. In the
    file stands the workflow's session: jobs of an earlier one, which a cluster goes on with after `kill -9`, see that they were superseded.
    """
    if (
        PARENT in os.environ
    ):  # a job looks at the Snakefile, perhaps on another machine: it is not its to mend
        if superseded(folder / LOCK):
            sys.exit("a later workflow has begun in this folder: this job of an earlier one ends")
        return False
    file = _lock_file(folder)
    if not _locked(file):
        # another workflow may live: what looks damaged it may be writing, and a new session would end its jobs
        print(
            f"{folder / LOCK}: this file system keeps no locks: nothing is mended; start no second workflow here, and after a kill"
            " run `snakemake --unlock` first",
            file=sys.stderr,
        )
        return False
    _held.append(file)  # kept open, and so locked, for the life of this process
    _begin_session(file)
    shutil.rmtree(folder / "locks", ignore_errors=True)
    return True


def _begin_session(file: IO[str]) -> None:
    os.environ[SESSION] = uuid.uuid4().hex
    file.truncate(0)
    file.write(os.environ[SESSION])
    file.flush()


def _lock_file(folder: Path) -> IO[str]:
    try:
        folder.mkdir(exist_ok=True)
        return (folder / LOCK).open("a")
    except OSError as error:
        raise UsageError(refused(error) or str(error)) from error


def _locked(file: IO[str]) -> bool:
    """Lock the file, waiting for who holds it and saying so. False where the file system keeps no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(
            "another workflow is at work in this folder: waiting for it to end (Ctrl-C gives up)",
            file=sys.stderr,
            flush=True,
        )
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except KeyboardInterrupt:
            sys.exit(130)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def heal_results(results: Path = Path("results"), reports: Path = Path("reports")) -> list[Path]:
    """Set damaged files aside, so that the workflow misses and makes them; returns where they were."""
    inside = ("data", "tune", "confirm", "extend", "calibration", "tables", "figures", "tracking")
    folders = [results, *(results / name for name in inside), reports]
    _heal_times(folders)
    sums = [folder / files.SUMS for folder in folders]
    _sweep([*folders, *sums, *(results / name for name in ("runs", "timings", "progress"))])
    return [*_heal_store(results), *_heal_files(folders, results, reports)]


def _heal_times(folders: Sequence[Path]) -> None:
    """Date files of the future now: after a clock was set back, Snakemake would refuse whatever is made from them."""
    now = time.time()
    late = [p for folder in folders for p in folder.glob("*") if p.is_file() and p.stat().st_mtime > now]
    for path in late:
        os.utime(path, (now, now))
    if late:
        print(f"{len(late)} files are dated in the future, {late[0]} first: dated now", file=sys.stderr)


def _sweep(folders: Sequence[Path]) -> None:
    """Remove the halves of files whose writer was killed. What is younger than an hour a job of a cluster may still be writing."""
    before = time.time() - 3600
    for path in (path for folder in folders for path in files.halves(folder)):
        with contextlib.suppress(OSError):  # its writer has just renamed it
            if path.stat().st_mtime < before:
                path.unlink()


def _heal_store(results: Path) -> list[Path]:
    """Damaged parts of the store, also those that a job noticed; which jobs are done is forgotten: each trains what it misses, and no more."""
    runs = results / "runs"
    earlier = sorted([*runs.glob("*.damaged"), *runs.glob("*.old")])
    damaged = [path for path in sorted(runs.glob("*.parquet")) if not _intact(path)]
    for path in earlier:
        print(f"{path} was set aside by an earlier command: its runs are trained again", file=sys.stderr)
    for path in damaged:
        print(f"{path} is damaged: set aside, its runs are trained again", file=sys.stderr)
    if earlier or damaged:
        _forget_jobs(results)
        (runs / ASIDE).mkdir(exist_ok=True)
    for path in (*earlier, *damaged):  # last: after a kill before it, they are found again
        path.replace(runs / ASIDE / (path.name if path in earlier else f"{path.stem}.damaged"))
    return [*earlier, *damaged]


def _forget_jobs(results: Path) -> None:
    for done in (
        *results.glob("tune/*.json"),
        *results.glob("confirm/*.json"),
        *results.glob("extend/*.json"),
        results / "calibration.json",
    ):
        done.unlink(missing_ok=True)


def _heal_files(folders: Sequence[Path], results: Path, reports: Path) -> list[Path]:
    """Damaged files of other kinds, files removed by hand, and what must be gone for the workflow to make them again."""
    found = [
        (path, made)
        for folder in folders
        for path in files.damaged(folder)
        # what is gone together with what it is made with is missed by the workflow itself
        if (made := _made_with(path, results, reports)).exists() or path.exists()
    ]
    for path, made in found:
        what = f"damaged: set aside as {path.name}.damaged, it" if path.exists() else "gone: it"
        print(f"{path} is {what} is made again", file=sys.stderr)
        if made != path:  # first: after a kill between the two, the sum beside the damaged file still tells
            made.unlink(missing_ok=True)
        files.set_aside(path)
    return [path for path, _ in found]


def _made_with(path: Path, results: Path, reports: Path) -> Path:
    """An output that the Snakefile knows of the rule that writes this file."""
    if path.parent.name not in ("tables", "figures"):
        return path
    if path.name.startswith("grid-"):
        return results / "grid.json"
    if path.parent.name == "tables":
        return results / "verdicts.json"
    return reports / "folklore.pdf" if path.stem == "overview" else path.with_suffix(".svg")


def _intact(part: Path) -> bool:
    """A part is named by the first digits of its own sum, see `folklore.store`."""
    return files.sha256(part).startswith(part.stem)
