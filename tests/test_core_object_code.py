"""Compiled functions are kept from one process to the next, and nothing kept is trusted that is damaged or of another machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from llvmlite import ir

from folklore.core import machine_code, object_code
from folklore.core.machine_code import Code, compiled


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(object_code, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "kept"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The object files that were made."""
    found, real = [], machine_code._object_file

    def counted(*given: object) -> bytes:
        found.append(real(*given))
        return found[-1]

    monkeypatch.setattr(machine_code, "_object_file", counted)
    return found


def doubled(numbers: list[float], *, times: float = 2.0) -> list[float]:
    """By a function that is compiled now."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        count, address = given

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            place = code.at(address, before)
            code.store(code.load(place, mask) * times, place, mask)

        code.along(count, each)

    tensor = torch.tensor(numbers)
    compiled(write, 2).call(len(numbers), tensor.data_ptr())
    return tensor.tolist()


def test_the_same_code_is_compiled_once(folder: Path, made: list[bytes]) -> None:
    for _ in range(3):
        assert doubled([1.0, 2.0, 3.0]) == [2, 4, 6]
    assert len(made) == len(list(folder.glob("*.o"))) == 1
    assert doubled([1.0], times=3.0) == [3]
    assert len(made) == len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:40] + b"?" + b[41:], lambda b: b[32:]]
)
def test_what_is_damaged_is_made_again(damage: object, folder: Path, made: list[bytes]) -> None:
    doubled([1.0])
    (path,) = folder.glob("*.o")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert doubled([1.0]) == [2]
    assert len(made) == 2
    assert path.read_bytes() == whole


def test_another_processor_has_code_of_its_own(
    folder: Path, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    doubled([1.0])
    name, features = machine_code._host()
    monkeypatch.setattr(machine_code, "_host", lambda: (name, features + ",-avx512f"))
    assert doubled([1.0]) == [2]
    assert len(made) == len(list(folder.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_no_error(folder: Path, made: list[bytes]) -> None:
    folder.write_text("in the way")
    assert doubled([1.0]) == doubled([1.0]) == [2]
    assert len(made) == 2


def test_nothing_is_written_where_python_is_to_write_no_compiled_files(
    folder: Path, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert doubled([1.0]) == doubled([1.0]) == [2]
    assert len(made) == 2
    assert not folder.exists()


def test_it_is_kept_beside_code_and_not_among_results() -> None:
    assert Path(machine_code.__file__).parent / "__pycache__" == object_code.FOLDER
