"""What trains: the processor, or a GPU by the environment variable FOLKLORE_DEVICE=cuda.

It is part of a run's key, since the numbers differ in their last digits; no configuration, since the experiment is the same. Light.
"""

from __future__ import annotations

import os

from folklore.errors import UsageError

VARIABLE = "FOLKLORE_DEVICE"
KINDS = ("cpu", "cuda")


def chosen() -> str:
    """UsageError for a kind that there is not."""
    kind = os.environ.get(VARIABLE) or "cpu"
    if kind not in KINDS:
        raise UsageError(f"{VARIABLE}={kind!r}: allowed are {', '.join(KINDS)}")
    return kind


def ready() -> str:
    """The device, when torch can use it."""
    import torch

    kind = chosen()
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"{VARIABLE}=cuda: torch {torch.__version__} finds no GPU here; allowed without one is cpu"
        )
    return kind
