"""Code for AVX2, whose registers hold half as much and are half as many, and the tiles of longer ones, on whatever runs the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
from torch import Tensor

from folklore.core import processor

Found = Callable[[], Iterable[Tensor]]


def same_bits_with_shorter_ones(found: Found, *modules: ModuleType) -> None:
    """What is found has the same bits when the functions that these modules keep are compiled for AVX2; none of these are left behind."""
    _same_bits(found, modules, [False])


def same_bits_with_all_tiles(found: Found, *modules: ModuleType) -> None:
    """The same with the tiles of short registers and of long ones, both compiled for AVX2."""
    _same_bits(found, modules, [False, True])


def _same_bits(found: Found, modules: Iterable[ModuleType], wide: Iterable[bool]) -> None:
    if "+avx2" not in processor.host()[1]:
        pytest.skip("no processor with AVX2")
    kept = [each for module in modules for each in vars(module).values() if hasattr(each, "cache_clear")]

    def forget() -> None:
        for function in kept:
            function.cache_clear()

    def bits() -> list[bytes]:
        forget()
        return [tensor.detach().numpy().tobytes() for tensor in found()]

    here, there = bits(), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(processor, "host", lambda: ("haswell", "+avx2,+fma,-avx512f"))
        for registers in wide:
            patched.setattr(processor, "wide_registers", lambda registers=registers: registers)
            there.append(bits())
    forget()
    assert all(each == here for each in there)
