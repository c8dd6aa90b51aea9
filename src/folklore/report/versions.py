"""What became of the criteria after they were put on file: versions, their reasons, and whether a verdict hangs on one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from folklore.report.claim import SHORT_HASH, table
from folklore.report.numbers import MISSING, count
from folklore.report.words import Claim, tidy

Version = Mapping[str, object]


def versions(claims: Sequence[Claim]) -> dict[str, object] | None:
    """The claims whose criterion has more than one version; None without any.

    `lead` says how many and whether a verdict depends on the version, `table` has a row for each claim with the commits of its versions,
    oldest first, and the numbers of their `reasons`: many claims change for one reason.
    """
    changed = {str(claim["id"]): history for claim in claims if len(history := _history(claim)) > 1}
    if not changed:
        return None
    reasons = list(dict.fromkeys(_reason(version) for history in changed.values() for version in history))
    rows = [
        [name, _commits(history, reasons), ", then ".join(_verdicts(history))]
        for name, history in changed.items()
    ]
    columns = ["claim", "commit of each version, and number of its reason", "verdict under them"]
    caption = "Criteria that changed, oldest version first."
    shown = table(caption, columns, rows, numeric=[], widest=1)
    return {"lead": _lead(changed), "table": shown, "reasons": reasons}


def _history(claim: Claim) -> Sequence[Version]:
    return (claim.get("criterion") or {}).get("history") or []


def _reason(version: Version) -> str:
    return tidy(version.get("reason")) or MISSING


def _commits(history: Sequence[Version], reasons: Sequence[str]) -> str:
    named = ((str(v.get("commit") or MISSING)[:SHORT_HASH], reasons.index(_reason(v)) + 1) for v in history)
    return ", ".join(f"{commit} ({number})" for commit, number in named)


def _verdicts(history: Sequence[Version]) -> list[str]:
    """The verdicts under the versions, without repetitions one after the other."""
    said = [str(version.get("verdict") or MISSING) for version in history]
    return [verdict for before, verdict in zip([None, *said], said, strict=False) if verdict != before]


def _lead(changed: Mapping[str, Sequence[Version]]) -> str:
    several = f"{count(len(changed))} claim{'s have' if len(changed) > 1 else ' has'} more than one version"
    total = count(sum(map(len, changed.values())))
    hanging = [name for name, history in changed.items() if len(_verdicts(history)) > 1]
    rest = (
        f"The verdict depends on the version for {', '.join(hanging)}."
        if hanging
        else "The runs of this report get the same verdict under every version of their criterion."
    )
    return f"{several}, {total} in all. {rest}"
