"""Vector code of norms, clipping, scores and sequences: against torch, in double precision where it can be, by hand, and for AVX2."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from folklore.core import batch_norm, clipping, layer_norm, losses, norms, recurrence, softmax
from folklore.core.calls import Calls, of_run
from registers import same_bits_with_shorter_ones

SHAPES = [(1, 1), (2, 16), (5, 17), (32, 100)]  # rows, units
NAN, INF = float("nan"), float("inf")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(found: Tensor, right: Tensor, within: float = 2e-6) -> None:
    torch.testing.assert_close(found.double(), right.double(), rtol=within, atol=within)


# --- norms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_and_its_slopes_are_those_of_torch(shape: tuple[int, int]) -> None:
    rows, units = shape
    given = [3 + 2 * drawn(3, rows, units), drawn(3, 1, units, seed=1), drawn(3, 1, units, seed=2)]
    above = drawn(3, rows, units, seed=3)
    ours = [t.clone().requires_grad_() for t in given]
    y = layer_norm.normalised(*ours)
    slopes = torch.autograd.grad((y * above).sum(), ours)
    exact = [t.double().requires_grad_() for t in given]
    right = functional.layer_norm(exact[0], (units,)) * exact[1] + exact[2]
    close(y, right)
    for found, known in zip(slopes, torch.autograd.grad((right * above).sum(), exact), strict=True):
        close(found, known, 1e-4 if units > 1 else 1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_in_evaluation_is_that_of_torch(shape: tuple[int, int]) -> None:
    rows, units = shape
    h, gain, shift = drawn(1, rows, units), drawn(1, 1, units, seed=1), drawn(1, 1, units, seed=2)
    mean, variance = drawn(1, 1, units, seed=3), drawn(1, 1, units, seed=4) ** 2 + 0.1
    found, _ = norms.batch(h, gain, shift, (mean, variance))
    exact = [t.double() for t in (h[0], mean[0, 0], variance[0, 0], gain[0, 0], shift[0, 0])]
    close(found[0], functional.batch_norm(*exact), 1e-5)
    rough, _ = norms.batch(h.requires_grad_(), gain, shift, (mean, variance))
    close(found, rough.detach(), 1e-5)
    (slope,) = torch.autograd.grad(rough.sum(), h)
    close(slope[0], (gain / torch.sqrt(variance + batch_norm.EPS))[0].expand(rows, units), 1e-5)


# --- clipping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [0.0, 1e-3, 1.0, 1e6])
def test_gradients_are_clipped_run_by_run(largest: float) -> None:
    gradients = [drawn(2, 7, 13), drawn(2, 1, 70, seed=1), 100 * drawn(2, 1, 1, seed=2)]
    ours = [g.clone() for g in gradients]
    clipping.clip_(ours, torch.full((2, 1, 1), largest))
    for run in range(2):
        plain = [nn.Parameter(torch.zeros_like(g[run])) for g in gradients]
        for parameter, g in zip(plain, gradients, strict=True):
            parameter.grad = g[run].clone()
        if largest:
            nn.utils.clip_grad_norm_(plain, largest)
        for found, parameter in zip(ours, plain, strict=True):
            close(found[run], parameter.grad)


def test_what_is_no_number_spoils_its_own_run_only() -> None:
    gradients = [drawn(3, 4, 5), drawn(3, 1, 5)]
    gradients[0][0, 1, 1], gradients[1][1, 0, 2] = NAN, INF
    clipping.clip_(gradients, torch.ones(3, 1, 1))
    assert torch.isnan(gradients[0][0]).all()
    assert torch.isnan(gradients[1][1, 0, 2])
    assert not gradients[0][1].any()
    assert torch.isfinite(torch.cat([g[2].flatten() for g in gradients])).all()


# --- scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 10, 16, 17])
def test_scores_are_counts_and_mean_losses(classes: int) -> None:
    logits, y = 3 * drawn(2, 41, classes), torch.arange(2 * 41).view(2, 41) % classes
    right, found = losses.scored(logits, y)
    assert right.tolist() == [(logits[r].argmax(dim=1) == y[r]).sum().item() for r in range(2)]
    close(found, torch.stack([functional.cross_entropy(logits[r].double(), y[r]) for r in range(2)]))


def test_of_equal_logits_the_first_is_taken_and_a_nan_is_wrong() -> None:
    rows = [[1, 2, 2], [1, 2, 2], [NAN, 0, 3], [0, 3, NAN], [INF, 0, INF], [-INF, -INF, -INF], [0, 0, 0]]
    labels = [1, 2, 2, 1, 0, 0, 1]
    logits = torch.tensor(rows, dtype=torch.float32).unsqueeze(1)
    right, loss = losses.scored(logits, torch.tensor(labels).unsqueeze(1))
    assert right.tolist() == [1, 0, 0, 0, 1, 1, 0]
    assert torch.isfinite(loss).tolist() == [True, True, False, False, False, False, True]


# --- sequences ------------------------------------------------------------------------------------------------------


def test_rows_are_read_step_by_step_and_filled_with_zeros() -> None:
    x = torch.arange(1.0, 15.0).view(1, 2, 7)
    right = [[1, 2, 3], [8, 9, 10], [4, 5, 6], [11, 12, 13], [7, 0, 0], [14, 0, 0]]
    assert recurrence.by_step(x, 3)[0].tolist() == right
    calls, found = Calls(), torch.full((6, 3), NAN)
    calls.add(recurrence.by_step_part(), 2, 7, 3, 3, of_run(x), of_run(found[None]))
    calls.make(runs=range(1), updates=1)
    assert found.tolist() == right


def test_a_row_goes_on_until_its_last_entry_and_waits_afterwards() -> None:
    x = torch.tensor([[1.0, 0, 0, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
    assert recurrence.going(x, 2).T.tolist() == [[True] * 3 + [False], [True] + [False] * 3, [True] * 4]


def test_rows_that_wait_keep_their_state_and_hand_its_slopes_on() -> None:
    goes_on, new, old = torch.tensor([1.0, 0.0]), drawn(2, 19), drawn(2, 19, seed=1)
    found = torch.empty_like(new)
    addresses = [t.data_ptr() for t in (goes_on, new, old, found)]
    recurrence.held_part().call(0, 2, 19, *addresses)
    assert torch.equal(found, torch.stack([new[0], old[1]]))
    above, of_new, of_old = drawn(2, 19, seed=2), torch.empty(2, 19), torch.ones(2, 19)
    addresses = [t.data_ptr() for t in (goes_on, above, of_new, of_old)]
    recurrence.held_back_part().call(0, 2, 19, *addresses)
    assert torch.equal(of_new, torch.stack([above[0], torch.zeros(19)]))
    assert torch.equal(of_old, torch.stack([torch.ones(19), 1 + above[1]]))


def test_moments_of_steps_are_those_of_all_their_rows() -> None:
    """Of three steps of eight rows the last counts in run 0 only; run 2 is reached by none, and keeps what it knew."""
    h = drawn(3, 3, 8, 21)
    reached = torch.tensor([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]]).unsqueeze(2)
    known = drawn(3, 1, 21, seed=1), drawn(3, 1, 21, seed=2) ** 2
    means, variances = h.mean(dim=2), h.var(dim=2, correction=0)
    mean, variance = recurrence.together(means, variances, reached, known, 24)
    for run, rows in ((0, h[0].flatten(0, 1)), (1, h[1, :2].flatten(0, 1))):
        close(mean[run, 0], rows.mean(dim=0))
        close(variance[run, 0], rows.var(dim=0, correction=0))
    assert torch.equal(mean[2], known[0][2])
    close(variance[2] * 24 / 23, known[1][2])
    plain = recurrence.together(*(t.double() for t in (means, variances, reached)), known, 24)
    for found, right in zip((mean, variance), plain, strict=True):
        close(found, right)


# --- registers ------------------------------------------------------------------------------------------------------


def _clipped() -> list[Tensor]:
    gradients = [drawn(2, 7, 13), drawn(2, 1, 70, seed=1)]
    clipping.clip_(gradients, torch.full((2, 1, 1), 0.3))
    return gradients


def _layer_norm() -> list[Tensor]:
    h, gain, shift = (t.requires_grad_() for t in (drawn(2, 5, 37), drawn(2, 1, 37), drawn(2, 1, 37, seed=1)))
    y = layer_norm.normalised(h, gain, shift)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), (h, gain, shift))]


def _together() -> list[Tensor]:
    given = drawn(2, 3, 37), drawn(2, 3, 37, seed=1) ** 2, torch.ones(2, 3, 1)
    return list(recurrence.together(*given, (drawn(2, 1, 37), torch.ones(2, 1, 37)), 12))


WAYS: dict[str, Callable[[], list[Tensor]]] = {
    "clipping": _clipped,
    "layer norm": _layer_norm,
    "evaluation": lambda: [
        batch_norm.evaluated(drawn(2, 5, 37), *[drawn(2, 1, 37) ** 2] * 2, [drawn(2, 1, 37) ** 2] * 2)
    ],
    "scores": lambda: list(losses.scored(drawn(2, 9, 10), torch.arange(18).view(2, 9) % 10)),
    "moments": _together,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_bits_are_the_same_with_shorter_registers(way: str) -> None:
    same_bits_with_shorter_ones(WAYS[way], clipping, layer_norm, batch_norm, losses, softmax, recurrence)
