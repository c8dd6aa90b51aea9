"""What exact claims about the variance of initial weights share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

FANS = ((50, 400), (100, 100), (400, 50))  # inputs and outputs of the layers whose weights are examined


def off(found: torch.Tensor | tuple[float, ...], *truth: float) -> float:
    """Largest relative error, each number by its own size."""
    import torch

    ratio = torch.as_tensor(found, dtype=torch.float64) / torch.tensor(truth, dtype=torch.float64)
    return float((ratio - 1).abs().max())


def over_nets(found: np.ndarray, truth: float) -> tuple[float, float, float]:
    """Of a number measured in many nets (nets,): its mean, the mean's distance from the truth in standard errors, its median."""
    import numpy as np

    mean, error = float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found)))
    return mean, (mean - truth) / error, float(np.median(found))
