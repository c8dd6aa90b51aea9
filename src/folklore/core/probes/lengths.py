"""Test accuracy by the length of the rows, zeros at their end left out: `length_16` and so on; `trained_lengths`: on the test rows of
`data.source`, where a view has put them there (see `folklore.datasets.views.lengths`). NaN for runs that may not see the test split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.evaluation import scores

if TYPE_CHECKING:
    from folklore.core.training import Stack


def measure(stack: Stack) -> dict[str, np.ndarray]:
    scored = np.array([run.score_test for run in stack.runs])
    x, y = stack.tensors("test")
    places = torch.arange(1, x.shape[1] + 1, device=x.device)
    length = (x.ne(0) * places).amax(dim=1)
    parts = {f"length_{n}": (x[length == n], y[length == n]) for n in length.unique().tolist()}
    source = getattr(stack.data, "source", None)
    if source is not None:
        parts["trained_lengths"] = tuple(
            torch.from_numpy(part).to(stack.device) for part in (source.test_x, source.test_y)
        )
    if not scored.any():
        return dict.fromkeys(parts, np.full(len(scored), np.nan))
    return {name: np.where(scored, _accuracy(stack, *part), np.nan) for name, part in parts.items()}


def _accuracy(stack: Stack, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    return scores(stack.layout, stack.parameters, x, y)[0]
