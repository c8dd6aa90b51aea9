"""Begin with the hidden layers of a net trained on `data.source`, twice as long, and a fresh output layer; `amount` hidden layers,
the last ones, are trained further, those before them stay frozen: `transfer-0` trains the output layer alone.

The gains and shifts of a norm are never frozen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from folklore.core.procedures._transfer import earlier, inherit

if TYPE_CHECKING:
    from folklore.core.training import Stack

TIMES = 2


def train(stack: Stack, amount: int) -> None:
    updates = TIMES * stack.one.updates
    early, places = earlier(stack, stack.data.source, updates=updates)
    early.advance(updates)
    inherit(stack, early, places)
    stack.measures["source_accuracy"] = early.score("val")[0][list(places)]
    stack.rule = replace(stack.rule, frozen=frozenset(range(max(0, stack.layout.depth - amount))))
    stack.advance(stack.one.updates)
