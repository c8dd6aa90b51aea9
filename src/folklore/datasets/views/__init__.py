"""Other looks at a data set, one file a level: `view(arrays)` makes arrays from arrays, after the splits.

Whatever is fitted is fitted on the pool of training rows. A view that needs a second task for what comes before training puts it into
`source` of the arrays that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.datasets.base import Arrays


def seen(arrays: Arrays, view: str) -> Arrays:
    """The arrays as the view `NAME` or `NAME-NUMBER` shows them."""
    name, _, amount = view.partition("-")
    change: Callable[..., Arrays] = import_module(f"{__name__}.{name}").view
    return (partial(change, amount=int(amount)) if amount else change)(arrays)
