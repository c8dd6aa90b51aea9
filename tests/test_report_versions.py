"""What the report says of criteria that changed: which, why, and whether a verdict hangs on it."""

from __future__ import annotations

from folklore.report.versions import versions
from invented_report import HARMFUL


def version(commit: str, reason: str, verdict: str) -> dict[str, str]:
    return {"hash": "0" * 24, "commit": commit * 40, "reason": reason, "verdict": verdict}


def claim(name: str, *history: dict[str, str]) -> dict[str, object]:
    return {"id": name, "criterion": {"history": list(history)}}


def test_a_reason_of_many_claims_is_written_once() -> None:
    told = versions(
        [
            claim("a", version("1", "first", "refuted"), version("2", f"wider {HARMFUL}", "refuted")),
            claim("b", version("1", "first", "supported")),
            claim("c", version("1", "first", "holds"), version("3", f"wider {HARMFUL}", "holds")),
        ]
    )
    assert told["reasons"] == ["first", f"wider {HARMFUL}"]
    assert told["table"]["groups"][0]["rows"] == [
        ["a", "111111111111 (1), 222222222222 (2)", "refuted"],
        ["c", "111111111111 (1), 333333333333 (2)", "holds"],
    ]
    assert told["lead"] == (
        "2 claims have more than one version, 4 in all. The runs of this report get the same verdict under every version of their criterion."
    )


def test_a_verdict_that_hangs_on_the_version_is_named() -> None:
    said = ["supported", "supported", "inconclusive", "supported"]
    told = versions([claim("a", *(version("1", f"reason {i}", v) for i, v in enumerate(said)))])
    assert told["table"]["groups"][0]["rows"][0][2] == "supported, then inconclusive, then supported"
    assert told["lead"] == (
        "1 claim has more than one version, 4 in all. The verdict depends on the version for a."
    )


def test_without_changes_there_is_nothing_to_tell() -> None:
    assert versions([claim("a", version("1", "first", "refuted")), {"id": "b", "criterion": None}]) is None
