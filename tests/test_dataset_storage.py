"""Prepared data sets on disk: damage, interrupted builds, the entry point, what the machine refuses."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from folklore import datasets, errors
from folklore.datasets import _storage
from folklore.datasets._fetch import Folder, gather
from folklore.datasets.base import digest_of
from folklore.errors import UsageError
from folklore.stages import fetch
from tiny_data import fill, tiny

pytestmark = pytest.mark.usefixtures("_no_folder_of_the_user")


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    source = Folder(str(fill(tmp_path / "files")))
    path = _storage.prepare(tiny(source), "code", tmp_path / "data")
    before = path.stat().st_mtime_ns
    assert _storage.prepare(tiny(Folder("/nowhere")), "code", tmp_path / "data") == path
    assert path.stat().st_mtime_ns == before


def test_other_code_builds_anew(tmp_path: Path) -> None:
    source = Folder(str(fill(tmp_path / "files")))
    _storage.prepare(tiny(source), "old", tmp_path / "data")
    _storage.prepare(tiny(source), "new", tmp_path / "data")
    assert json.loads((tmp_path / "data/mnist.json").read_text())["code"] == "new"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, empty, Path.unlink])
@pytest.mark.parametrize("file", ["mnist.npz", "mnist.json"])
def test_damage_is_noticed_and_healed(damage: object, file: str, tmp_path: Path) -> None:
    source, root = Folder(str(fill(tmp_path / "files"))), tmp_path / "data"
    _storage.prepare(tiny(source), "code", root)
    whole = _storage.load("mnist", root)
    damage(root / file)
    with pytest.raises(UsageError, match=r"python -m folklore\.stages\.fetch mnist --root"):
        _storage.load("mnist", root)
    _storage.prepare(tiny(source), "code", root)
    assert digest_of(vars(_storage.load("mnist", root))) == whole.digest


def test_an_interrupted_build_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root = Folder(str(fill(tmp_path / "files"))), tmp_path / "data"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(np, "savez", stop)
        _storage.prepare(tiny(source), "code", root)
    with pytest.raises(UsageError):
        _storage.load("mnist", root)
    _storage.prepare(tiny(source), "code", root)
    assert sorted(p.name for p in root.iterdir()) == [".mnist.lock", ".sums", "mnist.json", "mnist.npz"]


# The entry point


def test_fetch_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch.main(["digits", "--root", str(tmp_path)])
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and datasets.digest("digits", tmp_path) in out and not err


def test_fetch_refuses_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^data=imagenet: no such data set; there are"):
        fetch.main(["imagenet", "--root", str(tmp_path / "data")])
    assert not (tmp_path / "data").exists()


def fetching(root: Path, repository: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "folklore.stages.fetch", "digits", "--root", str(root)],
        env={**os.environ, "PYTHONPATH": str(repository / "src"), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_fetch_ends_with_its_workflow(tmp_path: Path, repository: Path) -> None:
    """After `kill -9` it lived on, and held the lock that the next workflow's fetch waits for."""
    with (tmp_path / ".digits.lock").open("w") as lock, subprocess.Popen(["sleep", "60"]) as workflow:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = fetching(tmp_path, repository, FOLKLORE_PARENT=str(workflow.pid))
        workflow.kill()
        workflow.wait()
        try:
            started.communicate(timeout=60)
        finally:
            started.kill()
        assert started.returncode == 3


def test_a_fetch_that_waits_for_another_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_storage, "PATIENCE_SECONDS", 0.1)
    with _storage._only_one(tmp_path / "free.lock"):
        time.sleep(0.3)
    assert not capsys.readouterr().err
    holder = (tmp_path / "taken.lock").open("w")
    fcntl.flock(holder, fcntl.LOCK_EX)
    threading.Timer(0.6, holder.close).start()
    with _storage._only_one(tmp_path / "taken.lock"):
        assert "taken.lock: another process prepares this data set: waiting" in capsys.readouterr().err


# What the machine refuses


def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    folder = fill(tmp_path / "files")
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(PermissionError) as caught:
        gather(tiny(Folder(str(folder))), tmp_path / "work")
    assert "make it readable" in errors.refused(caught.value)
