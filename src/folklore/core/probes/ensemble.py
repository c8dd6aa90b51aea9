"""The nets that dropout trains, `amount` of them drawn at random, against the one net that stands for all of them.

Accuracy on the first ROWS test rows: `scaled_accuracy` of the whole net, `single_accuracy` of a thinned net on average,
`ensemble_accuracy` of the mean of the thinned nets' probabilities, `geometric_accuracy` of their geometric mean. For runs that drop
nothing or may not see the test split: NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.losses import correct
from folklore.core.probes._thinned import logits_of, nothing, scored, test_rows, thinned, unseen

if TYPE_CHECKING:
    from folklore.core.training import Stack

ROWS = 2048
NAMES = ("scaled_accuracy", "single_accuracy", "ensemble_accuracy", "geometric_accuracy")


@torch.no_grad()
def measure(stack: Stack, *, amount: int) -> dict[str, np.ndarray]:
    rates = [run.dropout for run in stack.runs]
    allowed = scored(stack) & (np.array(rates) > 0)
    if not allowed.any():
        return nothing(stack, NAMES)
    nets = thinned(stack, "ensemble", rates, amount)
    right = {name: torch.zeros(len(rates), dtype=torch.float64, device=stack.device) for name in NAMES}
    rows = 0
    for x, y in test_rows(stack, ROWS):
        total, logs = 0.0, 0.0
        for factors in nets:
            log = logits_of(stack, x, factors).log_softmax(dim=-1)
            right["single_accuracy"] += correct(log, y).double() / amount
            total, logs = total + log.exp(), logs + log
        right["scaled_accuracy"] += correct(logits_of(stack, x, {}), y)
        right["ensemble_accuracy"] += correct(total, y)
        right["geometric_accuracy"] += correct(logs, y)
        rows += y.shape[1]
    return unseen(stack, {name: found / rows for name, found in right.items()}, allowed)
