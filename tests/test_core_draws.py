"""Dropout masks and the order of the rows: the right distributions, from counters that no neighbour and no block moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from folklore.core import kept, masks
from folklore.core.batches import Batches
from folklore.core.draws import Draws
from folklore.core.networks import Anatomy, Layout, Pass, initial
from folklore.core.randomness import permutation, philox, uint16_block
from plain_nets import CLASSES, CPU, INPUTS
from registers import same_bits_with_shorter_ones


def dropped(
    seeds: Sequence[int], rates: Sequence[float], shape: tuple[int, int, int], step: int, steps: int
) -> Tensor | None:
    """Factors (S, layers, R, B, H) on hidden layers; `shape`: layers, rows, units."""
    layers, rows, width = shape
    anatomy = Anatomy((), (), ((1, width),) * layers)
    found = masks.units(Draws(seeds, rates, CPU).at(step, steps), rows, anatomy)
    factors = [found["unit", i] for i in range(layers)]
    return None if factors[0] is None else torch.stack([factor.tensor for factor in factors], dim=1)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_dropout_rate_and_scale(rate: float) -> None:
    """Each factor is 0 or 1/(1 - rate), the rate in steps of 2^-16; 160,000 draws, five standard errors."""
    keep = dropped([3], [rate], (2, 40, 50), 0, 40)
    rounded = round(rate * 2**16) / 2**16
    assert set(keep.unique().tolist()) == {0.0, float(np.float32(1 / (1 - rounded)))}
    share = (keep == 0).double().mean().item()
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / keep.numel())
    assert abs(keep.double().mean().item() - 1) < 5 * np.sqrt(rate / (1 - rate) / keep.numel())


def test_dropout_draws_are_uncorrelated_over_steps_layers_rows_and_units() -> None:
    """Shifting the masks along any axis leaves 96,000 products whose mean is zero within five standard errors."""
    kept = (dropped([3, 4], [0.5, 0.5], (2, 20, 30), 0, 40) > 0).double() * 2 - 1
    for axis in range(kept.dim()):
        assert abs((kept * kept.roll(1, axis)).mean().item()) < 5 / kept.numel() ** 0.5


@settings(deadline=None, max_examples=40)
@given(
    seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3),
    start=st.integers(0, 1000),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 9)),
)
def test_the_length_of_a_block_cannot_change_masks(seeds, start, cuts, shape) -> None:
    rates = [0.5, 0.2, 0.0][: len(seeds)]
    whole = dropped(seeds, rates, shape, start, sum(cuts))
    ends = np.cumsum(cuts)
    parts = [
        dropped(seeds, rates, shape, start + int(end) - cut, cut) for cut, end in zip(cuts, ends, strict=True)
    ]
    assert torch.equal(whole, torch.cat(parts))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 90), st.integers(0, 90))
def test_masks_do_not_depend_on_the_neighbour(seed, other, percent, other_percent) -> None:
    alone = dropped([seed], [percent / 100], (2, 4, 8), 3, 2)
    beside = dropped([other, seed], [other_percent / 100, percent / 100], (2, 4, 8), 3, 2)
    assert torch.equal(alone[:, :, 0], beside[:, :, 1])


@settings(deadline=None, max_examples=60)
@given(
    seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3),
    rates=st.lists(st.floats(0, 0.99), min_size=3, max_size=3),
    step=st.integers(0, 2**40),
    steps=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 40)),
)
def test_compiled_factors_are_numpys_words_at_the_threshold(seeds, rates, step, steps, shape) -> None:
    """`uint16_block` draws by NumPy's own Philox, as for another device, whose way is gone here on the processor."""
    rates = [*rates[: len(seeds) - 1], 0.5]
    draws = Draws(seeds, rates, CPU).at(step, steps)
    found = draws.keep("dropout/1", shape)
    assert torch.equal(found, draws.kept("dropout/1", shape).for_a_device())
    for r, (seed, rate) in enumerate(zip(seeds, rates, strict=True)):
        words = uint16_block(seed, "dropout/1", step, steps, shape[0] * shape[1]).reshape(steps, *shape)
        threshold = round(rate * 2**16)
        right = np.where(words >= threshold, np.float32(1 / (1 - threshold / 2**16)), np.float32(0))
        assert np.array_equal(found[:, r].numpy(), right)


def test_compiled_factors_are_the_same_with_shorter_registers() -> None:
    def found() -> list[Tensor]:
        return [Draws([1, 2], [0.5, 0.1], CPU).at(3, 4).keep("x", (5, 33))]

    same_bits_with_shorter_ones(found, kept)


def test_a_run_without_dropout_keeps_every_unit_as_it_is() -> None:
    assert (dropped([1, 2], [0.0, 0.5], (1, 8, 8), 0, 3)[:, :, 0] == 1).all()
    assert dropped([1, 2], [0.0, 0.0], (1, 8, 8), 0, 3) is None


def test_dropout_acts_after_the_activation() -> None:
    """A dropped unit is silent even where the activation of zero is not zero."""
    layout = Layout(INPUTS, CLASSES, 1, 8, "sigmoid", "none")
    parameters = initial(layout, ["he_normal"], [1], CPU)
    net = Pass(layout, parameters, {("unit", 0): torch.zeros(1, 3, 8)}, training=True)
    assert not net.logits(torch.ones(1, 3, INPUTS)).any()


# --- data order -----------------------------------------------------------------------------------------------------


def indexed(seeds: Sequence[int], n_train: int, batch_size: int, pool: int = 64) -> Batches:
    """Batches whose inputs and labels are the row numbers of the pool."""
    rows = torch.arange(pool)
    return Batches(rows[:, None].float(), rows, seeds, n_train, batch_size)


def epoch_of(batches: Batches, epoch: int) -> np.ndarray:
    """Row numbers (R, n) of an epoch, in order."""
    steps = batches.steps_per_epoch
    x, y = batches.block(epoch * steps, steps)
    assert torch.equal(x.tensor[..., 0].long(), y)
    return y.transpose(0, 1).flatten(1).numpy()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 50), sizes=st.permutations([1, 2, 4, 8, 16, 48]))
def test_batch_sizes_see_the_same_samples_in_the_same_order(seed, epoch, sizes) -> None:
    first, second = (epoch_of(indexed([seed], 48, size), epoch) for size in sizes[:2])
    assert np.array_equal(first, second)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**40), n_train=st.integers(2, 64))
def test_every_epoch_is_another_permutation_of_the_same_rows(seed, n_train) -> None:
    batches = indexed([seed], n_train, 1)
    first, later = epoch_of(batches, 0)[0], epoch_of(batches, 7)[0]
    assert sorted(first) == sorted(later) == sorted(set(batches.rows[0]))
    assert n_train < 10 or not np.array_equal(first, later)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**40), n=st.sampled_from([0, 1, 2, 3, 500, 512, 513, 4096, 60_000]))
def test_a_permutation_is_the_order_of_random_words(seed, n) -> None:
    words = philox(seed, "epoch/3").random_raw(n)
    assert np.array_equal(permutation(seed, "epoch", n, 3), np.argsort(words))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**40), st.integers(0, 2**40), st.sampled_from([1, 4, 16]))
def test_the_rows_of_a_run_depend_on_its_seed_only(seed, other, batch_size) -> None:
    alone, beside = indexed([seed], 32, 8), indexed([other, seed], 32, batch_size)
    assert np.array_equal(alone.rows[0], beside.rows[1])
    assert np.array_equal(epoch_of(alone, 2)[0], epoch_of(beside, 2)[1])
    more = indexed([seed], 48, 8)
    assert np.array_equal(alone.rows[0], more.rows[0, :32])  # a larger training set contains the smaller one


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**40), st.integers(0, 3), st.integers(1, 7), st.integers(1, 7))
def test_the_length_of_a_block_cannot_change_batches(seed, first, left, right) -> None:
    batches = indexed([seed, seed + 1], 51, 3)
    whole, _ = batches.block(first, left + right)
    parts = [batches.block(first, left)[0], batches.block(first + left, right)[0]]
    assert torch.equal(whole.tensor, torch.cat([part.tensor for part in parts]))


def test_the_incomplete_batch_of_an_epoch_is_dropped() -> None:
    batches = indexed([1], 50, 16)
    assert batches.steps_per_epoch == 3
    assert [batches.steps_left(step) for step in range(4)] == [3, 2, 1, 3]
    assert len(set(epoch_of(batches, 0)[0])) == 48


def test_rows_and_orders_are_uniform() -> None:
    """Which row comes first, over 3,000 seeds: chi-square over the 30 rows of the pool."""
    first = [epoch_of(indexed([seed], 20, 20, pool=30), 0)[0, 0] for seed in range(3000)]
    assert stats.chisquare(np.bincount(first, minlength=30)).pvalue > 1e-3
