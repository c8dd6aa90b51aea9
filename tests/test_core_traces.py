"""Traced nets: one compiled function for a block's updates does to the bit what step after step does, and takes what it can do only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from folklore import cost, levels
from folklore.core import evaluation, making, training
from folklore.core.blocks import one_by_one
from folklore.core.calls import Calls, Spot, of_run, of_update
from folklore.core.losses import cross_entropy_slope
from folklore.core.networks import Layout
from folklore.core.softmax import cross_entropy_part
from folklore.core.steps import Rule, make_step
from folklore.core.traces import Activation, Drop, Linear, Norm, trace_of
from folklore.core.training import Stack, train
from folklore.grid import Run
from folklore.plan import make_plan

SMALL = Run(lr=0.05, width=21, depth=2, batch_size=7, updates=40, n_train=200, score_test=True)
CURVES = [name for name in levels.names("activation") if name not in ("relu", "maxout")]
KINDS = {
    **{name: {"optimizer": name} for name in levels.names("optimizer")},
    **{f"{name}, normed": {"optimizer": name, "norm": "batch"} for name in levels.names("optimizer")},
    **{name: {"activation": name} for name in CURVES},
    **{f"{name}, normed": {"activation": name, "norm": "batch", "dropout": 0.2} for name in CURVES},
    "two rows": {"norm": "batch", "batch_size": 2},
    "wide": {"norm": "batch", "width": 100, "depth": 3},
    "deep": {"depth": 20, "norm": "batch"},
    "decay of the last": {"weight_decay": 0.1, "penalised": "last", "optimizer": "momentum"},
    "schedule": {"schedule": "exponential"},
    "no activation": {"model": "no_activation", "norm": "batch", "dropout": 0.2},
    **{
        mask: {"mask": mask, "dropout": 0.3}
        for mask in ("units", "inputs", "batchwise", "frozen", "first", "last")
    },
    "channels, normed": {"mask": "channels", "dropout": 0.3, "norm": "batch"},
    "frozen thinned net": {"procedure": "thinned", "dropout": 0.5},
    "steps to a loss": {"procedure": "until_loss-50"},
}
KINDS |= {
    f"{model}, {norm}, {activation}, {depth} deep, {mask}": {
        "model": model,
        "norm": norm,
        "activation": activation,
        "depth": depth,
        "width": 8,
        "mask": mask,
        "dropout": 0.2 if mask == "channels" else 0.0,
    }
    for model in ("residual", "cnn", "residual_cnn", "norm_after")
    for norm in ("none", "batch")
    for activation, depth, mask in (
        ("relu", 3, "units"),
        ("relu", 9, "channels"),
        ("tanh", 4, "channels"),
        ("maxout", 5, "units"),
    )
}
KINDS |= {
    "maxout": {"activation": "maxout"},
    "maxout, normed": {"activation": "maxout", "norm": "batch", "dropout": 0.2},
    "sparse": {"l1": 1e-3},
    "sparse first": {"l1": 1e-3, "penalised": "first", "weight_decay": 0.01, "schedule": "exponential"},
}
KINDS |= {
    "dropped weights": {"mask": "weights", "dropout": 0.5},
    "dropped weights of windows, normed": {
        "model": "cnn",
        "norm": "batch",
        "mask": "weights",
        "dropout": 0.2,
    },
    "dropped weights, all of it": {
        "model": "residual",
        "depth": 4,
        "mask": "weights",
        "dropout": 0.2,
        "clip": 0.1,
        "weight_decay": 0.1,
        "l1": 1e-3,
        "optimizer": "adam",
    },
    "pruned weights": {"procedure": "prune-50", "optimizer": "momentum", "l1": 1e-3},
}
PROCEDURES = "grow-4 fallback-32 prune_random-75 prune_return-90 never_zeroed remedies subsample-256 early_stopping drift update_ratio"
PROCEDURES += " mislabelled cross_validation-5 autoencoder"
KINDS |= {f"procedure {name}": {"procedure": name} for name in PROCEDURES.split()}
KINDS |= {
    f"ghosts of {amount}, {rows} rows, {activation}": {
        "norm": f"ghost-{amount}",
        "batch_size": rows,
        "activation": activation,
        "clip": clip,
        "optimizer": "momentum",
    }
    for amount, rows, activation, clip in (
        (4, 7, "relu", 0.0),
        (4, 32, "relu", 0.0),
        (2, 40, "tanh", 0.0),
        (16, 8, "relu", 0.1),
        (3, 18, "maxout", 0.0),
    )
}
KINDS |= {f"layer norm, {name}": {"norm": "layer", "activation": name} for name in ("relu", "tanh", "maxout")}
KINDS |= {
    f"clipped, {norm}": {"norm": norm, "clip": 0.5, "optimizer": "adam"}
    for norm in ("none", "batch", "layer")
}
KINDS |= {
    "clipped, all of it": {
        "model": "residual",
        "depth": 4,
        "clip": 0.1,
        "norm": "batch",
        "weight_decay": 0.1,
        "penalised": "first",
        "l1": 1e-3,
        "optimizer": "momentum",
        "dropout": 0.2,
    }
}
KINDS |= {
    f"{model}, {norm}, {activation}, {depth} deep, {augmentation}": {
        "model": model,
        "norm": norm,
        "activation": activation,
        "depth": depth,
        "width": 8,
        "augmentation": augmentation,
        "clip": 1.0 if depth == 1 else 0.0,
        "dropout": 0.2 if depth == 2 else 0.0,
        "optimizer": "momentum",
    }
    for model in ("rnn", "rnn_stepwise")
    for norm in ("none", "batch", "layer")
    for activation, depth, augmentation in (
        ("tanh", 1, "lengths"),
        ("relu", 1, "none"),
        ("relu", 2, "lengths"),
        ("maxout", 1, "lengths"),
        ("tanh", 3, "none"),
    )
}
OTHERS = {
    "two ReLUs": {"model": "output_relu"},
    "words": {"model": "bag"},
    "noise": {"model": "noisy_norm", "norm": "batch", "mask": "norm_noise-10"},
}


def made_up(classes: int = 10) -> SimpleNamespace:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((400, 40), dtype=np.float32), rng.integers(0, classes, 400)
    return SimpleNamespace(
        classes=classes, pool_x=x, pool_y=y, val_x=x[:64], val_y=y[:64], test_x=x[64:128], test_y=y[64:128]
    )


def stack(**changes: object) -> list[Run]:
    """Three runs, the last of which diverges."""
    run = replace(SMALL, **changes)
    dropout = run.dropout
    return [
        replace(run, seed=seed, lr=lr, dropout=dropout * part)
        for seed, (lr, part) in enumerate([(0.01, 1.0), (0.05, 0.5), (1e20, 1.0)])
    ]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The updates of each block that a traced net has made, but those at rate 0, which only ask for gradients."""
    found, real = [], making.make_updates

    def counted(trace, rule, parameters, state, hyper, block) -> list[Tensor]:
        if hyper["lr"].any():
            found.append(len(block))
        return real(trace, rule, parameters, state, hyper, block)

    monkeypatch.setattr(making, "make_updates", counted)
    return found


def step_by_step(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    with monkeypatch.context() as patched:
        for module, name in ((training, "updating"), (evaluation, "unrecorded")):
            patched.setattr(
                module, name, lambda layout, rule, *_: partial(one_by_one, make_step(layout, rule))
            )
        return train(runs, made_up())


@pytest.mark.parametrize("kind", KINDS)
def test_a_traced_net_does_to_the_bit_what_steps_do(
    kind: str, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = stack(**KINDS[kind])
    found = train(runs, made_up())
    assert sum(made) >= SMALL.updates
    assert repr(found) == repr(step_by_step(runs, monkeypatch))
    assert [result["status"] for result in found][:2] == ["ok", "ok"]


def test_a_run_that_has_diverged_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block may still have it, none after that, and where all have diverged nothing is left to do."""
    going, real = [], Calls.make

    def noted(calls: Calls, *, runs: Sequence[int], updates: int) -> None:
        going.append(list(runs))
        real(calls, runs=runs, updates=updates)

    monkeypatch.setattr(Calls, "make", noted)
    found = train(stack(updates=64), made_up())
    assert going[0] == [0, 1, 2]
    assert [0, 1] in going
    found += train([replace(run, lr=1e20) for run in stack(updates=64)], made_up())
    assert [] in going
    assert [result["status"] for result in found] == ["ok", "ok", *["diverged"] * 4]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_a_traced_net_are_those_of_its_passes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, after some updates: moments that are kept are not those of the start. Rows in chunks, and what is left over."""
    mine = Stack(stack(**KINDS[kind] | {"procedure": "once"}), made_up(), torch.device("cpu"))
    mine.advance(8)
    rows = torch.from_numpy(mine.data.pool_x[: evaluation.CHUNK_ROWS * 2 + 5])
    rows[3, 17:], labels = 0, torch.from_numpy(mine.data.pool_y[: len(rows)])
    found = evaluation.scores(mine.layout, mine.parameters, rows, labels)
    monkeypatch.setattr(evaluation, "trace_of_pass", lambda layout: None)
    for ours, plain in zip(found, evaluation.scores(mine.layout, mine.parameters, rows, labels), strict=True):
        assert np.array_equal(ours, plain, equal_nan=True)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_cannot_be_traced_goes_step_by_step(kind: str, made: list[int]) -> None:
    train(stack(**OTHERS[kind])[:2], made_up())
    assert not made


@pytest.mark.parametrize("changes", [{"mask": "weights", "dropout": 0.5}, {"norm": "ghost-4"}])
def test_what_is_not_known_of_a_recurrent_net_goes_step_by_step(changes: dict, made: list[int]) -> None:
    train(stack(model="rnn", activation="tanh", **changes), made_up())
    assert not made


def test_more_classes_than_a_vector_has_lanes_go_step_by_step(made: list[int]) -> None:
    train(stack(), made_up(classes=16))
    assert made
    made.clear()
    train(stack(), made_up(classes=17))
    assert not made


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("model", ["mlp", "rnn"])
def test_a_run_has_the_same_bits_beside_a_clipped_one(model: str, norm: str, made: list[int]) -> None:
    """A clipped neighbour makes updates wait for the end of a pass."""
    run = replace(SMALL, norm=norm, model=model, activation="tanh")
    alone = train([run], made_up())
    assert repr(train([run, replace(run, seed=1, clip=0.1)], made_up())[:1]) == repr(alone)
    assert sum(made) == 2 * SMALL.updates


def test_a_run_has_the_same_bits_beside_a_sparse_one(made: list[int]) -> None:
    alone = train([SMALL], made_up())
    assert repr(train([SMALL, replace(SMALL, seed=1, l1=1e-3)], made_up())[:1]) == repr(alone)
    assert sum(made) == 2 * SMALL.updates


def test_the_cost_model_knows_which_nets_are_traced() -> None:
    """Of those that the studies train; the bug on purpose without activations and quiet noisy norms count as dearer than they are."""
    cheaper = {"no_activation", "noisy_norm"}
    cells = [cell.run for cell in make_plan(["profile=laptop"]).cells]
    nets = {
        (run.model, run.depth, run.activation, run.norm, run.optimizer, run.clip > 0, run.l1 > 0): run
        for run in cells
        if run.model not in cheaper
    }
    assert {cost.is_traced(run) for run in nets.values()} == {True, False}
    for run in nets.values():
        layout = Layout(40, 10, run.depth, run.width, run.activation, run.norm, run.model)
        rule = Rule(run.optimizer, clips=run.clip > 0, shrinks=run.l1 > 0)
        assert cost.is_traced(run) == (trace_of(layout, rule) is not None), run


def test_the_parts_of_a_net_are_found_by_its_model() -> None:
    layout = Layout(40, 10, 1, 21, "relu", "batch")
    expected = (Linear(0, 0), Norm(1, 0, "batch"), Activation(2, "relu"), Drop(3, 0), Linear(4, 1))
    assert trace_of(layout, Rule("sgd")).nodes == expected
    expected = (Linear(0, 0), Activation(1, "relu"), Drop(2, 0), Linear(3, 1))
    assert trace_of(replace(layout, norm="none"), Rule("adam")).nodes == expected
    assert trace_of(layout, Rule("sgd", frozen=frozenset({0}))) is None


@pytest.mark.parametrize(("classes", "rows"), [(10, 32), (2, 5), (16, 7), (3, 1)])
@pytest.mark.parametrize("size", [0.01, 1.0, 30.0, 1e4])
def test_the_loss_is_that_of_double_precision(classes: int, rows: int, size: float) -> None:
    numbers = torch.Generator().manual_seed(3)
    logits = size * torch.randn(4, rows, classes, generator=numbers)
    y = torch.randint(0, classes, (4, rows), generator=numbers)
    losses, slopes = cross_entropy_slope(logits, y)
    exact = logits.double().requires_grad_()
    right = torch.stack([torch.nn.functional.cross_entropy(exact[r], y[r]) for r in range(4)])
    torch.testing.assert_close(losses.double(), right.detach(), rtol=4e-7, atol=4e-7)
    (by_logits,) = torch.autograd.grad(right.sum(), exact)
    torch.testing.assert_close(slopes.double(), by_logits, rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_loss_of_what_is_not_finite_is_not_finite(bad: float) -> None:
    """As torch has it: minus infinity is a class that cannot be, unless it is the label."""
    logits, y = torch.zeros(3, 2, 10), torch.tensor([[1, 2], [3, 4], [5, 6]])
    logits[1, 0, 3] = bad
    losses, slopes = cross_entropy_slope(logits, y)
    assert torch.isfinite(losses).tolist() == [True, False, True]
    right = torch.nn.functional.cross_entropy(logits[1], y[1])
    assert str(losses[1].item()) == str(right.item())
    assert torch.isfinite(slopes[[0, 2]]).all()


def test_matrices_that_a_kernel_cannot_read_are_refused() -> None:
    whole = of_run(torch.zeros(2, 3, 4))
    assert whole.whole(3, 4) == Spot(whole.spot.first, by_run=48)
    for wrong in (whole.turned, of_run(torch.zeros(2, 4, 3)), of_run(torch.zeros(2, 3, 8)[..., ::2])):
        with pytest.raises(ValueError, match="without gaps"):
            wrong.whole(3, 4)


def test_calls_are_made_for_every_run_and_update_in_order() -> None:
    """A call whose arguments move from run to run and from update to update."""
    numbers = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 3, 5, 10, generator=numbers)
    y = torch.randint(0, 10, (2, 3, 5), generator=numbers)
    slopes, losses = logits.clone(), torch.zeros(2, 3)
    calls = Calls()
    spots = of_update(slopes).spot, of_update(y.unsqueeze(3)).spot, of_update(losses[..., None, None]).spot
    calls.add(cross_entropy_part(), 5, 10, *spots)
    calls.make(runs=range(3), updates=2)
    for update in range(2):
        expected = cross_entropy_slope(logits[update], y[update])
        assert torch.equal(losses[update], expected[0])
        assert torch.equal(slopes[update], expected[1])
