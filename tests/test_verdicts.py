"""From differences to a verdict: every branch of the rules, and the estimates against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from folklore.stats import estimates
from folklore.stats.curves import speed_score, steps_to
from folklore.stats.estimates import (
    Estimate,
    equivalence_p,
    equivalence_power,
    estimate,
    power,
    replicates_for,
    t_interval,
)
from folklore.stats.findings import (
    Check,
    Finding,
    arm_rows,
    contrast,
    differences,
    half_grid,
    log_rank,
    speed_contrast,
    steps_measure,
)
from folklore.stats.verdicts import Verdict, decide, decide_equivalence, holm

DELTA = 0.01
NEGLIGIBLE, REVERSED = Verdict("refuted", "negligible"), Verdict("refuted", "reversed")
SUPPORTED, INCONCLUSIVE = Verdict("supported"), Verdict("inconclusive")


@pytest.mark.parametrize(
    ("interval", "interval90", "p", "verdict"),
    [
        ((0.002, 0.020), (0.004, 0.018), 0.01, SUPPORTED),
        ((0.002, 0.020), (0.004, 0.018), 0.06, INCONCLUSIVE),  # lost to the correction
        ((0.012, 0.020), (0.013, 0.019), 0.0001, SUPPORTED),
        # above 0 for certain, yet shown to be below the smallest effect of interest: negligible comes first
        ((0.001, 0.009), (0.002, 0.008), 0.0001, NEGLIGIBLE),
        ((0.001, 0.011), (0.002, 0.0095), 0.0001, NEGLIGIBLE),
        ((-0.005, 0.005), (-0.004, 0.004), 1.0, NEGLIGIBLE),
        ((-0.009, -0.001), (-0.008, -0.002), 0.0001, NEGLIGIBLE),
        ((-0.020, -0.002), (-0.018, -0.004), 0.01, REVERSED),
        ((-0.020, -0.002), (-0.018, -0.004), 0.06, INCONCLUSIVE),
        ((-0.005, 0.020), (-0.003, 0.018), 0.2, INCONCLUSIVE),
        ((-0.020, 0.020), (-0.018, 0.018), 1.0, INCONCLUSIVE),
        ((0.0, 0.020), (0.001, 0.019), 0.05, INCONCLUSIVE),
        # the bounds themselves are not inside
        ((-0.012, 0.012), (-0.010, 0.010), 1.0, INCONCLUSIVE),
    ],
)
def test_decide(interval: tuple, interval90: tuple, p: float, verdict: Verdict) -> None:
    assert decide(interval, interval90, DELTA, p) == verdict


@pytest.mark.parametrize(
    ("interval", "interval90", "p", "verdict"),
    [
        ((-0.004, 0.004), (-0.003, 0.003), 0.001, SUPPORTED),
        ((-0.011, 0.004), (-0.009, 0.003), 0.04, SUPPORTED),
        ((0.001, 0.009), (0.002, 0.008), 0.001, SUPPORTED),  # different, but by less than anybody cares for
        ((-0.004, 0.004), (-0.003, 0.003), 0.06, INCONCLUSIVE),  # lost to the correction
        ((0.0015, 0.0105), (0.0023, 0.0097), 0.06, INCONCLUSIVE),  # which makes no difference of it
        ((0.004, 0.020), (0.005, 0.019), 0.9, Verdict("refuted", "different")),
        ((-0.020, -0.004), (-0.019, -0.005), 0.9, Verdict("refuted", "different")),
        ((-0.002, 0.020), (-0.001, 0.019), 0.5, INCONCLUSIVE),
    ],
)
def test_decide_equivalence(interval: tuple, interval90: tuple, p: float, verdict: Verdict) -> None:
    assert decide_equivalence(interval, interval90, DELTA, p) == verdict


def test_holm_by_hand() -> None:
    # sorted .01, .02, .03, .04 times 4, 3, 2, 1 is .04, .06, .06, .04, made monotone: .04, .06, .06, .06
    corrected = holm({"a": 0.03, "b": 0.01, "c": 0.04, "d": 0.02}, ["a", "b", "c", "d"])
    assert corrected == pytest.approx({"b": 0.04, "d": 0.06, "a": 0.06, "c": 0.06})


def test_holm_keeps_the_size_of_its_family() -> None:
    """Members that were not judged count, so that leaving one out helps nobody."""
    family = ["a", "b", "c", "d", "e"]
    assert holm({"a": 0.01}, family) == {"a": pytest.approx(0.05)}
    assert holm({"a": 0.01, "b": 0.02}, family) == pytest.approx({"a": 0.05, "b": 0.08})
    assert holm({"a": 0.5}, family) == {"a": 1.0}


def test_holm_refuses_a_stranger() -> None:
    with pytest.raises(ValueError, match="stranger"):
        holm({"stranger": 0.01}, ["a"])


# d = 1, 2, 3, 6: mean 3, sum of squares about it 4 + 1 + 0 + 9 = 14, variance 14/3, standard error sqrt(14/12)
FOUR = np.array([1.0, 2.0, 3.0, 6.0])
STANDARD_ERROR = math.sqrt(14 / 12)
T3_975, T3_95 = 3.182446, 2.353363  # quantiles of Student's t with 3 degrees of freedom, from a printed table


def t3_upper_tail(t: float) -> float:
    """P(T > t) with 3 degrees of freedom, from the closed form of its distribution."""
    a = t / math.sqrt(3)
    return 0.5 - (math.atan(a) + a / (1 + a * a)) / math.pi


def test_estimate_by_hand() -> None:
    found = estimate(FOUR, sensitivity=False)
    assert found.effect == 3
    assert found.n == 4
    assert found.sd == pytest.approx(math.sqrt(14 / 3))
    assert found.interval == pytest.approx(
        (3 - T3_975 * STANDARD_ERROR, 3 + T3_975 * STANDARD_ERROR), abs=1e-5
    )
    assert found.interval90 == pytest.approx(
        (3 - T3_95 * STANDARD_ERROR, 3 + T3_95 * STANDARD_ERROR), abs=1e-5
    )
    assert found.p == pytest.approx(2 * t3_upper_tail(3 / STANDARD_ERROR))
    assert np.isnan(found.p_permutation)


def test_the_printed_quantiles_are_right() -> None:
    assert t3_upper_tail(T3_975) == pytest.approx(0.025, abs=1e-7)
    assert t3_upper_tail(T3_95) == pytest.approx(0.05, abs=1e-7)


def test_two_one_sided_tests_by_hand() -> None:
    upper, lower = t3_upper_tail((5 - 3) / STANDARD_ERROR), t3_upper_tail((3 + 5) / STANDARD_ERROR)
    assert equivalence_p(FOUR, 5.0) == pytest.approx(max(upper, lower))
    assert equivalence_p(FOUR, 2.0) > 0.5
    assert equivalence_p(np.full(5, 0.5), 1.0) == 0
    assert equivalence_p(np.full(5, 1.0), 1.0) == 1


@pytest.mark.parametrize("n", [2, 3, 12, 400])
def test_the_same_as_by_scipys_tests(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(50):
        d = rng.normal() + 10 ** rng.uniform(-3, 3) * rng.standard_normal(n)
        found = estimate(d, sensitivity=False)
        assert found.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
        assert found.interval == pytest.approx(stats.ttest_1samp(d, 0).confidence_interval(0.95))
        above = stats.ttest_1samp(d, -1, alternative="greater").pvalue
        below = stats.ttest_1samp(d, 1, alternative="less").pvalue
        assert equivalence_p(d, 1.0) == pytest.approx(max(above, below))


def test_equivalence_p_agrees_with_its_interval() -> None:
    """TOST at 5 % and the 90 % interval are the same statement."""
    rng = np.random.default_rng(5)
    for shift in np.linspace(0, 0.02, 21):
        d = shift + 0.01 * rng.standard_normal(12)
        low, high = t_interval(d, 0.90)
        assert (equivalence_p(d, DELTA) < 0.05) == (low > -DELTA and high < DELTA)


def test_no_spread_is_no_error() -> None:
    same = estimate(np.full(8, 0.25))
    assert (same.effect, same.interval, same.p, same.sd) == (0.25, (0.25, 0.25), 0.0, 0.0)
    nothing = estimate(np.zeros(8))
    assert (nothing.p, nothing.interval90) == (1.0, (0.0, 0.0))


def test_the_t_interval_covers() -> None:
    """Of 2,000 intervals from normal differences, 95 and 90 % hold the truth, within three standard errors."""
    rng, truth = np.random.default_rng(1), 0.3
    for level in (0.95, 0.90):
        bounds = [t_interval(truth + rng.standard_normal(12), level) for _ in range(2000)]
        share = np.mean([low <= truth <= high for low, high in bounds])
        assert abs(share - level) < 3 * math.sqrt(level * (1 - level) / 2000)


def test_bootstrap_and_permutation_agree_with_t_on_normal_differences() -> None:
    d = 0.4 + np.random.default_rng(3).standard_normal(32)
    found = estimate(d)
    assert found.bca == pytest.approx(found.interval, abs=0.1)
    assert found.p_permutation == pytest.approx(found.p, abs=0.02)
    assert estimate(d) == found


def test_three_replicates_are_enough_for_the_sensitivity_checks() -> None:
    found = estimate(np.array([0.1, 0.1, 0.4]))
    assert 0 < found.p_permutation <= 1


@pytest.mark.parametrize(
    ("sd", "delta", "alpha"), [(1.0, 1.0, 0.05), (0.05, 0.01, 0.005), (0.001, 1.0, 0.05)]
)
def test_so_many_replicates_and_no_fewer_have_the_power(sd: float, delta: float, alpha: float) -> None:
    n = replicates_for(0.8, sd, delta, alpha)
    assert power(sd, n, delta, alpha) >= 0.8
    assert n == 2 or power(sd, n - 1, delta, alpha) < 0.8
    assert replicates_for(0.8, 0.0, delta, alpha) is None
    assert replicates_for(0.8, 1e5, delta, alpha) is None


def test_power() -> None:
    # two-sided paired t-test, effect of one standard deviation: 80 % power needs 10 pairs (Cohen 1988: 9.9)
    assert power(1.0, 10, 1.0, 0.05) == pytest.approx(0.803, abs=0.002)
    assert power(1.0, 9, 1.0, 0.05) < 0.8
    assert power(1.0, 10, 1.0, 0.01) < power(1.0, 10, 1.0, 0.05)
    assert power(0.01, 32, 0.05, 0.004) == pytest.approx(1.0)
    assert [power(sd, 32, 1.0, 0.05) for sd in np.linspace(0.02, 0.8, 40)] == [
        pytest.approx(1.0, abs=1e-4)
    ] * 40
    assert power(0.0, 10, 1.0, 0.05) is None
    assert power(1.0, 1, 1.0, 0.05) is None


@pytest.mark.parametrize(("n", "delta", "alpha"), [(32, 0.7, 0.005), (12, 1.0, 0.05), (200, 0.3, 0.01)])
def test_power_of_an_equivalence_test_by_simulation(n: int, delta: float, alpha: float) -> None:
    d = np.random.default_rng(5).standard_normal((2000, n))
    found = [equivalence_p(row, delta) < alpha for row in d]
    assert np.mean(found) == pytest.approx(equivalence_power(1.0, n, delta, alpha), abs=0.035)


def test_power_of_an_equivalence_test() -> None:
    assert equivalence_power(1.0, 5, 0.5, 0.05) == 0.0
    assert [equivalence_power(sd, 32, 1.0, 0.005) for sd in (0.1, 0.01, 0.001)] == [1.0] * 3
    assert equivalence_power(0.0, 10, 1.0, 0.05) is None
    assert equivalence_power(1.0, 1, 1.0, 0.05) is None
    n = replicates_for(0.8, 1.0, 0.5, 0.005, equivalence_power)
    assert equivalence_power(1.0, n - 1, 0.5, 0.005) < 0.8 <= equivalence_power(1.0, n, 0.5, 0.005)


def test_power_by_simulation() -> None:
    rng = np.random.default_rng(4)
    found = [
        estimates.estimate(0.5 + rng.standard_normal((32,)), sensitivity=False).p < 0.05 for _ in range(1000)
    ]
    assert np.mean(found) == pytest.approx(power(1.0, 32, 0.5, 0.05), abs=0.045)


STEPS = np.array([100, 200, 300, 400])


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ([2.0, 1.5, 1.0, 0.5], 300),  # on the mark exactly
        ([2.0, 1.2, 0.7, 0.5], 240),  # .2 of the .5 between 200 and 300
        ([0.9, 0.5, 0.4, 0.3], 100),  # reached in the first window
        ([2.0, 1.5, 1.4, 1.3], math.inf),
        ([np.nan] * 4, math.inf),
        ([2.0, np.nan, 0.9, 0.8], 300),  # nothing to interpolate from
        ([2.0, 0.5, np.nan, np.nan], 200 - 100 / 3),  # reached before it diverged
    ],
)
def test_steps_to(losses: list[float], steps: float) -> None:
    others = [[9.0] * len(STEPS), [0.5] * len(STEPS), [math.nan] * len(STEPS)]
    found = steps_to(1.0, STEPS, np.array([*others, losses, *others]))
    assert found.tolist() == pytest.approx(
        [math.inf, STEPS[0], math.inf, steps, math.inf, STEPS[0], math.inf]
    )


def test_speed_scores_are_ordered() -> None:
    """Sooner is better; the slowest that arrives is better than the best that does not; a diverged run is last."""
    curves = [
        [0.9, 0.5, 0.4, 0.3],
        [2.0, 0.9, 0.4, 0.3],
        [2.0, 1.5, 1.2, 1.0],  # arrives with the last update
        [2.0, 1.5, 1.2, 1.001],
        [2.0, 1.5, 1.4, 1.3],
        [np.nan] * 4,
    ]
    found = [speed_score(1.0, STEPS, np.array(curve)) for curve in curves]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)
    assert np.isfinite(found).all()


def frame(
    curves: dict[str, list], *, phase: str = "confirm", variant: str = "main", column: str = "loss_curve"
) -> pd.DataFrame:
    """Runs of some arms; `curves` holds one curve, or one accuracy, for each replicate."""
    rows = []
    for arm, values in curves.items():
        for i, value in enumerate(values):
            row = {"arm": arm, "replicate": i, "phase": phase, "variant": variant, "status": "ok", "edge": ""}
            row |= {"lr": 0.1, "updates": 400, "loss_step": STEPS, column: value}
            rows.append(row)
    return pd.DataFrame(rows)


def reaching(step: float) -> list[float]:
    """A loss curve that falls to 1 at `step` (a multiple of 100), or never."""
    return [3.0 if s < step else 1.0 for s in STEPS]


def test_censored_runs_count_with_the_whole_budget() -> None:
    runs = frame({"slow": [reaching(500)], "fast": [reaching(200)]})
    assert list(steps_measure(1.0)(runs)) == [math.log2(400), math.log2(200)]


def test_log_rank_by_hand() -> None:
    """Three runs an arm: fast ones arrive at 100, 200, 300; slow ones at 300, 400 and never.

    At 100: 6 at risk, 3 of them fast, one event: expected for fast 3/6, variance 1/4. At 200: 5 at risk, 2 fast: 2/5 and
    .24. At 300: 4 at risk, 1 fast, two events: 2/4 and 2 (1/4)(3/4)(2/3) = .25. At 400: 2 at risk, none fast.
    Observed 3, expected 1.4, variance .74: chi square 1.6^2 / .74 = 3.459 with one degree of freedom.
    """
    slow, fast = [reaching(300), reaching(400), reaching(999)], [reaching(s) for s in (100, 200, 300)]
    p = log_rank(1.0, "slow", "fast")(frame({"slow": slow, "fast": fast}))
    assert p == pytest.approx(math.erfc(math.sqrt(1.6**2 / 0.74 / 2)))


def test_a_difference_where_none_is_predicted_needs_a_small_p_too() -> None:
    apart = (0.004, 0.020), (0.005, 0.019), DELTA, 0.9
    assert decide_equivalence(*apart, 0.04) == Verdict("refuted", "different")
    assert decide_equivalence(*apart, 0.06) == INCONCLUSIVE


def test_log_rank_that_points_the_other_way_supports_nothing() -> None:
    """A few of the fast arrive very early, most of them never, and all of the slow ones in the end."""
    slow, fast = [reaching(400)] * 16, [reaching(100)] * 8 + [reaching(999)] * 8
    runs = frame({"slow": slow, "fast": fast})
    found = speed_contrast(runs, "slow", "fast", {"main": 1.0}, 0.1)
    assert found.estimate.effect == pytest.approx(1.0)
    assert found.estimate.p < 0.01
    assert found.p == 1.0


@pytest.mark.parametrize("ground", ["main", "other"])
def test_where_most_runs_of_both_arms_diverged_nothing_is_decided(ground: str) -> None:
    """Three of four pairs that both score chance agree to the last digit."""
    parts = [
        frame({"a": [0.1, 0.1, 0.1, 0.9], "b": [0.1, 0.1, 0.1, 0.5]}, variant=v, column="measured")
        for v in ("main", "other")
    ]
    runs = pd.concat(parts)
    runs.loc[(runs["variant"] == ground) & (runs["replicate"] < 3), "status"] = "diverged"
    found = contrast(runs, {"a": 1.0, "b": -1.0}, DELTA, measure="measured", equivalence=True)
    (row,) = found.robustness
    assert bool(found.undecidable) == (ground == "main")
    assert found.diverged == (6 if ground == "main" else 0)
    if ground == "other":
        assert row.verdict == INCONCLUSIVE


def test_log_rank_without_any_arrival_says_nothing() -> None:
    assert (
        log_rank(1.0, "slow", "fast")(frame({"slow": [reaching(999)] * 3, "fast": [reaching(999)] * 3}))
        == 1.0
    )


def test_speed_contrast_needs_both_tests() -> None:
    slow, fast = [reaching(400)] * 4, [reaching(200), reaching(100), reaching(200), reaching(100)]
    found = speed_contrast(frame({"slow": slow, "fast": fast}), "slow", "fast", {"main": 1.0}, 0.1)
    assert found.estimate.effect == pytest.approx(1.5)
    assert found.p >= found.estimate.p
    assert found.verdict(0.1, None) == SUPPORTED
    assert found.verdict(0.1, 0.2) == INCONCLUSIVE


def test_differences_pair_by_replicate() -> None:
    runs = frame({"a": [1.0, 2.0, 4.0], "b": [0.5, 1.0], "c": [9.0]}, column="measure")
    assert list(differences(runs, {"a": 1.0, "b": -1.0})) == [0.5, 1.0]  # the third replicate misses an arm
    assert list(differences(runs, {"b": -1.0, "a": 1.0})) == [0.5, 1.0]
    assert len(differences(runs, {"a": 1.0, "absent": -1.0})) == 0


def test_contrast_judges_other_grounds_and_the_halved_grid() -> None:
    def scores(shift: float, **where: str) -> pd.DataFrame:
        noise = np.random.default_rng(8).normal(0, 0.005, (2, 12))
        arms = {"a": 0.7 + shift + noise[0], "b": 0.7 + noise[1]}
        return frame({k: list(v) for k, v in arms.items()}, column="test_accuracy", **where)

    half = scores(0.0, phase="half").query("arm == 'a'")
    found = contrast(
        pd.concat([scores(0.03), scores(-0.03, variant="other"), half], ignore_index=True),
        {"a": 1, "b": -1},
        DELTA,
    )
    assert found.estimate.effect == pytest.approx(0.03, abs=0.006)
    assert found.verdict(DELTA, None) == SUPPORTED
    grounds = {r.label: r.verdict for r in found.robustness}
    assert grounds == {"other": REVERSED, "half as many rates": NEGLIGIBLE}
    assert [(row.arm, row.variant) for row in found.rows] == [
        ("a", "main"),
        ("b", "main"),
        ("a", "other"),
        ("b", "other"),
    ]


def test_half_grid_keeps_arms_whose_rate_is_the_same() -> None:
    confirmed = frame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, column="measure")
    half = frame({"a": [5.0]}, column="measure", phase="half")
    joined = half_grid(pd.concat([confirmed, half], ignore_index=True))
    assert sorted(joined["measure"]) == [3.0, 4.0, 5.0]
    assert half_grid(confirmed).empty


def test_one_replicate_is_refused() -> None:
    with pytest.raises(ValueError, match="two complete replicates"):
        contrast(frame({"a": [0.5], "b": [0.6]}, column="test_accuracy"), {"a": 1, "b": -1}, DELTA)


def test_diverged_runs_and_edges_are_told() -> None:
    runs = frame({"a": [0.1, 0.8, 0.82], "b": [0.7, 0.71, 0.7]}, column="test_accuracy")
    runs.loc[0, "status"] = "diverged"
    runs.loc[runs["arm"] == "b", "edge"] = "high"
    found = contrast(runs, {"a": 1, "b": -1}, DELTA)
    assert found.diverged == 1
    said = " ".join(found.notes)
    assert "1 of 6 runs diverged and count at chance" in said
    assert "0.105" in said  # the effect without it: the mean of .09 and .12
    assert "b (high end)" in said


def test_runs_that_all_diverged_decide_nothing() -> None:
    runs = frame({"a": [0.1] * 3, "b": [0.1] * 3}, column="test_accuracy").assign(status="diverged")
    found = contrast(runs, {"a": 1, "b": -1}, DELTA)
    assert found.verdict(DELTA, None) == INCONCLUSIVE


def test_rows_give_the_mean_and_its_interval() -> None:
    (row,) = arm_rows(frame({"a": list(FOUR)}, column="measure"))
    assert (row.mean, row.n, row.lr) == (3.0, 4, 0.1)
    assert (row.lo, row.hi) == pytest.approx(t_interval(FOUR, 0.95))


GOOD = Estimate(0.02, (0.015, 0.025), (0.016, 0.024), (0.015, 0.025), 1e-6, 1e-3, 0.01, 32)


def check(holds: bool, form: str) -> Check:
    return Check("line", 0.0 if holds else 1.0, 1e-6, holds, form)


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (Finding(checks=(check(True, "right"),)), Verdict("holds")),
        (Finding(checks=(check(True, "right"), check(False, "derived"))), Verdict("fails")),
        (Finding(checks=(check(False, "printed"), check(True, "right"))), Verdict("fails")),
        (Finding(checks=(check(True, "printed"), check(False, "derived"))), Verdict("holds")),
        (Finding(checks=(check(True, "printed"), check(False, "right"))), Verdict("fails")),
        (Finding(GOOD, GOOD.p), SUPPORTED),
        (Finding(GOOD, GOOD.p, checks=(check(True, "right"),)), SUPPORTED),
        (Finding(GOOD, GOOD.p, checks=(check(False, "right"),)), Verdict("refuted", "formula")),
    ],
)
def test_verdict_of_a_finding(finding: Finding, verdict: Verdict) -> None:
    assert finding.verdict(DELTA, None) == verdict
