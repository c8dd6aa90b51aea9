"""Early stopping against runs that really stop there, and the probes of trained nets against plain calculations."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from folklore.core.losses import cross_entropy
from folklore.core.networks import forward
from folklore.core.probes import weight_noise
from folklore.core.training import Stack, train
from plain_nets import BASE, CPU, DATA

LONG = replace(BASE, updates=200, lr=0.1, procedure="early_stopping", norm="batch")


@pytest.fixture(scope="module")
def stopped() -> list[dict]:
    return train([replace(LONG, seed=seed) for seed in (1, 2)], DATA)


def shorter(run: int, updates: float) -> dict:
    """The same run, ended after so many updates."""
    return train([replace(LONG, seed=run + 1, updates=int(updates), procedure="once")], DATA)[0]


@pytest.mark.parametrize("run", [0, 1])
def test_a_run_ends_with_the_weights_that_it_had_where_it_stopped(stopped: list[dict], run: int) -> None:
    result, measures = stopped[run], stopped[run]["measures"]
    at_best, at_loss = (shorter(run, measures[name]) for name in ("stopped_at", "by_loss_stopped_at"))
    for name in ("test_accuracy", "test_loss", "val_accuracy", "val_loss", "recalibrated_accuracy"):
        assert result[name] == at_best[name]
    assert measures["by_loss_test_accuracy"] == at_loss["test_accuracy"]
    assert measures["by_loss_test_loss"] == at_loss["test_loss"]
    end = shorter(run, LONG.updates)
    assert measures["final_test_accuracy"] == end["test_accuracy"]
    assert measures["final_test_loss"] == end["test_loss"]
    assert measures["stopped_at"] < LONG.updates  # or else the test would show nothing


def test_the_best_on_the_first_half_is_kept_the_first_of_equals(stopped: list[dict]) -> None:
    """Accuracy on the first half of the validation rows at every fourth update, by runs that end there."""
    half = len(DATA.val_y) // 2
    first = SimpleNamespace(**vars(DATA) | {"val_x": DATA.val_x[:half], "val_y": DATA.val_y[:half]})
    marks = range(4, LONG.updates + 1, 4)  # 50 of them
    runs = [replace(LONG, seed=1, updates=mark, procedure="once") for mark in marks]
    scores = [train([run], first)[0]["val_accuracy"] for run in runs]
    assert stopped[0]["measures"]["stopped_at"] == marks[int(np.argmax(scores))]


def test_a_tuning_run_measures_nothing_on_test_rows() -> None:
    seen, unseen = train([LONG, replace(LONG, score_test=False)], DATA)
    for name, value in unseen["measures"].items():
        assert np.isnan(value) == ("test" in name)
    assert not any(np.isnan(value) for value in seen["measures"].values())


def test_the_second_half_is_scored_by_itself() -> None:
    half = len(DATA.val_y) // 2
    rest = SimpleNamespace(**vars(DATA) | {"val_x": DATA.val_x[half:], "val_y": DATA.val_y[half:]})
    run = replace(BASE, probe="second_half")
    found = train([run], DATA)[0]["measures"]["second_half_accuracy"]
    assert found == train([replace(run, probe="none")], rest)[0]["val_accuracy"]


def trained_stack(**changes: object) -> Stack:
    stack = Stack([replace(BASE, **changes), replace(BASE, seed=5, **changes)], DATA, CPU)
    stack.advance(BASE.updates)
    return stack


def test_training_fit_is_the_score_on_the_training_rows() -> None:
    stack = trained_stack()
    fits = train([replace(run, probe="training_fit") for run in stack.runs], DATA)
    for run, index, fit in zip(stack.runs, stack.batches.rows, fits, strict=True):
        own = SimpleNamespace(**vars(DATA) | {"val_x": DATA.pool_x[index], "val_y": DATA.pool_y[index]})
        scored = train([run], own)[0]
        assert fit["measures"]["training_accuracy"] == pytest.approx(scored["val_accuracy"])
        assert fit["measures"]["training_loss"] == pytest.approx(scored["val_loss"], rel=1e-5)


def test_small_noise_on_weights_changes_the_loss_by_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """To first order, the root mean square change is size * |gradient * weight|."""
    monkeypatch.setattr(weight_noise, "DRAWS", 800)
    stack = trained_stack(activation="tanh")
    x, y = stack.training_rows(weight_noise.ROWS)
    parameters = stack.parameters

    def loss(weights: list[torch.Tensor]) -> torch.Tensor:
        return cross_entropy(forward(stack.layout, replace(parameters, weights=weights), x), y).sum()

    parameters = replace(parameters, biases=[b.detach() for b in parameters.biases])
    weights = [w.detach().requires_grad_() for w in parameters.weights]
    slopes = torch.autograd.grad(loss(weights), weights)
    squares = sum((g * w).square().sum(dim=(1, 2)) for g, w in zip(slopes, weights, strict=True)).detach()
    found = weight_noise.measure(stack, amount=1)["loss_change"]
    np.testing.assert_allclose(found, 0.01 * squares.sqrt().numpy(), rtol=0.15)
    assert not weight_noise.measure(stack, amount=0)["loss_change"].any()
