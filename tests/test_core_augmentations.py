"""What training rows go through: augmentations against plain numpy, and the orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from folklore import levels
from folklore.core import augmentations, lookup, orders
from folklore.core.draws import Draws

CPU = torch.device("cpu")
STEPS, SEEDS, ROWS, LENGTH = 4, (5, 6), 200, 40


OWN = ("shift", "scale", "crop", "flip", "contrast", "noise")


def rows(features: int = LENGTH) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(STEPS, len(SEEDS), ROWS, features, generator=draw)


def draws(seeds: Sequence[int] = SEEDS, first: int = 0, steps: int = STEPS) -> Draws:
    return Draws(seeds, [0.0] * len(seeds), CPU).at(first, steps)


def level(name: str) -> Callable[[Tensor, Draws], Tensor]:
    return lookup.function(augmentations, name)


class Given:
    """Draws that are the same number for every row."""

    def __init__(self, **numbers: float) -> None:
        self.numbers = numbers

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        return torch.full((STEPS, len(SEEDS), *shape), self.numbers[purpose.rpartition("/")[2]])


def named(name: str) -> str:
    return f"{name}-20" if levels.takes_amount("augmentation", name) else name


@pytest.mark.parametrize("name", OWN)
def test_a_row_is_changed_alike_in_any_block_and_any_company(name: str) -> None:
    x = rows()
    whole = level(named(name))(x, draws())
    parts = [level(named(name))(x[i : i + 2], draws(first=i, steps=2)) for i in (0, 2)]
    alone = level(named(name))(x[:, 1:], draws(SEEDS[1:]))
    assert whole.shape == x.shape
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole[:, 1:], alone)
    assert torch.equal(x, rows())  # the rows themselves stay as they are


@pytest.mark.parametrize("name", OWN)
def test_rows_are_changed_each_in_its_own_way(name: str) -> None:
    x = rows()[:, :, :1].expand(STEPS, len(SEEDS), ROWS, LENGTH).contiguous()
    found = level(named(name))(x, draws())
    assert len(found[0, 0].unique(dim=0)) > 1
    assert not torch.equal(found[:, 0], level(named(name))(x, draws((7, 8)))[:, 0])


def test_shift_rolls_by_every_whole_step_within_the_amount() -> None:
    """Of 40 entries, 20 percent are 8: seventeen shifts, each as likely as any other."""
    x, found = rows(), level("shift-20")(rows(), draws())
    rolled = torch.stack([x.roll(k, dims=-1) for k in range(-8, 9)])
    hits = (rolled == found).all(dim=-1)
    assert torch.equal(hits.sum(dim=0), torch.ones_like(hits[0].long()))
    counts = hits.flatten(1).sum(dim=1)
    assert (counts - counts.float().mean()).abs().max() < 4.5 * counts.float().mean() ** 0.5


def test_an_image_is_shifted_sideways_and_mirrored() -> None:
    x = rows(49)
    image, moved, turned = (
        t.view(-1, 7, 7) for t in (x, level("shift-30")(x, draws()), level("flip")(x, draws()))
    )
    rolled = torch.stack([image.roll(k, dims=-1) for k in (-2, -1, 0, 1, 2)])
    assert (rolled == moved).flatten(2).all(dim=-1).any(dim=0).all()
    mirrored, same = ((turned == other).flatten(1).all(dim=1) for other in (image.flip(-1), image))
    assert (mirrored ^ same).all()


@pytest.mark.parametrize(("drawn", "zoom"), [(0.0, 0.75), (0.5, 1.0), (0.75, 1.125), (1.0, 1.25)])
def test_scale_reads_between_the_entries(drawn: float, zoom: float) -> None:
    x = rows()
    found = level("scale-25")(x, Given(scale=drawn))
    at = (np.arange(LENGTH) - 19.5) * zoom + 19.5
    for row in (0, 7):
        expected = np.interp(at, np.arange(LENGTH), x[0, 0, row].numpy(), period=LENGTH)
        np.testing.assert_allclose(found[0, 0, row].numpy(), expected, atol=1e-5)


def test_crop_scales_and_shifts() -> None:
    x = rows()
    found = level("crop-25")(x, Given(scale=1.0, shift=0.0))
    at = (np.arange(LENGTH) - 19.5) * 1.25 + 19.5 + 10
    np.testing.assert_allclose(
        found[0, 0, 0].numpy(), np.interp(at, np.arange(LENGTH), x[0, 0, 0].numpy(), period=LENGTH), atol=1e-5
    )
    still = Given(scale=0.5, shift=0.5)
    np.testing.assert_allclose(level("crop-25")(x, still), x, atol=1e-6)


def test_flip_turns_half_of_the_rows() -> None:
    x, found = rows(), level("flip")(rows(), draws())
    turned, same = ((found == other).all(dim=-1) for other in (x.flip(-1), x))
    assert (turned ^ same).all()
    assert abs(turned.double().mean() - 0.5) < 4 * 0.5 / turned.numel() ** 0.5


def test_contrast_is_one_factor_a_row() -> None:
    ratio = level("contrast-30")(rows(), draws()) / rows()
    factor = ratio.median(dim=-1, keepdim=True).values
    assert (ratio - factor).abs().max() < 1e-3
    assert 0.7 <= factor.min() < 0.72
    assert 1.28 < factor.max() <= 1.3
    assert abs(factor.mean() - 1) < 4 * 0.3 / (3 * factor.numel()) ** 0.5


def test_noise_has_the_stated_deviation() -> None:
    noise = level("noise-10")(rows(), draws()) - rows()
    assert abs(noise.mean()) < 4 * 0.1 / noise.numel() ** 0.5
    assert abs(noise.std() / 0.1 - 1) < 4 / (2 * noise.numel()) ** 0.5


LABELS = torch.from_numpy(np.random.default_rng(0).integers(0, 5, 300))


def test_once_is_the_first_order_for_ever() -> None:
    first = orders.reshuffled(3, LABELS, 0)
    for epoch in (0, 1, 9):
        assert np.array_equal(orders.once(3, LABELS, epoch), first)
    assert not np.array_equal(orders.reshuffled(3, LABELS, 1), first)
    assert not np.array_equal(orders.once(4, LABELS, 0), first)


def test_sorted_by_class_is_a_permutation_with_the_classes_in_a_row() -> None:
    order = orders.sorted_by_class(3, LABELS, 2)
    assert sorted(order) == list(range(300))
    assert (np.diff(LABELS.numpy()[order]) >= 0).all()
    assert np.array_equal(order, orders.sorted_by_class(3, LABELS, 0))
    within = order[LABELS.numpy()[order] == 2]
    assert (np.diff(within) < 0).any()  # in random order within a class
