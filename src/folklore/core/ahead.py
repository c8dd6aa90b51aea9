"""What the processor prepares while a GPU trains: drawn by as many threads as there are cores, and sent without waiting.

On the processor itself both are plain: one thread, no copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


def mapped(function: Callable[..., T], *items: Iterable, device: torch.device) -> list[T]:
    """Results in the order of the items. The functions draw with NumPy, which lets go of Python's lock."""
    if device.type == "cuda":
        return list(_threads().map(function, *items))
    return [function(*each) for each in zip(*items, strict=True)]


def sent(array: np.ndarray, device: torch.device) -> Tensor:
    """The array on the device; to a GPU from pinned memory, so that the processor goes on while the GPU still works on what came before."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())
