"""What comes before a run's own training: nets with the same start and seed, trained for something else first, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from folklore.core.training import Data, Stack

RATE, ROWS, BATCH = 0.02, 4096, 32  # a sound recipe of its own, with momentum .9: it is not what is tuned


def earlier(
    stack: Stack, data: Data, *, updates: int, rows: int = ROWS, batch: int = BATCH
) -> tuple[Stack, Sequence[int]]:
    """A stack that trains on `data` beforehand, and the place of each run's net in it.

    Runs that differ only in what comes later, such as their learning rate, share a net: it is the same to the last bit.
    """
    from folklore.core.training import Stack

    rows = min(rows, len(data.pool_x))
    recipe = {"lr": RATE, "optimizer": "momentum", "momentum": 0.9, "schedule": "constant"}
    recipe |= {"dropout": 0.0, "weight_decay": 0.0, "l1": 0.0, "clip": 0.0, "score_test": False}
    recipe |= {"updates": updates, "n_train": rows, "batch_size": min(batch, rows)}
    before = [replace(run, **recipe, procedure="once", probe="none") for run in stack.runs]
    unique = list(dict.fromkeys(before))
    return Stack(unique, data, stack.device), [unique.index(run) for run in before]


@torch.no_grad()
def inherit(stack: Stack, early: Stack, places: Sequence[int]) -> None:
    """Give every run the hidden layers of its earlier net, norms included; its output layer stays as it was drawn."""
    mine, theirs, index = stack.parameters, early.parameters, list(places)
    pairs = [
        *zip(mine.weights[:-1], theirs.weights[:-1], strict=True),
        *zip(mine.biases[:-1], theirs.biases[:-1], strict=True),
        *zip(mine.gains, theirs.gains, strict=True),
        *zip(mine.shifts, theirs.shifts, strict=True),
        *(
            (a, b)
            for old, new in zip(mine.running, theirs.running, strict=True)
            for a, b in zip(old, new, strict=True)
        ),
    ]
    for own, other in pairs:
        own.copy_(other[index])
