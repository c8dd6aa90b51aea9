"""A bug on purpose: all hidden layers but the first are kept where the optimizer does not find them, and stay as they began."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack) -> None:
    inner = range(1, len(stack.layout.fans) - 1)
    stack.rule = replace(stack.rule, frozen=frozenset(inner))
    stack.advance(stack.one.updates)
