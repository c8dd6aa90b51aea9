"""The pieces of an update that are written out by hand, against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from folklore.core import activations
from folklore.core.affine import Back, affine, gradient, input_slopes, relu
from folklore.core.losses import cross_entropy, cross_entropy_slope

R, B = 3, 5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels() -> Tensor:
    return torch.randint(0, 4, (R, B), generator=torch.Generator().manual_seed(1))


def test_cross_entropy_and_its_slope_are_autograd_s() -> None:
    logits, y = (10 * draw(R, B, 4)).requires_grad_(), labels()
    losses, slope = cross_entropy_slope(logits.detach(), y)
    expected = functional.cross_entropy(logits.view(-1, 4), y.view(-1), reduction="none").view(R, B).mean(1)
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(losses, cross_entropy(logits, y).detach())
    torch.testing.assert_close(slope, *torch.autograd.grad(expected.sum(), logits))


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 23])
def test_rows_that_are_read_together_keep_their_own_slopes(rows: int) -> None:
    """In single precision on a processor, eight at a time."""
    logits = 3 * torch.randn(2, rows, 11, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    y = torch.randint(0, 11, (2, rows), generator=torch.Generator().manual_seed(1))
    expected = functional.cross_entropy(logits.requires_grad_().mT, y, reduction="none").mean(1)
    losses, slope = cross_entropy_slope(logits.detach().float(), y)
    torch.testing.assert_close(losses.double(), expected.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        slope.double(), *torch.autograd.grad(expected.sum(), logits), rtol=1e-5, atol=1e-7
    )


def test_large_logits_do_not_overflow_and_broken_ones_stay_their_own() -> None:
    logits, y = 1e4 * draw(R, B, 4), labels()
    logits[1, 2, 0] = float("inf")
    losses, slope = cross_entropy_slope(logits.clone(), y)
    alone = cross_entropy_slope(logits[:1].clone(), y[:1])
    assert losses.isfinite().tolist() == [True, False, True]
    assert torch.equal(losses[:1], alone[0])
    assert torch.equal(slope[:1], alone[1])


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_the_factors_of_a_gradient_are_those_of_autograd(kind: torch.dtype) -> None:
    """And the inputs' slopes are those by the weights as they were, though `receive` changes these."""
    inputs, bias = draw(R, B, 7).to(kind).requires_grad_(), draw(R, 1, 4, seed=2).to(kind)
    weights, outer = draw(R, 7, 4, seed=3).to(kind).requires_grad_(), draw(R, B, 4, seed=4).to(kind)
    expected = torch.autograd.grad(torch.baddbmm(bias, inputs, weights), [inputs, weights], outer)
    found = {}

    def receive(given: Tensor, slopes: Tensor, back: Back) -> Tensor:
        found["product"] = gradient(given, slopes)
        found["back"] = back
        before = input_slopes(slopes, weights)
        weights.zero_()
        return before

    affine(inputs, weights, bias, receive).backward(outer)
    torch.testing.assert_close(inputs.grad, expected[0])
    torch.testing.assert_close(found["product"], expected[1])
    assert weights.grad is None
    assert found["back"] is Back.SLOPES


def test_maxout_shares_the_gradient_of_equal_pieces() -> None:
    """As torch.maximum does: a constant start has equal pieces everywhere."""
    h = draw(R, B, 8)
    h[..., 4:6] = h[..., :2]
    ours, theirs, outer = h.clone().requires_grad_(), h.clone().requires_grad_(), draw(R, B, 4, seed=5)
    activations.maxout(ours).backward(outer)
    torch.maximum(*theirs.chunk(2, dim=-1)).backward(outer)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
@pytest.mark.parametrize("normed", [True, False])
def test_a_relu_between_two_maps_has_autograd_s_gradients(kind: torch.dtype, normed: bool) -> None:
    """With dropout in between; in single precision the bits of the maps and the ReLU one after the other."""
    x, y = draw(R, B, 7).to(kind), draw(R, B, 4, seed=9).to(kind)
    tensors = [draw(R, *shape, seed=i).to(kind) for i, shape in enumerate([(7, 6), (1, 6), (6, 4), (1, 4)])]
    w1, b1, w2, b2 = (tensor.requires_grad_() for tensor in tensors)
    keep = 2.0 * (draw(R, B, 6, seed=8) > 0).to(kind)
    plain = affine(torch.relu(affine(x, w1, b1)) * keep, w2, b2)
    expected = torch.autograd.grad(plain, [w1, b1, w2, b2], y)
    first = relu(affine(x, w1, b1)) if normed else affine(x, w1, b1, rectify=True)
    found = affine(first * keep, w2, b2, rectified=True)
    assert torch.equal(found, plain)
    for one, other in zip(torch.autograd.grad(found, [w1, b1, w2, b2], y), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_a_relu_hands_on_what_is_no_number(kind: torch.dtype) -> None:
    """So that a run that broke is seen to have broken; where a unit is silent no slope gets through, whatever it is."""
    bias = torch.tensor([[[float("nan"), float("inf"), -float("inf")]]], dtype=kind)
    found = affine(bias.new_ones(1, 1, 2), bias.new_zeros(1, 2, 3), bias, rectify=True)[0, 0]
    assert found[0].isnan() and found[1].isinf() and found[2] == 0
    inputs, slopes = bias.new_tensor([[[1.0, 0.0, float("nan")]]]), bias.new_full((1, 1, 1), float("inf"))
    back = input_slopes(slopes, bias.new_ones(1, 3, 1), inputs, Back.RECTIFIED)
    assert back[0, 0].tolist() == [float("inf"), 0.0, float("inf")]
