"""From the first update to the last with weight matrix number `amount` and its bias left as they began, 1 for the first of the net.

Nobody wants that without a reason (`transfer` has one): it is what a forgotten switch does, and what a check of a configuration should notice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack, amount: int) -> None:
    stack.rule = replace(stack.rule, frozen=frozenset({amount - 1}))
    stack.advance(stack.one.updates)
