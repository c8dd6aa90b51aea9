"""Ghosts, the norm behind the activation, noise behind the norm, and the procedures that look at the training loss or at quadratics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from folklore.core import masks, norms
from folklore.core.draws import Draws
from folklore.core.networks import Layout, Parameters, Pass, initial, update_running
from folklore.core.procedures import _quadratics, drift, learned_quadratics, remedies
from folklore.core.procedures.until_loss import training_loss
from folklore.core.training import Stack, train
from plain_nets import BASE, CLASSES, CPU, DATA, INPUTS, close, in_double

ROWS, UNITS = 12, 5


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- ghosts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "sizes"), [(4, (4, 4, 4)), (5, (5, 7)), (12, (12,)), (40, (12,))])
def test_each_ghost_is_normalised_by_itself(size: int, sizes: tuple[int, ...]) -> None:
    """Outputs, gradients and the moments for evaluation against torch.nn.functional.batch_norm, part by part."""
    h, gain, shift, slopes = (
        numbers(2, ROWS, UNITS),
        numbers(2, 1, UNITS, seed=1),
        numbers(2, 1, UNITS),
        numbers(2, ROWS, UNITS),
    )
    leaf = h.clone().requires_grad_()
    y, (mean, variance) = norms.ghost(leaf, gain, shift, None, amount=size)
    (y * slopes).sum().backward()
    plain = h.clone().requires_grad_()
    for r in range(2):
        parts = plain[r].split(sizes)
        known = [nn.functional.batch_norm(p, None, None, gain[r, 0], shift[r, 0], True) for p in parts]
        (torch.cat(known) * slopes[r]).sum().backward(retain_graph=True)
        close(y[r], torch.cat(known), 1e-12)
        close(mean[r, 0], torch.stack([p.mean(0) for p in parts]).mean(0), 1e-12)
        unbiased = torch.stack([p.var(0) for p in parts]).mean(0)
        close(variance[r, 0] * ROWS / (ROWS - 1), unbiased, 1e-12)
    close(leaf.grad, plain.grad, 1e-12)


def test_one_ghost_is_batch_normalisation_and_evaluation_knows_no_ghosts() -> None:
    h, gain, shift = numbers(2, ROWS, UNITS), numbers(2, 1, UNITS, seed=1), numbers(2, 1, UNITS, seed=2)
    whole, (mean, variance) = norms.batch(h, gain, shift, None)
    ghost, (ghost_mean, ghost_variance) = norms.ghost(h, gain, shift, None, amount=ROWS)
    for ours, known in ((ghost, whole), (ghost_mean, mean), (ghost_variance, variance)):
        close(ours, known, 1e-12)
    assert torch.equal(
        norms.ghost(h, gain, shift, (mean, variance), amount=3)[0],
        norms.batch(h, gain, shift, (mean, variance))[0],
    )


def test_moving_averages_of_ghosts_have_no_bias() -> None:
    """Means over 2,000 batches of standard normal numbers, ghosts of 2: mean 0 and variance 1 within five standard errors."""
    h = numbers(2000, 8, 1)
    one, zero = torch.ones(2000, 1, 1).double(), torch.zeros(2000, 1, 1).double()
    net = Parameters([], [], [], [], [(zero.clone(), zero.clone())])
    update_running(net, [(0, norms.ghost(h, one, zero, None, amount=2)[1], 8)])
    mean, variance = (10 * moment.mean().item() for moment in net.running[0])
    assert abs(mean) < 5 / 16000**0.5
    assert abs(variance - 1) < 5 * (2 / 8000) ** 0.5


# --- models ---------------------------------------------------------------------------------------------------------


def test_the_norm_may_stand_behind_the_activation() -> None:
    layout = Layout(INPUTS, CLASSES, 2, 8, "relu", "batch", "norm_after")
    net = in_double(initial(layout, ["he_normal"] * 2, [1, 2], CPU))
    x = numbers(2, 9, INPUTS)
    logits = Pass(layout, net, {}, training=True).logits(x)
    for r in range(2):
        h = x[r]
        for weight in net.weights[:-1]:
            h = nn.functional.batch_norm(torch.relu(h @ weight[r]), None, None, training=True)
        close(logits[r], h @ net.weights[-1][r], 1e-10)


def test_noise_acts_between_norm_and_activation_and_in_training_only() -> None:
    layout = Layout(INPUTS, CLASSES, 1, 8, "tanh", "batch", "noisy_norm")
    net = in_double(initial(layout, ["he_normal"], [1], CPU))
    x, scale, shift = numbers(1, 9, INPUTS), numbers(1, 1, 8, seed=1), numbers(1, 1, 8, seed=2)
    noisy = Pass(layout, net, {("scale", 0): scale, ("shift", 0): shift}, training=True).logits(x)
    normed = nn.functional.batch_norm((x @ net.weights[0])[0], None, None, training=True)
    close(noisy[0], torch.tanh(normed * scale[0] + shift[0]) @ net.weights[1][0], 1e-10)
    plain = Pass(replace(layout, model="mlp"), net, {}, training=False).logits(x)
    assert torch.equal(Pass(layout, net, {}, training=False).logits(x), plain)


@pytest.mark.parametrize(("level", "rows"), [(masks.norm_noise, 1), (masks.row_noise, 16)])
def test_noise_is_uniform_and_of_the_stated_size(level, rows: int) -> None:
    anatomy = Layout(INPUTS, CLASSES, 2, 50, "relu", "batch").anatomy
    found = level(Draws([1, 2], [0.0, 0.0], CPU).at(0, 40), 16, anatomy, amount=30)
    for i in range(2):
        for site, middle in (("scale", 1.0), ("shift", 0.0)):
            drawn = found[site, i].tensor
            assert drawn.shape == (40, 2, rows, 50)
            assert (drawn - middle).abs().max() <= 0.3
            error = 0.3 / 3**0.5 / drawn.numel() ** 0.5
            assert abs(drawn.mean().item() - middle) < 5 * error
            assert drawn.std().item() == pytest.approx(0.3 / 3**0.5, rel=0.05)
    assert not torch.equal(found["scale", 0].tensor, found["shift", 0].tensor + 1)
    assert not torch.equal(found["shift", 0].tensor, found["shift", 1].tensor)


# --- procedures -----------------------------------------------------------------------------------------------------


def test_a_run_stands_still_once_its_loss_is_reached() -> None:
    """Another 40 updates change nothing in the scores of a run that has stopped, moving averages included."""
    short = replace(BASE, norm="batch", procedure="until_loss-900", updates=80, loss_points=10)
    first, second = (
        train([short, replace(short, updates=120)][:1], DATA)[0],
        train([replace(short, updates=120)], DATA)[0],
    )
    assert first["measures"]["stopped_at"] % 8 == 0
    assert first["measures"]["stopped_at"] < 80
    assert first["measures"]["stopped_loss"] <= 0.9
    for name in ("test_accuracy", "test_loss", "val_loss", "measures"):
        assert first[name] == second[name]
    assert first["measures"]["matched_accuracy"] == first["val_accuracy"]


def test_the_stopped_loss_is_that_of_the_final_net() -> None:
    run = replace(BASE, norm="batch", dropout=0.2, procedure="until_loss-900", updates=120)
    stack = Stack([run], DATA, CPU)
    stack.train(lambda fraction: None)
    assert stack.measures["stopped_loss"][0] == training_loss(stack)[0]


def test_a_loss_that_is_never_reached_counts_at_chance() -> None:
    measures = train([replace(BASE, procedure="until_loss-1")], DATA)[0]["measures"]
    assert np.isnan(measures["stopped_at"])
    assert measures["matched_accuracy"] == 1 / CLASSES


def test_drift_is_nothing_at_a_rate_of_nothing_and_known_for_noise() -> None:
    """Shifts of +-a behind the norm differ by 2a/3 on average from one update to the next, and nothing else moves at a rate of 0."""
    still = replace(BASE, norm="batch", lr=0.0, activation="sigmoid", procedure="drift", width=64)
    assert train([still], DATA)[0]["measures"]["drift_mean"] == 0
    noisy = replace(still, model="noisy_norm", mask="norm_noise-10")
    moved = train([noisy], DATA)[0]["measures"]
    # of a sigmoid's output, in units of its own deviation: its slope shrinks both; its saturation holds the deviation back
    assert moved["drift_mean"] == pytest.approx(2 * 0.1 / 3, rel=0.15)
    assert 0.03 < moved["drift_spread"] < 2 * 0.1 / 3


def test_a_low_rate_is_raised_and_an_explosion_taken_back() -> None:
    watched = replace(BASE, procedure="remedies", updates=200, loss_points=20)
    low, high, fine = train([replace(watched, lr=lr) for lr in (1e-5, 1e4, 0.2)], DATA)
    assert low["measures"]["raised"] >= 2
    assert low["measures"]["last_rate"] == pytest.approx(1e-5 * 10 ** low["measures"]["raised"], rel=1e-4)
    assert high["measures"]["lowered"] >= 2
    assert (high["status"], high["diverged_step"]) == ("ok", None)
    assert max(high["loss_curve"]) <= 1e3
    assert fine["measures"] == {"raised": 0, "lowered": 0, "last_rate": pytest.approx(0.2)}
    once = train([replace(watched, procedure="once", lr=0.2)], DATA)[0]
    assert fine["loss_curve"] == once["loss_curve"]


def test_diagnosis_of_a_round() -> None:
    guess, nan = np.log(4), np.nan
    losses = np.array([[guess, 5.0, 5.0, guess, 0.1], [guess, 0.5, 9.0, nan, 0.1]])
    stuck, exploded = remedies.diagnosis(losses, 4)
    assert stuck.tolist() == [True, False, False, False, False]
    assert exploded.tolist() == [False, False, True, True, False]


# --- quadratics -----------------------------------------------------------------------------------------------------


def test_the_slope_of_a_quadratic_is_its_gradient() -> None:
    problems = _quadratics.drawn(np.random.default_rng(0), 3)
    _, slope = problems.value_and_slope(problems.start)
    for i in range(_quadratics.DIM):
        step = np.zeros(_quadratics.DIM)
        step[i] = 1e-6
        above, below = (problems.value_and_slope(problems.start + sign * step)[0] for sign in (1, -1))
        np.testing.assert_allclose((above - below) / 2e-6, slope[:, i], rtol=1e-6, atol=1e-8)


def test_hand_made_optimizers_follow_the_closed_form() -> None:
    """Gradient descent: residuals shrink by I - lr W W^T / DIM at every step."""
    run = replace(BASE, procedure="quadratics", lr=0.2, seed=5, updates=30, loss_points=30)
    problems = _quadratics.of_run(5)
    residual = np.einsum("pij,pj->pi", problems.w, problems.start) - problems.y
    shrink = np.eye(_quadratics.DIM) - 0.2 * problems.w @ problems.w.transpose(0, 2, 1) / _quadratics.DIM
    expected = []
    for _ in range(31):
        expected.append(np.square(residual).sum(axis=1) / (2 * _quadratics.DIM))
        residual = np.einsum("pij,pj->pi", shrink, residual)
    found = train([run], DATA)[0]
    close(found["loss_curve"], np.mean(expected[:30], axis=1), 1e-4)
    fallen = -np.log10(expected[30] / expected[0]).mean()
    assert found["measures"]["decades"] == pytest.approx(fallen, rel=1e-3)


def test_a_net_without_hidden_weights_is_gradient_descent() -> None:
    problems = _quadratics.of_run(3)
    net = np.zeros((1, learned_quadratics.WEIGHTS))
    net[0, -4] = 1.0  # the gradient goes straight to the step
    values = learned_quadratics.descend(net, problems, 20, 0.2)[:, 0]
    x = problems.start
    for t in range(20):
        value, slope = problems.value_and_slope(x)
        np.testing.assert_allclose(values[t], value, rtol=1e-9)
        x = x - 0.2 * slope


def test_training_teaches_the_optimizer_something() -> None:
    """From random weights, which get nowhere, to far beyond gradient descent at a sound rate; the same for the same seed."""
    run = replace(BASE, procedure="learned_quadratics", lr=0.25, seed=7, updates=64)
    plain = replace(run, procedure="quadratics")
    found, known = (train([r], DATA)[0]["measures"]["decades"] for r in (run, plain))
    assert found > known + 0.5
    learned_quadratics.learned.cache_clear()
    assert train([run], DATA)[0]["measures"]["decades"] == found


def test_drift_looks_at_the_masks_of_the_update_to_come() -> None:
    run = replace(BASE, norm="batch", model="noisy_norm", mask="norm_noise-50")
    stack = Stack([run], DATA, CPU)
    before = drift.moments(stack)
    again = drift.moments(stack)
    stack.hyper["lr"] = stack.hyper["lr"] * 0
    stack.advance(1)
    after = drift.moments(stack)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(before, again, strict=True))
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(before, after, strict=True))
