"""What procedures that measure or spoil a training do, by hand and against closed forms; the contract of all is in test_core_files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from folklore.core import augmentations, models, schedules
from folklore.core.draws import Draws
from folklore.core.losses import correct
from folklore.core.models import mlp, no_activation, output_relu, softmax_twice
from folklore.core.networks import Layout, Pass, forward, initial
from folklore.core.procedures import cross_validation, mislabelled, update_ratio
from folklore.core.training import Stack, train
from folklore.grid import Run
from plain_nets import BASE, CLASSES, CPU, DATA, INPUTS, close

RUNS = [replace(BASE, seed=seed, lr=rate) for seed, rate in ((1, 0.05), (2, 0.02))]


def stack_of(**changes: object) -> Stack:
    return Stack([replace(run, **changes) for run in RUNS], DATA, CPU)


def weights(stack: Stack) -> list[Tensor]:
    return [w.detach().clone() for w in stack.parameters.weights]


# --- cross-validation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [3, 5])
def test_every_training_row_is_held_out_once_and_never_trained_on_then(parts: int) -> None:
    stack = stack_of()
    index = np.array_split(np.arange(BASE.n_train), parts)
    kept = [cross_validation.trained_without(stack, part).batches.rows for part in index]
    for r, rows in enumerate(stack.batches.rows):
        held_out = [set(rows) - set(inner[r]) for inner in kept]
        assert [len(rows) for rows in held_out] == [len(part) for part in index]
        assert sorted(np.concatenate([list(rows) for rows in held_out])) == sorted(rows)


def test_held_out_accuracies_are_those_of_nets_trained_by_hand() -> None:
    parts = np.array_split(np.arange(BASE.n_train), 4)
    measured = [
        result["measures"]
        for result in train([replace(r, procedure="cross_validation-4") for r in RUNS], DATA)
    ]
    stack, right = stack_of(), []
    for part in parts:
        inner = Stack([replace(run, n_train=72) for run in RUNS], DATA, CPU)
        inner.batches.rows = np.stack(
            [np.setdiff1d(rows, rows[part], assume_unique=True) for rows in stack.batches.rows]
        )
        inner.advance(BASE.updates)
        rows = torch.from_numpy(stack.batches.rows[:, part].copy())
        with torch.no_grad():
            logits = forward(inner.layout, inner.parameters, stack.batches.x[rows])
        right.append(correct(logits, stack.batches.y[rows]).numpy())
    for r, found in enumerate(measured):
        assert found["split_accuracy"] == right[0][r] / 24
        assert found["cv_accuracy"] == sum(part[r] for part in right) / 96


def test_cross_validation_leaves_the_training_itself_as_it_was() -> None:
    plain, after = (
        train([replace(r, procedure=p) for r in RUNS], DATA) for p in ("once", "cross_validation-3")
    )
    assert [r["loss_curve"] for r in plain] == [r["loss_curve"] for r in after]
    assert [r["test_accuracy"] for r in plain] == [r["test_accuracy"] for r in after]


# --- the size of updates --------------------------------------------------------------------------------------------


def test_the_ratio_of_one_sgd_update_is_rate_times_gradient_over_weights() -> None:
    stack = stack_of(loss_points=1)
    before = stack_of(loss_points=1)
    before.advance(4)
    x, y = before.batches.block(4, 1)
    start = [w.double() for w in weights(before)]
    leaves = [w.detach().clone().requires_grad_() for w in before.parameters.weights]
    net = replace(before.parameters, weights=leaves)
    logits = forward(before.layout, net, x.tensor[0])
    loss = (
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), y[0].flatten(), reduction="sum")
        / BASE.batch_size
    )
    gradient = torch.autograd.grad(loss, leaves)
    found = update_ratio.log_ratio(stack, 5)
    for r, run in enumerate(RUNS):
        size, step = (sum(t[r].double().square().sum() for t in ts) ** 0.5 for ts in (start, gradient))
        close(found[r], np.log10(float(run.lr * step / size)), 1e-4)


def test_a_ratio_grows_by_the_rate_and_is_missing_where_there_is_none() -> None:
    def measured(**changes: object) -> float:
        return train([replace(BASE, procedure="update_ratio", **changes)], DATA)[0]["measures"][
            "log_update_ratio"
        ]

    assert abs(measured(lr=1e-4) - measured(lr=1e-5) - 1) < 0.01
    assert measured(lr=1e-30) == np.log10(update_ratio.SMALLEST)
    assert np.isnan(measured(lr=1e30))
    assert np.isnan(measured(updates=update_ratio.MARKS[-1] - 1))


# --- seeded bugs ----------------------------------------------------------------------------------------------------


def test_labels_that_are_shuffled_apart_stay_those_of_the_batch() -> None:
    plain = stack_of(n_train=96).batches
    shuffled = mislabelled.Mislabelled(plain.x, plain.y, plain.seeds, 96, 16)
    (x, y), (other_x, other_y) = plain.block(6, 5), shuffled.block(6, 5)
    assert torch.equal(x.tensor, other_x.tensor)
    assert torch.equal(y.sort(dim=2).values, other_y.sort(dim=2).values)
    assert not torch.equal(y, other_y)
    parts = [shuffled.block(6, 2)[1], shuffled.block(8, 3)[1]]
    assert torch.equal(other_y, torch.cat(parts))


def trained(procedure: str, **changes: object) -> Stack:
    """A stack after one update, the procedure's own way."""
    from folklore.core import lookup

    stack = stack_of(updates=1, loss_points=1, **changes)
    lookup.from_file("procedures", procedure, "train")(stack)
    return stack


def test_the_wrong_sign_goes_exactly_the_other_way() -> None:
    start, right, wrong = weights(stack_of()), weights(trained("once")), weights(trained("ascent"))
    for a, b, c in zip(start, right, wrong, strict=True):
        close(b - a, a - c, 1e-6)


def test_layers_that_are_not_registered_stay() -> None:
    start, after = weights(stack_of(depth=4)), weights(trained("unregistered", depth=4))
    assert [torch.equal(a, b) for a, b in zip(start, after, strict=True)] == [False, True, True, True, False]


def test_gradients_that_are_never_zeroed_add_up() -> None:
    """The second update follows the sum of both gradients: twice the first step, where the gradient hardly changes."""
    runs = [
        replace(
            BASE,
            optimizer="momentum",
            lr=1e-4,
            updates=2,
            loss_points=1,
            batch_size=96,
            procedure="never_zeroed",
        )
    ]
    stack, start = Stack(runs, DATA, CPU), Stack(runs, DATA, CPU)
    stack.hyper["momentum"] = torch.ones(1, 1, 1)
    stack.advance(1)
    first = [b - a for a, b in zip(weights(start), weights(stack), strict=True)]
    stack.advance(2)
    both = [b - a for a, b in zip(weights(start), weights(stack), strict=True)]
    for one, two in zip(first, both, strict=True):
        assert (two - 3 * one).norm() < 0.02 * one.norm()
    assert train(runs, DATA)[0]["loss_curve"] == [
        float(np.mean(stack.losses, dtype=np.float64).astype(np.float32))
    ]


@pytest.mark.parametrize(
    ("model", "after"),
    [(softmax_twice, lambda logits: logits.softmax(2)), (output_relu, lambda logits: logits.clamp(min=0))],
)
def test_models_with_a_bug_at_the_end(model: object, after) -> None:
    layout = Layout(INPUTS, CLASSES, 2, 8, "tanh", "none")
    parameters = initial(layout, ["he_normal"] * 2, [1, 2], CPU)
    x = torch.randn(2, 5, INPUTS, generator=torch.Generator().manual_seed(0))
    net = Pass(layout, parameters, {}, training=True)
    assert torch.equal(model.forward(net, x), after(mlp.forward(net, x)))


def test_without_activations_a_net_is_one_linear_map() -> None:
    layout = Layout(INPUTS, CLASSES, 3, 8, "relu", "none", "no_activation")
    parameters = initial(layout, ["he_normal"], [1], CPU)
    net = Pass(layout, parameters.with_trained([t.double() for t in parameters.trained()]), {}, training=True)
    x, other = torch.randn(2, 1, 5, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = no_activation.forward(net, x + 3 * other)
    close(both, no_activation.forward(net, x) + 3 * no_activation.forward(net, other), 1e-12)
    assert no_activation.anatomy(layout) == models.mlp.anatomy(layout)


def test_mixed_rows_hold_the_same_numbers_of_several_rows() -> None:
    x = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    mixed = augmentations.mixed_rows(x, Draws([1, 2, 3], [0.0] * 3, CPU))
    assert mixed[0, 0].tolist() == x[0, 0].T.reshape(4, 5).tolist()
    assert torch.equal(mixed.flatten(2).sort().values, x.flatten(2))


# --- the range test -------------------------------------------------------------------------------------------------


def test_the_range_test_rises_by_equal_factors_through_five_powers_of_ten() -> None:
    factors = np.array([schedules.range_test(t, 50) for t in range(51)])
    close(factors[[0, 10, 20, 50]], [1e-5, 1e-4, 1e-3, 1.0], 1e-12)
    close(factors[1:] / factors[:-1], np.full(50, 10**0.1), 1e-12)
    assert Run().schedule == "constant"
