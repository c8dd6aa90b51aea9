"""A bug on purpose: the sign of every update is wrong, so that the loss is climbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack) -> None:
    stack.hyper["lr"] = -stack.hyper["lr"]
    stack.advance(stack.one.updates)
