"""From the first update to the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack) -> None:
    stack.advance(stack.one.updates)
