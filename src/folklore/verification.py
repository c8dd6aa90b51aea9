"""A fresh run against the committed example: same verdicts, and effects that differ no more than two runs of one experiment would.

On the machine and commit of the example every number is the same to the last bit, and so it is on another where the core's own code does all
of the arithmetic: on a processor without AVX-512 57 trained claims had every digit of an example that was made on one with it.
Where torch's operations take part, floating-point sums may end in other last digits, training amplifies them, and the same seeds
are in effect new ones; the learning rate that tuning chooses may be another, too. So two effects agree when they differ by no
more than delta, the smallest difference that matters, or by no more than SIGMAS combined standard errors, as two independent
replications would: of the 80 effects of the example chance alone should carry 0.005 beyond that (0.02 with the heavier tails of
32 replicates). When the rule that chooses rates was changed, and with it every seed and rate, 31 of 33 effects stayed within it,
and the other two belonged to designs that had changed. When three claims (758 networks) were trained with narrower vector
instructions (ATEN_CPU_CAPABILITY=avx2, MKL_CBWR=COMPATIBLE), which moves last digits, they moved by 0.9, 0.02 and less than
0.00001 combined standard errors: two machines with the same seeds are nearer to each other than that.

A verdict may become inconclusive, or stop being it, within that tolerance, for that is what an interval near a border does. Two
decided verdicts may not exclude each other: supported and reversed always do; negligible and its neighbours do from NEIGHBOURS combined
standard errors on, for an effect beside delta is negligible or not by a hair's breadth: of the example's 78 judged effects, independent
replications turn 1.5 so, and 0.04 with a difference of that size. Exact claims have to come out alike. A claim that takes times judges
the machine, and is shown, not compared.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from folklore.errors import UsageError

SIGMAS, NEIGHBOURS = 4.0, 3.0
# an interval of 95 % reaches about so many standard errors to either side; with few replicates more, which is then the milder side
REACH = 2.0
SAME, CLOSE, BORDER, DIFFERS, OTHER = "same", "close", "border", "differs", "other criterion"
TIMED = "times the machine"
Claim = Mapping[str, object]


@dataclass(frozen=True)
class Comparison:
    """One claim, there (the example) and here. apart: difference of the effects in combined standard errors, where both have one."""

    id: str
    outcome: str
    there: Claim | None
    here: Claim | None
    apart: float | None = None


def compare(
    there: Mapping[str, object], here: Mapping[str, object], timed: Collection[str] = ()
) -> list[Comparison]:
    """Every claim of either, or those that were judged here where some only were asked for. UsageError where the two cannot be compared: another
    profile, or toy size.

    timed: claims that take times.
    """
    if here.get("toy"):
        raise UsageError(
            f"toy={here['toy']}: allowed is a run of profile {there['profile']}; make it by: make report"
        )
    if here["profile"] != there["profile"]:
        raise UsageError(
            f"profile={here['profile']}: allowed is {there['profile']}, the example's; make it by: make report PROFILE={there['profile']}"
        )
    known, found = ({claim["id"]: claim for claim in one["claims"]} for one in (there, here))
    names = sorted(found if here.get("only") else {*known, *found})
    return [_compared(name, known.get(name), found.get(name), timed=name in timed) for name in names]


def other_data(there: Mapping[str, object], here: Mapping[str, object]) -> list[str]:
    """Data sets that the two do not share: those that are generated may differ in last bits between machines."""
    both = here["data"] if here.get("only") else {*there["data"], *here["data"]}
    return sorted(name for name in both if there["data"].get(name) != here["data"].get(name))


def agree(compared: Sequence[Comparison]) -> bool:
    """Whether nothing differs beyond the tolerance."""
    return all(one.outcome in (SAME, CLOSE, BORDER, TIMED) for one in compared)


def _compared(name: str, there: Claim | None, here: Claim | None, *, timed: bool) -> Comparison:
    if there is None or here is None:
        return Comparison(name, DIFFERS, there, here)
    if there["criterion"]["hash"] != here["criterion"]["hash"]:
        return Comparison(name, OTHER, there, here)
    apart = _apart(there, here)
    if timed:
        return Comparison(name, SAME if _numbers(there) == _numbers(here) else TIMED, there, here, apart)
    near = apart is None or apart <= SIGMAS or abs(there["effect"] - here["effect"]) <= there["delta"]
    if _turned(there, here, apart) or not near:
        return Comparison(name, DIFFERS, there, here, apart)
    if _said(there) != _said(here):
        return Comparison(name, BORDER, there, here, apart)
    return Comparison(name, SAME if _numbers(there) == _numbers(here) else CLOSE, there, here, apart)


def _turned(there: Claim, here: Claim, apart: float | None) -> bool:
    """Two decided verdicts that one truth and its noise cannot both have given."""
    if _said(there) == _said(here) or "inconclusive" in (there["verdict"], here["verdict"]):
        return False
    hows = {_how(there), _how(here)}
    return apart is None or apart > NEIGHBOURS or hows == {"supported", "reversed"} or "formula" in hows


def _how(claim: Claim) -> object:
    return claim.get("refuted_how") or claim["verdict"]


def _said(claim: Claim) -> tuple[object, object]:
    return claim["verdict"], claim.get("refuted_how") or ""


def _numbers(claim: Claim) -> tuple[object, ...]:
    return tuple(claim.get(key) for key in ("effect", "interval", "n", "diverged", "p"))


def _apart(there: Claim, here: Claim) -> float | None:
    """The difference of the effects in combined standard errors; None without two effects, infinite where none varies."""
    if there.get("effect") is None or here.get("effect") is None:
        return None
    difference = abs(there["effect"] - here["effect"])
    error = math.hypot(
        *((claim["interval"][1] - claim["interval"][0]) / 2 / REACH for claim in (there, here))
    )
    return difference / error if error > 0 else (0.0 if difference == 0 else math.inf)
