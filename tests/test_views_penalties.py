"""Views with inputs that say nothing, that stick out, and that have twins."""

from __future__ import annotations

import numpy as np
import pytest

from folklore.datasets.base import Arrays
from folklore.datasets.views import seen

ROWS, INPUTS = 4000, 5


def _split(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, ROWS)
    x = 2 + y[:, None] + np.arange(1, INPUTS + 1) * rng.standard_normal((ROWS, INPUTS))
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def plain() -> Arrays:
    splits = [a for seed in range(3) for a in _split(seed)]
    return Arrays("made", "0" * 64, 3, *splits)


SPLITS = ("pool_x", "val_x", "test_x")
BEHIND = {"noise_inputs-7": 7, "spiked_input-10": 1, "rare_spikes-10": 1, "twin_inputs-95": INPUTS}


@pytest.mark.parametrize(("view", "added"), BEHIND.items())
def test_new_inputs_stand_behind_the_real_ones(view: str, added: int, plain: Arrays) -> None:
    shown = seen(plain, view)
    for split in SPLITS:
        assert getattr(shown, split).shape == (ROWS, INPUTS + added)
        assert np.array_equal(getattr(shown, split)[:, :INPUTS], getattr(plain, split))
    assert np.array_equal(shown.val_y, plain.val_y)


@pytest.mark.parametrize("split", SPLITS)
def test_a_noise_input_is_a_real_one_in_another_order(split: str, plain: Arrays) -> None:
    x = getattr(seen(plain, "noise_inputs-7"), split)
    for i in range(7):
        assert np.array_equal(np.sort(x[:, INPUTS + i]), np.sort(x[:, i % INPUTS]))
    between = np.corrcoef(x.T)[:, INPUTS:] - np.eye(INPUTS + 7)[:, INPUTS:]
    assert np.abs(between).max() < 5 / np.sqrt(ROWS)


def test_noise_inputs_of_the_splits_have_nothing_in_common(plain: Arrays) -> None:
    same = Arrays("made", "0" * 64, 3, *(plain.pool_x, plain.pool_y) * 3)
    shown = seen(same, "noise_inputs-1")
    assert not np.array_equal(shown.pool_x[:, -1], shown.val_x[:, -1])
    assert not np.array_equal(shown.val_x[:, -1], shown.test_x[:, -1])


def test_the_spike_is_as_many_times_as_large_and_says_nothing(plain: Arrays) -> None:
    spike = seen(plain, "spiked_input-10").pool_x[:, -1]
    assert np.array_equal(np.sort(spike), np.sort(10 * plain.pool_x[:, INPUTS // 2]))
    assert abs(np.corrcoef(spike, plain.pool_y)[0, 1]) < 5 / np.sqrt(ROWS)


def test_rare_spikes_are_one_row_in_twenty(plain: Arrays) -> None:
    always, rare = (seen(plain, f"{view}-10").pool_x[:, -1] for view in ("spiked_input", "rare_spikes"))
    large = np.isclose(rare, always) & (always != 0)
    assert large.mean() == pytest.approx(1 / 20)
    assert np.allclose(10 * rare[~large], always[~large])


@pytest.mark.parametrize("alike", [0, 60, 95, 100])
def test_twins_are_as_alike_as_asked_and_have_the_same_moments(alike: int, plain: Arrays) -> None:
    shown = seen(plain, f"twin_inputs-{alike}")
    for split in SPLITS:
        x = getattr(shown, split)
        real, twins = x[:, :INPUTS], x[:, INPUTS:]
        together = [np.corrcoef(a, b)[0, 1] for a, b in zip(real.T, twins.T, strict=True)]
        assert together == pytest.approx([alike / 100] * INPUTS, abs=5 / np.sqrt(ROWS))
        assert twins.std(axis=0) == pytest.approx(real.std(axis=0), rel=0.1)
    assert shown.pool_x[:, INPUTS:].mean(axis=0) == pytest.approx(plain.pool_x.mean(axis=0), abs=0.01)
