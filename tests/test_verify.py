"""A run against the example: what is the same, what is within the tolerance, and what is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from folklore import verification
from folklore.errors import UsageError
from folklore.stages import verify

EXAMPLE = json.loads((Path(__file__).resolve().parents[1] / "reports/example/verdicts.json").read_text())


def changed(name: str, **fields: object) -> dict:
    """The example as another run would have it, one claim of it changed."""
    other = copy.deepcopy(EXAMPLE)
    next(claim for claim in other["claims"] if claim["id"] == name).update(fields)
    return other


def outcome(other: dict, name: str) -> verification.Comparison:
    return {one.id: one for one in verification.compare(EXAMPLE, other)}[name]


def test_the_example_agrees_with_itself() -> None:
    compared = verification.compare(EXAMPLE, EXAMPLE)
    assert {one.outcome for one in compared} == {verification.SAME}
    assert len(compared) == len(EXAMPLE["claims"])
    assert verification.agree(compared)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"p": 0.012345}, verification.CLOSE),
        ({"effect": 0.456, "interval": [0.446, 0.466]}, verification.CLOSE),
        (
            {"effect": 0.475, "interval": [0.465, 0.485]},
            verification.CLOSE,
        ),  # further than delta, within 4 standard errors
        ({"effect": 0.50, "interval": [0.49, 0.51]}, verification.DIFFERS),
        ({"verdict": "inconclusive"}, verification.BORDER),
        ({"verdict": "inconclusive", "effect": 0.0, "interval": [-0.02, 0.02]}, verification.DIFFERS),
        ({"verdict": "refuted", "refuted_how": "reversed"}, verification.DIFFERS),
        ({"criterion": {"hash": "0"}}, verification.OTHER),
    ],
)
def test_a_planted_difference(fields: dict, expected: str) -> None:
    """Of an effect of .456 [.446, .466] with a delta of .01."""
    other = changed("bn-needs-large-batch", **fields)
    assert outcome(other, "bn-needs-large-batch").outcome == expected
    assert verification.agree(verification.compare(EXAMPLE, other)) == (
        expected not in (verification.DIFFERS, verification.OTHER)
    )


def test_an_exact_claim_may_not_turn() -> None:
    assert outcome(changed("bn-backward", verdict="holds"), "bn-backward").outcome == verification.DIFFERS


def test_a_claim_that_is_missing_differs() -> None:
    other = copy.deepcopy(EXAMPLE)
    gone = other["claims"].pop(5)["id"]
    assert outcome(other, gone).outcome == verification.DIFFERS


def test_independent_replications_hardly_ever_differ() -> None:
    """Effects of 32 replicates, drawn twice: 4 combined standard errors are exceeded less than once in five hundred."""
    rng, apart = np.random.default_rng(4), []
    for _ in range(2000):
        found = []
        for draw in rng.standard_normal((2, 32)):
            half = 2.0395 * draw.std(ddof=1) / 32**0.5
            found.append({"effect": draw.mean(), "interval": [draw.mean() - half, draw.mean() + half]})
        apart.append(verification._apart(*found))
    assert np.mean(np.array(apart) > verification.SIGMAS) < 0.002
    assert np.mean(np.array(apart) > 2) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"profile": "smoke"}, "profile=smoke: allowed is laptop"),
        ({"toy": True}, "toy=True: allowed is a whole run"),
        ({"only": ["he-vs-glorot-relu"]}, "only="),
    ],
)
def test_what_cannot_be_compared_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        verification.compare(EXAMPLE, EXAMPLE | fields)


def test_the_command_prints_what_differs_and_ends_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps(EXAMPLE))
    verify.main(["--out", str(tmp_path)])
    assert f"{len(EXAMPLE['claims'])} the same numbers" in capsys.readouterr().out
    path.write_text(json.dumps(changed("bn-backward", verdict="holds") | {"data": {"digits": "x"}}))
    with pytest.raises(SystemExit) as ended:
        verify.main(["--out", str(tmp_path)])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "bn-backward" in said and "differ beyond the tolerance" in said and "data set digits" in said


def test_the_table_names_both_sides() -> None:
    other = changed("bn-needs-large-batch", effect=0.5, interval=[0.49, 0.51])
    console = Console(record=True, width=120)
    verify.show(verification.compare(EXAMPLE, other), [], console)
    said = console.export_text()
    assert "+45.6 points" in said and "+50.0 points" in said and "s.e." in said
