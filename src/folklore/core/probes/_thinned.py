"""What probes of thinned nets share: test rows in pieces, and factors on hidden units drawn from a run's own counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from folklore.core.draws import Draws
from folklore.core.networks import Pass

if TYPE_CHECKING:
    from folklore.core.training import Stack

Factors = Mapping[tuple[str, int], Tensor]
CHUNK_ROWS = 512


def test_rows(stack: Stack, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first test rows in pieces, x (R, B, F) and y (R, B)."""
    x, y = stack.tensors("test")
    for part_x, part_y in zip(x[:rows].split(CHUNK_ROWS), y[:rows].split(CHUNK_ROWS), strict=True):
        yield part_x.expand(len(stack.runs), -1, -1), part_y.expand(len(stack.runs), -1)


def logits_of(stack: Stack, x: Tensor, factors: Factors) -> Tensor:
    """In evaluation mode, with these factors on hidden units."""
    return Pass(stack.layout, stack.parameters, factors, training=False).logits(x)


def thinned(stack: Stack, purpose: str, rates: Sequence[float], count: int) -> list[Factors]:
    """`count` random nets with hidden units dropped, what is kept scaled up; factors (R, 1, H), the same for all rows."""
    draws = Draws([run.seed for run in stack.runs], rates, stack.device).at(0, count)
    drawn = {
        ("unit", i): draws.keep(f"probe/{purpose}/{i}", (1, width))
        for i, (_, width) in enumerate(stack.layout.anatomy.dropped)
    }
    return [{site: factor[k] for site, factor in drawn.items() if factor is not None} for k in range(count)]


def scored(stack: Stack) -> np.ndarray:
    """(R,): runs that may see the test split."""
    return np.array([run.score_test for run in stack.runs])


def unseen(stack: Stack, values: Mapping[str, Tensor], allowed: np.ndarray) -> dict[str, np.ndarray]:
    """Measures (R,) as arrays, NaN for runs that are not allowed to have them."""
    return {name: np.where(allowed, value.double().cpu().numpy(), np.nan) for name, value in values.items()}


def nothing(stack: Stack, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: np.full(len(stack.runs), np.nan) for name in names}
