"""Accuracy on the second half of the validation rows, for nets that were chosen on the first (see `procedures/early_stopping.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.core.evaluation import scores

if TYPE_CHECKING:
    import numpy as np

    from folklore.core.training import Stack


def measure(stack: Stack) -> dict[str, np.ndarray]:
    x, y = stack.tensors("val")
    half = len(y) // 2
    accuracy, _ = scores(stack.layout, stack.parameters, x[half:], y[half:])
    return {"second_half_accuracy": accuracy}
