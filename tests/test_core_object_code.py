"""Compiled functions are kept from one process to the next, and nothing kept is trusted that is damaged or of another machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from llvmlite import ir

from folklore.core import activations, compilation, curves, object_code, processor, tiles
from folklore.core.compilation import compiled
from folklore.core.machine_code import Code
from folklore.core.training import train
from test_core_traces import KINDS, made_up, stack


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(object_code, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "kept"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The object files that were made."""
    found, real = [], compilation._object_file

    def counted(*given: object) -> bytes:
        found.append(real(*given))
        return found[-1]

    monkeypatch.setattr(compilation, "_object_file", counted)
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
    name, features = processor.host()
    monkeypatch.setattr(processor, "host", lambda: (name, features + ",-avx512f"))
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


def scaled(factor: float) -> Callable:
    return lambda x: x * factor


@pytest.mark.parametrize("other", [scaled(2.0), torch.sigmoid, object(), {"a": 1}])
def test_what_is_defined_elsewhere_has_no_recipe(other: object) -> None:
    assert object_code.recipe(tiles.Tiles.write) is not None
    assert object_code.recipe(curves.curve_part(activations.tanh).call) is None
    assert object_code.recipe(other) is None


def test_functions_on_one_line_have_recipes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_code, "_PACKAGE", __name__)
    several = [lambda x: x * 2.0, lambda x: x * 3.0, lambda x: x.sqrt(), lambda x: x.exp()]
    assert len({object_code.recipe(each) for each in several}) == len(several)
    assert None not in map(object_code.recipe, several)


def test_a_recipe_stands_for_one_code(made: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all functions that nets of many kinds ask for, each compiled anew: no two codes have one recipe, and none but theirs has none."""
    found: dict[str, str] = {}
    real = compilation._machine_code

    def watched(identity: str, text: Callable[[], str]) -> int:
        assert not identity.startswith(";"), "no recipe: the text itself"
        assert found.setdefault(identity, text()) == text()
        return real(identity, text)

    monkeypatch.setattr(compilation, "_machine_code", watched)
    modules = [module for name, module in sys.modules.items() if name.startswith("folklore.core.")]
    kernels = [each for module in modules for each in vars(module).values() if hasattr(each, "cache_clear")]
    for kernel in kernels:
        kernel.cache_clear()
    kinds = [
        "adam, normed",
        "sparse",
        "maxout",
        "clipped, layer",
        "residual_cnn, batch, relu, 9 deep, channels",
    ]
    kinds += ["rnn, batch, tanh, 1 deep, lengths", "elu", "softplus", "sigmoid", "adadelta", "schedule"]
    for kind in kinds:
        train(stack(**KINDS[kind]), made_up())
    assert len(found) > 50
    assert len(set(found.values())) == len(found)


def test_it_is_kept_beside_code_and_not_among_results() -> None:
    assert Path(compilation.__file__).parent / "__pycache__" == object_code.FOLDER
