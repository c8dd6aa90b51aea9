"""The processor at hand, as LLVM knows it."""

from __future__ import annotations

from functools import cache

from llvmlite import binding


@cache
def host() -> tuple[str, str]:
    """Its name and features."""
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


def wide_registers() -> bool:
    """Whether it has 32 registers of 16 floats (AVX-512), and not 16 of 8."""
    return "+avx512f" in host()[1].split(",")
