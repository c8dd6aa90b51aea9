"""What an update may do beside the plain step, and what procedures and probes rely on: against PyTorch or by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from folklore.core import lookup
from folklore.core.networks import Anatomy, Layout, Parameters, Pass, initial
from folklore.core.steps import Rule, make_step, optimizer_state
from folklore.core.training import Stack, train
from plain_nets import BASE, CLASSES, CPU, DATA, INPUTS, PlainNet, close, column, in_double

LAYOUT = Layout(INPUTS, CLASSES, 2, 16, "tanh", "none")


def stacked(norm: str = "none") -> tuple[Layout, Parameters, Tensor, Tensor]:
    """Three nets in double precision, and a batch for each."""
    layout = replace(LAYOUT, norm=norm)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, INPUTS, generator=draw, dtype=torch.float64)
    y = torch.randint(CLASSES, (3, 8), generator=draw)
    return layout, in_double(initial(layout, ["he_normal"] * 3, [1, 2, 3], CPU)), x, y


def hyper(lr: Sequence[float], **numbers: Sequence[float]) -> dict[str, Tensor]:
    zero = [0.0] * len(lr)
    given = {"momentum": zero, "weight_decay": zero, "l1": zero, "clip": zero} | numbers
    return {name: column(values) for name, values in ({"lr": lr} | given).items()}


# (Adam would divide the rounding errors of biases before a batch norm, whose gradient is zero, by themselves)
@pytest.mark.parametrize(("optimizer", "norm"), [("sgd", "none"), ("sgd", "batch"), ("adam", "none")])
def test_gradients_are_clipped_as_torch_clips_them(optimizer: str, norm: str) -> None:
    """Run 0 is not clipped, run 1 is far below its limit, run 2 above; each as torch.nn.utils.clip_grad_norm_ has it."""
    layout, parameters, x, y = stacked(norm)
    nets = [PlainNet(layout, parameters, r).double() for r in range(3)]
    clip = [0.0, 1e6, 0.01]
    step = make_step(layout, Rule(optimizer, clips=True))
    state = optimizer_state(optimizer, parameters.trained())
    for t in (1.0, 2.0):
        step(parameters, state, hyper([0.1] * 3, clip=clip), x, y, {}, t)
    for r, net in enumerate(nets):
        kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
        plain = kind(net.parameters(), lr=0.1)
        for _ in range(2):
            net.zero_grad()
            nn.functional.cross_entropy(net(x[r]), y[r]).backward()
            if clip[r]:
                nn.utils.clip_grad_norm_(net.parameters(), clip[r])
            plain.step()
        for ours, theirs in zip(parameters.trained(), net.weights() + net.others(), strict=True):
            close(ours[r].T.reshape(theirs.shape), theirs, 1e-10)


@pytest.mark.parametrize("penalised", ["all", "first", "last"])
def test_l1_is_a_proximal_step_on_the_penalised_weights(penalised: str) -> None:
    """After a plain step, |w| falls by lr x l1 and stops at an exact zero; biases are left alone."""
    layout, parameters, x, y = stacked()
    _, plain, _, _ = stacked()
    l1 = [0.0, 0.05, 5.0]
    for net, rule in ((parameters, Rule("sgd", shrinks=True, penalised=penalised)), (plain, Rule("sgd"))):
        make_step(layout, rule)(
            net, optimizer_state("sgd", net.trained()), hyper([0.5] * 3, l1=l1), x, y, {}, 1.0
        )
    chosen = {"all": {0, 1, 2}, "first": {0}, "last": {2}}[penalised]
    for i, (ours, before) in enumerate(zip(parameters.weights, plain.weights, strict=True)):
        by = column([0.5 * value if i in chosen else 0.0 for value in l1])
        close(ours, before.sign() * (before.abs() - by).clamp(min=0), 1e-12)
    assert (parameters.weights[0][2] == 0).all() == (0 in chosen)
    assert all(torch.equal(a, b) for a, b in zip(parameters.biases, plain.biases, strict=True))


def test_frozen_layers_stay_and_the_others_move_as_if_nothing_was_frozen() -> None:
    layout, frozen, x, y = stacked()
    _, free, _, _ = stacked()
    start = [w.clone() for w in frozen.trained()]
    for net, rule in ((frozen, Rule("sgd", frozen=frozenset({0, 1}))), (free, Rule("sgd"))):
        make_step(layout, rule)(net, optimizer_state("sgd", net.trained()), hyper([0.5] * 3), x, y, {}, 1.0)
    for i in (0, 1):
        assert torch.equal(frozen.weights[i], start[i])
        assert not frozen.biases[i].any()
    assert torch.equal(frozen.weights[2], free.weights[2])
    assert not torch.equal(free.weights[2], start[2])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_weight_mask_hides_weights_and_their_gradients(optimizer: str) -> None:
    layout, parameters, x, y = stacked()
    nets = [PlainNet(layout, parameters, r).double() for r in range(3)]
    draw = torch.Generator().manual_seed(1)
    masks = {
        ("weight", i): (torch.rand(w.shape, generator=draw) < 0.5).double() * 2
        for i, w in enumerate(parameters.weights)
    }
    before = [w.clone() for w in parameters.weights]
    step = make_step(layout, Rule(optimizer))
    step(parameters, optimizer_state(optimizer, parameters.trained()), hyper([0.01] * 3), x, y, masks, 1.0)
    for r, net in enumerate(nets):
        nn.functional.cross_entropy(net(x[r], {s: m[r] for s, m in masks.items()}), y[r]).backward()
        for i, linear in enumerate(net.linear):
            moved = (before[i] - parameters.weights[i])[r].T
            assert not moved[masks["weight", i][r].T == 0].any()
            if optimizer == "sgd":
                close(moved, 0.01 * linear.weight.grad, 1e-12)


def twice(net: Pass, x: Tensor) -> Tensor:
    """The second matrix is used twice."""
    h = net.activate(net.linear(0, x))
    return net.linear(2, net.activate(net.linear(1, net.activate(net.linear(1, h)))))


def test_a_weight_matrix_used_twice_gets_the_sum_of_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, parameters, x, y = stacked()
    found = {"forward": twice, "anatomy": lambda layout: Anatomy(layout_fans, (), (), reuses=True)}
    layout_fans = layout.fans
    original = lookup.from_file
    monkeypatch.setattr(
        lookup, "from_file", lambda p, level, name: found[name] if p == "models" else original(p, level, name)
    )
    shared = replace(layout)
    before = [w.clone() for w in parameters.weights]
    step = make_step(shared, Rule("sgd"))
    step(parameters, optimizer_state("sgd", parameters.trained()), hyper([1.0] * 3), x, y, {}, 1.0)
    leaves = [w.requires_grad_() for w in before]
    a, b, c = leaves
    logits = torch.tanh(torch.tanh(torch.tanh(x @ a) @ b) @ b) @ c
    nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").div(8).backward()
    for ours, leaf in zip(parameters.weights, leaves, strict=True):
        close(leaf.detach() - ours, leaf.grad, 1e-12)


def test_numbers_of_the_rule_do_not_reach_a_neighbour_without_them() -> None:
    """A run without bias, L1 and clipping is the same to the bit beside one that has them."""
    plain = replace(BASE, updates=10)
    beside = replace(BASE, updates=10, seed=1, bias=-0.5, l1=1e-3, clip=0.1, weight_decay=0.1)
    alone, together = train([plain], DATA)[0], train([plain, beside], DATA)[0]
    assert alone == together


def test_the_initial_bias_is_that_of_hidden_layers() -> None:
    runs = [replace(BASE, bias=-2.0), replace(BASE, bias=0.5)]
    biases = Stack(runs, DATA, CPU).parameters.biases
    for hidden in biases[:-1]:
        assert (hidden[0] == -2).all()
        assert (hidden[1] == 0.5).all()
    assert not biases[-1].any()


def test_a_procedure_that_leaves_updates_out_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack([replace(BASE, updates=6)], DATA, CPU)
    original = lookup.from_file

    def lazy(package: str, level: str, name: str) -> Callable:
        return (lambda s: s.advance(4)) if package == "procedures" else original(package, level, name)

    monkeypatch.setattr(lookup, "from_file", lazy)
    with pytest.raises(RuntimeError, match="4 of 6 updates"):
        stack.train(lambda fraction: None)


def test_advancing_by_pieces_changes_nothing() -> None:
    runs = [replace(BASE, dropout=0.3, updates=23, seed=s) for s in (1, 2)]
    whole, pieces = (Stack(runs, DATA, CPU) for _ in range(2))
    whole.advance(23)
    for until in (1, 7, 8, 23):
        pieces.advance(until)
    assert np.array_equal(whole.losses, pieces.losses)
    assert len(whole.checks) == len(pieces.checks) == len(whole.marks)
    for a, b in zip(whole.parameters.trained(), pieces.parameters.trained(), strict=True):
        assert torch.equal(a, b)


def test_a_fixed_weight_mask_keeps_removed_weights_at_zero() -> None:
    """What pruning relies on: weights at zero under a mask stay there, the others train."""
    stack = Stack([replace(BASE, updates=20, seed=s, optimizer="adam") for s in (1, 2)], DATA, CPU)
    kept = (
        torch.rand(stack.parameters.weights[0].shape, generator=torch.Generator().manual_seed(0)) < 0.5
    ).float()
    stack.parameters.weights[0].mul_(kept)
    stack.fixed["weight", 0] = kept
    before = stack.parameters.weights[0].clone()
    stack.advance(20)
    after = stack.parameters.weights[0].detach()
    assert not after[kept == 0].any()
    assert (after[kept == 1] != before[kept == 1]).double().mean() > 0.9
