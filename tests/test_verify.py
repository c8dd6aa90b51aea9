"""A run against the example: what is the same, what is within the tolerance, and what is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from folklore import verification
from folklore.errors import UsageError
from folklore.stages import verify
from folklore.stats.verdicts import decide, decide_equivalence

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
        ({"run_keys_sha256": "of other code"}, verification.SAME),
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


def shifted(errors: float) -> tuple[float, list[float]]:
    """An effect of dropconnect (.0018 [-.0030, .0066], negligible below .01) so many combined standard errors higher."""
    claim = next(claim for claim in EXAMPLE["claims"] if claim["id"] == "dropconnect")
    low, high = claim["interval"]
    by = errors * (high - low) / 2 / verification.REACH * 2**0.5
    return claim["effect"] + by, [low + by, high + by]


@pytest.mark.parametrize(
    ("errors", "how", "expected"),
    [
        (2.9, ("supported", ""), verification.BORDER),
        (2.9, ("refuted", "reversed"), verification.BORDER),
        (3.1, ("supported", ""), verification.DIFFERS),
        (0.1, ("refuted", "formula"), verification.DIFFERS),
    ],
)
def test_a_negligible_effect_has_neighbours(errors: float, how: tuple[str, str], expected: str) -> None:
    effect, interval = shifted(errors)
    fields = {"verdict": how[0], "refuted_how": how[1], "effect": effect, "interval": interval}
    assert outcome(changed("dropconnect", **fields), "dropconnect").outcome == expected


@pytest.mark.parametrize("how", ["reversed", "formula"])
def test_some_verdicts_exclude_each_other(how: str) -> None:
    name = next(claim["id"] for claim in EXAMPLE["claims"] if claim["verdict"] == "supported")
    other = changed(name, verdict="refuted", refuted_how=how)
    assert outcome(other, name).outcome == verification.DIFFERS


def test_times_are_shown_and_not_compared() -> None:
    timed = verify.timed()
    assert sorted(timed) == ["activation-compute-cost"]
    other = changed(
        "activation-compute-cost", effect=3.0, interval=[2.9, 3.1], verdict="supported", refuted_how=""
    )
    compared = verification.compare(EXAMPLE, other, timed)
    assert [one.id for one in compared if one.outcome == verification.TIMED] == sorted(timed)
    assert verification.agree(compared)
    assert not verification.agree(verification.compare(EXAMPLE, other))


def test_a_second_machine_agrees() -> None:
    """The whole example drawn again, thirty times, and judged again: what chance alone does is no difference."""
    rng = np.random.default_rng(5)
    faults = [
        one.id
        for _ in range(30)
        for one in verification.compare(EXAMPLE, replicated(rng))
        if one.outcome == verification.DIFFERS
    ]
    assert len(faults) <= 1, faults


def replicated(rng: np.random.Generator) -> dict:
    """What another machine might find: effects and spreads drawn about the example's, verdicts by the protocol's rules."""
    other = copy.deepcopy(EXAMPLE)
    for claim in other["claims"]:
        if claim["effect"] is not None and claim["refuted_how"] != "formula":
            _draw_again(claim, rng)
    return other


def _draw_again(claim: dict, rng: np.random.Generator) -> None:
    freedom = claim["n"] - 1
    error = (claim["interval"][1] - claim["interval"][0]) / 2 / stats.t.ppf(0.975, freedom)
    effect = claim["effect"] + 2**0.5 * error * rng.standard_normal()
    error *= (rng.chisquare(freedom) / freedom) ** 0.5
    claim["effect"] = effect
    narrow, wide = ([effect + s * stats.t.ppf(q, freedom) * error for s in (-1, 1)] for q in (0.95, 0.975))
    claim["interval"], rule = wide, decide_equivalence if claim["equivalence"] else decide
    zero = 2 * stats.t.sf(abs(effect) / error, freedom)
    inside = stats.t.sf((claim["delta"] - abs(effect)) / error, freedom)
    verdict = rule(wide, narrow, claim["delta"], inside if claim["equivalence"] else zero)
    claim["verdict"], claim["refuted_how"] = verdict.verdict, verdict.how


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
        ({"toy": True}, "toy=True: allowed is a run of profile laptop"),
    ],
)
def test_what_cannot_be_compared_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        verification.compare(EXAMPLE, EXAMPLE | fields)


def test_of_a_run_of_some_claims_these_are_compared() -> None:
    some = [claim for claim in EXAMPLE["claims"] if claim["id"] in ("momentum", "bn-backward")]
    other = EXAMPLE | {"only": ["momentum", "bn-backward"], "claims": some, "data": {"mnist1d": "other"}}
    found = {one.id: one.outcome for one in verification.compare(EXAMPLE, other)}
    assert found == dict.fromkeys(["momentum", "bn-backward"], verification.SAME)
    assert verification.other_data(EXAMPLE, other) == ["mnist1d"]
    missing = verification.compare(EXAMPLE, EXAMPLE | {"claims": some})
    assert len(missing) == len(EXAMPLE["claims"])
    assert not verification.agree(missing)


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
    effect = next(claim for claim in EXAMPLE["claims"] if claim["id"] == "bn-needs-large-batch")["effect"]
    assert f"{100 * effect:+.1f} points" in said and "+50.0 points" in said and "s.e." in said
