"""Remove `amount` percent of the weights in rounds, the smallest first, and train on; a round that did harm is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.core.procedures._pruning import magnitudes, train_and_remove

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack, amount: int) -> None:
    train_and_remove(stack, amount, magnitudes, returns=True)
