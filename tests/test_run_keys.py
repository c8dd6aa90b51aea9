"""What a run's key depends on: its fields, the code of its levels, the libraries."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from folklore import datasets, grid, levels
from folklore import plan as plan_module
from folklore.grid import FIELDS, LATER_FIELDS, Run

OTHER = {
    "data": "digits",
    "n_train": 1024,
    "model": "brand_new",
    "depth": 4,
    "width": 64,
    "init": "glorot_normal",
    "activation": "tanh",
    "norm": "batch",
    "dropout": 0.2,
    "batch_size": 8,
    "optimizer": "adam",
    "momentum": 0.8,
    "weight_decay": 1e-4,
    "lr": 0.3,
    "schedule": "step",
    "updates": 2001,
    "seed": 1,
    "score_test": True,
    "loss_points": 50,
    "view": "brand_new",
    "bias": -1.0,
    "mask": "brand_new",
    "order": "brand_new",
    "augmentation": "brand_new",
    "l1": 1e-4,
    "penalised": "first",
    "clip": 1.0,
    "procedure": "brand_new",
    "probe": "brand_new",
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_part_of_the_key(field: str, core: Path) -> None:
    add_levels(core)
    assert replace(Run(), **{field: OTHER[field]}).key != Run().key


def test_a_later_field_leaves_older_keys_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is that of a Run without the fields that came later, as long as these have their defaults."""
    older = {name: value for name, value in asdict(Run()).items() if name not in LATER_FIELDS}
    assert Run()._configuration() == older
    assert replace(Run(), l1=0.1)._configuration() == older | {"l1": 0.1}


def test_equal_runs_have_equal_keys() -> None:
    assert Run(lr=0.1).key == Run(lr=0.1).key
    assert len(Run().key) == 24


def test_version_of_torch_and_kind_of_processor_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Run().key
    monkeypatch.setattr(levels, "numerics", lambda: "another machine")
    assert Run().key != before


def clear_caches() -> None:
    for name in dir(levels):
        if hasattr(getattr(levels, name), "cache_clear"):
            getattr(levels, name).cache_clear()
    grid.data_identity.cache_clear()
    plan_module.decisions.cache_clear()


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the core's source, and of the views, that keys are made from, to be edited."""
    for name in ("CORE", "VIEWS"):
        shutil.copytree(getattr(levels, name), tmp_path / name.lower())
        monkeypatch.setattr(levels, name, tmp_path / name.lower())
    clear_caches()
    yield tmp_path / "core"
    clear_caches()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    clear_caches()


def keys() -> dict[str, str]:
    """Keys of a run with He's start and one with Glorot's."""
    return {init: Run(init=init).key for init in ("he_normal", "glorot_normal")}


def insert(path: Path, function: str, statement: str) -> None:
    """Put a statement before the last one of a function."""
    text = path.read_text()
    node = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function)
    lines = text.splitlines()
    lines.insert(node.body[-1].lineno - 1, f"    {statement}")
    path.write_text("\n".join(lines) + "\n")
    clear_caches()


def test_an_edited_initialiser_retrains_the_runs_that_use_it_only(core: Path) -> None:
    before = keys()
    insert(core / "initializers.py", "he_normal", "fan_in = 2 * fan_in")
    after = keys()
    assert after["he_normal"] != before["he_normal"]
    assert after["glorot_normal"] == before["glorot_normal"]


def add_levels(core: Path) -> None:
    """A level `brand_new` of every factor."""
    source = "\n\ndef brand_new(x):\n    return _twice(x)\n\n\ndef _twice(x):\n    return 2 * x\n"
    for module in levels.MODULES.values():
        with (core / f"{module}.py").open("a") as file:
            file.write(source)
    for folder in (*(core / package for package in levels.PACKAGES.values()), levels.VIEWS):
        (folder / "brand_new.py").write_text(source)
    clear_caches()


def test_added_levels_and_their_helpers_retrain_nothing(core: Path) -> None:
    before = keys()
    add_levels(core)
    assert keys() == before
    assert all("brand_new" in levels.names(f) for f in (*levels.MODULES, *levels.PACKAGES, "view"))


@pytest.mark.parametrize("factor", [*levels.MODULES, *levels.PACKAGES, "view"])
def test_an_edited_helper_of_a_level_retrains_the_runs_that_use_it_only(factor: str, core: Path) -> None:
    add_levels(core)
    before, other = replace(Run(), **{factor: "brand_new"}).key, keys()
    folder = levels.VIEWS if factor == "view" else core / levels.PACKAGES.get(factor, "")
    edit(folder / f"{levels.MODULES.get(factor, 'brand_new')}.py", "2 * x", "3 * x")
    assert replace(Run(), **{factor: "brand_new"}).key != before
    assert keys() == other


def test_a_file_that_a_level_imports_from_its_package_counts_as_its_own(core: Path) -> None:
    for name, source in (("_common", "N = 1\n"), ("uses", "from folklore.core.probes._common import N\n")):
        (core / "probes" / f"{name}.py").write_text(source)
    clear_caches()
    before, other = replace(Run(), probe="uses").key, keys()
    assert "_common" not in levels.names("probe")
    edit(core / "probes" / "_common.py", "N = 1", "N = 2")
    assert replace(Run(), probe="uses").key != before
    assert keys() == other


BORROWED = {
    "an import": "from folklore.core.optimizers import brand_new\n",
    "an attribute": "from folklore.core import optimizers\nfound = optimizers.brand_new\n",
    "a call": 'found = dict(optimizer="brand_new")\n',
    "a dictionary": 'found = {"optimizer": "brand_new"}\n',
}


@pytest.mark.parametrize("how", BORROWED)
def test_a_level_that_another_one_borrows_counts_as_its_own(how: str, core: Path) -> None:
    add_levels(core)
    (core / "procedures" / "uses.py").write_text(BORROWED[how])
    clear_caches()
    before, other = replace(Run(), procedure="uses").key, keys()
    edit(core / "optimizers.py", "2 * x", "3 * x")
    assert replace(Run(), procedure="uses").key != before
    assert keys() == other


def test_comments_and_docstrings_retrain_nothing(core: Path) -> None:
    before = keys()
    for path in core.rglob("*.py"):
        text = path.read_text()
        assert text.startswith('"""')
        path.write_text('"""Another sentence.' + text[3:] + "\n# a remark\n")
    edit(core / "initializers.py", "def he_normal", "# a remark\n\n\ndef he_normal")
    assert keys() == before


def test_freeing_memory_retrains_nothing_and_removing_an_element_does(core: Path) -> None:
    before = keys()
    insert(core / "initializers.py", "he_normal", "del fan_out")
    insert(core / "networks.py", "initial", "del layout.spare")
    assert keys() == before
    insert(core / "initializers.py", "he_normal", "del rng[0]")
    assert keys()["he_normal"] != before["he_normal"]


def test_shared_code_retrains_everything(core: Path) -> None:
    before = keys()
    with (core / "training.py").open("a") as file:
        file.write("\nEXTRA = 1\n")
    clear_caches()
    assert not set(keys().values()) & set(before.values())


def test_a_level_that_calls_another_depends_on_its_code(core: Path) -> None:
    before = replace(Run(), norm="ghost-8").key, Run(norm="batch").key, Run(norm="layer").key
    insert(core / "norms.py", "batch", "h = h + 0")
    after = replace(Run(), norm="ghost-8").key, Run(norm="batch").key, Run(norm="layer").key
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]


def test_the_code_of_a_data_set_is_part_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Run().key, Run(data="digits").key
    shutil.copytree(datasets._FOLDER, tmp_path / "datasets")
    edit(tmp_path / "datasets" / "mnist1d.py", "_COUNT = 40_000", "_COUNT = 40_001")
    monkeypatch.setattr(datasets, "_FOLDER", tmp_path / "datasets")
    clear_caches()
    try:
        assert Run().key != before[0]
        assert Run(data="digits").key == before[1]
    finally:
        monkeypatch.undo()
        clear_caches()
