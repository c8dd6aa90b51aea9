"""The claims by kind, for the tests of their judges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from folklore.claims.base import discover
from simulated_claims import MODELS
from simulation import plants

CLAIMS = {claim.id: claim for claim in discover()}
TRAINED = [claim.id for claim in CLAIMS.values() if claim.claim.kind in ("S", "E+S")]
ORDERS = [claim.id for claim in CLAIMS.values() if claim.claim.kind == "Q"]
PLANTED = [name for name in TRAINED if name in MODELS or plants(CLAIMS[name])]
EXACT = [claim.id for claim in CLAIMS.values() if claim.claim.kind == "E"]


@cache
def once(name: str, function: str) -> Callable:
    """A function of a claim's module that is computed at its first call with the same arguments only."""
    original, kept = getattr(CLAIMS[name].module, function), {}

    def same(*arguments: object) -> object:
        given = repr(arguments)
        if given not in kept:
            kept[given] = original(*arguments)
        return kept[given]

    return same
