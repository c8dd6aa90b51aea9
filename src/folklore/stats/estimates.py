"""The estimate of one effect from its replicates: paired t, with a bootstrap and a permutation test beside it."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats
from statsmodels.stats.power import TTestPower

RESAMPLES = 4000
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """effect: mean of the replicates' differences d, in the direction that the claim predicts; interval, interval90: paired t;
    bca: bias-corrected and accelerated bootstrap, 95 %; p: two-sided paired t; p_permutation: two-sided sign flips; sd: spread of d."""

    effect: float
    interval: Interval
    interval90: Interval
    bca: Interval
    p: float
    p_permutation: float
    sd: float
    n: int


def estimate(d: np.ndarray, *, seed: int = 0, sensitivity: bool = True) -> Estimate:
    """Estimate from paired differences d (n,), n >= 2. Without any spread the intervals have no width and p is 0 or 1.

    sensitivity: also the bootstrap and the permutation test, which decide nothing and cost a thousand times the t-test.
    """
    d = np.asarray(d, dtype=float)
    mean, sd, n = float(d.mean()), float(d.std(ddof=1)), len(d)
    if sd <= 1e-12 * max(1.0, abs(mean)):
        p = float(abs(mean) <= 1e-12)
        return Estimate(mean, (mean, mean), (mean, mean), (mean, mean), p, p, 0.0, n)
    p = 2 * _student(-abs(mean), d)
    bca, permuted = (_bca(d, seed), _permutation(d, seed)) if sensitivity else ((np.nan, np.nan), np.nan)
    return Estimate(mean, t_interval(d, 0.95), t_interval(d, 0.90), bca, p, permuted, sd, n)


def t_interval(d: np.ndarray, level: float) -> Interval:
    """Two-sided Student interval of the mean."""
    half = float(special.stdtrit(len(d) - 1, (1 + level) / 2)) * _standard_error(d)
    return float(d.mean()) - half, float(d.mean()) + half


def equivalence_p(d: np.ndarray, delta: float) -> float:
    """Two one-sided tests (Schuirmann 1987) that the mean lies inside (-delta, delta)."""
    if np.ptp(d) == 0:
        return float(abs(d.mean()) >= delta)
    return max(_student(-d.mean() - delta, d), _student(d.mean() - delta, d))


def _student(away: float, d: np.ndarray) -> float:
    """Chance that Student's t falls below a mean of `away`, in standard errors of d's.

    Judging asks for thousands of these: scipy's tests and distributions take a hundred times as long as the functions they end in.
    """
    return float(special.stdtr(len(d) - 1, away / _standard_error(d)))


def _standard_error(d: np.ndarray) -> float:
    return float(d.std(ddof=1)) / len(d) ** 0.5


def power(sd: float, n: int, delta: float, alpha: float) -> float | None:
    """Power of the paired t-test for a true effect of size delta at level alpha."""
    if sd == 0 or n < 2:
        return None
    test = TTestPower()
    both = float(test.power(delta / sd, n, alpha, alternative="two-sided"))
    if np.isfinite(both):
        return both
    # for a large effect the far tail, then below 1e-20, comes out as NaN: the near one alone is the power
    return float(test.power(delta / sd, n, alpha / 2, alternative="larger"))


def equivalence_power(sd: float, n: int, delta: float, alpha: float) -> float | None:
    """Power of the two one-sided tests at level alpha when there is no effect at all: the least that it can be, 1 less the chances that
    either test fails (Phillips 1990), which is exact unless both fail at once."""
    if sd == 0 or n < 2:
        return None
    border = stats.t.ppf(1 - alpha, n - 1)
    fails = float(stats.nct.cdf(border, n - 1, delta * np.sqrt(n) / sd))
    return (
        max(0.0, 1 - 2 * fails) if np.isfinite(fails) else 1.0
    )  # far out, where the chance is below 1e-20, scipy gives NaN


Power = Callable[[float, int, float, float], float | None]


def replicates_for(wanted: float, sd: float, delta: float, alpha: float, power: Power = power) -> int | None:
    """Replicates from which on a test has the power wanted; None where the spread is zero or a million would not do."""
    if sd == 0:
        return None
    low, high, most = 1, 2, 1_000_000
    while power(sd, high, delta, alpha) < wanted:
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    return (
        low
        + 1
        + bisect_left(range(low + 1, high + 1), True, key=lambda n: power(sd, n, delta, alpha) >= wanted)
    )


def _bca(d: np.ndarray, seed: int) -> Interval:
    with (
        warnings.catch_warnings()
    ):  # a handful of replicates can make the acceleration degenerate: the interval is then NaN
        warnings.simplefilter("ignore")
        result = stats.bootstrap(
            (d,),
            np.mean,
            n_resamples=RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(seed),
            vectorized=True,
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _permutation(d: np.ndarray, seed: int) -> float:
    result = stats.permutation_test(
        (d,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(seed),
        vectorized=True,
    )
    return float(result.pvalue)
