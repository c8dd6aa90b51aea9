"""Recurrent nets against torch.nn.RNN; sequences of several lengths; dead units and what follows a dead net."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from folklore import cost
from folklore.core import augmentations
from folklore.core.draws import Draws
from folklore.core.models._recurrent import READ
from folklore.core.networks import Layout, Parameters, Pass, initial, update_running
from folklore.core.networks import forward as logits_of
from folklore.core.training import Stack, train
from folklore.datasets.views import lengths as lengths_view
from folklore.grid import Run
from plain_nets import BASE, CLASSES, CPU, DATA, INPUTS, close
from test_core_files import TASK, stack
from test_core_promises import bits

WIDTH, STEPS = 8, INPUTS // READ


def recurrent(
    norm: str = "none", model: str = "rnn", depth: int = 1, activation: str = "tanh"
) -> tuple[Layout, Parameters]:
    """Three nets in double precision, with biases, gains, shifts and moments that are not those of the start."""
    layout = Layout(INPUTS, CLASSES, depth, WIDTH, activation, norm, model)
    drawn = initial(layout, ["glorot_normal"] * 3, [1, 2, 3], CPU)
    draw = torch.Generator().manual_seed(0)
    others = [*drawn.biases, *drawn.gains, *drawn.shifts, *(t for pair in drawn.running for t in pair)]
    for tensor in others:
        tensor.add_(0.3 * torch.rand(tensor.shape, generator=draw))
    running = [(mean.double(), variance.double()) for mean, variance in drawn.running]
    return layout, replace(drawn.with_trained([t.double() for t in drawn.trained()]), running=running)


def rows(count: int = 5) -> Tensor:
    return torch.randn(3, count, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_recurrent_net_is_that_of_torch(depth: int, activation: str) -> None:
    layout, net = recurrent(depth=depth, activation=activation)
    x = rows()
    found = logits_of(layout, net, x)
    for r in range(3):
        plain = nn.RNN(READ, WIDTH, depth, nonlinearity=activation, batch_first=True).double()
        for i in range(depth):
            for place, name in ((2 * i, "ih"), (2 * i + 1, "hh")):
                getattr(plain, f"weight_{name}_l{i}").data = net.weights[place][r].T.contiguous()
                getattr(plain, f"bias_{name}_l{i}").data = net.biases[place][r, 0]
        states, _ = plain(x[r].unflatten(1, (STEPS, READ)))
        close(found[r], states[:, -1] @ net.weights[-1][r] + net.biases[-1][r], 1e-12)


@pytest.mark.parametrize(("model", "own"), [("rnn", 1), ("rnn_stepwise", STEPS * 4 // 5)])
@pytest.mark.parametrize("training", [False, True])
def test_steps_share_norms_or_have_their_own(model: str, own: int, training: bool) -> None:
    """Step by step with torch's batch norm; what a place has seen are the moments of all its steps' pre-activations."""
    layout, net = recurrent("batch", model)
    x, r = rows(), 1
    passed = Pass(layout, net, {}, training=training)
    found = passed.logits(x)
    state, before = torch.zeros(5, WIDTH, dtype=torch.float64), [[] for _ in range(own)]
    for t in range(STEPS):
        place = min(t, own - 1)
        h = x[r, :, READ * t : READ * (t + 1)] @ net.weights[0][r] + state @ net.weights[1][r]
        h = h + net.biases[0][r] + net.biases[1][r]
        before[place].append(h)
        mean, variance = (m[r, 0].clone() for m in net.running[place])
        gain, shift = net.gains[place][r, 0], net.shifts[place][r, 0]
        state = torch.tanh(nn.functional.batch_norm(h, mean, variance, gain, shift, training))
    close(found[r], state @ net.weights[2][r] + net.biases[2][r], 1e-10)
    if training:
        assert [(i, count) for i, _, count in passed.seen] == [(i, 5 * len(h)) for i, h in enumerate(before)]
        for (_, (mean, variance), _), seen in zip(passed.seen, map(torch.cat, before), strict=True):
            close(mean[r, 0], seen.mean(dim=0), 1e-10)
            close(variance[r, 0], seen.var(dim=0, correction=0), 1e-10)


def test_zeros_at_the_end_are_not_read() -> None:
    """A row of six entries among longer ones has the logits that a net of six inputs gives it; zeros inside a row count."""
    layout, net = recurrent("layer")
    x = rows()
    x[:, 0, 6:] = 0
    x[:, 1, 4:6] = 0
    short = logits_of(replace(layout, inputs=6), net, x[:, :1, :6])
    found = logits_of(layout, net, x)
    close(found[:, :1], short, 1e-12)
    x[:, 1, 4:6] = 1
    assert not torch.equal(logits_of(layout, net, x)[:, 1], found[:, 1])


def test_steps_that_no_row_of_a_run_reaches_enter_no_moments() -> None:
    layout, net = recurrent("batch")
    x = rows()
    x[0, :, 6:] = 0
    both = Pass(layout, net, {}, training=True)
    alone = Pass(replace(layout, inputs=6), net, {}, training=True)
    both.logits(x)
    alone.logits(x[:, :, :6])
    for ours, theirs in zip(both.seen[0][1], alone.seen[0][1], strict=True):
        close(ours[0], theirs[0], 1e-12)


def test_moments_of_steps_that_no_row_reaches_stay_as_they_are() -> None:
    """In the run whose rows all end after three steps; in the others every step counts. Places that it reaches move."""
    layout, net = recurrent("batch", "rnn_stepwise")
    before = [(mean.clone(), variance.clone()) for mean, variance in net.running]
    x = rows()
    x[0, :, 3 * READ :] = 0
    passed = Pass(layout, net, {}, training=True)
    passed.logits(x)
    update_running(net, passed.seen)
    for place, (new, old) in enumerate(zip(net.running, before, strict=True)):
        for now, then in zip(new, old, strict=True):
            close(now[0], then[0], 1e-12) if place >= 3 else differ(now[0], then[0])
            differ(now[1], then[1])


def differ(a: Tensor, b: Tensor) -> None:
    assert not torch.isclose(a, b).any()


def test_lengths_take_turns_and_rows_are_read_evenly() -> None:
    """A straight line stays one from its first to its last entry; the view does to validation rows what training does."""
    line = torch.linspace(1.0, 2.0, 40).expand(6, 2, 3, 40)
    found = augmentations.lengths(line, Draws([1, 2], [0.0, 0.0], CPU).at(2, 6))
    for made, twentieths in zip(found, (13, 16, 10, 11, 13, 16), strict=True):
        length = 2 * twentieths
        close(made[1, 2, :length], torch.linspace(1.0, 2.0, length), 1e-6)
        assert not made[..., length:].any()
    draw = np.random.default_rng(0).standard_normal((4, 40)).astype(np.float32)
    seen = lengths_view._in_turns(draw, lengths_view.TRAINED)
    blocks = augmentations.lengths(
        torch.from_numpy(draw).expand(4, 1, 4, 40), Draws([1], [0.0], CPU).at(0, 4)
    )
    close(seen, np.stack([blocks[i, 0, i].numpy() for i in range(4)]), 1e-6)
    assert not set(lengths_view.TRAINED) & set(lengths_view.OTHERS)


def test_accuracy_by_length_adds_up() -> None:
    """Rows of two lengths: the mean of their accuracies, weighted by their numbers, is the test accuracy."""
    test_x = DATA.test_x.copy()
    test_x[:50, 9:] = 0
    data = type(DATA)(**{**vars(DATA), "test_x": test_x})
    run = replace(BASE, model="rnn", probe="lengths")
    result, hidden = train([run, replace(run, score_test=False)], data)
    measures = result["measures"]
    assert set(measures) == {"length_9", "length_12"}
    assert np.isclose(0.25 * measures["length_9"] + 0.75 * measures["length_12"], result["test_accuracy"])
    assert np.isnan(list(hidden["measures"].values())).all()


def test_dead_units_are_counted() -> None:
    """A bias of -100 kills every unit of the first run, none of the second; a diverged run has no units to count."""
    runs = [
        replace(BASE, probe="dead", bias=b, lr=lr) for b, lr in ((-100.0, 0.05), (0.0, 1e-4), (0.0, 1e30))
    ]
    dead, alive, broken = (result["measures"] for result in train(runs, DATA))
    assert dead == {"dead_share": 1.0, "dead_net": 1.0}
    assert alive["dead_net"] == 0
    assert alive["dead_share"] < 0.2
    assert np.isnan(list(broken.values())).all()


def test_a_dead_net_wakes_by_leaky_relu_only() -> None:
    """With the bias that kills, ReLU keeps its hidden weights to the bit, leaky ReLU moves them; the first part is the same for both."""
    runs = [
        replace(BASE, activation=a, bias=-100.0, procedure="fallback-5", updates=24)
        for a in ("relu", "leaky_relu")
    ]
    for run, moves in zip(runs, (False, True), strict=True):
        mine = Stack([run], DATA, CPU)
        start = [w.detach().clone() for w in mine.parameters.weights]
        assert mine.train(lambda fraction: None)[0]["measures"] == {"died": 1.0}
        end = mine.parameters.weights
        assert [not torch.equal(a, b) for a, b in zip(start[:-1], end[:-1], strict=True)] == [moves] * 2


def test_the_first_part_of_the_fallback_is_relu_at_its_own_rate() -> None:
    run = replace(BASE, activation="tanh", lr=1e-9, procedure="fallback-5", updates=24)
    plain = replace(run, activation="relu", lr=0.05, procedure="once", updates=4, loss_points=4)
    found, first = Stack([run], DATA, CPU), Stack([plain], DATA, CPU)
    for each in (found, first):
        each.train(lambda fraction: None)
    assert np.array_equal(found.losses[:4], first.losses)
    for a, b in zip(found.parameters.weights, first.parameters.weights, strict=True):
        close(a.detach(), b.detach(), 1e-6)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_recurrent_runs_do_not_depend_on_their_neighbours(norm: str) -> None:
    """With sequences of several lengths, and dropout."""
    runs = stack(model="rnn_stepwise", norm=norm, augmentation="lengths", activation="tanh")
    together = train(runs, TASK)
    for run, result in zip(runs, together, strict=True):
        assert bits(train([run], TASK)[0]) == bits(result)


def test_the_identity_start() -> None:
    net = initial(Layout(INPUTS, CLASSES, 1, WIDTH, "relu", "none", "rnn"), ["identity"], [1], CPU)
    assert torch.equal(net.weights[1][0], torch.eye(WIDTH))
    assert 0 < net.weights[0].abs().max() < 0.01


def test_a_recurrent_net_costs_its_steps() -> None:
    run = Run(model="rnn", depth=1, width=32, activation="tanh")
    assert cost.parameters(run) == (2 + 32) * 32 + 320
    assert cost.operations(run) == 6 * (20 * 34 * 32 + 320) * run.batch_size * run.updates
    assert cost.stack_width(run) == cost.MOST_RUNS
    assert cost.seconds(replace(run, clip=1.0)) > cost.seconds(run)
