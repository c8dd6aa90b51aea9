"""Files that are written whole or not at all; results also with their sum beside them, so that damage shows.

The sum of `tune/000.json` is `tune/.sums/000.json`. It is written first: a kill in between leaves a file that its sum does not
vouch for, which is made again. A file without a sum, from an earlier version, is taken as it is.

Light: the Snakefile uses it while it is parsed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

SUMS = ".sums"


def atomic_write(target: Path, content: bytes | str) -> None:
    """Write a file as a whole or not at all; an OSError names the target."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, target)
    except BaseException as error:
        # on a full disk the half that was written would take what room is left
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            error.filename = str(target)
        raise


def halves(folder: Path) -> list[Path]:
    """Files directly in this folder that `atomic_write` is writing, or was when it was killed."""
    return [path for path in folder.glob(".*") if path.suffix[1:].isdigit()]


def write_result(target: Path, content: bytes | str) -> None:
    """Write a file and its sum."""
    content = content.encode() if isinstance(content, str) else content
    vouch(target, hashlib.sha256(content).hexdigest())
    atomic_write(target, content)


def vouch(target: Path, digest: str) -> None:
    """Note the sum (hex digits of sha256) that `target` is about to have."""
    atomic_write(_noted(target), digest + "\n")


def damaged(folder: Path) -> list[Path]:
    """Files directly in this folder that are not what was written, or gone."""
    found = [folder / note.name for note in sorted((folder / SUMS).glob("[!.]*"))]
    return [path for path in found if not path.exists() or sha256(path) != _noted(path).read_text().strip()]


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing reads it and a person can look at it. One that is gone has its sum removed alone."""
    aside = path.with_name(path.name + ".damaged")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    _noted(path).unlink(missing_ok=True)
    return aside


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _noted(path: Path) -> Path:
    return path.parent / SUMS / path.name
