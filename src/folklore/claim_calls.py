"""A claim's own code, called: what `judge` or `plot` raises, or gives back that is no finding, is one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from folklore.claims._contract import SEE, told
from folklore.claims.base import Criterion, LoadedClaim
from folklore.errors import UsageError
from folklore.stats.estimates import Estimate
from folklore.stats.findings import Check, Finding, Robust, Row, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_PARTS = {"rows": Row, "robustness": Robust, "checks": Check, "tables": Table, "notes": str}


def finding_of(claim: LoadedClaim, runs: pd.DataFrame | None, criterion: Criterion | None = None) -> Finding:
    """What `judge` finds under a criterion (its own by default)."""
    finding = _called(claim, "judge", runs, claim.criterion if criterion is None else criterion)
    for said in _wrong(finding, claim.claim.kind):
        raise UsageError(f"{claim.file}: judge gave {said}; mend judge, {SEE}")
    return finding


def plot_of(claim: LoadedClaim, runs: pd.DataFrame | None, finding: Finding) -> tuple[Figure, str]:
    """The figure of a finding, and its text for who cannot see it."""
    from matplotlib.figure import Figure

    drawn = _called(claim, "plot", runs, finding)
    fine = (
        isinstance(drawn, tuple)
        and len(drawn) == 2
        and isinstance(drawn[0], Figure)
        and isinstance(drawn[1], str)
    )
    if not fine or not drawn[1].strip():
        raise UsageError(
            f"{claim.file}: plot gave {_short(drawn)}: allowed is (a matplotlib Figure, its text); mend plot, {SEE}"
        )
    return drawn


def _called(claim: LoadedClaim, name: str, *arguments: object) -> object:
    try:
        return getattr(claim.module, name)(*arguments)
    except Exception as error:
        said = told(error, claim.file)
        raise UsageError(f"{claim.file}: {name} failed: {said}; mend {name}, {SEE}") from error


def _wrong(finding: object, kind: str) -> Iterator[str]:
    if not isinstance(finding, Finding):
        yield f"{_short(finding)}: allowed is a Finding"
        return
    for name, part in _PARTS.items():
        held = getattr(finding, name)
        if not isinstance(held, tuple) or not all(isinstance(one, part) for one in held):
            yield f"Finding.{name}={_short(held)}: allowed is a tuple of {part.__name__}"
    found, p = finding.estimate, finding.p
    if found is not None and not isinstance(found, Estimate):
        yield f"Finding.estimate={_short(found)}: allowed is an Estimate or None"
    if kind in ("S", "E+S") and found is None:
        yield f"no estimate: allowed with kind {kind} is a Finding with one"
    if kind in ("E", "Q") and found is not None:
        yield f"an estimate: allowed with kind {kind} is a Finding without one"
    if isinstance(found, Estimate) and not (
        _finite(found.effect) and all(map(_finite, (*found.interval, *found.interval90)))
    ):
        yield f"Finding.estimate={_short(found)}: allowed are finite effects and intervals"
    if (p is not None or found is not None) and not (_finite(p) and 0 <= p <= 1):
        yield f"Finding.p={_short(p)}: allowed is a number from 0 to 1"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e300


def _short(value: object) -> str:
    return " ".join(repr(value).split())[:100]
