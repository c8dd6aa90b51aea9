"""Inherited layers, autoencoders, neurons trained alone, nets that grow and nets that lose weights: against torch and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from folklore.core.losses import cross_entropy
from folklore.core.networks import Parameters, forward
from folklore.core.procedures import _pruning, _transfer, autoencoder, grow, prune, subsample, transfer
from folklore.core.training import Stack
from folklore.datasets.base import Arrays
from folklore.datasets.views.later_classes import view
from folklore.grid import Run
from plain_nets import BASE, CLASSES, CPU, INPUTS, close
from test_core_files import TASK

RUN = replace(BASE, optimizer="momentum", updates=24)
WEIGHTS = [(INPUTS, 16), (16, 16), (16, CLASSES)]


@pytest.fixture(autouse=True)
def _as_trained() -> Iterator[None]:
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def stack_of(*changes: dict, **all_of: object) -> Stack:
    return Stack([replace(RUN, **{**all_of, **change}) for change in changes or ({},)], TASK, CPU)


def as_fresh(stack: Stack) -> Parameters:
    """The parameters with the output's bias at its start."""
    stack.parameters.biases[-1] = torch.zeros_like(stack.parameters.biases[-1])
    return stack.parameters


def copies(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


# ------------------------------------------------------------------------------------------------------------ another task


def test_later_classes_are_counted_from_zero_and_the_earlier_ones_are_the_source() -> None:
    y = np.array([0, 9, 4, 5, 7, 2])
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    splits = {f"{s}_{a}": v for s in ("pool", "val", "test") for a, v in (("x", x), ("y", y))}
    seen = view(Arrays("toy", "0", 10, **splits))
    assert (seen.classes, seen.source.classes) == (5, 5)
    assert seen.pool_y.tolist() == [4, 0, 2]
    assert seen.source.test_y.tolist() == [0, 4, 2]
    assert seen.val_x.tolist() == x[[1, 3, 4]].tolist()


@pytest.mark.parametrize("further", [0, 1, 2])
def test_transfer_trains_the_last_layers_of_a_net_from_the_source(further: int) -> None:
    stack = stack_of({"seed": 4})
    fresh = stack.parameters.weights[-1].detach().clone()
    recipe = {"lr": _transfer.RATE, "batch_size": _transfer.BATCH, "n_train": len(TASK.source.pool_x)}
    source = Stack([replace(RUN, seed=4, updates=48, **recipe)], TASK.source, CPU)
    source.advance(48)
    transfer.train(stack, further)
    for i in range(2):
        same = torch.equal(stack.parameters.weights[i], source.parameters.weights[i])
        assert same == (i < 2 - further)
        assert torch.equal(stack.parameters.biases[i], source.parameters.biases[i]) == same
    source.parameters.weights[-1] = (
        fresh  # the first update finds the source's hidden layers and a fresh output
    )
    x, y = stack.batches.block(0, 1)
    close(cross_entropy(forward(source.layout, as_fresh(source), x.tensor[0]), y[0]), stack.losses[0], 1e-5)
    assert (stack.parameters.weights[-1] != fresh).any()


def test_runs_that_differ_in_what_comes_later_share_what_comes_before() -> None:
    stack = stack_of({"seed": 1}, {"seed": 2}, {"seed": 1, "lr": 0.3}, {"seed": 1, "init": "glorot_normal"})
    early, places = _transfer.earlier(stack, TASK.source, updates=3)
    assert len(early.runs) == 3
    assert list(places) == [0, 1, 0, 2]


# ------------------------------------------------------------------------------------------------------------- autoencoder


def test_the_autoencoder_is_that_of_torch() -> None:
    stack = stack_of({"seed": 3}, n_train=128)
    early, _ = _transfer.earlier(stack, TASK, updates=4, rows=128)
    twin, _ = _transfer.earlier(stack, TASK, updates=4, rows=128)
    layers = [nn.Linear(a, b) for a, b in ((INPUTS, 16), (16, 16), (16, INPUTS))]
    drawn = autoencoder.generator(3, "decoder").standard_normal((16, INPUTS)) / 4
    start = [*copies(early.parameters.weights[:2]), torch.from_numpy(drawn)[None]]
    for layer, weight in zip(layers, start, strict=True):
        layer.weight.data, layer.bias.data = weight[0].T.float().clone(), torch.zeros(weight.shape[2])
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer, errors = torch.optim.Adam(net.parameters(), lr=autoencoder.RATE), []
    for t in range(4):
        x = twin.batches.block(t, 1)[0].tensor
        noise = twin.draws.at(t, 1).uniform("noise", (32, INPUTS))
        clean = x[0, 0]
        difference = net(clean * (noise[0, 0] > autoencoder.ZEROED)) - clean
        errors.append((difference.square().sum() / clean.square().sum()).item())
        optimizer.zero_grad()
        (difference.square().sum() / 2 / 32).backward()
        optimizer.step()
    close(autoencoder._restore(early), np.array(errors[-1:]), 1e-4)
    for i in range(2):
        close(early.parameters.weights[i][0], layers[i].weight.T, 1e-4)


def test_longer_training_of_the_autoencoder_restores_more() -> None:
    found = []
    for updates in (4, 400):
        early, _ = _transfer.earlier(stack_of(), TASK, updates=updates)
        found.append(autoencoder._restore(early)[0])
    assert found[1] < 0.8 * found[0]


# ------------------------------------------------------------------------------------------------------------ neurons alone


def test_a_neuron_alone_is_a_net_of_one_unit() -> None:
    stack = stack_of({"seed": 5})
    early, _ = _transfer.earlier(stack, TASK, updates=24, rows=96)
    x, y = early.training_rows(96)
    rows = subsample.generator(5, "subsample/0").integers(0, 96, (16, 20))[7]
    hidden, out = nn.Linear(INPUTS, 1), nn.Linear(1, CLASSES)
    hidden.weight.data = early.parameters.weights[0][0, :, 7:8].detach().T.clone()
    for tensor in (hidden.bias, out.weight, out.bias):
        nn.init.zeros_(tensor)
    net = nn.Sequential(hidden, nn.ReLU(), out)
    optimizer = torch.optim.SGD(net.parameters(), lr=subsample.RATE)
    subsample._units(early, 0, x, y, 20, 5)
    for t in range(5):
        now = rows[t * 16 % 5 : t * 16 % 5 + 16]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[0, now]), y[0, now]).backward()
        optimizer.step()
    close(early.parameters.weights[0][0, :, 7], hidden.weight[0], 1e-5)
    close(early.parameters.biases[0][0, 0, 7], hidden.bias[0], 1e-5)


def test_the_work_of_neurons_alone_is_counted_in_updates_of_the_net() -> None:
    stack = stack_of()
    subsample.train(stack, 32)
    alone = 3 * 2 * 16 * (16 * (INPUTS + CLASSES) + 16 * (16 + CLASSES)) + 96 * INPUTS * 16
    update = 3 * 16 * sum(a * b for a, b in WEIGHTS)
    close(stack.measures["pretraining"], np.array([alone / update]), 1e-12)


@pytest.mark.parametrize(("depth", "updates"), [(1, 1905), (3, 1875)])
def test_the_claims_arms_do_equal_work(depth: int, updates: int) -> None:
    stack = Stack([replace(Run(), depth=depth, updates=updates)], wide(), CPU)
    before = subsample._products(stack, updates // subsample.SHARE) / subsample._of_update(stack)
    assert updates + before == pytest.approx(2000, abs=1)


@pytest.mark.parametrize("procedure", ["subsample-256", "autoencoder"])
def test_nets_of_the_claims_size_do_not_depend_on_their_neighbours_either(procedure: str) -> None:
    """What the small nets of the contract's tests do not show: 100 units from 40 inputs take other paths through the matrix routines."""
    runs = [
        replace(Run(), optimizer="momentum", lr=0.01, updates=30, seed=s, procedure=procedure)
        for s in (1, 2, 3)
    ]
    alone, together = (Stack(stacked, wide(), CPU) for stacked in (runs[:1], runs))
    for stack in (alone, together):
        stack.train(lambda fraction: None)
    assert np.array_equal(alone.losses[:, 0], together.losses[:, 0])
    for one, three in zip(alone.parameters.trained(), together.parameters.trained(), strict=True):
        assert torch.equal(one[0], three[0])


def wide() -> Arrays:
    """Noise of the shape of MNIST-1D."""
    x = np.random.default_rng(0).standard_normal((4200, 40)).astype(np.float32)
    splits = {"x": x, "y": np.arange(4200) % 10}
    return Arrays(
        "toy", "0", 10, **{f"{s}_{a}": v for s in ("pool", "val", "test") for a, v in splits.items()}
    )


# ------------------------------------------------------------------------------------------------------------------ growing


def test_units_that_are_not_there_do_nothing_and_learn_nothing() -> None:
    stack = stack_of({"seed": 1}, {"seed": 2})
    grow._admit(stack, np.array([4, 9]))
    before = copies(stack.parameters.weights)
    stack.advance(10)
    for r, units in enumerate((4, 9)):
        for i in (1, 2):
            assert not stack.parameters.weights[i][r, units:].any()
            assert torch.equal(stack.parameters.weights[i - 1][r, :, units:], before[i - 1][r, :, units:])
            moved = stack.parameters.weights[i][r, :units] != before[i][r, :units]
            assert moved.any()


def test_what_the_net_computes_is_the_same_when_units_are_added() -> None:
    stack = stack_of()
    grow._admit(stack, np.array([4]))
    stack.advance(10)
    x, _ = stack.training_rows(64)
    before = forward(stack.layout, stack.parameters, x)
    grow._admit(stack, np.array([8]))
    assert torch.equal(forward(stack.layout, stack.parameters, x), before)
    stack.advance(20)
    assert stack.parameters.weights[1][0, 4:8].abs().sum() > 0


def test_random_outgoing_weights_would_have_raised_the_loss_by_this_much() -> None:
    stack = stack_of()
    start = copies(stack.parameters.weights)
    grow._admit(stack, np.array([4]))
    stack.advance(10)
    x, y = stack.training_rows(grow.ROWS)
    before = cross_entropy(forward(stack.layout, stack.parameters, x), y)
    found = grow._shock(stack, np.array([4]), np.array([8]), start)
    with torch.no_grad():
        for i in (1, 2):
            stack.parameters.weights[i][:, 4:8] = start[i][:, 4:8]
    after = cross_entropy(forward(stack.layout, stack.parameters, x), y)
    close((after - before).detach(), found, 1e-6)


def test_growing_from_the_full_width_is_training_as_usual() -> None:
    grown, usual = stack_of(), stack_of()
    grow.train(grown, 16)
    usual.advance(24)
    close(grown.losses, usual.losses, 1e-5)
    assert np.isnan(grown.measures["jump"])


def test_a_net_doubles_when_its_loss_has_settled_and_the_work_is_counted() -> None:
    stack = Stack([replace(RUN, depth=1, lr=1e-9, updates=900)], TASK, CPU)
    grow.train(stack, 4)
    assert stack.measures["grown"] == 16
    assert stack.measures["operations"] == 3 * 16 * 16 * (INPUTS + CLASSES) * 900
    assert stack.measures["arrived"] == 0
    stack.losses[:] = grow.TARGET + 1
    stack.losses[200:] = grow.TARGET - 0.1
    sizes = np.repeat([4.0, 8.0, 16.0], [100, 50, 750])[:, None]
    found = grow._work(stack, sizes)
    units = 100 * 4 + 50 * 8 + 70 * 16  # the window that ends with update 220 is the first
    assert found["operations"] == 3 * 16 * units * (INPUTS + CLASSES)
    assert found["speed"] == -np.log2(found["operations"])


# ------------------------------------------------------------------------------------------------------------------ pruning


def test_the_smallest_weights_go_and_stay_away() -> None:
    stack = stack_of({"seed": 1}, {"seed": 2})
    stack.advance(12)
    before = copies(stack.parameters.weights)
    _pruning._remove(stack, _pruning.magnitudes(stack), 0.25, np.array([True, False]))
    for i, (now, old) in enumerate(zip(stack.parameters.weights, before, strict=True)):
        kept = old[0].abs() >= old[0].abs().flatten().quantile(0.75)
        assert torch.equal(now[0] != 0, kept)
        assert torch.equal(now[0][kept], old[0][kept])
        assert torch.equal(now[1], old[1])
        assert not stack.state[i][0][0][~kept].any()
    stack.advance(24)
    for i, (now, old) in enumerate(zip(stack.parameters.weights, before, strict=True)):
        gone = stack.fixed["weight", i][0] == 0
        assert not now[0][gone].any()
        assert (now[0][~gone] != old[0][~gone]).any()


def test_a_quarter_is_left_after_four_rounds() -> None:
    stack = stack_of()
    prune.train(stack, 75)
    left = [round(a * b / 4) for a, b in WEIGHTS]
    assert [int((w != 0).sum()) for w in stack.parameters.weights] == left
    close(stack.measures["kept"], np.array([sum(left) / sum(a * b for a, b in WEIGHTS)]), 1e-12)
    close(stack.measures["work"], np.array([12 + 3 * sum(0.25 ** (i / 4) for i in range(1, 5))]), 1e-12)


@pytest.mark.parametrize(("worse", "returned"), [(2.0, 0.0), (-2.0, 1.0)])
def test_a_round_that_did_harm_is_taken_back(
    worse: float, returned: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fall of two is impossible, a gain of two is, too: never, and always at once."""
    monkeypatch.setattr(_pruning, "WORSE", worse)
    stack, rounds = stack_of(), []
    sound = Stack.advance

    def advance(self: Stack, until: int) -> None:
        sound(self, until)
        rounds.append(copies(self.parameters.weights))

    monkeypatch.setattr(Stack, "advance", advance)
    _pruning.train_and_remove(stack, 75, _pruning.magnitudes, returns=True)
    assert stack.measures["returned"] == returned
    assert stack.measures["kept"] == pytest.approx(1.0 if returned else 0.25, abs=0.01)
    if returned:  # the first round was undone; nothing was removed after it
        assert all((w != 0).all() for w in stack.parameters.weights)
        assert stack.measures["work"] == 12 + 3 * 0.25**0.25 + 9
