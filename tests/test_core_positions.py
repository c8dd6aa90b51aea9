"""Windows, means and skips over positions, and the larger of two pieces: vector code against torch in double precision, by hand, and for AVX2."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from folklore.core import elementwise, pieces, positions
from registers import same_bits_with_shorter_ones

SHAPES = [(1, 1, 1), (7, 3, 1), (5, 2, 16), (10, 4, 17), (40, 3, 70)]  # positions, samples, channels
WAYS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "windows": lambda h, length: positions.windows(h, length, 1),
    "windows, halved": lambda h, length: positions.windows(h, length, 2),
    "windows, every third": lambda h, length: positions.windows(h, length, 3),
    "mean": positions.mean,
    "every second": lambda h, length: positions.every(h, length, 2),
    "the larger": lambda h, length: pieces.larger(torch.cat([h, h.flip(-1) * 0.9], dim=-1)),
}


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_code_does_what_torch_does_in_double_precision(way: str, shape: tuple[int, int, int]) -> None:
    length, samples, channels = shape
    h = drawn(2, samples * length, channels)
    found, slopes = [], []
    for given in (h.clone().requires_grad_(), h.double().requires_grad_()):
        value = WAYS[way](given, length)
        weights = torch.arange(1.0, 1.0 + value.numel()).view_as(value) % 7
        (slope,) = torch.autograd.grad((value * weights.to(value)).sum(), given)
        found.append(value.detach().double())
        slopes.append(slope.double())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 7, 10])
def test_the_map_of_windows_is_a_convolution(length: int, stride: int) -> None:
    h, weights = drawn(1, 4 * length, 5), drawn(3 * 5, 6)
    found = positions.windows(h, length, stride) @ weights
    kernel = weights.view(3, 5, 6).permute(2, 1, 0)
    right = functional.conv1d(h.view(4, length, 5).mT, kernel, stride=stride, padding=1).mT.reshape(1, -1, 6)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def test_windows_are_zero_beyond_the_ends_and_do_not_reach_the_next_sample() -> None:
    h = torch.arange(1.0, 7.0).view(1, 6, 1)  # two samples of three positions
    found = positions.windows(h, 3, 1)[0].tolist()
    assert found == [[0, 1, 2], [1, 2, 3], [2, 3, 0], [0, 4, 5], [4, 5, 6], [5, 6, 0]]


def test_equals_share_and_what_is_no_number_stays_none() -> None:
    nan, inf = float("nan"), float("inf")
    h = torch.tensor(
        [[[1.0, 2.0, 3.0, nan, 1.0, inf, -inf, 2.0, 2.0, 3.0, 1.0, nan, inf, inf]]], requires_grad=True
    )
    value = pieces.larger(h)
    torch.testing.assert_close(value[0, 0], torch.tensor([2.0, 2.0, 3.0, nan, nan, inf, inf]), equal_nan=True)
    (slope,) = torch.autograd.grad(value.sum(), h)
    assert slope[0, 0, :3].tolist() == [0, 0.5, 0.5]
    assert slope[0, 0, 7:10].tolist() == [1, 0.5, 0.5]


@pytest.mark.parametrize(("pieces_of", "length", "stride"), [(1, 1, 1), (2, 1, 1), (1, 7, 2), (2, 5, 1)])
def test_a_skip_reaches_every_piece_and_comes_back_from_all_of_them(
    pieces_of: int, length: int, stride: int
) -> None:
    samples, units, out = 3, 19, positions.halved(length, stride)
    skip, h = drawn(samples * length, units), drawn(samples * out, pieces_of * units)
    found, of_skip = torch.empty_like(h), torch.empty_like(skip)
    sizes = samples, length, pieces_of, units, out
    positions.skip_part(stride).call(0, *sizes, *(t.data_ptr() for t in (skip, h, found)))
    positions.skip_back_part(stride).call(0, *sizes, *(t.data_ptr() for t in (of_skip, h)))
    exact = skip.double().requires_grad_()
    taken = exact.view(samples, length, units)[:, ::stride].reshape(-1, units)
    right = h.double() + taken.repeat(1, pieces_of)
    torch.testing.assert_close(found.double(), right.detach(), rtol=1e-6, atol=1e-6)
    (slopes,) = torch.autograd.grad((right * h.double()).sum(), exact)
    torch.testing.assert_close(of_skip.double(), slopes, rtol=1e-6, atol=1e-6)


def test_weights_come_nearer_to_zero_but_not_beyond() -> None:
    weights = torch.tensor([0.5, -0.5, 0.1, -0.1, 0.0, float("nan"), 2.0] * 5)
    by = torch.tensor([0.2])
    right = torch.tensor([0.3, -0.3, 0.0, 0.0, 0.0, float("nan"), 1.8] * 5)
    elementwise.softening_part().call(0, len(weights), weights.data_ptr(), by.data_ptr())
    torch.testing.assert_close(weights, right, equal_nan=True)


@pytest.mark.parametrize("way", WAYS)
def test_the_bits_are_the_same_with_shorter_registers(way: str) -> None:
    def found() -> tuple[Tensor, Tensor]:
        h = drawn(2, 30, 33).requires_grad_()
        value = WAYS[way](h, 10)
        return value, *torch.autograd.grad(value.square().sum(), h)

    same_bits_with_shorter_ones(found, positions, pieces)
