"""The contract of levels that are files, over all that there are: models, procedures, probes, views; and of numbered levels."""

from __future__ import annotations

import gc
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from folklore import datasets, levels
from folklore.core import masks, steps
from folklore.core.draws import Draws
from folklore.core.networks import Layout, Parameters, Pass, initial
from folklore.core.networks import forward as logits_of
from folklore.core.steps import Rule, make_step, optimizer_state
from folklore.core.training import train
from folklore.datasets.views import seen
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.validation import check_run
from plain_nets import BASE, CLASSES, CPU, DATA, INPUTS, LEVELS, blobs, close, named
from test_core_promises import bits

FILES = [(f, named(f, level)) for f in levels.PACKAGES for level in levels.names(f)]
MODELS = [level for factor, level in FILES if factor == "model"]
PROBES = {level: import_module(f"folklore.core.probes.{level}") for level in levels.names("probe")}
CLOCKS = [level for level, probe in PROBES.items() if not getattr(probe, "REPEATABLE", True)]
NORMED = ("none", "batch")
# a procedure may begin with another task of the same shape
SOURCE = {
    f"{s}_{a}": v
    for i, s in enumerate(("pool", "val", "test"))
    for a, v in zip("xy", blobs(128, i), strict=True)
}
TASK = SimpleNamespace(**vars(DATA), source=SimpleNamespace(classes=CLASSES, **SOURCE))


def stack(**changes: object) -> list[Run]:
    """Runs that differ in whatever runs of a stack may differ in."""
    numbers = (
        {"seed": 1},
        {"seed": 2, "dropout": 0.25, "lr": 0.02},
        {"seed": 3, "weight_decay": 0.1, "l1": 1e-3},
    )
    return [replace(BASE, **{"updates": 24} | more | changes) for more in numbers]


@pytest.mark.parametrize("norm", NORMED)
@pytest.mark.parametrize(("factor", "level"), FILES)
def test_a_run_does_not_depend_on_its_neighbours(factor: str, level: str, norm: str) -> None:
    runs = stack(norm=norm, **{factor: level})
    together = train(runs, TASK)
    for run, result in zip(runs, together, strict=True):
        assert same(train([run], TASK)[0], level) == same(result, level)
    assert same(train(runs[::-1], TASK)[0], level) == same(together[-1], level)


def same(result: dict, level: str) -> str:
    """The text that has to be equal: times are not the same again, only their names are."""
    return bits(result | {"measures": sorted(result["measures"])} if level in CLOCKS else result)


@pytest.mark.parametrize("model", MODELS)
def test_a_clipped_run_does_not_depend_on_its_neighbours(model: str) -> None:
    runs = stack(model=model, depth=4, clip=0.05, activation="tanh")
    for run, result in zip(runs, train(runs, TASK), strict=True):
        assert bits(train([run], TASK)[0]) == bits(result)


@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize("model", MODELS)
def test_no_update_outlives_its_step(model: str, clip: float) -> None:
    """What one keeps of the backward pass holds the graph, and the graph holds the update: a ring that no collector sees through."""
    train(stack(model=model, clip=clip), TASK)
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is steps._Update]


@pytest.mark.parametrize(("factor", "level"), FILES)
def test_a_neighbour_that_diverges_changes_nothing(factor: str, level: str) -> None:
    fine = stack(**{factor: level})[0]
    alone, (beside, broken) = train([fine], TASK)[0], train([fine, replace(fine, lr=1e30, seed=9)], TASK)
    assert same(alone, level) == same(beside, level)
    assert broken["status"] == "diverged"
    assert broken["test_accuracy"] == 1 / CLASSES


@pytest.mark.parametrize(("factor", "level"), FILES)
def test_measures_have_names_and_are_numbers(factor: str, level: str) -> None:
    for result in train(stack(**{factor: level}), TASK):
        assert all(name.isidentifier() and type(value) is float for name, value in result["measures"].items())


@pytest.mark.parametrize("norm", NORMED)
@pytest.mark.parametrize("model", MODELS)
def test_a_models_update_is_its_gradient(model: str, norm: str) -> None:
    """One step of gradient descent at rate 1 against autograd through the same forward pass, in double precision, to 1e-10."""
    runs, layout = 2, Layout(INPUTS, CLASSES, 3, 8, "tanh", norm, model)
    start = initial(layout, ["glorot_normal"] * runs, [1, 2], CPU)
    tensors = [t.double() for t in start.trained()]
    running = [(m.double(), v.double()) for m, v in start.running]
    leaves = [t.clone().requires_grad_() for t in tensors]
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(runs, 6, INPUTS, generator=draw, dtype=torch.float64)
    y = torch.randint(CLASSES, (runs, 6), generator=draw)
    logits = logits_of(layout, replace(start.with_trained(leaves), running=running), x, training=True)
    assert logits.shape == (runs, 6, CLASSES)
    nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").div(6).backward()
    net: Parameters = replace(start.with_trained([t.clone() for t in tensors]), running=running)
    one, zero = torch.ones(runs, 1, 1).double(), torch.zeros(runs, 1, 1).double()
    hyper = {"lr": one, "momentum": zero, "weight_decay": zero, "l1": zero, "clip": zero}
    make_step(layout, Rule("sgd"))(net, optimizer_state("sgd", net.trained()), hyper, x, y, {}, 1.0)
    for before, after, leaf in zip(tensors, net.trained(), leaves, strict=True):
        expected = torch.zeros_like(before) if leaf.grad is None else leaf.grad
        close(before - after.detach(), expected, 1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_every_place_of_a_model_can_be_dropped(model: str) -> None:
    """The anatomy names as many units as dropout silences: each place for itself, silenced, changes the logits."""
    layout = Layout(INPUTS, CLASSES, 3, 8, "tanh", "none", model)
    assert len(layout.fans) >= 2
    assert layout.fans[-1][1] == CLASSES
    net, draws = initial(layout, ["glorot_normal"] * 2, [1, 2], CPU), Draws([1, 2], [0.5, 0.5], CPU)
    drawn = masks.units(draws.at(0, 1), 6, layout.anatomy)
    assert len(drawn) == len(layout.anatomy.dropped) > 0
    kept = {site: torch.ones_like(factor.tensor[0]) for site, factor in drawn.items()}
    x = torch.rand(2, 6, INPUTS, generator=torch.Generator().manual_seed(0))
    whole = Pass(layout, net, kept, training=True).logits(x)
    for site in kept:
        silenced = kept | {site: torch.zeros_like(kept[site])}
        assert not torch.allclose(Pass(layout, net, silenced, training=True).logits(x), whole), site


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> datasets.Arrays:
    root: Path = tmp_path_factory.mktemp("data")
    datasets.prepare("digits", root)
    return datasets.load("digits", root)


@pytest.mark.parametrize("view", levels.names("view"))
def test_a_view_gives_arrays_that_can_be_trained_on(view: str, digits: datasets.Arrays) -> None:
    arrays = seen(digits, named("view", view))
    for arrays_of in filter(None, (arrays, arrays.source)):
        for split in ("pool", "val", "test"):
            x, y = getattr(arrays_of, f"{split}_x"), getattr(arrays_of, f"{split}_y")
            assert (x.dtype, y.dtype, x.ndim) == (np.float32, np.int64, 2)
            assert len(x) == len(y) > 0
            assert x.shape[1] == arrays_of.pool_x.shape[1]
            assert np.isfinite(x).all()
            assert 0 <= y.min() <= y.max() < arrays_of.classes
    again = seen(digits, named("view", view))
    assert np.array_equal(again.pool_x, arrays.pool_x)
    assert np.array_equal(again.pool_y, arrays.pool_y)


@pytest.mark.parametrize("view", [v for v in levels.names("view") if v != "plain"])
def test_a_view_does_not_look_at_validation_and_test_rows(view: str, digits: datasets.Arrays) -> None:
    """Nothing that is fitted may come from them: the pool looks the same when they are others."""
    other = replace(digits, val_x=digits.val_x + 1, test_x=-digits.test_x)
    assert np.array_equal(seen(other, named("view", view)).pool_x, seen(digits, named("view", view)).pool_x)


@pytest.mark.parametrize(("factor", "level"), [*LEVELS, *FILES])
def test_levels_are_accepted_and_near_misses_are_not(factor: str, level: str) -> None:
    # a later task needs classes that an earlier one left out
    run = Run(lr=0.1, view="later_classes" if level.startswith("transfer") else "plain")
    check_run(replace(run, **{factor: level}))
    wrong = level.partition("-")[0] if "-" in level else f"{level}-3"
    for bad in (wrong, f"{level}x", f"{wrong}-x"):
        with pytest.raises(UsageError, match=factor):
            check_run(replace(run, **{factor: bad}))
