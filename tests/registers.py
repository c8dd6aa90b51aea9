"""Code for AVX2, whose registers hold half as much and are half as many, on whatever runs the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
from torch import Tensor

from folklore.core import processor


def same_bits_with_shorter_ones(found: Callable[[], Iterable[Tensor]], *modules: ModuleType) -> None:
    """What is found has the same bits when the functions that these modules keep are compiled for AVX2; none of these are left behind."""
    if "+avx2" not in processor.host()[1]:
        pytest.skip("no processor with AVX2")
    kept = [each for module in modules for each in vars(module).values() if hasattr(each, "cache_clear")]

    def bits() -> list[bytes]:
        for function in kept:
            function.cache_clear()
        return [tensor.detach().numpy().tobytes() for tensor in found()]

    here = bits()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(processor, "host", lambda: ("haswell", "+avx2,+fma,-avx512f"))
        there = bits()
    for function in kept:
        function.cache_clear()
    assert there == here
