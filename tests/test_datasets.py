"""Data sets: a contract for every one that is found, generation and split."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from folklore import datasets
from folklore.datasets import mnist1d
from folklore.datasets._idx import read_idx
from folklore.datasets.base import Raw, digest_of, fixed_order, split
from folklore.errors import UsageError
from tiny_data import TINY, tiny

pytestmark = pytest.mark.usefixtures("_no_folder_of_the_user")

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


def test_every_data_set_has_a_title_for_people() -> None:
    titles = {name: datasets.title(name) for name in datasets.names()}
    assert titles["mnist1d"] == "MNIST-1D"
    assert all(0 < len(title) < 20 for title in titles.values()), titles


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
