"""The second half of the classes as the task, numbered from 0; the first half is the earlier task, `source`."""

from __future__ import annotations

from dataclasses import replace

from folklore.datasets.base import Arrays


def view(arrays: Arrays) -> Arrays:
    half = arrays.classes // 2
    return replace(_part(arrays, half, arrays.classes), source=_part(arrays, 0, half))


def _part(arrays: Arrays, first: int, end: int) -> Arrays:
    """The rows of the classes first .. end - 1."""
    kept = {}
    for split in ("pool", "val", "test"):
        x, y = getattr(arrays, f"{split}_x"), getattr(arrays, f"{split}_y")
        mine = (first <= y) & (y < end)
        kept |= {f"{split}_x": x[mine], f"{split}_y": y[mine] - first}
    return replace(arrays, classes=end - first, **kept)
