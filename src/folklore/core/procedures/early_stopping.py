"""Trained to the end, then set back to the weights that did best on validation rows.

At each of CHECKS points of training a run is scored on the first half of the validation rows. The weights of its best accuracy are
what it ends with: the first such point where several tie. The second half takes no part, so that a rate can be tuned on it (see
the probe `second_half`). To train on and to look back is to stop with endless patience.

Measured on the test rows, where a run may see them: accuracy and loss at the end, and at the lowest validation loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from folklore.core.training import Stack

CHECKS = 50


class Best:
    """The parameters of each run at its highest score so far, and the update."""

    def __init__(self, stack: Stack) -> None:
        self.stack, runs = stack, len(stack.runs)
        self.score, self.stopped_at = np.full(runs, -np.inf), np.zeros(runs)
        self.kept = stack.parameters.copied()

    def offer(self, score: np.ndarray) -> None:
        """Keep the parameters of the runs that now score (R,) higher; a score that is not a number is none."""
        better = score > self.score
        self.score = np.where(better, score, self.score)
        self.stopped_at = np.where(better, self.stack.done, self.stopped_at)
        chosen = torch.from_numpy(better).to(self.stack.device).view(-1, 1, 1)
        for old, new in zip(self.kept.tensors(), self.stack.parameters.tensors(), strict=True):
            old.copy_(torch.where(chosen, new.detach(), old))


def train(stack: Stack) -> None:
    from folklore.core.training import curve_marks

    accurate, certain = Best(stack), Best(stack)
    half = len(stack.data.val_y) // 2
    for mark in curve_marks(stack.one.updates, CHECKS):
        stack.advance(mark)
        accuracy, loss = stack.score("val", half)
        accurate.offer(accuracy)
        certain.offer(-loss)
    stack.measures |= _on_test("final", stack)
    stack.parameters = certain.kept
    stack.measures |= _on_test("by_loss", stack) | {"by_loss_stopped_at": certain.stopped_at}
    stack.parameters = accurate.kept
    stack.measures["stopped_at"] = accurate.stopped_at


def _on_test(name: str, stack: Stack) -> dict[str, np.ndarray]:
    """Accuracy and loss (R,) of the parameters as they are now; NaN for a run that may not see the test rows."""
    seen = np.array([run.score_test for run in stack.runs])
    scores = stack.score("test") if seen.any() else (np.full(len(seen), np.nan),) * 2
    found = zip(("test_accuracy", "test_loss"), scores, strict=True)
    return {f"{name}_{what}": np.where(seen, score, np.nan) for what, score in found}
