"""Activations as vector code, against the same levels in double precision, with slopes by autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from folklore import levels
from folklore.core import activations, curves, losses, softmax
from folklore.core.curves import curved, writes
from registers import same_bits_with_shorter_ones

CURVES = [name for name in levels.names("activation") if name not in ("relu", "maxout")]
NUMBERS = torch.cat(
    [
        torch.linspace(-110, 110, 44_001),
        *(sign * torch.logspace(-30, 1.5, 500) for sign in (1, -1)),
        torch.tensor([0.0, 1e30, -1e30]),
    ]
)


def value_and_slope(level: Callable[[Tensor], Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
    h = h.clone().requires_grad_()
    found = level(h)
    return found.detach().double(), torch.autograd.grad(found.sum(), h)[0].double()


@pytest.mark.parametrize("name", CURVES)
def test_values_and_slopes_are_those_of_double_precision(name: str) -> None:
    level = getattr(activations, name)
    assert writes(level)
    value, slope = value_and_slope(lambda h: curved(level, h), NUMBERS)
    right, right_slope = value_and_slope(level, NUMBERS.double())
    torch.testing.assert_close(value, right, rtol=4e-7, atol=1e-7)
    torch.testing.assert_close(slope, right_slope, rtol=4e-7, atol=4e-7)


@pytest.mark.parametrize("name", ["tanh", "elu", "leaky_relu"])
def test_small_numbers_keep_their_digits(name: str) -> None:
    level, small = getattr(activations, name), NUMBERS[(NUMBERS != 0) & (NUMBERS.abs() < 0.1)]
    value, _ = value_and_slope(lambda h: curved(level, h), small)
    torch.testing.assert_close(value, level(small.double()), rtol=4e-7, atol=0)


@pytest.mark.parametrize("name", CURVES)
def test_what_is_no_number_stays_none(name: str) -> None:
    h = torch.tensor([float("nan"), float("inf"), float("-inf"), 1.0]).requires_grad_()
    found, right = curved(getattr(activations, name), h), getattr(activations, name)(h)
    torch.testing.assert_close(found, right, equal_nan=True)


def test_levels_that_do_more_are_called_with_tensors() -> None:
    h = torch.randn(2, 3, 8, requires_grad=True)
    assert not writes(activations.maxout)
    assert torch.equal(curved(activations.maxout, h), activations.maxout(h))
    assert curved(torch.sigmoid, h.double()).dtype is torch.float64


def test_a_level_of_ones_own_is_written_by_its_own_arithmetic() -> None:
    """Whatever is changed in a level is changed in its code, too."""

    def steep(h: Tensor) -> Tensor:
        return (functional.leaky_relu(h, 0.3) - 0.25) * 2 + 1.0

    assert writes(steep)
    value, slope = value_and_slope(lambda h: curved(steep, h), torch.tensor([-2.0, 3.0]))
    torch.testing.assert_close(value, steep(torch.tensor([-2.0, 3.0]).double()))
    torch.testing.assert_close(slope, torch.tensor([0.6, 2.0]).double())


@pytest.mark.parametrize("name", [*CURVES, "the loss"])
def test_narrower_registers_give_the_same_bits(name: str) -> None:
    numbers = torch.Generator().manual_seed(1)
    logits, y = (
        5 * torch.randn(1, 33, 10, generator=numbers),
        torch.randint(0, 10, (1, 33), generator=numbers),
    )

    def found() -> tuple[Tensor, Tensor]:
        if name == "the loss":
            return losses.cross_entropy_slope(logits, y)
        return value_and_slope(lambda h: curved(getattr(activations, name), h), NUMBERS)

    same_bits_with_shorter_ones(found, curves, losses, softmax)
