"""Views that change inputs or labels, against closed forms, on rows whose moments are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from folklore.datasets.base import Arrays
from folklore.datasets.views import decorrelated, seen, standardised, whitened
from folklore.datasets.views.scaled_inputs import factors_of

ROWS, INPUTS, CLASSES = 5000, 6, 4


def arrays_of(seed: int = 0) -> Arrays:
    """Correlated inputs off centre; the last one never varies."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((INPUTS, INPUTS))
    mixing[:, -1] = 0
    splits = {
        split: (rng.standard_normal((n, INPUTS)) @ mixing + 3).astype(np.float32)
        for split, n in (("pool", ROWS), ("val", 300), ("test", 200))
    }
    x = {f"{split}_x": value for split, value in splits.items()}
    y = {f"{split}_y": rng.integers(0, CLASSES, len(value)) for split, value in splits.items()}
    return Arrays("toy", "", CLASSES, **x, **y)


ARRAYS = arrays_of()
POOL = ARRAYS.pool_x.astype(np.float64)


def test_centred_inputs_have_mean_0_and_keep_their_differences() -> None:
    found = seen(ARRAYS, "centred")
    assert np.allclose(found.pool_x.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(found.test_x, ARRAYS.test_x - POOL.mean(axis=0), atol=1e-5)


def test_standardised_inputs_by_the_pools_moments() -> None:
    found = seen(ARRAYS, "standardised")
    deviation = POOL.std(axis=0)[:-1]
    assert np.allclose(found.pool_x[:, :-1].var(axis=0), 1, atol=1e-5)
    assert np.allclose(
        found.val_x[:, :-1], ((ARRAYS.val_x - POOL.mean(axis=0))[:, :-1]) / deviation, atol=1e-5
    )
    assert not found.pool_x[:, -1].any()  # what does not vary becomes 0, not noise or NaN


def test_many_rows_are_mapped_as_few() -> None:
    """Rows go through a few thousand at a time: 5,000 need two parts."""
    assert np.allclose(standardised.fitted(POOL)(POOL), seen(ARRAYS, "standardised").pool_x, atol=1e-6)


def test_decorrelated_inputs_are_the_principal_components() -> None:
    turned = decorrelated.fitted(POOL)(POOL)
    covariance = np.cov(turned, rowvar=False, bias=True)
    standard = standardised.fitted(POOL)(POOL)
    values = np.linalg.svd(standard, compute_uv=False) ** 2 / ROWS
    assert np.allclose(covariance, np.diag(values), atol=1e-10)
    assert np.allclose((turned**2).sum(axis=1), (standard**2).sum(axis=1))  # a rotation


def test_whitened_inputs_have_the_identity_for_covariance() -> None:
    found = whitened.fitted(POOL[:, :-1], 0.0)(POOL[:, :-1])
    assert np.allclose(np.cov(found, rowvar=False, bias=True), np.eye(INPUTS - 1), atol=1e-9)
    assert np.isfinite(seen(ARRAYS, "whitened").test_x).all()  # the ridge holds the axis without variance
    assert not np.allclose(found, found[:, ::-1])


def test_scaled_inputs_differ_in_scale_alone() -> None:
    found = seen(ARRAYS, "scaled_inputs-1000")
    factors = factors_of(INPUTS, 1000)
    assert np.allclose(found.val_x, ARRAYS.val_x * factors, rtol=1e-6)
    assert factors.max() / factors.min() == pytest.approx(1000)
    assert (factors**2).mean() == pytest.approx(1)
    steps = np.diff(np.sort(np.log(factors)))
    assert np.allclose(steps, steps[0])
    again = seen(found, "standardised")
    assert np.allclose(again.pool_x, seen(ARRAYS, "standardised").pool_x, atol=1e-4)


def test_inputs_off_centre() -> None:
    assert np.allclose(seen(ARRAYS, "offset_inputs-3").test_x, ARRAYS.test_x + 3)
    assert seen(ARRAYS, "from_zero").pool_x.min() == 0
    assert np.allclose(seen(ARRAYS, "from_zero").val_x, ARRAYS.val_x - POOL.min(), atol=1e-6)


@pytest.mark.parametrize("share", [0, 20, 50, 100])
def test_that_share_of_the_pools_labels_is_redrawn(share: int) -> None:
    """One in four of those redrawn is the old one by chance."""
    found = seen(ARRAYS, f"random_labels-{share}")
    changed = (found.pool_y != ARRAYS.pool_y).mean()
    assert changed == pytest.approx(share / 100 * (1 - 1 / CLASSES), abs=0.02)
    assert np.array_equal(found.val_y, ARRAYS.val_y)
    assert np.array_equal(found.test_y, ARRAYS.test_y)
    assert np.array_equal(found.pool_x, ARRAYS.pool_x)
    assert seen(ARRAYS, f"random_labels-{share}").pool_y.tolist() == found.pool_y.tolist()


def test_a_larger_share_of_random_labels_contains_a_smaller_one() -> None:
    few, many = (seen(ARRAYS, f"random_labels-{share}").pool_y for share in (20, 60))
    changed = few != ARRAYS.pool_y
    assert np.array_equal(few[changed], many[changed])


def test_labels_drawn_anew_know_nothing_of_the_old() -> None:
    ordered = replace(ARRAYS, pool_y=np.sort(ARRAYS.pool_y))
    table = np.zeros((CLASSES, CLASSES))
    np.add.at(table, (ordered.pool_y, seen(ordered, "random_labels-100").pool_y), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert np.ptp(table.sum(axis=0)) <= 1  # evenly from all classes
